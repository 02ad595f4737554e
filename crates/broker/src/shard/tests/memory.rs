//! Messages leave memory when all queues together hold more than their budget, whoever holds them, and come back as they were.

use std::sync::Arc;

use leveret_message::table::{TableWriter, Value};

use super::fixture::{Client, Fixture, Seen, consume, consumer, get, settle};
use crate::command::{Command, NewConsumer, Outcome};
use crate::queue_handle::QueueHandle;

const BUDGET: usize = 1_000_000;
const BODY: usize = 10_000;

fn fixture() -> Fixture {
    Fixture::with_budget(BUDGET, usize::MAX)
}

fn publish(
    fixture: &mut Fixture,
    client: &mut Client,
    queue: &Arc<QueueHandle>,
    persistent: bool,
) -> Command {
    let batch = fixture.batch(1, BODY, persistent);
    Fixture::publish_batch(client, &[queue], batch)
}

/// The messages that a client was given, each with whether it is said to be redelivered.
fn given(client: &Client) -> Vec<(u64, u64, bool)> {
    let told = client.told().into_iter();
    told.filter_map(|seen| match seen {
        Seen::Delivery(d) | Seen::Got(Some(d), _) => Some((d.seq, d.message, d.redelivered)),
        Seen::Consuming => None,
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn an_idle_queue_leaves_its_memory_to_those_that_move() {
    for persistent in [true, false] {
        let mut fixture = fixture();
        let (mut client, consumers) = (fixture.client(), fixture.client());
        let durable = |fixture: &mut Fixture, name: &str| {
            fixture.declare(name, |declaration| declaration.durable = true)
        };
        let hog = durable(&mut fixture, "hog");
        let busy: Vec<_> = ["one", "two", "three"]
            .map(|name| durable(&mut fixture, name))
            .to_vec();
        for queue in &busy {
            let new = NewConsumer {
                no_ack: true,
                ..consumer(queue.id.0 as u32)
            };
            fixture.turn([consume(&consumers, queue, new)]);
        }
        assert_eq!(given(&consumers), []);
        // A chunk that fills stays, and so does what came in the turn.
        let most = (BUDGET + 300_000) as i64;
        for _ in 0..500 {
            let commands = [publish(&mut fixture, &mut client, &hog, persistent)];
            fixture.turn(commands);
            assert!(fixture.queued.held() < most, "{}", fixture.queued.held());
            for queue in &busy {
                let commands = [publish(&mut fixture, &mut client, queue, persistent)];
                fixture.turn(commands);
                assert_eq!(given(&consumers).len(), 1, "no detour for those that move");
            }
        }
        assert_eq!(fixture.shard.queues[&hog.id].ready_count(), 500);
        // All of it is there when it is wanted, and comes in pieces.
        let taker = fixture.client();
        let new = NewConsumer {
            prefetch: 10,
            ..consumer(9)
        };
        fixture.turn([consume(&taker, &hog, new)]);
        let mut seqs = Vec::new();
        while seqs.len() < 500 {
            fixture.settle_down();
            let came = given(&taker);
            let first = came.first().expect("more comes").0;
            seqs.extend(
                came.iter()
                    .map(|(seq, _, redelivered)| (*seq, *redelivered)),
            );
            let ack = settle(&taker, &hog, (first, came.len() as u64), Outcome::Ack);
            fixture.turn([ack]);
            // One piece of up to 1 MiB comes at a time.
            assert!(fixture.queued.held() < most + (1 << 20));
        }
        let expected: Vec<_> = (1..=500).map(|seq| (seq, false)).collect();
        assert_eq!(seqs, expected);
        assert_eq!(fixture.queued.held(), 0);
        assert_eq!(fixture.log.kept_count(), (0, 0));
    }
}

#[test]
fn memory_goes_first_from_the_queue_that_has_had_it_for_longest() {
    let mut fixture = fixture();
    let mut client = fixture.client();
    let names = ["old", "middle", "young"];
    let queues = names.map(|name| fixture.declare(name, |new| new.durable = true));
    for queue in &queues {
        for _ in 0..40 {
            let commands = [publish(&mut fixture, &mut client, queue, true)];
            fixture.turn(commands);
        }
    }
    let held = queues
        .each_ref()
        .map(|queue| fixture.shard.queues[&queue.id].held_bytes() / BODY);
    assert_eq!(held, [0, 40, 40]);
}

#[test]
fn unacked_messages_leave_memory_and_come_back_when_requeued() {
    let mut fixture = fixture();
    let (mut publisher, holder) = (fixture.client(), fixture.client());
    let queue = fixture.declare("q", |declaration| declaration.durable = true);
    for _ in 0..50 {
        let commands = [publish(&mut fixture, &mut publisher, &queue, true)];
        fixture.turn(commands);
    }
    fixture.turn([consume(&holder, &queue, consumer(1))]);
    assert_eq!(given(&holder).len(), 50);
    assert!(
        fixture.queued.held() > 500_000,
        "they are held and in memory"
    );
    let other = fixture.declare("other", |declaration| declaration.durable = true);
    for _ in 0..60 {
        let commands = [publish(&mut fixture, &mut publisher, &other, true)];
        fixture.turn(commands);
    }
    let there = &fixture.shard.queues[&queue.id];
    assert_eq!((there.unacked_count(), there.held_bytes()), (50, 0));

    // Of what is not in memory, some is settled and some comes back, to a consumer and to one who asks.
    fixture.turn([
        settle(&holder, &queue, (1, 5), Outcome::Ack),
        settle(&holder, &queue, (11, 5), Outcome::Ack),
        super::fixture::cancel(&holder, &queue, 1),
    ]);
    holder.told();
    assert_eq!(fixture.log.kept_count(), (100, 0));
    fixture.turn([settle(&holder, &queue, (1, 20), Outcome::Return)]);
    let asker = fixture.client();
    fixture.turn([get(&asker, &queue, true)]);
    fixture.settle_down();
    assert_eq!(given(&asker), [(6, 6, true)]);
    let taker = fixture.client();
    fixture.turn([consume(&taker, &queue, consumer(2))]);
    fixture.settle_down();
    let expected = [7, 8, 9, 10, 16, 17, 18, 19, 20].map(|seq| (seq, seq, true));
    assert_eq!(given(&taker), expected);
    fixture.log.lock().reads.clear();
    fixture.turn([Command::Disconnect(holder.id())]);
    fixture.settle_down();
    let asked = fixture.log.lock().reads.len();
    assert_eq!(asked, 1, "what follows each other comes at once");
    let expected: Vec<_> = (21..=50).map(|seq| (seq, seq, true)).collect();
    assert_eq!(given(&taker), expected);
}

/// What comes back in a quorum queue, in another order than it was in before, leaves memory and is read in that order.
#[test]
fn what_came_back_to_a_quorum_queue_leaves_memory_in_its_order() {
    let mut fixture = fixture();
    let (mut publisher, holder) = (fixture.client(), fixture.client());
    let mut arguments = TableWriter::new();
    arguments.put("x-queue-type", Value::LongStr(b"quorum"));
    let arguments = arguments.finish();
    let queue = fixture.declare("q", |declaration| {
        declaration.durable = true;
        declaration.arguments = arguments;
    });
    for _ in 0..50 {
        let commands = [publish(&mut fixture, &mut publisher, &queue, true)];
        fixture.turn(commands);
    }
    fixture.turn([consume(&holder, &queue, consumer(1))]);
    assert_eq!(given(&holder).len(), 50);
    fixture.turn([super::fixture::cancel(&holder, &queue, 1)]);
    holder.told();
    for run in [(31, 20), (11, 10), (1, 5), (6, 5), (21, 10)] {
        fixture.turn([settle(&holder, &queue, run, Outcome::Return)]);
    }
    let other = fixture.declare("other", |declaration| declaration.durable = true);
    for _ in 0..150 {
        let commands = [publish(&mut fixture, &mut publisher, &other, true)];
        fixture.turn(commands);
    }
    assert_eq!(fixture.shard.queues[&queue.id].held_bytes(), 0);
    let taker = fixture.client();
    fixture.turn([consume(&taker, &queue, consumer(2))]);
    fixture.settle_down();
    let order = (31..=50).chain(11..=20).chain(1..=10).chain(21..=30);
    let expected: Vec<_> = order.map(|seq| (seq, seq, true)).collect();
    assert_eq!(given(&taker), expected);
    fixture.turn([settle(&taker, &queue, (1, 50), Outcome::Ack)]);
    assert_eq!(fixture.shard.queues[&queue.id].held_bytes(), 0);
    assert_eq!(fixture.shard.queues[&queue.id].ready_count(), 0);
}

#[test]
fn unacked_messages_that_are_nowhere_else_stay() {
    let mut fixture = fixture();
    let (mut publisher, holder) = (fixture.client(), fixture.client());
    let queue = fixture.queue("q");
    fixture.turn([consume(&holder, &queue, consumer(1))]);
    for _ in 0..200 {
        let commands = [publish(&mut fixture, &mut publisher, &queue, true)];
        fixture.turn(commands);
    }
    assert_eq!(given(&holder).len(), 200);
    assert!(fixture.queued.held() > 2_000_000);
    fixture.turn([Command::Disconnect(holder.id())]);
    let taker = fixture.client();
    fixture.turn([consume(&taker, &queue, consumer(2))]);
    let expected: Vec<_> = (1..=200).map(|seq| (seq, seq, true)).collect();
    assert_eq!(given(&taker), expected);
}
