//! An exchange: what was declared, and its bindings behind a lock that only the vhost's door takes for writing.
//!
//! `version` rises with every change of the bindings and at deletion, so that routes computed from them can be reused for as long as it stays
//! the same.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use leveret_message::name::Name;
use leveret_message::table::{Table, TableRef};
use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::arguments::{ExchangeSettings, WindowSettings};
use crate::bindings::{Bindings, ExchangeKind, Target};
use crate::error::{Error, Kind, Resource};
use crate::ids::ConnectionId;
use crate::queue_handle::QueueHandle;
use crate::route::changed;
use crate::stable_hash::bytes;
use crate::vhost::history::History;

/// See the module.
#[derive(Debug)]
pub struct Exchange {
    /// Its name; empty for the default exchange.
    pub name: Name,
    /// The vhost's name.
    pub vhost: Name,
    /// Its type.
    pub kind: ExchangeKind,
    /// How it routes: as its type, or one that an argument names.
    pub routes_as: ExchangeKind,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it goes when its last binding goes.
    pub auto_delete: bool,
    /// Whether only exchanges may publish to it.
    pub internal: bool,
    /// The arguments as declared.
    pub arguments: Table,
    /// What the arguments say.
    pub settings: ExchangeSettings,
    /// Messages that clients published to it, and how often a queue took one of them. Told once for each hand-over of a publisher.
    came: AtomicU64,
    went: AtomicU64,
    /// The open connections that have published to it. Told once by each.
    publishers: Mutex<FxHashSet<ConnectionId>>,
    version: AtomicU64,
    deleted: AtomicBool,
    bindings: RwLock<Bindings<Destination>>,
    /// Where messages go that it cannot route: as its arguments say, or else a policy. Changed under the vhost's door only.
    alternate: RwLock<Option<Name>>,
    /// How much it knows of what came through it, as its arguments and policies say together. As above.
    window_settings: RwLock<WindowSettings>,
    /// Where it holds messages back, if it can. Set under the vhost's door only.
    pub(crate) delay: OnceLock<Arc<QueueHandle>>,
    /// Where it knows what came through it, if it does. Set under the vhost's door only.
    pub(crate) window: OnceLock<Arc<QueueHandle>>,
    /// Its last messages, where it keeps them.
    pub(crate) history: Option<Mutex<History>>,
    /// Where this exchange is a destination. Touched under the vhost's door only.
    pub(crate) sources: Mutex<Sources>,
}

/// Where a binding leads. Two are equal when they are the same queue or exchange, not only alike.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To a queue.
    Queue(Arc<QueueHandle>),
    /// To another exchange.
    Exchange(Arc<Exchange>),
}

/// A binding seen from its destination.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    /// The exchange that the binding is from, by its address: the map that this is the key of keeps it alive.
    exchange: usize,
    pub(crate) binding_key: Box<[u8]>,
    pub(crate) arguments: Table,
}

/// The bindings that lead to a queue or exchange, and the exchanges they are from.
pub(crate) type Sources = FxHashMap<Source, Arc<Exchange>>;

/// What a declaration says of an exchange.
#[derive(Clone, Debug)]
pub struct ExchangeDeclaration {
    /// Its name.
    pub name: Name,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it goes when its last binding goes.
    pub auto_delete: bool,
    /// Whether only exchanges may publish to it.
    pub internal: bool,
    /// Its arguments.
    pub arguments: Table,
}

impl Exchange {
    /// The queue in which it holds messages back, if it does.
    pub fn delay(&self) -> Option<&Arc<QueueHandle>> {
        self.delay.get()
    }

    pub(crate) fn new(
        declaration: ExchangeDeclaration,
        settings: ExchangeSettings,
        vhost: Name,
    ) -> Self {
        let ExchangeDeclaration {
            name,
            kind,
            durable,
            auto_delete,
            internal,
            arguments,
        } = declaration;
        let routes_as = settings.delayed_type.unwrap_or(kind);
        Self {
            name,
            vhost,
            kind,
            routes_as,
            alternate: RwLock::new(settings.alternate_exchange.clone()),
            window_settings: RwLock::new(settings.window),
            delay: OnceLock::new(),
            window: OnceLock::new(),
            durable,
            auto_delete,
            internal,
            arguments,
            history: (settings.history_length > 0)
                .then(|| Mutex::new(History::new(settings.history_length))),
            settings,
            came: AtomicU64::new(0),
            went: AtomicU64::new(0),
            publishers: Mutex::default(),
            version: AtomicU64::new(0),
            deleted: AtomicBool::new(false),
            bindings: RwLock::new(Bindings::new(routes_as)),
            sources: Mutex::default(),
        }
    }

    /// The name of the exchange that messages go to which it cannot route.
    pub fn alternate(&self) -> Option<Name> {
        self.alternate.read().clone()
    }

    /// What a policy says of it: holds where its arguments say nothing.
    pub(crate) fn govern(&self, alternate: Option<Name>, window: WindowSettings) {
        *self.window_settings.write() = window;
        let governed = self.settings.alternate_exchange.clone().or(alternate);
        let mut alternate = self.alternate.write();
        if *alternate != governed {
            *alternate = governed;
            self.version.fetch_add(1, Ordering::AcqRel);
            changed();
        }
    }

