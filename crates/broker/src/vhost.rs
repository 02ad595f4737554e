//! A vhost: its exchanges and its queue directory, for everyone to read. Changes go through the door (`vhost/door.rs`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use leveret_message::name::Name;
use leveret_message::table::{Table, TableWriter};
use leveret_store::log::Definitions;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxBuildHasher;

use crate::arguments::{ExchangeSettings, QueueSettings};
use crate::bindings::ExchangeKind;
use crate::command::{Command, Shards};
use crate::error::{Error, Kind, Resource};
use crate::events::Events;
use crate::exchange::{Exchange, ExchangeDeclaration};
use crate::limits::{VhostLimits, VhostMetadata};
use crate::placement::Placement;
use crate::policies::{self, Effective, Object, Policies};
use crate::queue_handle::{QueueDeclaration, QueueHandle, QueueId};

mod declarations;
mod delays;
pub mod door;
pub(crate) mod history;
mod kept;
pub mod reply;
#[cfg(test)]
mod tests;
mod windows;

pub(crate) use windows::exchange_of_window;

/// The argument that names a queue's type.
const QUEUE_TYPE: &str = "x-queue-type";

/// The exchanges that every vhost has from the start.
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
];

/// See the module.
#[derive(Debug)]
pub struct Vhost {
    /// Its name.
    pub name: Name,
    /// What operators say of it.
    pub metadata: RwLock<VhostMetadata>,
    /// How much may be in it.
    pub limits: VhostLimits,
    /// What holds for its queues and exchanges by their names.
    pub policies: RwLock<Policies>,
    this: Weak<Vhost>,
    exchanges: DashMap<Name, Arc<Exchange>, FxBuildHasher>,
    queues: DashMap<Name, Arc<QueueHandle>, FxBuildHasher>,
    /// What is outside the topology; see `vhost/reply.rs`.
    replies: DashMap<Name, Arc<QueueHandle>, FxBuildHasher>,
    /// Whether it is being deleted: then nothing more comes into it.
    is_deleted: AtomicBool,
    /// Whether its messages are traced: as `metadata` says, to be read for each message.
    is_traced: AtomicBool,
    /// See [`Vhost::untraced`].
    untraced: AtomicU64,
    /// Held while the topology changes; never while anything is waited for.
    door: Mutex<()>,
    shards: Shards,
    placement: Arc<Placement>,
    /// Where durable things are written down.
    definitions: Arc<dyn Definitions>,
    events: Arc<Events>,
    /// Whether persistent messages in its queues have to be synced before they are confirmed, where a queue does not say otherwise.
    syncs: bool,
}

impl Vhost {
    /// A vhost with the predeclared exchanges. Where it does not `sync`, what is confirmed in it survives the end of the process alone, unless a
    /// queue says otherwise.
    pub(crate) fn new(
        name: Name,
        shards: Shards,
        placement: Arc<Placement>,
        definitions: Arc<dyn Definitions>,
        events: Arc<Events>,
        syncs: bool,
    ) -> Arc<Self> {
        let vhost = Arc::new_cyclic(|this| Self {
            name,
            metadata: RwLock::default(),
            limits: VhostLimits::default(),
            policies: RwLock::default(),
            is_deleted: AtomicBool::new(false),
            is_traced: AtomicBool::new(false),
            untraced: AtomicU64::new(0),
            this: Weak::clone(this),
            exchanges: DashMap::default(),
            queues: DashMap::default(),
            replies: DashMap::default(),
            door: Mutex::new(()),
            shards,
            placement,
            definitions,
            events,
            syncs,
        });
        for (name, kind, internal) in PREDECLARED {
            let name = Name::new(name).expect("predeclared names are short");
            let exchange = ExchangeDeclaration {
                name: name.clone(),
                kind,
                durable: true,
                auto_delete: false,
                internal,
                arguments: Table::default(),
            };
            let settings = ExchangeSettings::default();
            let exchange = Arc::new(Exchange::new(exchange, settings, vhost.name.clone()));
            vhost.exchanges.insert(name, exchange);
        }
        vhost
    }

    /// The exchange of that name.
    ///
    /// **Errors**: [`Error::NotFound`] (404).
    pub fn exchange(&self, name: &str) -> Result<Arc<Exchange>, Error> {
        self.find_exchange(name)
            .ok_or_else(|| Error::NotFound(self.named(Kind::Exchange, name)))
    }

    /// The exchange of that name, if there is one.
    pub fn find_exchange(&self, name: &str) -> Option<Arc<Exchange>> {
        self.exchanges.get(name).map(|found| Arc::clone(&found))
    }

    /// The queue of that name.
    ///
    /// **Errors**: [`Error::NotFound`] (404).
    pub fn queue(&self, name: &str) -> Result<Arc<QueueHandle>, Error> {
        self.find_queue(name)
            .ok_or_else(|| Error::NotFound(self.named(Kind::Queue, name)))
    }

    /// The queue of that name, if there is one that is not being deleted.
    pub fn find_queue(&self, name: &str) -> Option<Arc<QueueHandle>> {
        self.entry(name).filter(|found| !found.is_deleted())
    }

    /// The queue that stands under that name, even if it is being deleted.
    fn entry(&self, name: &str) -> Option<Arc<QueueHandle>> {
        self.queues.get(name).map(|found| Arc::clone(&found))
    }

