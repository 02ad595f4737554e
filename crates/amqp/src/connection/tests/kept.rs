//! What outlives the broker is answered when that is certain, and nothing else waits for it.

use std::sync::Mutex;

use leveret_store::log::{Definitions, Position};
use leveret_wire::protocol::exchange;

use super::*;

type Then = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Slow {
    last: u64,
    durable: u64,
    waiting: Vec<(u64, Then)>,
}

/// Definitions that are durable when a test says so.
#[derive(Default)]
struct SlowDefinitions(Mutex<Slow>);

impl std::fmt::Debug for SlowDefinitions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SlowDefinitions")
    }
}

impl SlowDefinitions {
    fn changed(&self) {
        self.0.lock().unwrap().last += 1;
    }

    /// Everything that was defined up to a position is durable, and nothing beyond.
    fn sync_to(&self, position: u64) {
        let mut slow = self.0.lock().unwrap();
        slow.durable = position;
        let waiting = std::mem::take(&mut slow.waiting).into_iter();
        let (done, waiting): (Vec<_>, Vec<_>) = waiting.partition(|(at, _)| *at <= position);
        slow.waiting = waiting;
        drop(slow);
        done.into_iter().for_each(|(_, then)| then());
    }
}

impl Definitions for SlowDefinitions {
    fn define(&self, _key: &[u8], _value: &[u8]) {
        self.changed();
    }

    fn undefine(&self, _key: &[u8]) {
        self.changed();
    }

    fn last(&self) -> Position {
        Position(self.0.lock().unwrap().last)
    }

    fn durable(&self) -> Position {
        Position(self.0.lock().unwrap().durable)
    }

    fn when_durable(&self, at: Position, then: Then) {
        let mut slow = self.0.lock().unwrap();
        if at.0 > slow.durable {
            slow.waiting.push((at.0, then));
            return;
        }
        drop(slow);
        then();
    }
}

/// A connection with channel 1 to a broker with such definitions.
struct KeptStage {
    stage: Stage,
    definitions: Arc<SlowDefinitions>,
}

#[derive(Clone, Copy)]
struct Flags {
    durable: bool,
    passive: bool,
    exclusive: bool,
    nowait: bool,
}

const DURABLE: Flags = Flags {
    durable: true,
    passive: false,
    exclusive: false,
    nowait: false,
};

const NOWAIT: Flags = Flags {
    nowait: true,
    ..DURABLE
};

const PASSIVE: Flags = Flags {
    passive: true,
    ..DURABLE
};

const EXCLUSIVE: Flags = Flags {
    exclusive: true,
    ..DURABLE
};

const TRANSIENT: Flags = Flags {
    durable: false,
    ..DURABLE
};

fn declare_queue(name: &str, flags: Flags) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
        queue: ShortString::from(name),
        passive: flags.passive,
        durable: flags.durable,
        exclusive: flags.exclusive,
        auto_delete: false,
        nowait: flags.nowait,
        arguments: FieldTable::default(),
    }))
}

fn delete_queue(name: &str, nowait: bool) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Delete(queue::Delete {
        queue: ShortString::from(name),
        if_unused: false,
        if_empty: false,
        nowait,
    }))
}

fn bind_queue(name: &str, source: &str, nowait: bool) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
        queue: ShortString::from(name),
        exchange: ShortString::from(source),
        routing_key: ShortString::from("k"),
        nowait,
        arguments: FieldTable::default(),
    }))
}

fn unbind_queue(name: &str, source: &str) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Unbind(queue::Unbind {
        queue: ShortString::from(name),
        exchange: ShortString::from(source),
        routing_key: ShortString::from("k"),
        arguments: FieldTable::default(),
    }))
}

fn declare_exchange(name: &str, flags: Flags) -> AMQPClass {
    AMQPClass::Exchange(exchange::AMQPMethod::Declare(exchange::Declare {
        exchange: ShortString::from(name),
        kind: ShortString::from("fanout"),
        passive: flags.passive,
        durable: flags.durable,
        auto_delete: false,
        internal: false,
        nowait: flags.nowait,
        arguments: FieldTable::default(),
    }))
}

fn delete_exchange(name: &str, nowait: bool) -> AMQPClass {
    AMQPClass::Exchange(exchange::AMQPMethod::Delete(exchange::Delete {
        exchange: ShortString::from(name),
        if_unused: false,
        nowait,
    }))
}

