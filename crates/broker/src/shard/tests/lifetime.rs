//! How queues and consumers end: exclusive consumers and queues, auto-delete, deletion, channels and connections that close.

use std::sync::Arc;
use std::time::Duration;

use leveret_message::table::TableWriter;

use super::fixture::{
    Fixture, Seen, cancel, consume, consumer, count, delete, get, purge, release, settle,
};
use crate::command::{Command, NewConsumer, Outcome};
use crate::error::Error;

fn exclusive(slot: u32) -> NewConsumer {
    NewConsumer {
        exclusive: true,
        ..consumer(slot)
    }
}

#[test]
fn an_exclusive_consumer_is_alone() {
    let mut fixture = Fixture::new();
    let (client, other) = (fixture.client(), fixture.client());
    let queue = fixture.queue("q");
    let resource = fixture.vhost.queue("q").unwrap().resource();
    let refused = Seen::Refused(Error::ExclusiveUse(resource));
    fixture.turn([
        consume(&client, &queue, exclusive(1)),
        consume(&other, &queue, consumer(1)),
        consume(&client, &queue, exclusive(2)),
        cancel(&client, &queue, 1),
        consume(&other, &queue, consumer(2)),
        consume(&client, &queue, exclusive(3)),
        consume(&client, &queue, consumer(4)),
    ]);
    let told = [
        Seen::Consuming,
        refused.clone(),
        Seen::CancelOk,
        refused.clone(),
        Seen::Consuming,
    ];
    assert_eq!(client.told(), told);
    assert_eq!(other.told(), [refused, Seen::Consuming]);
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer_and_not_before_the_first() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.declare("q", |declaration| declaration.auto_delete = true);
    let commands = [
        fixture.publish(&mut client, &[&queue], 1),
        get(&client, &queue, true),
        // Nobody was there: the cancel of a consumer that is not there ends nothing.
        cancel(&client, &queue, 9),
        release(&client, true),
    ];
    fixture.turn(commands);
    assert!(fixture.vhost.find_queue("q").is_some());
    let handle = fixture.vhost.queue("q").unwrap();
    fixture.turn([
        consume(&client, &queue, consumer(1)),
        Command::Consume(client.holder(2), Arc::clone(&queue), consumer(2)),
        cancel(&client, &queue, 1),
    ]);
    assert!(fixture.vhost.find_queue("q").is_some());
    fixture.turn([Command::Release {
        holder: client.holder(2),
        close: true,
    }]);
    assert!(fixture.vhost.find_queue("q").is_none());
    assert!(handle.is_deleted());
}

#[test]
fn an_auto_delete_queue_goes_with_its_consumer_s_connection() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.declare("q", |declaration| declaration.auto_delete = true);
    let commands = [
        consume(&client, &queue, consumer(1)),
        fixture.publish(&mut client, &[&queue], 3),
    ];
    fixture.turn(commands);
    assert!(fixture.queued.held() > 0);
    fixture.turn([Command::Disconnect(client.id())]);
    assert!(fixture.vhost.find_queue("q").is_none());
    assert_eq!(fixture.queued.held(), 0);
    assert_eq!(client.told().last(), Some(&Seen::Disconnected));
}

#[test]
fn a_deleted_queue_s_consumers_are_told_after_their_last_delivery() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let other = fixture.client();
    let queue = fixture.queue("q");
    let commands = [
        consume(&client, &queue, consumer(1)),
        consume(
            &other,
            &queue,
            NewConsumer {
                prefetch: 1,
                ..consumer(5)
            },
        ),
    ];
    fixture.turn(commands);
    client.told();
    other.told();
    let commands = [
        fixture.publish(&mut client, &[&queue], 2),
        delete(&client, &queue),
        count(&client, &queue),
    ];
    fixture.turn(commands);
    let told = client.told();
    assert!(matches!(told[0], Seen::Delivery(d) if d.message == 1));
    let rest = [
        Seen::Cancelled(1),
        Seen::Deleted(0),
        Seen::Refused(Error::NotFound(queue.resource())),
    ];
    assert_eq!(told[1..], rest);
    let told = other.told();
    assert!(
        matches!(told[..], [Seen::Delivery(d), Seen::Cancelled(5)] if d.message == 2),
        "{told:?}"
    );
    assert_eq!(fixture.queued.held(), 0);
    // What is settled late finds nothing, and harms nothing.
    let late = settle(&client, &queue, (1, 1), Outcome::Return);
    fixture.turn([late]);
    assert_eq!(fixture.queued.held(), 0);
}

