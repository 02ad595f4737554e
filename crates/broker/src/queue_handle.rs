//! What everyone may know of a queue: its declaration and where it lives. Its messages and consumers belong to its shard (`queue.rs`).

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use leveret_message::name::Name;
use leveret_message::table::{Table, Value};
use leveret_store::log::Group;
pub use leveret_store::log::QueueId;
use parking_lot::Mutex;

use crate::arguments::{Durability, QueueSettings, QueueType};
use crate::error::{Error, Kind, Resource};
use crate::exchange::{Exchange, Sources};
use crate::ids::{ConnectionId, ShardId};
use crate::route::changed;
use crate::vhost::Vhost;

mod incoming;

use incoming::Incoming;

/// What the names of queues begin with that hold messages of an exchange back: no client can declare such.
pub const DELAYED_PREFIX: &str = "amq.delayed.";

/// What the names of queues begin with that have the keys of an exchange which lets no duplicates through: nobody finds such by their names.
pub const WINDOW_PREFIX: &str = "amq.deduplication.";

/// What a declaration says of a queue.
#[derive(Clone, Debug)]
pub struct QueueDeclaration {
    /// Its name, never empty: whoever declares makes up names for nameless queues.
    pub name: Name,
    /// Whether it survives a restart.
    pub durable: bool,
    /// The connection that it belongs to, where it is exclusive.
    pub owner: Option<ConnectionId>,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// Its arguments.
    pub arguments: Table,
}

/// See the module.
#[derive(Debug)]
pub struct QueueHandle {
    /// Never used twice: a handle of a deleted queue can never reach a later queue of the same name.
    pub id: QueueId,
    /// The shard that owns its contents.
    pub shard: ShardId,
    /// The group that its log entries belong to.
    pub group: Group,
    /// The name of its vhost.
    pub vhost_name: Name,
    /// What was declared.
    pub declaration: QueueDeclaration,
    /// What its arguments say.
    pub settings: QueueSettings,
    /// The same with what policies say. Changed under the vhost's door only, which tells the shard.
    governed: Mutex<QueueSettings>,
    /// Whether it may refuse what is published to it.
    may_refuse: AtomicBool,
    /// Whether it keeps duplicates out.
    deduplicates: AtomicBool,
    /// Where it may refuse: how many messages it has room for, as its shard last saw it.
    room: AtomicI64,
    /// How many messages are on their way to that room.
    coming: AtomicI64,
    /// Whether a persistent message in it is safe once it is synced, or once it is written.
    pub syncs: bool,
    pub(crate) vhost: Weak<Vhost>,
    /// The bindings that lead here. Touched under the vhost's door only.
    pub(crate) sources: Mutex<Sources>,
    deleted: AtomicBool,
    incoming: Incoming,
}

