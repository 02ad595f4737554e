//! The vhost's door: the only place where exchanges, queues and bindings come and go, one change at a time.
//!
//! Nothing in here waits. What outlives the broker is written down as it changes (`vhost/kept.rs`), bindings after both their ends and gone
//! before either, so that a start that finds only the first changes finds no binding without ends.
//!
//! A queue's shard hears of a new queue before anyone else can see it. A queue ends in its shard, which then calls [`Vhost::forget_queue`];
//! from `mark_deleted` on nobody finds it, and its name is free.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_message::name::Name;
use leveret_message::table::{Table, TableRef};

use crate::arguments::{ExchangeSettings, QueueSettings};
use crate::bindings::{ExchangeKind, canonical_arguments};
use crate::command::Command;
use crate::definitions;
use crate::error::{Error, Kind};
use crate::exchange::{Destination, Exchange, ExchangeDeclaration};
use crate::ids::ConnectionId;
use crate::queue_handle::{QueueDeclaration, QueueHandle};
use crate::vhost::Vhost;
use crate::vhost::declarations::{
    check_equivalent_exchange, check_equivalent_queue, check_stream, unacceptable,
};
use crate::vhost::windows::window_name;

/// Names that begin like this are the broker's own.
const RESERVED_PREFIX: &str = "amq.";

/// What became of a queue declaration.
#[derive(Clone, Debug)]
pub enum Declared {
    /// It is new, and empty.
    New(Arc<QueueHandle>),
    /// An equivalent one was there.
    Existing(Arc<QueueHandle>),
}

impl Declared {
    /// The queue.
    pub fn queue(&self) -> &Arc<QueueHandle> {
        match self {
            Declared::New(queue) | Declared::Existing(queue) => queue,
        }
    }
}

/// Whether what was changed outlives the broker. Then the answer to who asked waits for [`Vhost::when_kept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsKept(pub bool);

/// A binding as a client names it.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The exchange that messages come from.
    pub source: &'a str,
    /// The binding key.
    pub binding_key: &'a [u8],
    /// The arguments, which are part of what the binding is.
    pub arguments: TableRef<'a>,
}

impl Vhost {
    /// Declares a queue.
    ///
    /// Arguments are checked only where the queue is new, as in RabbitMQ.
    ///
    /// **Effect**: on return it is in the directory, and its shard hears of it before any later command. **Errors**: [`Error::Locked`] (405),
    /// [`Error::Inequivalent`], [`Error::Unacceptable`], [`Error::VhostQueues`] (406), [`Error::ReservedName`] (403). `name_is_own` is set where the broker made up the name.
    pub fn declare_queue(
        &self,
        connection: ConnectionId,
        declaration: QueueDeclaration,
        name_is_own: bool,
    ) -> Result<Declared, Error> {
        let _door = self.door.lock();
        if let Some(queue) = self.find_queue(&declaration.name) {
            check_equivalent_queue(connection, &queue, &declaration)?;
            return Ok(Declared::Existing(queue));
        }
        if self.is_deleted() {
            return Err(Error::VhostNotFound(self.name.clone()));
        }
        if let Some(max) = self.limits.max_queues()
            && self.queues_count() as u64 >= max
        {
            return Err(Error::VhostQueues {
                queue: self.named(Kind::Queue, &declaration.name),
                max,
            });
        }
        if declaration.name.starts_with(RESERVED_PREFIX) && !name_is_own {
            return Err(Error::ReservedName(
                self.named(Kind::Queue, &declaration.name),
            ));
        }
        let settings = QueueSettings::parse(declaration.arguments.view())
            .map_err(|e| unacceptable(&e, self.named(Kind::Queue, &declaration.name)))?;
        check_stream(&declaration, &settings)
            .map_err(|what| self.refused_property(what, &declaration.name))?;
        // Its shard has not said yet that it is gone. What is written down goes by its name, so it has to go first.
        if let Some(ended) = self.entry(&declaration.name) {
            self.forget(&ended);
        }
        let queue = self.handle(self.placement.next_queue(), declaration, settings);
        self.define_queue(&queue);
        self.shards
            .send(queue.shard, Command::Declare(Arc::clone(&queue)));
        self.queues.insert(queue.name().clone(), Arc::clone(&queue));
        self.events.queue_created(&queue);
        Ok(Declared::New(queue))
    }

