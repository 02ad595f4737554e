//! Messages that are held back for long, by a clock that is moved: they are released at their time, whatever buckets they went through.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_message::batch::{BatchBuilder, NewMessage};
use leveret_message::name::Name;
use leveret_message::properties::{Properties, PropertiesWriter};
use leveret_message::table::{TableWriter, Value};
use leveret_store::log::Log as _;

use super::fixture::{Client, Fixture, Seen, consume, consumer};
use crate::bindings::ExchangeKind;
use crate::command::{Command, NewConsumer, Operation};
use crate::delay::search::{Criteria, Search};
use crate::exchange::ExchangeDeclaration;
use crate::found::RecoveredQueue;
use crate::queue_handle::QueueHandle;
use crate::vhost::door::Binding;

/// A shard with an exchange that delays messages, and a queue bound to it that somebody consumes from.
struct Stage {
    fixture: Fixture,
    client: Client,
    delay: Arc<QueueHandle>,
    began: Instant,
}

impl Stage {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let mut arguments = TableWriter::new();
        arguments.put("x-delayed-type", Value::LongStr(b"fanout"));
        let declaration = ExchangeDeclaration {
            name: Name::new("later").unwrap(),
            kind: ExchangeKind::Delayed,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: arguments.finish(),
        };
        fixture.vhost.declare_exchange(declaration).unwrap();
        let queue = fixture.queue("q");
        let binding = Binding {
            source: "later",
            binding_key: b"",
            arguments: Default::default(),
        };
        fixture.vhost.bind_queue(client_id(), "q", binding).unwrap();
        let client = fixture.client();
        let no_ack = NewConsumer {
            no_ack: true,
            ..consumer(1)
        };
        fixture.turn([consume(&client, &queue, no_ack)]);
        assert_eq!(client.told(), [Seen::Consuming]);
        let exchange = fixture.vhost.exchange("later").unwrap();
        let delay = Arc::clone(exchange.delay.get().unwrap());
        let began = fixture.now;
        Self {
            fixture,
            client,
            delay,
            began,
        }
    }

    /// Publishes messages with these numbers, to be held back for so long.
    fn publish(&mut self, messages: &[(u64, Duration)]) {
        let mut builder = BatchBuilder::default();
        for (number, delay) in messages {
            let mut headers = TableWriter::new();
            headers.put("x-delay", Value::Long(delay.as_millis() as i64));
            let mut writer = PropertiesWriter::from(Properties::default());
            writer.headers = Some(headers.view());
            let properties = writer.to_bytes().unwrap();
            let key = match number % 2 {
                0 => b"\x05later\x04even",
                _ => b"\x05later\x04oddy",
            };
            let message = NewMessage {
                exchange_and_key: key,
                properties: &properties,
                persistent: true,
                priority: 0,
            };
            builder.push(message, &number.to_le_bytes());
        }
        let publish = Fixture::publish_batch(&mut self.client, &[&self.delay], builder.seal());
        self.fixture.turn([publish]);
    }

    /// Searches for messages, stretch by stretch. Returns the numbers of those that were found, and how many were cancelled.
    fn search(&mut self, criteria: &Criteria, cancels: bool) -> (Vec<u64>, u64) {
        let (mut found, mut cancelled, mut from) = (Vec::new(), 0, None);
        loop {
            let search = Operation::Search(Search {
                from,
                criteria: criteria.clone(),
                cancels,
            });
            let delay = Arc::clone(&self.delay);
            self.fixture
                .turn([Command::Operate(self.client.id(), delay, search)]);
            self.fixture.settle_down();
            let told = self.client.told();
            let [Seen::Searched(some, gone, next)] = told.as_slice() else {
                panic!("{told:?}");
            };
            found.extend_from_slice(some);
            cancelled += gone;
            match next {
                Some(next) => from = Some(*next),
                None => return (found, cancelled),
            }
        }
    }

    /// How many bytes of messages are in memory at the most.
    fn limit(&mut self, bytes: usize) {
        let delay = self.fixture.shard.delays.get_mut(&self.delay.id);
        delay.unwrap().set_near_bytes_max(bytes);
    }

    /// Lets time pass up to so long after the beginning, as the shard's task does: from one time at which it is due to the next. Returns what was
    /// released, and when.
    fn pass(&mut self, until: Duration) -> Vec<(u64, Duration)> {
        let end = self.began + until;
        let mut released = Vec::new();
        let mut turns = 0;
        loop {
            self.fixture.settle_down();
            let after = self.fixture.now - self.began;
            let messages = self.client.deliveries().into_iter();
            released.extend(messages.map(|(_, message)| (message, after)));
            match self.fixture.shard.next_deadline().filter(|due| *due <= end) {
                Some(due) => self.fixture.now = due.max(self.fixture.now),
                None => break,
            }
            turns += 1;
            assert!(turns < 10_000, "it is always due and never does anything");
        }
        self.fixture.now = end;
        released
    }

    /// The broker is killed and starts again at once. The calendar says a time then that differs from the one before by so many milliseconds.
    fn restart(&mut self, step_ms: i64) {
        self.fixture.settle_down();
        let old = self.fixture.shard.delays.remove(&self.delay.id).unwrap();
        let recovered = RecoveredQueue {
            messages: old.found(),
            next_seq: old.next_seq(),
            ..RecoveredQueue::default()
        };
        let unix_ms = self.fixture.shard.table.clock.unix_ms() as i64 + step_ms;
        let mut shard = self.fixture.new_shard();
        let unix = Duration::from_millis(unix_ms as u64);
        shard.begins_at(self.fixture.now, unix);
        self.fixture.shard = shard;
        let queue = self.fixture.vhost.queue("q").unwrap();
        self.client = self.fixture.client();
        let no_ack = NewConsumer {
            no_ack: true,
            ..consumer(1)
        };
        let declare = Command::Declare(Arc::clone(&queue));
        self.fixture
            .turn([declare, consume(&self.client, &queue, no_ack)]);
        assert_eq!(self.client.told(), [Seen::Consuming]);
        let shard = &mut self.fixture.shard;
        shard.recover(Arc::clone(&self.delay), recovered);
    }

    fn waiting(&self) -> u64 {
        self.fixture
            .shard
            .delays
            .get(&self.delay.id)
            .unwrap()
            .count()
    }
}

