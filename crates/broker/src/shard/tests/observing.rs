//! What queues tell of themselves when they are asked.

use std::sync::Arc;

use parking_lot::Mutex;

use super::fixture::{Client, Fixture, consume, consumer, get, settle};
use crate::command::{Command, NewConsumer, Outcome};
use crate::figures::{BodyFigures, ConsumedBy, Detail, MessageCounts, Observed, ShardFigures};
use crate::queue_handle::QueueHandle;

fn observe(fixture: &mut Fixture, queues: &[&Arc<QueueHandle>]) -> ShardFigures {
    let answer = Arc::new(Mutex::new(None));
    let taken = Arc::clone(&answer);
    fixture.turn([Command::Observe {
        queues: queues.iter().map(|queue| queue.id).collect(),
        detail: Detail::Consumers,
        then: Observed::new(move |figures| *taken.lock() = Some(figures)),
    }]);
    let figures = answer.lock().take();
    figures.expect("it answers in its turn")
}

fn taker(client: &Client, queue: &Arc<QueueHandle>, no_ack: bool) -> Command {
    let new = NewConsumer {
        no_ack,
        prefetch: 2,
        ..consumer(1)
    };
    consume(client, queue, new)
}

#[test]
fn a_queue_tells_what_it_holds_and_what_became_of_the_rest() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let publish = fixture.publish(&mut client, &[&queue], 5);
    fixture.turn([publish, taker(&client, &queue, false)]);
    fixture.turn([settle(&client, &queue, (1, 1), Outcome::Ack)]);
    let figures = observe(&mut fixture, &[&queue]);
    let [told] = figures.queues.as_slice() else {
        panic!("one queue was asked about: {figures:?}");
    };
    assert_eq!((told.ready, told.unacked, told.consumers), (2, 2, 1));
    let consumer = ConsumedBy {
        holder: client.holder(1),
        tag: consumer(1).tag,
        active: true,
    };
    assert_eq!(told.consumed_by, [consumer]);
    assert_eq!(told.held_by, [client.holder(1)]);
    let counts = MessageCounts {
        published: 5,
        delivered: 3,
        acked: 1,
        ..MessageCounts::default()
    };
    assert_eq!(told.counts, counts);
}

#[test]
fn gets_and_redeliveries_are_counted_apart() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let publish = fixture.publish(&mut client, &[&queue], 1);
    fixture.turn([
        publish,
        get(&client, &queue, false),
        settle(&client, &queue, (1, 1), Outcome::Return),
        get(&client, &queue, true),
        get(&client, &queue, true),
    ]);
    let figures = observe(&mut fixture, &[&queue]);
    let counts = MessageCounts {
        published: 1,
        got: 1,
        got_no_ack: 1,
        got_empty: 1,
        redelivered: 1,
        ..MessageCounts::default()
    };
    assert_eq!(figures.queues[0].counts, counts);
}

#[test]
fn what_ended_queues_had_counted_stays_in_the_sum() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let publish = fixture.publish(&mut client, &[&queue], 3);
    fixture.turn([publish, taker(&client, &queue, true)]);
    fixture.turn([Command::Delete {
        connection: client.id(),
        queue: queue.id,
        if_unused: false,
        if_empty: false,
    }]);
    let figures = observe(&mut fixture, &[&queue]);
    assert!(figures.queues.is_empty());
    assert_eq!((figures.created, figures.deleted), (1, 1));
    assert_eq!(figures.ended.published, 3);
    assert_eq!(figures.ended.delivered_no_ack, 3);
}

/// The bodies of a queue's messages: its ready ones, its unacked ones, and those of both that survive a restart.
fn bodies(fixture: &mut Fixture, queue: &Arc<QueueHandle>) -> BodyFigures {
    let told = observe(fixture, &[queue]).queues.remove(0);
    told.bodies.expect("queues know their bodies")
}

#[test]
fn bodies_are_measured_where_they_are() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.declare("q", |declaration| declaration.durable = true);
    for (len, persistent) in [(100, true), (10, false), (20_000, true)] {
        let batch = fixture.batch(2, len, persistent);
        fixture.turn([Fixture::publish_batch(&mut client, &[&queue], batch)]);
    }
    let all = BodyFigures {
        ready_bytes: 40_220,
        unacked_bytes: 0,
        persistent: 4,
        persistent_bytes: 40_200,
    };
    assert_eq!(bodies(&mut fixture, &queue), all);
    fixture.turn([get(&client, &queue, false)]);
    let one_unacked = BodyFigures {
        ready_bytes: 40_120,
        unacked_bytes: 100,
        ..all
    };
    assert_eq!(bodies(&mut fixture, &queue), one_unacked);
    fixture.turn([settle(&client, &queue, (1, 1), Outcome::Ack)]);
    let one_gone = BodyFigures {
        ready_bytes: 40_120,
        unacked_bytes: 0,
        persistent: 3,
        persistent_bytes: 40_100,
    };
    assert_eq!(bodies(&mut fixture, &queue), one_gone);
}

#[test]
fn bodies_that_are_away_are_known_about() {
    for durable in [true, false] {
        let mut fixture = Fixture::new();
        fixture.shard.set_resident_max(2000);
        let mut client = fixture.client();
        let queue = fixture.declare("q", |declaration| declaration.durable = durable);
        for _ in 0..100 {
            let batch = fixture.batch(1, 1000, true);
            fixture.turn([Fixture::publish_batch(&mut client, &[&queue], batch)]);
        }
        let told = observe(&mut fixture, &[&queue]).queues.remove(0);
        assert!(told.ready_away > 90, "{told:?}");
        let told = told.bodies.expect("queues know their bodies");
        let is_about = |bytes| (99_000..=101_000).contains(&bytes);
        assert!(is_about(told.ready_bytes), "{told:?}");
        assert_eq!(told.persistent, if durable { 100 } else { 0 });
        assert_eq!(is_about(told.persistent_bytes), durable, "{told:?}");
        fixture.turn([super::fixture::purge(&client, &queue)]);
        assert_eq!(bodies(&mut fixture, &queue), BodyFigures::default());
    }
}