    fn refused_property(&self, what: &str, queue: &Name) -> Error {
        let resource = self.named(Kind::Queue, queue);
        Error::Unacceptable(format!("invalid property '{what}' for {resource}"))
    }

    /// Ends what is left of a queue outside its shard: directory entry, bindings, and exchanges that live only as long as they have one.
    /// The shard calls it, after it has let go of the contents.
    pub(crate) fn forget_queue(&self, queue: &Arc<QueueHandle>) {
        let _door = self.door.lock();
        queue.mark_deleted();
        self.forget_replies(queue);
        self.forget(queue);
    }

    /// Under the door. Nothing where it is forgotten already: a new queue may have its name.
    pub(super) fn forget(&self, queue: &Arc<QueueHandle>) {
        let is_it = |_: &Name, there: &Arc<QueueHandle>| Arc::ptr_eq(there, queue);
        if self.queues.remove_if(queue.name(), is_it).is_some() {
            self.unbind_all(Destination::Queue(Arc::clone(queue)));
            self.events.queue_deleted(queue);
        }
    }

    /// Whether an exchange could be declared so, as far as one of its name is there.
    ///
    /// **Errors**: [`Error::Inequivalent`] (406).
    pub fn check_exchange(&self, declaration: &ExchangeDeclaration) -> Result<(), Error> {
        let there = self.find_exchange(&declaration.name);
        there.map_or(Ok(()), |there| {
            check_equivalent_exchange(&there, declaration)
        })
    }

    /// Declares an exchange. `Ok` if it is new or an equivalent one was there; says whether it is kept.
    ///
    /// **Errors**: [`Error::DefaultExchange`] (403), [`Error::ReservedName`] (403), [`Error::Inequivalent`] (406).
    pub fn declare_exchange(&self, declaration: ExchangeDeclaration) -> Result<IsKept, Error> {
        if declaration.name.is_empty() {
            return Err(Error::DefaultExchange);
        }
        let _door = self.door.lock();
        if let Some(exchange) = self.find_exchange(&declaration.name) {
            check_equivalent_exchange(&exchange, &declaration)?;
            return Ok(IsKept(exchange.durable));
        }
        if self.is_deleted() {
            return Err(Error::VhostNotFound(self.name.clone()));
        }
        if declaration.name.starts_with(RESERVED_PREFIX) {
            return Err(Error::ReservedName(
                self.named(Kind::Exchange, &declaration.name),
            ));
        }
        let name = declaration.name.clone();
        let settings = ExchangeSettings::parse(declaration.kind, declaration.arguments.view())
            .map_err(|e| unacceptable(&e, self.named(Kind::Exchange, &name)))?;
        let exchange = Exchange::new(declaration, settings, self.name.clone());
        if exchange.kind == ExchangeKind::Deduplication {
            window_name(&exchange.name)?;
        }
        self.define_exchange(&exchange);
        self.give_delay(&exchange)?;
        self.give_window(&exchange)?;
        self.govern_exchange(&exchange);
        self.events.exchange_created(&exchange);
        let kept = IsKept(exchange.durable);
        self.exchanges.insert(name, Arc::new(exchange));
        Ok(kept)
    }

    /// Has an exchange of the broker's own there, which outlives it: internal, and routing by topics. Returns it.
    pub fn provide_exchange(&self, name: &str) -> Option<Arc<Exchange>> {
        let _door = self.door.lock();
        if let Some(there) = self.find_exchange(name) {
            return Some(there);
        }
        let declaration = ExchangeDeclaration {
            name: Name::new(name).ok()?,
            kind: ExchangeKind::Topic,
            durable: true,
            auto_delete: false,
            internal: true,
            arguments: Table::default(),
        };
        let settings = ExchangeSettings::default();
        let exchange = Arc::new(Exchange::new(declaration, settings, self.name.clone()));
        self.define_exchange(&exchange);
        self.exchanges
            .insert(exchange.name.clone(), Arc::clone(&exchange));
        Some(exchange)
    }