fn bind_exchange(to: &str, source: &str, nowait: bool) -> AMQPClass {
    AMQPClass::Exchange(exchange::AMQPMethod::Bind(exchange::Bind {
        destination: ShortString::from(to),
        source: ShortString::from(source),
        routing_key: ShortString::from("k"),
        nowait,
        arguments: FieldTable::default(),
    }))
}

fn unbind_exchange(to: &str, source: &str, nowait: bool) -> AMQPClass {
    AMQPClass::Exchange(exchange::AMQPMethod::Unbind(exchange::Unbind {
        destination: ShortString::from(to),
        source: ShortString::from(source),
        routing_key: ShortString::from("k"),
        nowait,
        arguments: FieldTable::default(),
    }))
}

/// Class and method of an answer.
type Ids = (u16, u16);

const EXCHANGE_DECLARE_OK: Ids = (40, 11);
const EXCHANGE_DELETE_OK: Ids = (40, 21);
const EXCHANGE_BIND_OK: Ids = (40, 31);
const EXCHANGE_UNBIND_OK: Ids = (40, 51);
const QUEUE_DECLARE_OK: Ids = (50, 11);
const QUEUE_BIND_OK: Ids = (50, 21);
const QUEUE_DELETE_OK: Ids = (50, 41);
const QUEUE_UNBIND_OK: Ids = (50, 51);
const CONNECTION_CLOSE: Ids = (10, 50);

impl KeptStage {
    fn new() -> Self {
        let definitions = Arc::new(SlowDefinitions::default());
        let backing = Backing {
            definitions: Arc::clone(&definitions) as Arc<dyn Definitions>,
            ..Backing::memory(1)
        };
        let mut stage = Stage::open(0, broker_on(backing));
        stage.take(usize::MAX);
        let mut kept = Self { stage, definitions };
        kept.sync();
        kept
    }

    fn last(&self) -> u64 {
        self.definitions.last().0
    }

    fn sync(&mut self) {
        self.definitions.sync_to(self.last());
        self.stage.settle();
    }

    /// Takes what the broker says.
    fn answers(&mut self) -> Vec<Ids> {
        let mut said = Vec::new();
        self.stage.connection.write_to(&mut said, self.stage.now);
        self.stage.settle();
        let mut answers = Vec::new();
        while let Some((head, _)) = said.split_first_chunk::<11>() {
            let [_, _, _, l0, l1, l2, l3, c0, c1, m0, m1] = *head;
            let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
            answers.push((u16::from_be_bytes([c0, c1]), u16::from_be_bytes([m0, m1])));
            said.drain(..7 + len + 1);
        }
        answers
    }

    /// Says a method whose answer has to wait until all that it changed is durable.
    fn waits(&mut self, method: AMQPClass, ok: Ids) {
        let before = self.last();
        self.stage.say(1, method);
        assert!(self.last() > before, "{ok:?}: it is written down");
        assert_eq!(self.answers(), [], "{ok:?} before it is durable");
        assert!(!self.stage.connection.takes_input());
        self.definitions.sync_to(self.last() - 1);
        self.stage.settle();
        assert_eq!(self.answers(), [], "{ok:?} before all of it is durable");
        self.sync();
        assert_eq!(self.answers(), [ok]);
        assert!(self.stage.connection.takes_input());
    }

    /// Says a method that is answered so at once, whatever is not durable.
    fn does_not_wait(&mut self, method: AMQPClass, answers: &[Ids]) {
        self.definitions.changed();
        self.stage.say(1, method);
        assert_eq!(self.answers(), answers);
        assert!(self.stage.connection.takes_input());
    }
}

#[test]
fn what_is_durable_is_answered_when_it_is() {
    let mut kept = KeptStage::new();
    kept.waits(declare_exchange("x", DURABLE), EXCHANGE_DECLARE_OK);
    kept.waits(declare_exchange("y", DURABLE), EXCHANGE_DECLARE_OK);
    kept.waits(declare_queue("q", DURABLE), QUEUE_DECLARE_OK);
    kept.waits(bind_queue("q", "x", false), QUEUE_BIND_OK);
    kept.waits(bind_exchange("y", "x", false), EXCHANGE_BIND_OK);
    kept.waits(unbind_queue("q", "x"), QUEUE_UNBIND_OK);
    kept.waits(unbind_exchange("y", "x", false), EXCHANGE_UNBIND_OK);
    kept.waits(bind_queue("q", "x", false), QUEUE_BIND_OK);
    kept.waits(delete_queue("q", false), QUEUE_DELETE_OK);
    kept.waits(delete_exchange("x", false), EXCHANGE_DELETE_OK);
}

