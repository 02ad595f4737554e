//! When publishers get their allowance back, and when their batches are done.

use std::sync::Arc;
use std::time::Duration;

use leveret_message::table::TableWriter;
use leveret_store::log::Position;

use super::fixture::{Client, Fixture, Seen, consume, consumer, delete, get, purge, settle};
use crate::command::{NewConsumer, Outcome};
use crate::queue_handle::QueueHandle;
use crate::shard::publish::{QUEUE_SHARE, WITHHELD_MAX};

/// Publishes a batch of ten messages that is a quarter of a queue's share.
fn publish_quarter(fixture: &mut Fixture, client: &mut Client, queue: &Arc<QueueHandle>) -> usize {
    let batch = fixture.batch(10, QUEUE_SHARE / 40, false);
    let bytes = batch.size(0, 10);
    let command = Fixture::publish_batch(client, &[queue], batch);
    fixture.turn([command]);
    bytes
}

/// A queue with a consumer that holds one message at a time.
fn slow_queue(fixture: &mut Fixture, client: &Client) -> Arc<QueueHandle> {
    let queue = fixture.queue("q");
    let slow = NewConsumer {
        prefetch: 1,
        ..consumer(1)
    };
    fixture.turn([consume(client, &queue, slow)]);
    queue
}

#[test]
fn a_queue_without_consumers_gives_allowance_back_at_once() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    for _ in 0..8 {
        let bytes = publish_quarter(&mut fixture, &mut client, &queue);
        assert_eq!(client.returned(), bytes);
    }
    assert_eq!(fixture.shard.next_deadline(), None);
}

#[test]
fn a_slow_queue_gives_allowance_back_as_it_drains() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = slow_queue(&mut fixture, &client);
    let mut bytes = 0;
    for _ in 0..4 {
        bytes = publish_quarter(&mut fixture, &mut client, &queue);
        assert_eq!(client.returned(), bytes, "the share is not used up");
    }
    publish_quarter(&mut fixture, &mut client, &queue);
    assert_eq!(client.returned(), 0);
    // One message of fifty is handed out at a time: with ten settled, no more than the share is left.
    for seq in 1..=10 {
        let ack = settle(&client, &queue, (seq, 1), Outcome::Ack);
        fixture.turn([ack]);
        let expected = if fixture.shard.withheld.is_empty() {
            bytes
        } else {
            0
        };
        assert_eq!(client.returned(), expected, "after {seq}");
        let over = fixture.shard.queues[&queue.id].ready_bytes() > QUEUE_SHARE;
        assert_eq!(fixture.shard.withheld.is_empty(), !over, "after {seq}");
    }
    assert!(fixture.shard.withheld.is_empty());
}

#[test]
fn a_slow_queue_gives_allowance_back_in_the_end() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = slow_queue(&mut fixture, &client);
    for _ in 0..4 {
        publish_quarter(&mut fixture, &mut client, &queue);
    }
    client.all();
    let started = fixture.now;
    let first = publish_quarter(&mut fixture, &mut client, &queue);
    fixture.now += Duration::from_millis(30);
    let second = publish_quarter(&mut fixture, &mut client, &queue);
    assert_eq!(client.returned(), 0);
    assert_eq!(fixture.shard.next_deadline(), Some(started + WITHHELD_MAX));
    fixture.now = started + WITHHELD_MAX - Duration::from_millis(1);
    fixture.turn([]);
    assert_eq!(client.returned(), 0);
    fixture.now = started + WITHHELD_MAX;
    fixture.turn([]);
    assert_eq!(client.returned(), first);
    fixture.now += Duration::from_millis(30);
    fixture.turn([]);
    assert_eq!(client.returned(), second);
    assert_eq!(fixture.shard.next_deadline(), None);
}

#[test]
fn a_queue_that_goes_gives_allowance_back() {
    for end in ["purge", "delete"] {
        let mut fixture = Fixture::new();
        let mut client = fixture.client();
        let queue = slow_queue(&mut fixture, &client);
        for _ in 0..5 {
            publish_quarter(&mut fixture, &mut client, &queue);
        }
        client.all();
        fixture.turn([match end {
            "purge" => purge(&client, &queue),
            _ => delete(&client, &queue),
        }]);
        assert!(client.returned() > 0, "{end}");
        assert_eq!(fixture.shard.next_deadline(), None, "{end}");
    }
}