impl QueueHandle {
    pub(crate) fn new(
        id: QueueId,
        (group, shard): (Group, ShardId),
        (vhost_name, vhost): (Name, Weak<Vhost>),
        declaration: QueueDeclaration,
        settings: QueueSettings,
    ) -> Self {
        Self {
            syncs: settings.durability != Some(Durability::Os),
            id,
            shard,
            group,
            vhost_name,
            declaration,
            governed: Mutex::new(settings.clone()),
            may_refuse: AtomicBool::new(false),
            deduplicates: AtomicBool::new(false),
            // A new one is empty; of one that was there before its shard says more before anybody asks.
            room: AtomicI64::new(settings.length.room()),
            coming: AtomicI64::new(0),
            settings,
            vhost,
            sources: Mutex::default(),
            deleted: AtomicBool::new(false),
            incoming: Incoming::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.declaration.name
    }

    /// Its `x-queue-type`, as reported: `classic` where it was declared without one.
    pub fn queue_type(&self) -> &str {
        let declared = self.declaration.arguments.view().find("x-queue-type");
        match declared {
            Some(Value::LongStr(name)) => std::str::from_utf8(name).unwrap_or("classic"),
            _ => "classic",
        }
    }

    /// Whether it is a stream: it keeps what was published to it.
    pub fn is_stream(&self) -> bool {
        self.settings.queue_type == QueueType::Stream
    }

    /// The exchange of which it holds messages back; none of a queue that clients use.
    pub fn delays(&self) -> Option<&str> {
        self.name().strip_prefix(DELAYED_PREFIX)
    }

    /// The exchange of which it has the keys; none of a queue that has messages.
    pub fn is_window_of(&self) -> Option<&str> {
        self.name().strip_prefix(WINDOW_PREFIX)
    }

    /// What its arguments and policies say together.
    pub fn governed(&self) -> QueueSettings {
        self.governed.lock().clone()
    }

    /// Sets what [`QueueHandle::governed`] says. Whether that is something new.
    pub(crate) fn govern(&self, settings: QueueSettings) -> bool {
        let mut governed = self.governed.lock();
        let is_new = *governed != settings;
        let (may_refuse, deduplicates) = (settings.length.may_refuse(), settings.deduplicates);
        *governed = settings;
        let had = self.deduplicates.swap(deduplicates, Ordering::AcqRel);
        if self.may_refuse.swap(may_refuse, Ordering::AcqRel) != may_refuse || had != deduplicates {
            changed();
        }
        is_new
    }

    /// Whether it may refuse what is published to it.
    pub fn may_refuse(&self) -> bool {
        self.may_refuse.load(Ordering::Acquire)
    }

    /// Whether it keeps duplicates out.
    pub fn deduplicates(&self) -> bool {
        self.deduplicates.load(Ordering::Acquire)
    }

    /// Whether it may refuse what is published to it, or keep it out for want of room for its key, or leads to queues that do.
    pub fn may_turn_away(&self) -> bool {
        self.may_refuse() || self.deduplicates() || self.is_window_of().is_some()
    }

    /// Takes room for a message that it must not refuse, until its shard has it. Whether there was some: always, where it refuses nothing.
    pub(crate) fn reserve(&self) -> bool {
        if !self.may_refuse() {
            return true;
        }
        let coming = self.coming.fetch_add(1, Ordering::AcqRel);
        let has_room = coming < self.room.load(Ordering::Acquire);
        if !has_room {
            self.came(1);
        }
        has_room
    }

    /// As [`QueueHandle::reserve`], for a message for which room was taken in another way.
    pub(crate) fn expect(&self) {
        if self.may_refuse() {
            self.coming.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Messages for which there was room reserved are in its shard, which has noted what room is left; or they do not come.
    pub(crate) fn came(&self, count: u32) {
        let less = |coming: i64| Some((coming - i64::from(count)).max(0));
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.coming.fetch_update(set, fetch, less);
    }

    /// Sets how many messages it has room for: for its shard.
    pub(crate) fn note_room(&self, room: u64) {
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        self.room.store(room, Ordering::Release);
    }

    /// Whether it and its persistent messages outlive the broker: it is durable and belongs to no connection.
    pub fn is_kept(&self) -> bool {
        self.declaration.durable && self.declaration.owner.is_none()
    }

    /// How errors name it.
    pub fn resource(&self) -> Resource {
        Resource {
            kind: Kind::Queue,
            name: self.declaration.name.clone(),
            vhost: self.vhost_name.clone(),
        }
    }

    /// So many messages that were published to an exchange went here. Told once for each stretch of them.
    #[inline]
    pub(crate) fn note_published(&self, exchange: &Arc<Exchange>, count: u64) {
        self.incoming.note(exchange, count);
    }

    /// How many messages came from each exchange that they were published to and that is still there, since the broker was started.
    pub fn incoming(&self) -> Vec<(Arc<Exchange>, u64)> {
        self.incoming.all()
    }

    /// Whether it is gone. Once true, for ever true.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(crate) fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
        changed();
    }

    /// Exclusive queues may be used only by the connection that declared them.
    ///
    /// **Errors**: [`Error::Locked`] (405).
    pub fn check_owner(&self, connection: ConnectionId) -> Result<(), Error> {
        match self.declaration.owner {
            Some(owner) if owner != connection => Err(Error::Locked(self.resource())),
            _ => Ok(()),
        }
    }
}
