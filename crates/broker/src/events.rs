//! What happens in the broker, told to whoever binds a queue to `amq.rabbitmq.event`, and its log, to whoever binds one to `amq.rabbitmq.log`: RabbitMQ's
//! event exchange (<https://www.rabbitmq.com/docs/event-exchange>) and log exchange, where the configuration has switched them on.
//!
//! Whoever changes something tells it here, under whatever lock it holds, and never waits; `broker/task.rs` publishes it. What is told is a message: its
//! routing key says what happened, its headers to what. Nothing is put together where the exchange has no binding, or is not there.
//!
//! Bound: what is told and not published takes at most [`WAITING_BYTES_MAX`]. What is told beyond that is dropped, and counted.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leveret_message::name::Name;
use leveret_message::properties::PropertiesWriter;
use leveret_message::table::{Table, TableRef, TableWriter, Value};

use crate::exchange::Exchange;
use crate::mailbox::Mailbox;

mod clients;
mod operators;
#[cfg(test)]
mod tests;
mod topology;

pub use clients::ChannelFacts;

/// Where events are published.
pub const EVENT_EXCHANGE: &str = "amq.rabbitmq.event";

/// Where the log is published.
pub const LOG_EXCHANGE: &str = "amq.rabbitmq.log";

/// How many bytes of what was told may wait to be published.
pub const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a message takes beside its own bytes.
const MESSAGE_BYTES: usize = 128;

/// See the module.
#[derive(Debug, Default)]
pub struct Events {
    on: OnceLock<On>,
    pub(crate) told: Mailbox<Told>,
    /// Bytes of what was told and is not published.
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// What is switched on, and what events tell of where they happen.
#[derive(Debug)]
pub struct On {
    /// Where events go, if they do.
    pub events: Option<Arc<Exchange>>,
    /// Where the log goes, if it does.
    pub log: Option<Arc<Exchange>>,
    /// What the broker is called.
    pub node: Arc<str>,
    /// Tells the time since 1970.
    pub clock: fn() -> Duration,
}

/// A message on its way to one of the exchanges.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) to: Arc<Exchange>,
    pub(crate) routing_key: &'static str,
    pub(crate) properties: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) persistent: bool,
}

impl Told {
    fn bytes(&self) -> usize {
        self.properties.len() + self.body.len() + MESSAGE_BYTES
    }
}

impl Events {
    /// Whether anything is switched on.
    pub fn is_on(&self) -> bool {
        self.on.get().is_some()
    }

    /// Switches on what the configuration says. Only once; what comes later is not heard.
    pub fn switch_on(&self, on: On) {
        let _ = self.on.set(on);
    }

    /// How much was not told, because what was told before had not been published.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Tells that something happened. `fill` writes what the headers say of it, and is not called where nobody listens.
    fn tell(&self, routing_key: &'static str, fill: impl FnOnce(&mut TableWriter, &On)) {
        let Some(on) = self.on.get() else {
            return;
        };
        let Some(to) = on.events.as_ref().filter(|to| to.bindings_count() > 0) else {
            return;
        };
        let now = (on.clock)();
        let mut headers = TableWriter::new();
        fill(&mut headers, on);
        headers.put("timestamp_in_ms", Value::Long(now.as_millis() as i64));
        let properties = PropertiesWriter {
            headers: Some(headers.view()),
            delivery_mode: Some(2),
            timestamp: Some(now.as_secs()),
            ..PropertiesWriter::default()
        };
        // Names are short, but arguments and definitions may be as long as they like.
        let Ok(properties) = properties.to_bytes() else {
            return self.note_dropped();
        };
        self.push(Told {
            to: Arc::clone(to),
            routing_key,
            properties,
            body: Vec::new(),
            persistent: true,
        });
    }

    /// Whether anybody listens to the log.
    pub fn takes_log(&self) -> bool {
        let log = self.on.get().and_then(|on| on.log.as_ref());
        log.is_some_and(|to| to.bindings_count() > 0)
    }

    /// Tells a line of the log; `severity` is RabbitMQ's word for how bad it is, such as `warning`.
    pub fn tell_log(&self, severity: &'static str, content_type: &str, line: Vec<u8>) {
        let Some(on) = self.on.get() else {
            return;
        };
        let Some(to) = on.log.as_ref().filter(|to| to.bindings_count() > 0) else {
            return;
        };
        let mut headers = TableWriter::new();
        headers.put("node", &*on.node);
        let properties = PropertiesWriter {
            content_type: Some(content_type.as_bytes()),
            headers: Some(headers.view()),
            timestamp: Some((on.clock)().as_secs()),
            ..PropertiesWriter::default()
        };
        let Ok(properties) = properties.to_bytes() else {
            return self.note_dropped();
        };
        self.push(Told {
            to: Arc::clone(to),
            routing_key: severity,
            properties,
            body: line,
            persistent: false,
        });
    }

    /// What was told is being published, and waits no longer.
    pub(crate) fn let_go(&self, told: &Told) {
        self.waiting_bytes.fetch_sub(told.bytes(), Ordering::AcqRel);
    }

    fn push(&self, told: Told) {
        let bytes = told.bytes();
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        if before + bytes > WAITING_BYTES_MAX {
            self.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
            return self.note_dropped();
        }
        self.told.push(told);
    }

    fn note_dropped(&self) {
        let count = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        // Seldom, however many they are: and this may be told as well.
        if count.is_power_of_two() {
            tracing::warn!(
                count,
                "events were dropped: the queues they go to are behind"
            );
        }
    }
}

thread_local! {
    /// Whose doing is what happens on this thread now.
    static ACTOR: Cell<Option<Name>> = const { Cell::new(None) };
}

/// Does something that a user asked for: events that are told meanwhile, on this thread, name it as who performed the action.
pub fn acting_as<T>(user: &Name, act: impl FnOnce() -> T) -> T {
    /// Nobody acts any more, even where `act` panics: the thread goes on with something else.
    struct Done(Option<Name>);
    impl Drop for Done {
        fn drop(&mut self) {
            ACTOR.set(self.0.take());
        }
    }
    let _done = Done(ACTOR.replace(Some(user.clone())));
    act()
}

/// Names who performed the action, where that is known.
fn put_actor(headers: &mut TableWriter) {
    let actor = ACTOR.take();
    if let Some(actor) = &actor {
        headers.put("user_who_performed_action", &**actor);
    }
    ACTOR.set(actor);
}

/// Arguments as RabbitMQ's event exchange writes them: an array of Erlang terms.
fn put_arguments(headers: &mut TableWriter, key: &str, arguments: TableRef<'_>) {
    headers.put_array(key, |terms| {
        for (name, value) in arguments.iter() {
            let mut field = TableWriter::new();
            field.put(name, value);
            terms.push(&*field_term(&field.finish()));
        }
    });
}

/// `{<<"name">>,type,value}`: a table of one field, without the brackets around it.
fn field_term(field: &Table) -> String {
    let term = crate::arguments::term_of(Value::Table(field.view()));
    let inner = term
        .strip_prefix('[')
        .and_then(|term| term.strip_suffix(']'));
    inner.unwrap_or(&term).to_owned()
}