#[test]
fn over_the_memory_limit_nothing_comes_back_until_under_it() {
    let mut fixture = Fixture::with_memory(1000);
    let mut client = fixture.client();
    let other = fixture.client();
    let queue = fixture.queue("q");
    // 24 bytes each. The first batch goes over; what is held counts from the end of its turn on.
    let publish = fixture.publish(&mut client, &[&queue], 50);
    fixture.turn([publish]);
    assert_eq!(client.returned(), 1200);
    assert_eq!(fixture.queued.held(), 1200);
    let publish = fixture.publish(&mut client, &[&queue], 1);
    fixture.turn([publish]);
    for _ in 0..5 {
        fixture.now += WITHHELD_MAX;
        fixture.turn([]);
        assert_eq!(client.returned(), 0);
        assert_eq!(
            fixture.shard.next_deadline(),
            Some(fixture.now + WITHHELD_MAX),
            "another shard may get below the limit, and tells nobody"
        );
    }
    let get = |no_ack| get(&other, &queue, no_ack);
    // A message that is handed out is still held; 1,224 - 9 * 24 is over, too.
    fixture.turn((0..9).map(|_| get(true)).chain([get(false)]));
    assert_eq!((client.returned(), fixture.queued.held()), (0, 1008));
    fixture.turn([get(true)]);
    assert_eq!((client.returned(), fixture.queued.held()), (24, 984));
    assert_eq!(fixture.shard.next_deadline(), None);
}

#[test]
fn what_is_published_to_a_queue_that_is_gone_is_done_all_the_same() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let publish = fixture.publish(&mut client, &[&queue], 2);
    fixture.turn([delete(&client, &queue), publish]);
    assert_eq!(client.all(), [Seen::Deleted(0), Seen::Progress(1, 48)]);
    assert_eq!(fixture.queued.held(), 0);
}

#[test]
fn a_batch_is_done_when_the_log_is_past_it_and_those_before() {
    let mut fixture = Fixture::new();
    fixture.log.set_durable(0);
    let (mut client, mut other) = (fixture.client(), fixture.client());
    let kept = fixture.declare("kept", |declaration| declaration.durable = true);
    let passing = fixture.queue("passing");
    let commands = [
        fixture.publish(&mut client, &[&passing], 1),
        fixture.publish(&mut client, &[&kept, &passing], 1),
        fixture.publish(&mut client, &[&passing], 1),
        fixture.publish(&mut other, &[&kept], 1),
    ];
    fixture.turn(commands);
    // Allowance comes back at once; batch 1 needs no log, batch 3 waits behind batch 2.
    assert_eq!(client.all(), [Seen::Progress(1, 72)]);
    assert_eq!(other.all(), [Seen::Progress(0, 24)]);
    fixture.log.set_durable(1);
    fixture.turn([]);
    assert_eq!(client.all(), [Seen::Progress(3, 0)]);
    assert_eq!(other.all(), []);
    fixture.log.set_durable(2);
    fixture.turn([]);
    assert_eq!(other.all(), [Seen::Progress(1, 0)]);
}

#[test]
fn a_batch_for_queues_that_need_no_sync_is_done_when_it_is_written() {
    let mut fixture = Fixture::new();
    fixture.log.set_durable(0);
    fixture.log.lock().written = Some(Position(0));
    let mut client = fixture.client();
    let synced = fixture.declare("synced", |declaration| declaration.durable = true);
    let written = fixture.declare("written", |declaration| {
        let mut arguments = TableWriter::new();
        arguments.put("x-leveret-durability", "os");
        declaration.durable = true;
        declaration.arguments = arguments.finish();
    });
    let mut done_after = |fixture: &mut Fixture, queues: &[&Arc<QueueHandle>], written_to| {
        let publish = fixture.publish(&mut client, queues, 1);
        fixture.turn([publish]);
        fixture.log.lock().written = Some(Position(written_to));
        fixture.turn([]);
        let all = client.all().into_iter();
        all.map(|seen| match seen {
            Seen::Progress(done, _) => done,
            other => panic!("{other:?}"),
        })
        .max()
        .unwrap_or_default()
    };
    // Each batch is an entry, that for both queues is two.
    assert_eq!(done_after(&mut fixture, &[&written], 0), 0);
    assert_eq!(done_after(&mut fixture, &[&written], 2), 2);
    assert_eq!(done_after(&mut fixture, &[&written, &synced], 4), 0);
    assert_eq!(done_after(&mut fixture, &[&written], 5), 0, "in order");
    fixture.log.set_durable(4);
    assert_eq!(done_after(&mut fixture, &[&synced], 6), 4);
}
