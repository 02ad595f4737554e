//! A queue that keeps little in memory is like any other: same messages, same order, same counts.

use super::fixture::{Client, Fixture, Seen, consume, consumer, delete, get, purge, settle};
use crate::command::{Command, NewConsumer, Outcome};

/// A fixture whose queues keep two small messages in memory, or a few more: whole runs come and go.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.shard.set_resident_max(50);
    fixture
}

fn publish_singly(fixture: &mut Fixture, client: &mut Client, queue: &str, count: u32) {
    let queue = fixture.vhost.queue(queue).unwrap();
    for _ in 0..count {
        let publish = fixture.publish(client, &[&queue], 1);
        fixture.turn([publish]);
    }
}

#[test]
fn memory_is_bounded_and_the_order_kept() {
    // What is in the log leaves nothing behind; what is not leaves a chunk that fills.
    for (durable, most) in [(true, 20_000), (false, 300_000)] {
        memory_is_bounded(durable, most);
    }
}

fn memory_is_bounded(durable: bool, most: i64) {
    let mut fixture = fixture();
    let (mut publisher, client) = (fixture.client(), fixture.client());
    let queue = fixture.declare("q", |declaration| declaration.durable = durable);
    for _ in 0..100 {
        let batch = fixture.batch(1, 10_000, true);
        let publish = Fixture::publish_batch(&mut publisher, &[&queue], batch);
        fixture.turn([publish]);
        assert!(
            fixture.queued.held() < most,
            "{} bytes in memory",
            fixture.queued.held()
        );
    }
    fixture.turn([Command::Count(client.id(), queue.clone())]);
    assert_eq!(client.told(), [Seen::Counts(100, 0)]);

    fixture.turn([consume(
        &client,
        &queue,
        NewConsumer {
            no_ack: true,
            ..consumer(1)
        },
    )]);
    fixture.settle_down();
    let told = client.told();
    assert_eq!(told.first(), Some(&Seen::Consuming));
    let messages: Vec<_> = told[1..]
        .iter()
        .map(|seen| match seen {
            Seen::Delivery(delivery) => (delivery.seq, delivery.message, delivery.redelivered),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<_> = (1..=100).map(|i| (i, i, false)).collect();
    assert_eq!(messages, expected);
    assert_eq!(fixture.queued.held(), 0);
}

#[test]
fn a_get_waits_for_a_message_that_is_away() {
    let mut fixture = fixture();
    fixture.shard.set_resident_max(0);
    let (mut publisher, client) = (fixture.client(), fixture.client());
    let queue = fixture.queue("q");
    publish_singly(&mut fixture, &mut publisher, "q", 5);
    for expected in 1..=5 {
        fixture.turn([get(&client, &queue, true)]);
        fixture.settle_down();
        match client.told().as_slice() {
            [Seen::Got(Some(delivery), left)] => {
                assert_eq!((delivery.message, *left), (expected, 5 - expected));
            }
            other => panic!("{other:?}"),
        }
    }
    fixture.turn([get(&client, &queue, true)]);
    assert_eq!(client.told(), [Seen::Got(None, 0)]);
}

#[test]
fn what_is_requeued_comes_before_what_is_away() {
    let mut fixture = fixture();
    let (mut publisher, client) = (fixture.client(), fixture.client());
    let queue = fixture.queue("q");
    publish_singly(&mut fixture, &mut publisher, "q", 10);
    fixture.turn([consume(
        &client,
        &queue,
        NewConsumer {
            prefetch: 1,
            ..consumer(1)
        },
    )]);
    fixture.settle_down();
    fixture.turn([settle(&client, &queue, (1, 1), Outcome::Return)]);
    fixture.settle_down();
    for seq in 1..=10 {
        fixture.turn([settle(&client, &queue, (seq, 1), Outcome::Ack)]);
        fixture.settle_down();
    }
    let told = client.told();
    let messages: Vec<_> = told[1..]
        .iter()
        .map(|seen| match seen {
            Seen::Delivery(delivery) => (delivery.message, delivery.redelivered),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut expected = vec![(1, false), (1, true)];
    expected.extend((2..=10).map(|i| (i, false)));
    assert_eq!(messages, expected);
}

#[test]
fn purge_and_delete_leave_nothing_in_the_log() {
    let mut fixture = fixture();
    let (mut publisher, client) = (fixture.client(), fixture.client());
    for durable in [false, true] {
        let queue = fixture.declare("q", |declaration| declaration.durable = durable);
        // So large that chunks fill.
        for _ in 0..8 {
            let batch = fixture.batch(1, 100_000, durable);
            let publish = Fixture::publish_batch(&mut publisher, &[&queue], batch);
            fixture.turn([publish]);
        }
        let (messages, chunks) = fixture.log.kept_count();
        assert!(if durable { messages == 8 } else { chunks == 2 });
        fixture.turn([purge(&client, &queue)]);
        assert_eq!(client.told(), [Seen::Purged(8)]);
        assert_eq!(fixture.log.kept_count(), (0, 0));
        for _ in 0..8 {
            let batch = fixture.batch(1, 100_000, durable);
            let publish = Fixture::publish_batch(&mut publisher, &[&queue], batch);
            fixture.turn([publish]);
        }
        assert_ne!(fixture.log.kept_count(), (0, 0));
        fixture.turn([delete(&client, &queue)]);
        assert_eq!(client.told(), [Seen::Deleted(8)]);
        assert_eq!(fixture.log.kept_count(), (0, 0));
        assert_eq!(fixture.queued.held(), 0);
    }
}

#[test]
fn those_who_wait_for_a_message_each_get_one() {
    let mut fixture = fixture();
    fixture.shard.set_resident_max(0);
    let mut publisher = fixture.client();
    let waiting = [(); 4].map(|()| fixture.client());
    let queue = fixture.queue("q");
    publish_singly(&mut fixture, &mut publisher, "q", 4);
    fixture.turn([get(&publisher, &queue, true)]);
    fixture.turn(waiting.each_ref().map(|client| get(client, &queue, false)));
    fixture.settle_down();
    for (client, expected) in waiting.iter().zip([Some(2), Some(3), Some(4), None]) {
        match client.told().as_slice() {
            [Seen::Got(got, _)] => assert_eq!(got.map(|got| got.message), expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn whoever_waits_for_a_message_hears_of_a_purge() {
    let mut fixture = fixture();
    fixture.shard.set_resident_max(0);
    let mut publisher = fixture.client();
    let (client, other) = (fixture.client(), fixture.client());
    let queue = fixture.declare("q", |declaration| declaration.durable = true);
    publish_singly(&mut fixture, &mut publisher, "q", 3);
    fixture.turn([get(&publisher, &queue, true)]);
    fixture.turn([get(&client, &queue, true), purge(&other, &queue)]);
    fixture.settle_down();
    assert_eq!(other.told(), [Seen::Purged(2)]);
    assert_eq!(client.told(), [Seen::Got(None, 0)]);
}