    /// Has no such exchange of the broker's own there any more, nor bindings from it.
    pub fn withdraw_exchange(&self, name: &str) {
        let _door = self.door.lock();
        if let Some(there) = self.find_exchange(name) {
            self.drop_exchange(&there);
        }
    }

    /// Deletes an exchange and its bindings; one that is not there is fine. Says whether it was kept.
    ///
    /// **Errors**: [`Error::DefaultExchange`], [`Error::SystemExchange`] (403), [`Error::InUse`] (406).
    pub fn delete_exchange(&self, name: &str, if_unused: bool) -> Result<IsKept, Error> {
        if name.is_empty() {
            return Err(Error::DefaultExchange);
        }
        let _door = self.door.lock();
        if name.starts_with(RESERVED_PREFIX) {
            return Err(Error::SystemExchange(self.named(Kind::Exchange, name)));
        }
        let Some(exchange) = self.find_exchange(name) else {
            return Ok(IsKept(false));
        };
        if if_unused && exchange.bindings_count() > 0 {
            return Err(Error::InUse(exchange.resource()));
        }
        self.drop_exchange(&exchange);
        Ok(IsKept(exchange.durable))
    }

    /// Binds a queue to an exchange; a binding that is there already is fine. Says whether the binding is kept.
    ///
    /// **Errors**: [`Error::NotFound`] (404), [`Error::Locked`] (405), [`Error::DefaultExchange`] (403), [`Error::Unacceptable`] (406).
    pub fn bind_queue(
        &self,
        connection: ConnectionId,
        queue: &str,
        binding: Binding<'_>,
    ) -> Result<IsKept, Error> {
        if binding.source.is_empty() {
            return Err(Error::DefaultExchange);
        }
        let _door = self.door.lock();
        let queue = self.queue(queue)?;
        if queue.delays().is_some() {
            // What an exchange releases would come round for ever.
            return Err(Error::NotFound(queue.resource()));
        }
        queue.check_owner(connection)?;
        self.bind(Destination::Queue(queue), binding)
    }

    /// Takes a queue's binding away; one that is not there is fine. Says whether the binding was kept.
    ///
    /// **Errors**: [`Error::Locked`] (405), [`Error::DefaultExchange`] (403).
    pub fn unbind_queue(
        &self,
        connection: ConnectionId,
        queue: &str,
        binding: Binding<'_>,
    ) -> Result<IsKept, Error> {
        if binding.source.is_empty() {
            return Err(Error::DefaultExchange);
        }
        let _door = self.door.lock();
        let Some(queue) = self.find_queue(queue) else {
            return Ok(IsKept(false));
        };
        queue.check_owner(connection)?;
        Ok(self.unbind(&Destination::Queue(queue), binding))
    }

    /// Binds an exchange to another one.
    ///
    /// **Errors**: as [`Vhost::bind_queue`].
    pub fn bind_exchange(&self, destination: &str, binding: Binding<'_>) -> Result<IsKept, Error> {
        if binding.source.is_empty() || destination.is_empty() {
            return Err(Error::DefaultExchange);
        }
        let _door = self.door.lock();
        let destination = self.exchange(destination)?;
        self.bind(Destination::Exchange(destination), binding)
    }

    /// Takes an exchange's binding to another one away; one that is not there is fine.
    ///
    /// **Errors**: [`Error::DefaultExchange`] (403).
    pub fn unbind_exchange(
        &self,
        destination: &str,
        binding: Binding<'_>,
    ) -> Result<IsKept, Error> {
        if binding.source.is_empty() || destination.is_empty() {
            return Err(Error::DefaultExchange);
        }
        let _door = self.door.lock();
        let Some(destination) = self.find_exchange(destination) else {
            return Ok(IsKept(false));
        };
        Ok(self.unbind(&Destination::Exchange(destination), binding))
    }

    /// Nothing more comes into this vhost. Returns the queues that have to end for it to be gone.
    pub(crate) fn close(&self) -> Vec<Arc<QueueHandle>> {
        let _door = self.door.lock();
        self.is_deleted.store(true, Ordering::Release);
        self.queues.iter().map(|queue| Arc::clone(&queue)).collect()
    }

    /// Ends all exchanges, and what is written down of them and of their bindings: when the queues are gone.
    pub(crate) fn end_exchanges(&self) {
        let _door = self.door.lock();
        for exchange in self.exchanges() {
            self.drop_exchange(&exchange);
        }
    }