    /// How much it knows of what came through it.
    pub fn window_settings(&self) -> WindowSettings {
        *self.window_settings.read()
    }

    /// Whether it is the default exchange, to which every queue is bound by its name.
    pub fn is_default(&self) -> bool {
        self.name.is_empty()
    }

    /// How errors name it.
    pub fn resource(&self) -> Resource {
        Resource {
            kind: Kind::Exchange,
            name: self.name.clone(),
            vhost: self.vhost.clone(),
        }
    }

    /// Messages were published to it, and queues took them so many times.
    pub(crate) fn note_published(&self, came: u64, went: u64) {
        self.came.fetch_add(came, Ordering::Relaxed);
        self.went.fetch_add(went, Ordering::Relaxed);
    }

    /// A connection has published to it.
    pub(crate) fn note_publisher(&self, connection: ConnectionId) {
        self.publishers.lock().insert(connection);
    }

    /// A connection will not publish to it any more.
    pub(crate) fn forget_publisher(&self, connection: ConnectionId) {
        self.publishers.lock().remove(&connection);
    }

    /// The connections that have published to it and are open, in no order.
    pub fn publishers(&self) -> Vec<ConnectionId> {
        self.publishers.lock().iter().copied().collect()
    }

    /// How many messages clients have published to it since the broker was started, and how often a queue took one of them.
    pub fn published(&self) -> (u64, u64) {
        let at = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (at(&self.came), at(&self.went))
    }

    /// Rises with every change of the bindings and at deletion.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether it is gone. Once true, for ever true; the version rises after that for the last time.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Calls `each` for every binding that matches; the same destination may come more than once.
    pub fn matches(
        &self,
        routing_key: &[u8],
        headers: Option<TableRef<'_>>,
        each: impl FnMut(&Destination),
    ) {
        self.bindings.read().matches(routing_key, headers, each);
    }

    /// Calls `with` with the destination that a number picks, if anything is bound; only in exchanges of kinds that pick one.
    pub fn pick(&self, number: u64, with: impl FnOnce(&Destination)) {
        if let Some(destination) = self.bindings.read().pick(number) {
            with(destination);
        }
    }

    /// How many bindings lead from it.
    pub fn bindings_count(&self) -> usize {
        self.bindings.read().len()
    }

    pub(crate) fn bump(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        changed();
    }

    /// Whether there was no such binding; `arguments` in canonical order.
    pub(crate) fn bind(
        self: &Arc<Self>,
        binding_key: &[u8],
        arguments: &Table,
        to: &Destination,
    ) -> Result<bool, Error> {
        let new = self
            .bindings
            .write()
            .insert(binding_key, arguments, to.clone())
            .map_err(|error| Error::Unacceptable(error.to_string()))?;
        if new {
            self.bump();
            let source = self.as_source(binding_key, arguments);
            to.sources().lock().insert(source, Arc::clone(self));
        }
        Ok(new)
    }

    /// Whether there was such a binding; `arguments` in canonical order.
    pub(crate) fn unbind(
        self: &Arc<Self>,
        binding_key: &[u8],
        arguments: &Table,
        to: &Destination,
    ) -> bool {
        let removed = self.bindings.write().remove(binding_key, arguments, to);
        if removed {
            self.bump();
            let source = self.as_source(binding_key, arguments);
            to.sources().lock().remove(&source);
        }
        removed
    }

    /// A binding of this exchange, as its destination knows it.
    pub(crate) fn as_source(self: &Arc<Self>, binding_key: &[u8], arguments: &Table) -> Source {
        Source {
            exchange: Arc::as_ptr(self) as usize,
            binding_key: binding_key.into(),
            arguments: arguments.clone(),
        }
    }

    /// Marks it as deleted and takes all bindings out.
    pub(crate) fn take_bindings(&self) -> Bindings<Destination> {
        self.deleted.store(true, Ordering::Release);
        let taken = std::mem::replace(&mut *self.bindings.write(), Bindings::new(self.kind));
        self.bump();
        taken
    }

    /// Calls `each` with every binding that leads from it: key, arguments, destination.
    pub fn each_binding(&self, mut each: impl FnMut(&[u8], &Table, &Destination)) {
        for (key, arguments, to) in self.bindings.read().iter() {
            each(key, arguments, to);
        }
    }
}

impl Destination {
    pub(crate) fn sources(&self) -> &Mutex<Sources> {
        match self {
            Destination::Queue(queue) => &queue.sources,
            Destination::Exchange(exchange) => &exchange.sources,
        }
    }

    fn address(&self) -> usize {
        match self {
            Destination::Queue(queue) => Arc::as_ptr(queue) as usize,
            Destination::Exchange(exchange) => Arc::as_ptr(exchange) as usize,
        }
    }
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Destination {}

impl Target for Destination {
    fn identity(&self) -> u64 {
        match self {
            Destination::Queue(queue) => bytes(0, queue.name().as_bytes()),
            Destination::Exchange(exchange) => bytes(1, exchange.name.as_bytes()),
        }
    }
}

impl Hash for Destination {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}