#[test]
fn whoever_declares_what_is_there_waits_with_who_made_it() {
    let mut kept = KeptStage::new();
    for method in [
        declare_queue("q", NOWAIT),
        declare_exchange("x", NOWAIT),
        bind_queue("q", "x", true),
    ] {
        kept.stage.say(1, method);
    }
    for (method, ok) in [
        (declare_queue("q", DURABLE), QUEUE_DECLARE_OK),
        (declare_exchange("x", DURABLE), EXCHANGE_DECLARE_OK),
        (bind_queue("q", "x", false), QUEUE_BIND_OK),
    ] {
        kept.definitions.sync_to(0);
        kept.stage.say(1, method.clone());
        assert_eq!(kept.answers(), [], "{ok:?}");
        kept.sync();
        assert_eq!(kept.answers(), [ok]);
        kept.stage.say(1, method);
        assert_eq!(kept.answers(), [ok], "it is durable by now");
    }
}

#[test]
fn what_is_not_durable_does_not_wait() {
    let mut kept = KeptStage::new();
    kept.does_not_wait(declare_exchange("x", TRANSIENT), &[EXCHANGE_DECLARE_OK]);
    kept.does_not_wait(declare_exchange("y", TRANSIENT), &[EXCHANGE_DECLARE_OK]);
    kept.does_not_wait(bind_exchange("y", "x", false), &[EXCHANGE_BIND_OK]);
    kept.does_not_wait(unbind_exchange("y", "x", false), &[EXCHANGE_UNBIND_OK]);
    for (name, flags) in [("q", TRANSIENT), ("mine", EXCLUSIVE)] {
        kept.does_not_wait(declare_queue(name, flags), &[QUEUE_DECLARE_OK]);
        kept.does_not_wait(declare_queue(name, flags), &[QUEUE_DECLARE_OK]);
        let bind = bind_queue(name, "amq.fanout", false);
        kept.does_not_wait(bind, &[QUEUE_BIND_OK]);
        let unbind = unbind_queue(name, "amq.fanout");
        kept.does_not_wait(unbind, &[QUEUE_UNBIND_OK]);
        kept.does_not_wait(delete_queue(name, false), &[QUEUE_DELETE_OK]);
        kept.does_not_wait(delete_queue(name, false), &[QUEUE_DELETE_OK]);
    }
    kept.does_not_wait(delete_exchange("x", false), &[EXCHANGE_DELETE_OK]);
    kept.does_not_wait(delete_exchange("x", false), &[EXCHANGE_DELETE_OK]);
}

#[test]
fn whoever_only_looks_does_not_wait() {
    let mut kept = KeptStage::new();
    kept.waits(declare_queue("q", DURABLE), QUEUE_DECLARE_OK);
    kept.waits(declare_exchange("x", DURABLE), EXCHANGE_DECLARE_OK);
    kept.does_not_wait(declare_queue("q", PASSIVE), &[QUEUE_DECLARE_OK]);
    kept.does_not_wait(declare_exchange("x", PASSIVE), &[EXCHANGE_DECLARE_OK]);
}

#[test]
fn whoever_asks_for_no_answer_does_not_wait() {
    let mut kept = KeptStage::new();
    for method in [
        declare_queue("q", NOWAIT),
        declare_exchange("x", NOWAIT),
        declare_exchange("y", NOWAIT),
        declare_queue("q", NOWAIT),
        bind_queue("q", "x", true),
        bind_exchange("y", "x", true),
        unbind_exchange("y", "x", true),
        delete_queue("q", true),
        delete_exchange("x", true),
    ] {
        kept.does_not_wait(method, &[]);
    }
    assert!(kept.definitions.0.lock().unwrap().waiting.is_empty());
}

#[test]
fn a_connection_that_is_closed_meanwhile_hears_nothing_more() {
    let mut kept = KeptStage::new();
    kept.stage.say(1, declare_queue("q", DURABLE));
    kept.stage.broker.connections.close_all("the end");
    kept.stage.settle();
    assert_eq!(kept.answers(), [CONNECTION_CLOSE]);
    kept.sync();
    assert_eq!(kept.answers(), []);
    let vhost = kept.stage.broker.vhost("/").unwrap();
    assert!(vhost.find_queue("q").is_some());
}
