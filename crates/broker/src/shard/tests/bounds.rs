//! What a shard remembers of a connection does not grow with what the connection once did.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use leveret_message::table::TableWriter;

use super::fixture::{Client, Fixture, cancel, consume, consumer, delete};
use crate::command::{Command, NewConsumer};
use crate::shard::peer::Peer;

const ROUNDS: u32 = 5_000;
const FEW: usize = 300;

fn peer<'f>(fixture: &'f Fixture, client: &Client) -> &'f Peer {
    &fixture.shard.table.peers[&client.id()]
}

#[test]
fn queues_that_came_and_went_are_forgotten() {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let owner = client.id();
    let spent = NewConsumer {
        channel_credit: Some(Arc::new(AtomicI64::new(0))),
        ..consumer(1)
    };
    let mut publisher = fixture.client();
    for _ in 0..ROUNDS {
        let handle = fixture.declare_by(owner, "q", |new| new.owner = Some(owner));
        let commands = [
            consume(&client, &handle, spent.clone()),
            fixture.publish(&mut publisher, &[&handle], 1),
            delete(&client, &handle),
        ];
        fixture.turn(commands);
        client.all();
        publisher.all();
    }
    assert_eq!(fixture.vhost.queues_count(), 0);
    let peer = peer(&fixture, &client);
    assert!(peer.held_from.len() < FEW, "{}", peer.held_from.len());
    assert!(peer.exclusive.len() < FEW, "{}", peer.exclusive.len());
    assert!(peer.parked.len() < FEW, "{}", peer.parked.len());
}

#[test]
fn consumers_without_credit_that_came_and_went_are_forgotten() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queues = [fixture.queue("one"), fixture.queue("two")];
    let spent = NewConsumer {
        channel_credit: Some(Arc::new(AtomicI64::new(0))),
        ..consumer(1)
    };
    let publish = fixture.publish(&mut client, &[&queues[0], &queues[1]], 1);
    fixture.turn([publish]);
    for _ in 0..ROUNDS {
        for queue in &queues {
            fixture.turn([
                consume(&client, queue, spent.clone()),
                cancel(&client, queue, 1),
            ]);
        }
        client.all();
    }
    let peer = peer(&fixture, &client);
    assert!(peer.parked.len() <= 2, "{}", peer.parked.len());
    assert!(peer.held_from.len() <= 2, "{}", peer.held_from.len());
}

#[test]
fn queues_that_were_to_expire_and_went_before_are_forgotten() {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let mut arguments = TableWriter::new();
    arguments.put("x-expires", 315_360_000_000_i64);
    let arguments = arguments.finish();
    for _ in 0..10 {
        let queue = fixture.declare("q", |new| new.arguments = arguments.clone());
        assert!(fixture.shard.next_deadline().is_some());
        fixture.turn([delete(&client, &queue)]);
        assert_eq!(fixture.shard.next_deadline(), None);
    }
}

#[test]
fn a_connection_that_is_gone_is_forgotten() {
    let mut fixture = Fixture::new();
    let queue = fixture.queue("q");
    for _ in 0..100 {
        let mut client = fixture.client();
        let commands = [
            fixture.publish(&mut client, &[&queue], 1),
            consume(&client, &queue, consumer(1)),
            Command::Disconnect(client.id()),
        ];
        fixture.turn(commands);
        assert_eq!(Arc::strong_count(&client.link), 1);
    }
    assert!(fixture.shard.table.peers.is_empty());
    assert!(fixture.shard.table.spoken_to.is_empty());
    assert!(fixture.shard.undone.is_empty());
}
