//! Transactions as one shard does its part: messages, then what is settled, all of it between the marks of the part; the answer once that is durable.

use std::sync::Arc;

use leveret_store::log::{Log, Transaction};

use super::fixture::{Client, Fixture, Seen, consume, consumer, count, get};
use crate::command::{Command, Outcome, Part, Settle};
use crate::queue_handle::QueueHandle;

fn durable(fixture: &mut Fixture, name: &str) -> Arc<QueueHandle> {
    fixture.declare(name, |declaration| declaration.durable = true)
}

/// A transaction with one message for each of the queues, that settles the first messages of others, which channel 1 holds.
fn transact(
    fixture: &mut Fixture,
    client: &mut Client,
    queues: &[&Arc<QueueHandle>],
    settled: &[(&Arc<QueueHandle>, Outcome)],
) -> Command {
    let Command::Publish(publish) = fixture.publish(client, queues, 1) else {
        panic!("a publish was asked for");
    };
    client.batches -= 1;
    let settles = settled.iter().map(|(queue, outcome)| Settle {
        queue: queue.id,
        channel: 1,
        first_seq: 1,
        count: 1,
        outcome: *outcome,
        reader: 0,
    });
    Command::Transact(Box::new(Part {
        passed: 0,
        room: None,
        connection: Some(client.id()),
        transaction: Transaction::new(1),
        bytes: publish.bytes,
        batch: publish.batch,
        runs: publish.runs,
        settles: settles.collect(),
        reserved: false,
    }))
}

#[test]
fn a_part_is_told_to_the_log_as_one_and_answered_when_it_is_durable() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queues = ["a", "b"].map(|name| durable(&mut fixture, name));
    let [a, b] = &queues;
    let publish = fixture.publish(&mut client, &[a], 1);
    fixture.turn([publish, get(&client, a, false)]);
    client.told();
    let before = fixture.log.last().0;
    fixture.log.set_durable(before);

    let part = transact(&mut fixture, &mut client, &[a, b], &[(a, Outcome::Ack)]);
    // What others do in the same turn is in no part.
    let other = fixture.publish(&mut client, &[b], 1);
    fixture.turn([part, other]);
    let parts = fixture.log.lock().parts.clone();
    let groups = 2;
    let entries = groups + 1;
    assert_eq!(parts, [(before, before + entries)]);
    assert_eq!(client.told(), []);

    fixture.log.set_durable(before + entries - 1);
    fixture.turn([]);
    assert_eq!(client.told(), [], "part of it is not durable");
    fixture.log.set_durable(before + entries);
    fixture.turn([]);
    assert_eq!(client.told(), [Seen::Committed { is_whole: true }]);
    fixture.turn([count(&client, a), count(&client, b)]);
    assert_eq!(client.told(), [Seen::Counts(1, 0), Seen::Counts(2, 0)]);
    assert_eq!(fixture.log.kept_count().0, 3);
}

#[test]
fn what_is_in_memory_only_is_answered_at_once_and_gives_its_allowance_back() {
    let mut fixture = Fixture::new();
    let (mut client, reader) = (fixture.client(), fixture.client());
    let queue = fixture.queue("q");
    fixture.turn([consume(&reader, &queue, consumer(1))]);
    reader.told();
    let part = transact(&mut fixture, &mut client, &[&queue], &[]);
    let Command::Transact(of) = &part else {
        panic!("{part:?}");
    };
    let bytes = of.bytes;
    fixture.turn([part]);
    assert_eq!(
        client.all(),
        [Seen::Progress(0, bytes), Seen::Committed { is_whole: true }]
    );
    assert_eq!(reader.deliveries().len(), 1);
}

#[test]
fn messages_come_before_what_goes_back() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let publish = fixture.publish(&mut client, &[&queue], 1);
    fixture.turn([publish, get(&client, &queue, false)]);
    client.told();
    let part = transact(
        &mut fixture,
        &mut client,
        &[&queue],
        &[(&queue, Outcome::Return)],
    );
    fixture.turn([part, get(&client, &queue, true), get(&client, &queue, true)]);
    let got = client.told().into_iter().filter_map(|seen| match seen {
        Seen::Got(got, _) => got.map(|got| (got.message, got.redelivered)),
        _ => None,
    });
    assert_eq!(got.collect::<Vec<_>>(), [(1, true), (2, false)]);
}

#[test]
fn a_connection_that_is_gone_is_not_answered_and_its_transaction_is_done() {
    let mut fixture = Fixture::new();
    let (mut client, other) = (fixture.client(), fixture.client());
    let queue = durable(&mut fixture, "q");
    fixture.log.set_durable(0);
    let part = transact(&mut fixture, &mut client, &[&queue], &[]);
    fixture.turn([part, Command::Disconnect(client.id())]);
    fixture.log.set_durable(u64::MAX);
    fixture.turn([count(&other, &queue)]);
    assert_eq!(other.told(), [Seen::Counts(1, 0)]);
    assert_eq!(client.told(), [Seen::Disconnected]);
}
