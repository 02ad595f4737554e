//! The broker: what protocols get hold of. It ties the parts together and owns none of their state.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use leveret_message::name::Name;
use leveret_store::log::{Definitions, Group, QueueId};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxBuildHasher;

use crate::alarms::Alarms;
use crate::backing::{Backing, RecoverError};
use crate::command::{Command, Done, Shards};
use crate::connections::Connections;
use crate::definitions::{self, Setting, settings};
use crate::error::Error;
use crate::events::Events;
use crate::ids::{SHARDS_MAX, ShardId};
use crate::parameters::Parameters;
use crate::placement::Placement;
use crate::publisher::gathered::GatheredBytes;
use crate::shard::{QueuedBytes, Shard};
use crate::throttle::Throttle;
use crate::users::{UserDirectory, Users};
use crate::vhost::Vhost;

mod put_back;
pub mod task;

/// What a broker is made from.
#[derive(Debug)]
pub struct BrokerSettings {
    /// What the broker is called, such as `leveret@host`.
    pub node: String,
    /// The vhosts of a broker that finds nothing.
    pub vhosts: Vec<Name>,
    /// Vhosts whose messages are confirmed once they are written, before they are synced.
    pub os_vhosts: Vec<Name>,
    /// Who may do what in a broker that finds nothing; who may log in from this machine only holds for any.
    pub users: Users,
    /// How many bytes of messages all queues together may hold in memory before some of them leave it.
    pub queued_bytes_budget: usize,
    /// How many bytes of messages all queues together may hold in memory, because they cannot leave it, before publishers wait.
    pub queued_bytes_max: usize,
    /// How long a delivery may stay unsettled where neither its consumer nor its queue says so; none is for ever.
    pub consumer_timeout: Option<Duration>,
}

/// See the module.
#[derive(Debug)]
pub struct Broker {
    /// What it is called.
    pub node: Arc<str>,
    /// Who may do what.
    pub users: Users,
    /// The live connections.
    pub connections: Connections,
    /// What happens, for whoever wants to hear of it.
    pub events: Arc<Events>,
    /// Where commands go.
    pub shards: Shards,
    /// What all queues together hold.
    pub queued: Arc<QueuedBytes>,
    /// What all transactions together have gathered.
    pub gathered: Arc<GatheredBytes>,
    /// How fast users publish, by their names.
    pub(crate) throttles: DashMap<Name, Arc<Throttle>, FxBuildHasher>,
    pub(crate) vhosts: DashMap<Name, Arc<Vhost>, FxBuildHasher>,
    /// What operators set for others than the broker.
    pub(crate) parameters: RwLock<Parameters>,
    /// Held while an operator changes something; never while anything is waited for.
    pub(crate) operator: Mutex<()>,
    /// Those that are on; which of them were measured, which are forced.
    alarms: Mutex<AllAlarms>,
    placement: Arc<Placement>,
    pub(crate) definitions: Arc<dyn Definitions>,
    os_vhosts: Vec<Name>,
}

impl Broker {
    /// A broker, and its shards, one for each log of its backing: each has to be run (`shard::task::shard_task`) for anything to happen.
    ///
    /// **Effect**: what the backing had found is there. **Errors**: what was found cannot be put back; the program must not go on.
    ///
    /// **Panics** without a log, or with more than [`SHARDS_MAX`].
    pub fn new(
        settings: BrokerSettings,
        backing: Backing,
    ) -> Result<(Arc<Self>, Vec<Shard>), RecoverError> {
        let Backing {
            shards,
            logs,
            definitions,
            found,
        } = backing;
        assert!(
            (1..=SHARDS_MAX).contains(&logs.len()) && shards.count() == logs.len(),
            "there is a log for each shard"
        );
        let mut found = found.sort()?;
        let first_id = found.next_id();
        let placement = Placement::new(logs.len() as u16, first_id, Arc::clone(&definitions));
        let queued = QueuedBytes::new(settings.queued_bytes_budget, settings.queued_bytes_max);
        let queued = Arc::new(queued);
        let machines = (0..).zip(logs);
        let mut machines: Vec<Shard> = machines
            .map(|(id, log)| Shard::new(ShardId(id), shards.clone(), log, Arc::clone(&queued)))
            .collect();
        for shard in &mut machines {
            shard.consumer_timeout = settings.consumer_timeout;
        }
        let events = Arc::<Events>::default();
        let broker = Self {
            node: settings.node.into(),
            users: settings.users,
            connections: Connections::new(Arc::clone(&events)),
            events,
            shards,
            queued,
            gathered: Arc::default(),
            throttles: DashMap::default(),
            vhosts: DashMap::default(),
            parameters: RwLock::default(),
            operator: Mutex::default(),
            alarms: Mutex::default(),
            placement: Arc::new(placement),
            definitions,
            os_vhosts: settings.os_vhosts,
        };
        broker.put_settings(std::mem::take(&mut found.settings), &settings.vhosts)?;
        put_back::put_back(found, &broker, &mut machines)?;
        broker
            .definitions
            .define(definitions::RUNNING, &definitions::running_value());
        Ok((Arc::new(broker), machines))
    }

