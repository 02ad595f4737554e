//! What queues tell of themselves when they are asked.

use std::sync::Arc;

use parking_lot::Mutex;

use super::fixture::{Client, Fixture, consume, consumer, get, settle};
use crate::command::{Command, NewConsumer, Outcome};
use crate::figures::{Detail, MessageCounts, Observed, ShardFigures};
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
    assert_eq!(told.consumed_by, [client.holder(1)]);
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
