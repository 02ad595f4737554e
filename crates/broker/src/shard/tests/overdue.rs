//! Deliveries that are not settled in time.

use std::time::Duration;

use super::fixture::{Fixture, Seen, cancel, consume, consumer, settle};
use crate::arguments::QueueArguments;
use crate::command::{Command, NewConsumer, Outcome};

const TIMEOUT: Duration = Duration::from_secs(10);

fn timed(slot: u32) -> NewConsumer {
    NewConsumer {
        timeout: Some(TIMEOUT),
        prefetch: 2,
        ..consumer(slot)
    }
}

#[test]
fn only_the_late_message_goes_back_and_only_its_consumer_is_cancelled() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let publish = fixture.publish(&mut client, &[&queue], 1);
    fixture.turn([consume(&client, &queue, timed(1))]);
    assert_eq!(client.told(), [Seen::Consuming]);
    fixture.turn([publish]);
    assert_eq!(client.deliveries(), [(1, 1)]);

    fixture.now += TIMEOUT / 2;
    let publish = fixture.publish(&mut client, &[&queue], 1);
    fixture.turn([publish]);
    assert_eq!(client.deliveries(), [(1, 2)]);
    fixture.turn([consume(&client, &queue, consumer(2))]);
    assert_eq!(client.told(), [Seen::Consuming]);
    let due = fixture.shard.next_deadline().expect("it looks again");
    assert!(due >= fixture.now && due <= fixture.now + TIMEOUT);

    // Not before its time.
    fixture.now += TIMEOUT / 2 - Duration::from_millis(1);
    fixture.turn([]);
    assert_eq!(client.told(), []);

    fixture.now += Duration::from_millis(300);
    fixture.turn([]);
    let told = client.all();
    assert!(matches!(told.first(), Some(Seen::Cancelled(1))), "{told:?}");
    // The other consumer has it now; the second message stays with who has it.
    let redelivered: Vec<_> = told
        .iter()
        .filter_map(|seen| match seen {
            Seen::Delivery(delivery) => Some((delivery.consumer, delivery.message)),
            _ => None,
        })
        .collect();
    assert_eq!(redelivered, [(2, 1)]);
    assert_eq!(queue_counts(&fixture), (0, 2));
}

/// Ready and unacked messages of the only queue.
fn queue_counts(fixture: &Fixture) -> (u64, u64) {
    let queue = fixture.shard.queues.values().next().expect("there is one");
    (queue.ready_count(), queue.unacked_count())
}

#[test]
fn what_is_settled_in_time_is_not_late() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let publish = fixture.publish(&mut client, &[&queue], 2);
    fixture.turn([consume(&client, &queue, timed(1))]);
    assert_eq!(client.told(), [Seen::Consuming]);
    fixture.turn([publish]);
    assert_eq!(client.deliveries(), [(1, 1), (1, 2)]);
    fixture.now += TIMEOUT / 2;
    fixture.turn([settle(&client, &queue, (1, 2), Outcome::Ack)]);
    fixture.now += TIMEOUT;
    fixture.turn([]);
    assert_eq!(client.told(), []);
    assert_eq!(fixture.shard.next_deadline(), None);
}

#[test]
fn a_queue_or_the_broker_may_say_how_long() {
    let mut fixture = Fixture::new();
    fixture.shard.consumer_timeout = Some(TIMEOUT);
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let publish = fixture.publish(&mut client, &[&queue], 1);
    fixture.turn([consume(&client, &queue, consumer(1)), publish]);
    fixture.now += TIMEOUT + Duration::from_millis(300);
    fixture.turn([]);
    let told = client.all();
    assert!(
        told.iter().any(|seen| matches!(seen, Seen::Cancelled(1))),
        "{told:?}"
    );
    assert_eq!(queue_counts(&fixture), (1, 0));
    // A consumer that was cancelled by its client has no time to keep.
    fixture.turn([
        consume(&client, &queue, timed(2)),
        cancel(&client, &queue, 2),
    ]);
    fixture.now += TIMEOUT * 2;
    fixture.turn([]);
    assert_eq!(queue_counts(&fixture), (0, 1));
}

#[test]
fn a_policy_says_how_long_what_is_held_may_be_kept() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let publish = fixture.publish(&mut client, &[&queue], 2);
    let (own, other) = (timed(1), consumer(2));
    let own = NewConsumer {
        timeout: Some(TIMEOUT * 100),
        prefetch: 1,
        ..own
    };
    fixture.turn([
        consume(&client, &queue, own),
        consume(&client, &queue, other),
        publish,
    ]);
    assert_eq!(queue_counts(&fixture), (0, 2));
    fixture.now += TIMEOUT;
    fixture.turn([]);
    client.all();

    let arguments = QueueArguments {
        consumer_timeout: Some(TIMEOUT / 2),
        ..QueueArguments::default()
    };
    queue.govern(arguments.into());
    fixture.turn([Command::Govern(queue.clone())]);
    let told = client.all();
    assert!(matches!(told.as_slice(), [Seen::Cancelled(2)]), "{told:?}");
    assert_eq!(queue_counts(&fixture), (1, 1));
}
