//! Vhosts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leveret_message::name::Name;

use super::{IsNew, OperatorError};
use crate::broker::Broker;
use crate::command::{Command, Done};
use crate::definitions::settings as kept;
use crate::ids::ShardId;
use crate::limits::VhostMetadata;
use crate::policies::Sort;
use crate::queue_handle::QueueId;
use crate::users::UserDirectory;
use crate::vhost::Vhost;

impl Broker {
    /// All vhosts, by name.
    pub fn all_vhosts(&self) -> Vec<Arc<Vhost>> {
        let there = self.vhosts.iter().filter(|vhost| !vhost.is_deleted());
        let mut all: Vec<_> = there.map(|vhost| Arc::clone(&vhost)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Adds a vhost, or changes what is said of it.
    ///
    /// **Errors**: [`OperatorError::Invalid`] while one of that name is being deleted.
    pub fn put_vhost(&self, name: &Name, metadata: VhostMetadata) -> Result<IsNew, OperatorError> {
        let _door = self.operator.lock();
        let is_new = !self.vhosts.contains_key(name);
        let vhost = self.vhost_or_new(name);
        if vhost.is_deleted() {
            let reason = format!("vhost '{name}' is being deleted");
            return Err(OperatorError::Invalid(reason));
        }
        if is_new {
            self.events.vhost_created(name, &metadata);
        }
        vhost.set_metadata(metadata);
        self.keep_vhost(&vhost);
        Ok(IsNew(is_new))
    }

    pub(crate) fn keep_vhost(&self, vhost: &Vhost) {
        let value = kept::vhost_value(&vhost.metadata.read());
        self.definitions
            .define(&kept::vhost_key(&vhost.name), &value);
    }

    /// Deletes a vhost with everything in it, and closes its connections. Calls `then` when it is gone for good; it must not wait.
    ///
    /// **Errors**: [`OperatorError::NoSuchVhost`], [`OperatorError::Protected`].
    pub fn delete_vhost(
        self: &Arc<Self>,
        name: &Name,
        then: Box<dyn FnOnce() + Send>,
    ) -> Result<(), OperatorError> {
        let door = self.operator.lock();
        let vhost = self.existing_vhost(name)?;
        if vhost.metadata.read().protected_from_deletion {
            return Err(OperatorError::Protected(name.clone()));
        }
        let queues = vhost.close();
        let reason = format!("vhost '{name}' is deleted");
        self.connections
            .close_those(&reason, |open| open.vhost == *name);
        drop(door);
        // What is written down of the vhost itself goes last: a start in between finds it with fewer queues.
        let (broker, then) = (Arc::clone(self), parking_lot::Mutex::new(Some(then)));
        let left = AtomicUsize::new(self.shards.count());
        let done = Done(Arc::new(move || {
            if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                broker.forget_vhost(&vhost);
                if let Some(then) = then.lock().take() {
                    broker.when_kept(then);
                }
            }
        }));
        for shard in 0..self.shards.count() as u16 {
            let its = queues.iter().filter(|queue| queue.shard == ShardId(shard));
            let queues: Vec<QueueId> = its.map(|queue| queue.id).collect();
            let done = done.clone();
            self.shards
                .send(ShardId(shard), Command::Drop { queues, done });
        }
        Ok(())
    }

    fn forget_vhost(&self, vhost: &Vhost) {
        let _door = self.operator.lock();
        let name = &vhost.name;
        vhost.end_exchanges();
        let undefine = |key: Vec<u8>| self.definitions.undefine(&key);
        let before = self.users.snapshot();
        self.users
            .change(|users: &mut UserDirectory| users.forget_vhost(name));
        for (user, _, _) in before.permissions().filter(|(_, v, _)| *v == name) {
            undefine(kept::permission_key(user, name));
        }
        for (user, _, exchange, _) in before.topic_permissions().filter(|(_, v, ..)| *v == name) {
            undefine(kept::topic_permission_key(user, name, exchange));
        }
        for sort in [Sort::User, Sort::Operator] {
            for policy in vhost.policies.read().of(sort) {
                undefine(kept::parameter_key(sort.component(), name, &policy.name));
            }
        }
        self.forget_parameters_of(vhost);
        undefine(kept::vhost_key(name));
        self.vhosts.remove(name);
        self.connections.forget_vhost(name);
        self.events.vhost_deleted(name);
    }
}
