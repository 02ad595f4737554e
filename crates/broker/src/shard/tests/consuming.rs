//! Who gets which message, in which order, and when: turns, priorities, credit, requeueing, the order of events.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::fixture::{
    Delivery, Fixture, Seen, cancel, consume, consumer, count, get, release, settle,
};
use crate::command::{Command, NewConsumer, Outcome};

#[test]
fn consumers_alternate_message_by_message() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let commands = [
        consume(&client, &queue, consumer(1)),
        consume(&client, &queue, consumer(2)),
        consume(&client, &queue, consumer(3)),
        fixture.publish(&mut client, &[&queue], 7),
    ];
    fixture.turn(commands);
    assert_eq!(client.told()[..3], [const { Seen::Consuming }; 3]);
    let more = fixture.publish(&mut client, &[&queue], 2);
    fixture.turn([more]);
    // The turn goes on where it was: 7 messages ended with consumer 1.
    assert_eq!(client.deliveries(), [(2, 8), (3, 9)]);
}

#[test]
fn deliveries_stand_between_the_answers_they_belong_between() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let commands = [
        fixture.publish(&mut client, &[&queue], 1),
        consume(&client, &queue, consumer(1)),
        fixture.publish(&mut client, &[&queue], 1),
        cancel(&client, &queue, 1),
        fixture.publish(&mut client, &[&queue], 1),
        count(&client, &queue),
    ];
    fixture.turn(commands);
    let delivery = |message| {
        Seen::Delivery(Delivery {
            consumer: 1,
            queue: queue.id,
            seq: message,
            message,
            redelivered: false,
        })
    };
    let told = [
        Seen::Consuming,
        delivery(1),
        delivery(2),
        Seen::CancelOk,
        Seen::Counts(1, 0),
    ];
    assert_eq!(client.told(), told);
}

#[test]
fn lower_priorities_are_served_while_higher_ones_have_no_credit() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let with = |slot, priority, prefetch| NewConsumer {
        priority,
        prefetch,
        ..consumer(slot)
    };
    fixture.turn([
        consume(&client, &queue, with(1, -1, 0)),
        consume(&client, &queue, with(2, 5, 2)),
        consume(&client, &queue, with(3, 5, 1)),
    ]);
    client.told();
    let publish = fixture.publish(&mut client, &[&queue], 5);
    fixture.turn([publish]);
    assert_eq!(
        client.deliveries(),
        [(2, 1), (3, 2), (2, 3), (1, 4), (1, 5)]
    );
    let commands = [
        settle(&client, &queue, (2, 1), Outcome::Ack),
        fixture.publish(&mut client, &[&queue], 2),
    ];
    fixture.turn(commands);
    assert_eq!(client.deliveries(), [(3, 6), (1, 7)]);
}

#[test]
fn a_consumer_that_was_out_of_credit_comes_back_last() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let first = NewConsumer {
        prefetch: 1,
        ..consumer(1)
    };
    let commands = [
        consume(&client, &queue, first),
        consume(&client, &queue, consumer(2)),
        consume(&client, &queue, consumer(3)),
        fixture.publish(&mut client, &[&queue], 4),
    ];
    fixture.turn(commands);
    client.told();
    // 1, 2, 3 and again 2: then it is the turn of 3, and 1 comes after everyone.
    let commands = [
        settle(&client, &queue, (1, 1), Outcome::Ack),
        fixture.publish(&mut client, &[&queue], 4),
    ];
    fixture.turn(commands);
    assert_eq!(client.deliveries(), [(3, 5), (2, 6), (1, 7), (3, 8)]);
}

#[test]
fn requeued_messages_take_their_old_places() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let commands = [
        consume(&client, &queue, consumer(1)),
        fixture.publish(&mut client, &[&queue], 4),
        fixture.publish(&mut client, &[&queue], 4),
        cancel(&client, &queue, 1),
        fixture.publish(&mut client, &[&queue], 2),
    ];
    fixture.turn(commands);
    client.told();
    for range in [(7, 1), (2, 2), (5, 1), (8, 1), (1, 1)] {
        let requeue = settle(&client, &queue, range, Outcome::Return);
        fixture.turn([requeue]);
    }
    let acks = [(4, 1), (6, 1)].map(|range| settle(&client, &queue, range, Outcome::Ack));
    fixture.turn(acks);
    fixture.turn([consume(&client, &queue, consumer(2))]);
    let seen: Vec<(u64, u64, bool)> = client
        .told()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Delivery(d) => Some((d.seq, d.message, d.redelivered)),
            _ => None,
        })
        .collect();
    let old = [1, 2, 3, 5, 7, 8].map(|n| (n, n, true));
    let new = [9, 10].map(|n| (n, n, false));
    assert_eq!(seen, [&old[..], &new[..]].concat());
}

#[test]
fn recovered_messages_go_out_after_the_answer() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let commands = [
        consume(&client, &queue, consumer(1)),
        fixture.publish(&mut client, &[&queue], 2),
    ];
    fixture.turn(commands);
    client.told();
    fixture.turn([release(&client, false)]);
    let told = client.told();
    assert_eq!(told[0], Seen::Released);
    assert!(matches!(
        told[1..],
        [
            Seen::Delivery(Delivery {
                seq: 1,
                redelivered: true,
                ..
            }),
            Seen::Delivery(Delivery {
                seq: 2,
                redelivered: true,
                ..
            })
        ]
    ));
}