fn client_id() -> crate::ids::ConnectionId {
    crate::ids::ConnectionId(0)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn each_is_released_at_its_time() {
    let mut stage = Stage::new();
    let delays = [1, 59, 65, 3_000, 4_097, 100_000, 262_200, 9_000_000];
    let messages: Vec<(u64, Duration)> = (1..).zip(delays.map(secs)).collect();
    stage.publish(&messages);
    assert_eq!(stage.waiting(), 8);
    assert_eq!(stage.pass(secs(10_000_000)), messages);
    assert_eq!(stage.waiting(), 0);
}

#[test]
fn they_are_released_in_the_order_of_their_times_and_of_their_coming() {
    let mut stage = Stage::new();
    let at = |ms: u64| Duration::from_millis(200_000 + ms);
    stage.publish(&[(1, at(700)), (2, at(300)), (3, at(700))]);
    stage.pass(secs(100));
    let later = |ms| at(ms) - secs(100);
    stage.publish(&[(4, later(500)), (5, later(700)), (6, later(300))]);
    let expected = [
        (2, at(300)),
        (6, at(300)),
        (4, at(500)),
        (1, at(700)),
        (3, at(700)),
        (5, at(700)),
    ];
    assert_eq!(stage.pass(secs(1000)), expected);
}

#[test]
fn what_is_far_away_takes_no_memory() {
    let mut stage = Stage::new();
    let messages: Vec<(u64, Duration)> = (1..=1000).map(|n| (n, secs(5_000 + n))).collect();
    stage.publish(&messages);
    let held = |stage: &Stage| stage.fixture.shard.held_bytes;
    assert_eq!(held(&stage), 0);
    assert_eq!(stage.pass(secs(10_000)), messages);
    assert_eq!(held(&stage), 0);
    let (kept, _) = stage.fixture.log.lock().log.kept_count();
    assert_eq!(kept, 0, "the log forgets what was released");
}

#[test]
fn a_purge_leaves_nothing_behind() {
    let mut stage = Stage::new();
    stage.publish(&[(1, secs(1)), (2, secs(30)), (3, secs(5_000))]);
    let purge = Command::Purge(stage.client.id(), Arc::clone(&stage.delay));
    stage.fixture.turn([purge]);
    assert_eq!(stage.client.told(), [Seen::Purged(3)]);
    assert_eq!(stage.pass(secs(10_000)), []);
    let (kept, _) = stage.fixture.log.lock().log.kept_count();
    assert_eq!(kept, 0);
}

#[test]
fn what_came_while_it_was_far_away_comes_before_what_came_when_it_was_near() {
    let mut stage = Stage::new();
    let due = secs(5_000);
    let mut passed = secs(0);
    for number in 1..=40 {
        // It goes through buckets of every width, and others come there directly meanwhile.
        stage.publish(&[(number, due - passed)]);
        let left = (due - passed).as_millis() as u64;
        passed += Duration::from_millis(left / 4);
        assert_eq!(stage.pass(passed), []);
    }
    let expected: Vec<_> = (1..=40).map(|number| (number, due)).collect();
    assert_eq!(stage.pass(due), expected);
}

#[test]
fn what_does_not_fit_into_memory_is_released_in_order_all_the_same() {
    let mut stage = Stage::new();
    const LIMIT: usize = 16 * 1024;
    stage.limit(LIMIT);
    // Many at one instant, some around it, and everything in one second: 100 times what fits.
    let (second, instant) = (secs(300), Duration::from_millis(300_400));
    let times = [
        instant,
        instant,
        instant,
        instant,
        second,
        instant + secs(0),
    ];
    let around = |n: u64| second + Duration::from_millis(n * 7 % 1000);
    let mut messages: Vec<(u64, Duration)> = Vec::new();
    for n in 1..=20_000 {
        let due = match n % 8 {
            at @ 0..=5 => times[at as usize],
            _ => around(n),
        };
        messages.push((n, due));
    }
    for some in messages.chunks(100) {
        stage.publish(some);
    }
    messages.sort_by_key(|(_, due)| *due);
    let mut released = Vec::new();
    let mut most = 0;
    for step in 0..400 {
        released.extend(stage.pass(secs(298) + Duration::from_millis(step * 10)));
        most = most.max(stage.fixture.shard.held_bytes);
    }
    let numbers = |of: &[(u64, Duration)]| of.iter().map(|(n, _)| *n).collect::<Vec<_>>();
    assert_eq!(numbers(&released), numbers(&messages));
    assert!(released.iter().zip(&messages).all(|(a, b)| a.1 >= b.1));
    assert!(most <= LIMIT as i64, "{most} bytes");
    assert_eq!(stage.waiting(), 0);
    let (kept, _) = stage.fixture.log.lock().log.kept_count();
    assert_eq!(kept, 0);
}

#[test]
fn what_is_published_into_a_second_that_is_full_waits_for_its_turn() {
    let mut stage = Stage::new();
    stage.limit(8 * 1024);
    let due = Duration::from_millis(900);
    for first in (0..1_000).step_by(50) {
        let some: Vec<_> = (first..first + 50).map(|n| (n + 1, due)).collect();
        stage.publish(&some);
        assert!(stage.fixture.shard.held_bytes <= 12 * 1024);
    }
    stage.publish(&[(5_000, due - Duration::from_millis(1)), (5_001, due)]);
    let released: Vec<u64> = stage.pass(secs(2)).iter().map(|(n, _)| *n).collect();
    let mut expected = vec![5_000];
    expected.extend(1..=1_000);
    expected.push(5_001);
    assert_eq!(released, expected);
}

#[test]
fn a_search_finds_what_waits_wherever_it_is() {
    let mut stage = Stage::new();
    let delays = [1, 59, 65, 3_000, 4_097, 262_200].map(secs);
    let messages: Vec<(u64, Duration)> = (1..).zip(delays).collect();
    stage.publish(&messages);
    let all = Criteria::default();
    assert_eq!(stage.search(&all, false), (vec![1, 2, 3, 4, 5, 6], 0));
    let even = Criteria {
        routing_key: Some(b"even".to_vec()),
        ..Criteria::default()
    };
    assert_eq!(stage.search(&even, false), (vec![2, 4, 6], 0));
    stage.pass(secs(64));
    assert_eq!(stage.search(&all, false).0, [3, 4, 5, 6]);
    assert_eq!(stage.search(&even, true), (vec![], 2));
    assert_eq!(stage.waiting(), 2);
    let left = [(3, secs(65)), (5, secs(4_097))];
    assert_eq!(stage.pass(secs(1_000_000)), left);
    let (kept, _) = stage.fixture.log.lock().log.kept_count();
    assert_eq!(kept, 0);
}

#[test]
fn a_number_stays_while_a_message_moves_and_cancels_that_one_alone() {
    let mut stage = Stage::new();
    let due = secs(5_000);
    stage.publish(&[(10, due), (20, due), (30, due)]);
    let second = Criteria {
        number: Some(2),
        ..Criteria::default()
    };
    for passed in [0, 1_000, 4_960, 4_999] {
        stage.pass(secs(passed));
        assert_eq!(stage.search(&second, false).0, [20], "after {passed} s");
    }
    assert_eq!(stage.search(&second, true), (vec![], 1));
    assert_eq!(stage.search(&second, true), (vec![], 0));
    assert_eq!(stage.pass(secs(6_000)), [(10, due), (30, due)]);
}

#[test]
fn what_is_cancelled_while_it_is_read_is_not_released() {
    let mut stage = Stage::new();
    let messages: Vec<_> = (1..=10).map(|n| (n, secs(10))).collect();
    stage.publish(&messages);
    stage.fixture.settle_down();
    // The answers come late: the second begins to be read, and is searched at the same time.
    stage.fixture.log.lock().is_silent = true;
    stage.fixture.now = stage.began + Duration::from_millis(9_500);
    stage.fixture.turn([]);
    let search = Operation::Search(Search {
        from: None,
        criteria: Criteria {
            routing_key: Some(b"even".to_vec()),
            ..Criteria::default()
        },
        cancels: true,
    });
    let delay = Arc::clone(&stage.delay);
    stage
        .fixture
        .turn([Command::Operate(stage.client.id(), delay, search)]);
    assert_eq!(stage.fixture.log.lock().reads.len(), 2);
    stage.fixture.log.lock().is_silent = false;
    stage.fixture.settle_down();
    let told = stage.client.told();
    assert!(
        matches!(told.as_slice(), [Seen::Searched(_, 5, _)]),
        "{told:?}"
    );
    let released: Vec<u64> = stage.pass(secs(20)).iter().map(|(n, _)| *n).collect();
    assert_eq!(released, [1, 3, 5, 7, 9]);
}

#[test]
fn a_cancel_is_answered_when_it_is_durable() {
    let mut stage = Stage::new();
    stage.publish(&[(1, secs(100))]);
    stage.fixture.settle_down();
    let before = stage.fixture.log.lock().log.last().0;
    stage.fixture.log.set_durable(before);
    let search = Operation::Search(Search {
        from: None,
        criteria: Criteria::default(),
        cancels: true,
    });
    let delay = Arc::clone(&stage.delay);
    stage
        .fixture
        .turn([Command::Operate(stage.client.id(), delay, search)]);
    stage.fixture.settle_down();
    assert_eq!(stage.client.told(), []);
    stage.fixture.log.lock().durable = None;
    stage.fixture.turn([]);
    let told = stage.client.told();
    assert!(
        matches!(told.as_slice(), [Seen::Searched(_, 1, _)]),
        "{told:?}"
    );
}

#[test]
fn times_are_those_of_the_calendar_at_the_start_of_the_broker() {
    // The fixture's clock begins in 1970: a step back has to have room.
    for (step_ms, by) in [(0, 0), (50_000, -50_000), (-20_000, 20_000)] {
        let mut stage = Stage::new();
        stage.pass(secs(1_000));
        stage.publish(&[(1, secs(300)), (2, secs(4_500)), (3, secs(300))]);
        stage.pass(secs(1_100));
        stage.restart(step_ms);
        let at = |secs: i64| Duration::from_millis((1_000_000 + secs * 1_000 + by) as u64);
        let expected = [(1, at(300)), (3, at(300)), (2, at(4_500))];
        assert_eq!(
            stage.pass(secs(20_000)),
            expected,
            "after a step of {step_ms} ms"
        );
    }
}

#[test]
fn what_is_overdue_at_the_start_comes_at_once_and_in_the_order_of_its_times() {
    let mut stage = Stage::new();
    let delays = [7_000, 100, 4_097, 100, 65, 70_000, 2];
    let messages: Vec<(u64, Duration)> = (1..).zip(delays.map(secs)).collect();
    stage.publish(&messages);
    stage.fixture.settle_down();
    let day_ms = 86_400_000;
    stage.restart(3 * day_ms);
    let released: Vec<u64> = stage.pass(secs(1)).iter().map(|(n, _)| *n).collect();
    assert_eq!(released, [7, 5, 2, 4, 3, 1, 6]);
}