    fn bind(&self, to: Destination, binding: Binding<'_>) -> Result<IsKept, Error> {
        let source = self.exchange(binding.source)?;
        let arguments = canonical_arguments(&binding.arguments.to_owned());
        let key = definitions::binding_key(&source, binding.binding_key, &arguments, &to);
        let is_new = source.bind(binding.binding_key, &arguments, &to)?;
        if let Some(key) = key.as_ref().filter(|_| is_new) {
            self.definitions.define(key, &definitions::binding_value());
        }
        if is_new {
            let key = binding.binding_key;
            self.events.binding_created(&source, key, &arguments, &to);
            self.send_recent(&source, &to);
        }
        Ok(IsKept(key.is_some()))
    }

    fn unbind(&self, to: &Destination, binding: Binding<'_>) -> IsKept {
        let Some(source) = self.find_exchange(binding.source) else {
            return IsKept(false);
        };
        let arguments = canonical_arguments(&binding.arguments.to_owned());
        let key = definitions::binding_key(&source, binding.binding_key, &arguments, to);
        let mut is_kept = key.is_some();
        let is_gone = self.take_binding(&source, binding.binding_key, &arguments, to);
        if is_gone && is_over(&source) {
            self.drop_exchange(&source);
            is_kept |= source.durable;
        }
        IsKept(is_kept)
    }

    /// Takes one binding away, and its definition. Whether there was one.
    fn take_binding(
        &self,
        source: &Arc<Exchange>,
        key: &[u8],
        arguments: &Table,
        to: &Destination,
    ) -> bool {
        let is_gone = source.unbind(key, arguments, to);
        if is_gone {
            self.undefine_binding(source, key, arguments, to);
            self.events.binding_deleted(source, key, arguments, to);
        }
        is_gone
    }

    /// Takes away every binding that leads to `to`, which has ended, and then its definition. Auto-delete exchanges that lose their last binding
    /// end, and so do in turn those that lead to them: in a loop, because clients make such chains as long as they like.
    fn unbind_all(&self, to: Destination) {
        let mut ended = vec![to];
        while let Some(to) = ended.pop() {
            let sources = std::mem::take(&mut *to.sources().lock());
            for (source, exchange) in sources {
                self.take_binding(&exchange, &source.binding_key, &source.arguments, &to);
                if is_over(&exchange) {
                    self.end_exchange(&exchange);
                    ended.push(Destination::Exchange(exchange));
                }
            }
            match &to {
                Destination::Queue(queue) => self.undefine_queue(queue),
                Destination::Exchange(exchange) => {
                    self.undefine_exchange(exchange);
                    self.events.exchange_deleted(exchange);
                }
            }
        }
    }

    fn drop_exchange(&self, exchange: &Arc<Exchange>) {
        self.end_exchange(exchange);
        self.unbind_all(Destination::Exchange(Arc::clone(exchange)));
    }

    /// Takes an exchange out of the directory, and the bindings that lead from it.
    fn end_exchange(&self, exchange: &Arc<Exchange>) {
        self.exchanges
            .remove_if(&exchange.name, |_, there| Arc::ptr_eq(there, exchange));
        self.end_delay(exchange);
        self.end_window(exchange);
        let from = exchange.take_bindings();
        self.forget_recent(exchange);
        for (key, arguments, to) in from.iter() {
            self.undefine_binding(exchange, key, arguments, to);
            self.events.binding_deleted(exchange, key, arguments, to);
            to.sources()
                .lock()
                .remove(&exchange.as_source(key, arguments));
        }
    }
}

/// Whether an exchange lives only as long as it has bindings, and has lost the last one.
fn is_over(exchange: &Exchange) -> bool {
    exchange.auto_delete && !exchange.is_deleted() && exchange.bindings_count() == 0
}

/// A name for a queue that was declared without one: `amq.gen-` and 22 characters that nobody can guess.
pub fn generated_name(prefix: &str) -> Name {
    use base64::Engine as _;
    let random: [u8; 16] = rand::random();
    let tail = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random);
    Name::new(&format!("{prefix}{tail}")).expect("prefixes are at most 64 bytes")
}