#[test]
fn deletion_has_conditions() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    let resource = fixture.vhost.queue("q").unwrap().resource();
    let connection = client.id();
    let delete = |if_unused, if_empty| Command::Delete {
        connection,
        queue: queue.id,
        if_unused,
        if_empty,
    };
    let limited = NewConsumer {
        prefetch: 1,
        ..consumer(1)
    };
    let commands = [
        consume(&client, &queue, limited),
        fixture.publish(&mut client, &[&queue], 2),
        delete(true, false),
        delete(false, true),
        purge(&client, &queue),
        cancel(&client, &queue, 1),
        // One message is unacked, none is ready: empty enough.
        delete(true, true),
        delete(true, true),
    ];
    fixture.turn(commands);
    let mut told = client.told();
    assert!(matches!(told.remove(1), Seen::Delivery(_)));
    let answers = [
        Seen::Consuming,
        Seen::Refused(Error::InUse(resource.clone())),
        Seen::Refused(Error::NotEmpty(resource)),
        Seen::Purged(1),
        Seen::CancelOk,
        Seen::Deleted(0),
        Seen::Deleted(0),
    ];
    assert_eq!(told, answers);
    assert_eq!(fixture.queued.held(), 0);
}

#[test]
fn exclusive_queues_are_gone_before_the_answer() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let mut other = fixture.client();
    let owner = client.id();
    let handle = fixture.declare_by(owner, "mine", |declaration| {
        declaration.owner = Some(owner);
    });
    let commands = [
        fixture.publish(&mut other, &[&handle], 3),
        consume(&client, &handle, consumer(1)),
        fixture.publish(&mut client, &[&handle], 1),
    ];
    fixture.turn(commands);
    client.told();
    fixture.turn([Command::Disconnect(owner)]);
    assert_eq!(client.told(), [Seen::Disconnected]);
    assert!(handle.is_deleted());
    assert!(fixture.vhost.find_queue("mine").is_none());
    assert_eq!(fixture.queued.held(), 0);
}

#[test]
fn a_queue_expires_when_it_was_not_used_for_long_enough() {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let mut arguments = TableWriter::new();
    arguments.put("x-expires", 1000);
    let queue = fixture.declare("q", |new| new.arguments = arguments.finish());
    let started = fixture.now;
    let at = |fixture: &mut Fixture, ms, commands: Vec<Command>| {
        fixture.now = started + Duration::from_millis(ms);
        fixture.turn(commands);
        fixture.vhost.find_queue("q").is_some()
    };
    assert!(at(&mut fixture, 900, vec![get(&client, &queue, true)]));
    assert!(at(&mut fixture, 1800, vec![count(&client, &queue)]));
    assert!(at(
        &mut fixture,
        2700,
        vec![consume(&client, &queue, consumer(1))]
    ));
    assert!(at(&mut fixture, 9000, vec![]), "it has a consumer");
    assert!(at(&mut fixture, 9500, vec![cancel(&client, &queue, 1)]));
    assert!(at(&mut fixture, 10_499, vec![]));
    let due = started + Duration::from_millis(10_500);
    assert_eq!(fixture.shard.next_deadline(), Some(due));
    assert!(!at(&mut fixture, 10_500, vec![]));
    assert_eq!(fixture.shard.next_deadline(), None);
}

#[test]
fn what_a_connection_held_goes_to_others_in_its_old_order() {
    let mut fixture = Fixture::new();
    let mut leaving = fixture.client();
    let staying = fixture.client();
    let queue = fixture.queue("q");
    let commands = [
        consume(&leaving, &queue, consumer(1)),
        Command::Consume(leaving.holder(7), Arc::clone(&queue), consumer(2)),
        fixture.publish(&mut leaving, &[&queue], 5),
    ];
    fixture.turn(commands);
    fixture.turn([
        consume(&staying, &queue, consumer(3)),
        Command::Disconnect(leaving.id()),
    ]);
    let told = staying.told();
    let redelivered: Vec<u64> = told
        .iter()
        .filter_map(|seen| match seen {
            Seen::Delivery(d) if d.redelivered => Some(d.message),
            _ => None,
        })
        .collect();
    assert_eq!(redelivered, [1, 2, 3, 4, 5]);
    assert_eq!(told.len(), 6);
    assert!(matches!(leaving.told().last(), Some(Seen::Disconnected)));
}

#[test]
fn a_command_of_a_connection_that_is_gone_harms_nothing() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = fixture.queue("q");
    fixture.turn([Command::Disconnect(client.id())]);
    client.told();
    let commands = [
        fixture.publish(&mut client, &[&queue], 1),
        consume(&client, &queue, consumer(1)),
        settle(&client, &queue, (1, 1), Outcome::Ack),
        Command::Resume(client.id()),
        Command::Disconnect(client.id()),
    ];
    fixture.turn(commands);
    assert_eq!(client.all(), []);
    let other = fixture.client();
    fixture.turn([count(&other, &queue)]);
    assert_eq!(other.told(), [Seen::Counts(1, 0)]);
}
