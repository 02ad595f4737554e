//! The broker: what protocols get hold of. It ties the parts together and owns none of their state.

use std::sync::Arc;

use dashmap::DashMap;
use leveret_message::name::Name;
use leveret_store::memory::MemoryLog;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use crate::alarms::Alarms;
use crate::command::Shards;
use crate::connections::Connections;
use crate::error::Error;
use crate::link::SHARDS_MAX;
use crate::placement::Placement;
use crate::queue_handle::ShardId;
use crate::shard::{QueuedBytes, Shard};
use crate::users::Users;
use crate::vhost::Vhost;

/// What a broker is made from.
#[derive(Debug)]
pub struct BrokerSettings {
    /// How many shards; between 1 and [`SHARDS_MAX`].
    pub shards: usize,
    /// The vhosts that exist from the start.
    pub vhosts: Vec<Name>,
    /// Who may do what.
    pub users: Users,
    /// How many bytes of messages all queues together may hold in memory before publishers wait.
    pub queued_bytes_max: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Broker {
    /// Who may do what.
    pub users: Users,
    /// The live connections.
    pub connections: Connections,
    /// Where commands go.
    pub shards: Shards,
    /// What all queues together hold.
    pub queued: Arc<QueuedBytes>,
    vhosts: DashMap<Name, Arc<Vhost>, FxBuildHasher>,
    alarms: Mutex<Alarms>,
}

impl Broker {
    /// A broker, and its shards: each has to be run (`shard::task::shard_task`) for anything to happen.
    pub fn new(settings: BrokerSettings) -> (Arc<Self>, Vec<Shard>) {
        let count = settings.shards.clamp(1, SHARDS_MAX);
        let shards = Shards::new(count);
        let placement = Arc::new(Placement::new(count as u16));
        let queued = Arc::new(QueuedBytes::new(settings.queued_bytes_max));
        let machines = (0..count as u16)
            .map(|id| {
                Shard::new(
                    ShardId(id),
                    Box::new(MemoryLog::default()),
                    Arc::clone(&queued),
                )
            })
            .collect();
        let vhosts = DashMap::default();
        for name in settings.vhosts {
            let vhost = Vhost::new(name.clone(), shards.clone(), Arc::clone(&placement));
            vhosts.insert(name, vhost);
        }
        let connections = Connections::default();
        let broker = Self {
            users: settings.users,
            connections,
            shards,
            queued,
            vhosts,
            alarms: Mutex::default(),
        };
        (Arc::new(broker), machines)
    }

    /// The vhost of that name. The empty name is a name like any other.
    ///
    /// **Errors**: [`Error::VhostNotFound`] (530).
    pub fn vhost(&self, name: &str) -> Result<Arc<Vhost>, Error> {
        let found = self.vhosts.get(name).map(|vhost| Arc::clone(&vhost));
        found.ok_or_else(|| Error::VhostNotFound(Name::new(name).unwrap_or_default()))
    }

    /// The alarms that are on.
    pub fn alarms(&self) -> Alarms {
        *self.alarms.lock()
    }

    /// Sets which alarms are on. Connections hear of it where it changes something; returns whether it did. **Waits**: never.
    pub fn set_alarms(&self, alarms: Alarms) -> bool {
        let mut on = self.alarms.lock();
        if *on == alarms {
            return false;
        }
        *on = alarms;
        // Under the lock, so that connections hear of changes in their order.
        self.connections.tell_alarms(alarms);
        true
    }
}