    /// The handle of a queue of this vhost.
    fn handle(
        &self,
        id: QueueId,
        declaration: QueueDeclaration,
        settings: QueueSettings,
    ) -> Arc<QueueHandle> {
        let vhost = (self.name.clone(), self.this.clone());
        let place = self.placement.place(id);
        let mut handle = QueueHandle::new(id, place, vhost, declaration, settings);
        if handle.settings.durability.is_none() {
            handle.syncs = self.syncs;
        }
        handle.govern(self.settings_of(&handle));
        Arc::new(handle)
    }

    /// What the arguments of a queue and policies say together.
    fn settings_of(&self, queue: &QueueHandle) -> QueueSettings {
        let definition = self.queue_policy(queue).definition;
        policies::governed(&queue.settings, &definition)
    }

    /// An exchange is as policies say.
    pub(crate) fn govern_exchange(&self, exchange: &Exchange) {
        let definition = self.exchange_policy(exchange).definition;
        let alternate = definition.get("alternate-exchange");
        let alternate = alternate.and_then(serde_json::Value::as_str);
        let alternate = alternate.and_then(|name| Name::new(name).ok());
        let window = policies::governed_window(exchange.settings.window, &definition);
        exchange.govern(alternate, window);
    }

    /// Policies have changed: each queue and exchange is as they say from now on. **Cost**: by the queues, a search of the name for each policy.
    pub(crate) fn govern(&self) {
        let _door = self.door.lock();
        for exchange in self.exchanges() {
            self.govern_exchange(&exchange);
        }
        for queue in self.queues() {
            if queue.govern(self.settings_of(&queue)) {
                let command = Command::Govern(Arc::clone(&queue));
                self.shards.send(queue.shard, command);
            }
        }
    }

    /// All queues, in no order.
    pub fn queues(&self) -> Vec<Arc<QueueHandle>> {
        let there = self.queues.iter().filter(|queue| !queue.is_deleted());
        there.map(|queue| Arc::clone(&queue)).collect()
    }

    /// All exchanges, in no order.
    pub fn exchanges(&self) -> Vec<Arc<Exchange>> {
        let there = self.exchanges.iter();
        there.map(|exchange| Arc::clone(&exchange)).collect()
    }

    /// Whether it is gone, or going. Once true, for ever true.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// Says what operators say of it. Connections see from their next message on whether they are to trace it.
    pub(crate) fn set_metadata(&self, metadata: VhostMetadata) {
        let _door = self.door.lock();
        let is_traced = metadata.tracing;
        *self.metadata.write() = metadata;
        if self.is_traced.swap(is_traced, Ordering::AcqRel) != is_traced {
            // Routes that are remembered hold no longer.
            self.exchanges.iter().for_each(|exchange| exchange.bump());
        }
    }

    /// Whether its messages are traced.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.is_traced.load(Ordering::Acquire)
    }

    /// How many messages were not traced, because whoever was to do it was behind.
    pub fn untraced(&self) -> u64 {
        self.untraced.load(Ordering::Relaxed)
    }

    pub(crate) fn note_untraced(&self) {
        let count = self.untraced.fetch_add(1, Ordering::Relaxed) + 1;
        // Seldom, however many they are.
        if count.is_power_of_two() {
            tracing::warn!(vhost = %self.name, count, "messages were not traced: the queues of the firehose are behind");
        }
    }

    /// What policies say of a queue.
    pub fn queue_policy(&self, queue: &QueueHandle) -> Effective {
        self.policies.read().effective(Object {
            kind: Kind::Queue,
            name: queue.name(),
            queue_type: Some(queue.queue_type()),
        })
    }

    /// What policies say of an exchange.
    pub fn exchange_policy(&self, exchange: &Exchange) -> Effective {
        self.policies.read().effective(Object {
            kind: Kind::Exchange,
            name: &exchange.name,
            queue_type: None,
        })
    }

    /// Gives a declaration without a queue type the vhost's default one, where a queue like that can have it: only classic ones are exclusive,
    /// transient or end by themselves (<https://www.rabbitmq.com/docs/vhosts#default-queue-type>). For what clients declare; definitions that come in
    /// say what they mean.
    pub fn give_type(&self, declaration: &mut QueueDeclaration) {
        let metadata = self.metadata.read();
        let Some(kind) = metadata.default_queue_type.as_deref() else {
            return;
        };
        let is_plain =
            declaration.durable && declaration.owner.is_none() && !declaration.auto_delete;
        let arguments = declaration.arguments.view();
        if arguments.find(QUEUE_TYPE).is_none() && (is_plain || kind == "classic") {
            let mut with_type = TableWriter::new();
            arguments.iter().for_each(|(key, value)| {
                with_type.put(key, value);
            });
            with_type.put(QUEUE_TYPE, kind);
            declaration.arguments = with_type.finish();
        }
    }

    /// How many queues there are.
    pub fn queues_count(&self) -> usize {
        self.queues.len()
    }

    /// How many exchanges there are, the predeclared ones included.
    pub fn exchanges_count(&self) -> usize {
        self.exchanges.len()
    }

    /// How errors name something in this vhost. A name too long to exist is cut.
    pub fn named(&self, kind: Kind, name: &str) -> Resource {
        let name = Name::new(name).unwrap_or_default();
        Resource {
            kind,
            name,
            vhost: self.name.clone(),
        }
    }
}