    /// Puts back what operators had set; where nothing was, what the configuration says begins to be data.
    fn put_settings(&self, found: Vec<Setting>, vhosts: &[Name]) -> Result<(), RecoverError> {
        let is_seeded = found
            .iter()
            .any(|setting| matches!(setting, Setting::Seeded));
        if is_seeded {
            return self.users.change(|users| {
                users.clear();
                let mut found = found.into_iter();
                found.try_for_each(|setting| self.put_setting(setting, users))
            });
        }
        for name in vhosts {
            self.keep_vhost(&self.vhost_or_new(name));
        }
        let users = self.users.snapshot();
        users.users().for_each(|user| self.keep_user(user));
        for (user, vhost, permission) in users.permissions() {
            self.keep_permission(user, vhost, permission);
        }
        self.definitions
            .define(settings::SEEDED, &settings::seeded_value());
        Ok(())
    }

    fn put_setting(&self, setting: Setting, users: &mut UserDirectory) -> Result<(), RecoverError> {
        match setting {
            Setting::User(user) => users.put_user(user),
            Setting::Vhost(name, metadata) => self.vhost_or_new(&name).set_metadata(metadata),
            Setting::Permission(user, vhost, permission) => {
                users.put_permission(user, vhost, permission);
            }
            Setting::TopicPermission(user, at, permission) => {
                users.put_topic_permission(user, at, permission);
            }
            Setting::Parameter(key, value) => {
                let at = (key.vhost.clone(), key.name.clone());
                if !self.recover_parameter(key, value) {
                    return Err(RecoverError::Parameter(at.0, at.1));
                }
            }
            Setting::GlobalParameter(name, value) => {
                self.parameters.write().global.insert(name, value);
            }
            Setting::Seeded => {}
        }
        Ok(())
    }

    pub(crate) fn vhost_or_new(&self, name: &Name) -> Arc<Vhost> {
        let vhost = self.vhosts.entry(name.clone()).or_insert_with(|| {
            let (shards, placement) = (self.shards.clone(), Arc::clone(&self.placement));
            Vhost::new(
                name.clone(),
                shards,
                placement,
                Arc::clone(&self.definitions),
                Arc::clone(&self.events),
                !self.os_vhosts.contains(name),
            )
        });
        Arc::clone(&vhost)
    }

    /// It is not kept any more how far readers with a name have come in a stream that is gone.
    pub(crate) fn forget_offset(&self, stream: QueueId, name: &str) {
        self.definitions
            .undefine(&definitions::offset_key(stream, name));
    }

    pub(crate) fn place(&self, queue: QueueId) -> (Group, ShardId) {
        self.placement.place(queue)
    }

    /// Asks the shards to write down what should be known after an orderly end: to be called when no connection is left. Each shard calls
    /// `done` when it has, and is not to be used any more; [`Broker::note_end`] is to follow.
    pub fn end(&self, done: &Arc<dyn Fn() + Send + Sync>) {
        for shard in 0..self.shards.count() as u16 {
            let done = Done(Arc::clone(done));
            self.shards.send(ShardId(shard), Command::End(done));
        }
    }

    /// Writes down that the broker has ended in order: when all shards have. Then the logs can be closed.
    pub fn note_end(&self) {
        self.definitions.undefine(definitions::RUNNING);
    }

    /// The vhost of that name. The empty name is a name like any other.
    ///
    /// **Errors**: [`Error::VhostNotFound`] (530).
    pub fn vhost(&self, name: &str) -> Result<Arc<Vhost>, Error> {
        let found = self.vhosts.get(name).map(|vhost| Arc::clone(&vhost));
        let found = found.filter(|vhost| !vhost.is_deleted());
        found.ok_or_else(|| Error::VhostNotFound(Name::new(name).unwrap_or_default()))
    }

    /// How fast a user publishes, over all its connections.
    pub fn throttle(&self, user: &Name) -> Arc<Throttle> {
        Arc::clone(&self.throttles.entry(user.clone()).or_default())
    }

    /// The alarms that are on.
    pub fn alarms(&self) -> Alarms {
        self.alarms.lock().on()
    }

    /// Sets which alarms were measured. Connections hear of it where it changes something; returns whether it did. **Waits**: never.
    pub fn set_alarms(&self, measured: Alarms) -> bool {
        self.change_alarms(|alarms| alarms.measured = measured)
    }

    /// Sets which alarms are on whatever is measured: for operators who want to see what clients do. **Waits**: never.
    pub fn force_alarms(&self, change: impl FnOnce(&mut Alarms)) -> bool {
        self.change_alarms(|alarms| change(&mut alarms.forced))
    }

    fn change_alarms(&self, change: impl FnOnce(&mut AllAlarms)) -> bool {
        let mut alarms = self.alarms.lock();
        let before = alarms.on();
        change(&mut alarms);
        let on = alarms.on();
        if on != before {
            // Under the lock, so that connections hear of changes in their order.
            self.connections.tell_alarms(on);
            self.events.alarms_changed(before, on);
        }
        on != before
    }
}

#[derive(Debug, Default)]
struct AllAlarms {
    measured: Alarms,
    forced: Alarms,
}

impl AllAlarms {
    fn on(&self) -> Alarms {
        Alarms {
            memory: self.measured.memory || self.forced.memory,
            disk: self.measured.disk || self.forced.disk,
        }
    }
}