#[test]
fn a_message_that_was_asked_for_takes_nobody_s_credit() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let publish = fixture.publish(&mut client, &[&queue], 3);
    let limited = NewConsumer {
        prefetch: 1,
        ..consumer(1)
    };
    fixture.turn([
        publish,
        get(&client, &queue, false),
        consume(&client, &queue, limited),
    ]);
    assert_eq!(client.told().len(), 3, "got one, consuming, one delivery");
    // Settling what was got gives the consumer nothing; settling its own message does.
    let ack_got = settle(&client, &queue, (1, 1), Outcome::Ack);
    fixture.turn([ack_got]);
    assert_eq!(client.deliveries(), []);
    let ack = settle(&client, &queue, (2, 1), Outcome::Discard);
    fixture.turn([ack]);
    assert_eq!(client.deliveries(), [(1, 3)]);
    fixture.turn([get(&client, &queue, false)]);
    assert_eq!(client.told(), [Seen::Got(None, 0)]);
}

#[test]
fn a_full_outbox_stops_its_own_consumers_alone() {
    let mut fixture = Fixture::new();
    let mut publisher = fixture.client();
    let slow = fixture.connect(50);
    let quick = fixture.client();
    let queue = fixture.queue("q");
    fixture.turn([
        consume(&slow, &queue, consumer(1)),
        consume(&quick, &queue, consumer(2)),
    ]);
    slow.told();
    quick.told();
    // A message stands for 24 bytes: the slow one gets three before its outbox holds more than 50.
    for _ in 0..10 {
        let publish = fixture.publish(&mut publisher, &[&queue], 1);
        fixture.turn([publish]);
    }
    assert_eq!(slow.deliveries(), [(1, 1), (1, 3), (1, 5)]);
    let others = [2, 4, 6, 7, 8, 9, 10].map(|message| (2, message));
    assert_eq!(quick.deliveries(), others);
    assert_eq!(slow.link.waiting_bytes(), 72);

    let mut resumed = Vec::new();
    slow.link.written(24, |shard| resumed.push(shard));
    assert_eq!(resumed, [], "48 bytes wait: no room yet");
    slow.link.written(48, |shard| resumed.push(shard));
    assert_eq!(resumed, [fixture.shard.id()]);
    let publish = fixture.publish(&mut publisher, &[&queue], 2);
    fixture.turn([Command::Resume(slow.id()), publish]);
    assert_eq!(
        (quick.deliveries(), slow.deliveries()),
        (vec![(2, 11)], vec![(1, 12)])
    );
}

#[test]
fn an_outbox_of_any_size_gets_on() {
    for max in 0..4 {
        let mut fixture = Fixture::new();
        let mut client = fixture.connect(max);
        let queue = fixture.queue("q");
        fixture.turn([consume(&client, &queue, consumer(1))]);
        client.told();
        for _ in 0..3 {
            let publish = fixture.publish(&mut client, &[&queue], 1);
            fixture.turn([publish]);
        }
        let mut count = 0;
        while count < 3 {
            let came = client.deliveries().len();
            assert!(came > 0, "stuck after {count} with {max}");
            count += came;
            let mut resumed = false;
            let waiting = client.link.waiting_bytes();
            client.link.written(waiting, |_| resumed = true);
            let resume = resumed.then(|| Command::Resume(client.id()));
            fixture.turn(resume);
        }
    }
}

#[test]
fn a_channel_s_limit_counts_over_its_queues() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let (one, two) = (fixture.queue("one"), fixture.queue("two"));
    let credit = Arc::new(AtomicI64::new(3));
    let limited = |slot| NewConsumer {
        channel_credit: Some(Arc::clone(&credit)),
        ..consumer(slot)
    };
    let no_ack = NewConsumer {
        no_ack: true,
        ..limited(3)
    };
    let commands = [
        consume(&client, &one, limited(1)),
        consume(&client, &two, limited(2)),
    ];
    fixture.turn(commands);
    client.told();
    let commands = [
        fixture.publish(&mut client, &[&one], 2),
        count(&client, &one),
        fixture.publish(&mut client, &[&two], 3),
    ];
    fixture.turn(commands);
    client.told();
    assert_eq!(credit.load(Ordering::Relaxed), 0);
    // No consumer of the channel gets more, but for those that need no credit.
    let commands = [
        fixture.publish(&mut client, &[&one], 1),
        consume(&client, &one, no_ack),
    ];
    fixture.turn(commands);
    let told = client.told();
    assert!(
        matches!(told[..], [Seen::Consuming, Seen::Delivery(d)] if d.consumer == 3),
        "{told:?}"
    );
    credit.fetch_add(2, Ordering::Relaxed);
    let commands = [
        settle(&client, &one, (1, 2), Outcome::Ack),
        Command::Resume(client.id()),
    ];
    fixture.turn(commands);
    assert_eq!(client.deliveries(), [(2, 4), (2, 5)]);
}

#[test]
fn every_queue_of_a_run_gets_it() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let (one, two) = (fixture.queue("one"), fixture.queue("two"));
    let commands = [
        fixture.publish(&mut client, &[&one, &two], 2),
        count(&client, &one),
        count(&client, &two),
    ];
    fixture.turn(commands);
    assert_eq!(client.told(), [Seen::Counts(2, 0), Seen::Counts(2, 0)]);
}
