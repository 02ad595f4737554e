//! Priorities and times to live beside everything that makes messages leave memory and come back.

use std::sync::Arc;
use std::time::Duration;

use leveret_message::batch::{Batch, BatchBuilder, NewMessage};
use leveret_message::table::{TableWriter, Value};
use leveret_store::log::QueueId;
use proptest::prelude::*;

use super::fixture::{Fixture, consume, consumer};
use crate::command::NewConsumer;
use crate::queue_handle::QueueHandle;

/// A message: its number, its priority, whether it is persistent.
type Ranked = (u64, u8, bool);

fn batch(messages: &[Ranked], properties: &[u8]) -> Arc<Batch> {
    let mut builder = BatchBuilder::default();
    for (number, priority, persistent) in messages {
        let message = NewMessage {
            exchange_and_key: b"\0\0",
            properties,
            persistent: *persistent,
            priority: *priority,
        };
        let mut body = [0; 64];
        body[..8].copy_from_slice(&number.to_le_bytes());
        builder.push(message, &body);
    }
    builder.seal()
}

fn ranked(fixture: &mut Fixture, argument: &str, value: i64) -> Arc<QueueHandle> {
    let mut arguments = TableWriter::new();
    arguments.put(argument, Value::Long(value));
    let arguments = arguments.finish();
    fixture.declare("q", |declaration| {
        declaration.durable = true;
        declaration.arguments = arguments;
    })
}

/// Everything that a consumer without acks is given.
fn drain(fixture: &mut Fixture, queue: &Arc<QueueHandle>) -> Vec<u64> {
    let client = fixture.client();
    let no_ack = NewConsumer {
        no_ack: true,
        ..consumer(1)
    };
    fixture.turn([consume(&client, queue, no_ack)]);
    fixture.settle_down();
    let told = client.told().into_iter();
    told.filter_map(|seen| match seen {
        super::fixture::Seen::Delivery(delivery) => Some(delivery.message),
        _ => None,
    })
    .collect()
}

fn ready(fixture: &Fixture, queue: QueueId) -> u64 {
    fixture
        .shard
        .queues
        .get(&queue)
        .map_or(0, |queue| queue.ready_count())
}

proptest! {
    #[test]
    fn the_highest_come_first_wherever_they_are(
        batches in prop::collection::vec(
            prop::collection::vec((0_u8..12, any::<bool>()), 1..20),
            1..30,
        ),
        budget in 0_usize..20_000,
    ) {
        let mut fixture = Fixture::with_budget(budget, usize::MAX);
        let queue = ranked(&mut fixture, "x-max-priority", 9);
        let mut client = fixture.client();
        let mut all: Vec<Ranked> = Vec::new();
        for messages in &batches {
            let first = all.len() as u64 + 1;
            let numbered = (first..).zip(messages).map(|(n, (priority, persistent))| (n, *priority, *persistent));
            let numbered: Vec<Ranked> = numbered.collect();
            let publish = Fixture::publish_batch(&mut client, &[&queue], batch(&numbered, &[0, 0]));
            all.extend(numbered);
            fixture.turn([publish]);
        }
        all.sort_by_key(|(number, priority, _)| (u8::MAX - (*priority).min(9), *number));
        let expected: Vec<u64> = all.iter().map(|(number, ..)| *number).collect();
        prop_assert_eq!(drain(&mut fixture, &queue), expected);
        prop_assert_eq!(fixture.shard.held_bytes, 0);
        let (messages, chunks) = fixture.log.lock().log.kept_count();
        prop_assert_eq!((messages, chunks), (0, 0));
    }

    #[test]
    fn what_has_expired_goes_wherever_it_is(
        batches in prop::collection::vec((1_u64..20, any::<bool>(), 0_u64..2_000), 1..30),
        budget in 0_usize..20_000,
    ) {
        const TTL_MS: u64 = 5_000;
        let mut fixture = Fixture::with_budget(budget, usize::MAX);
        let queue = ranked(&mut fixture, "x-message-ttl", TTL_MS as i64);
        let mut client = fixture.client();
        let (mut number, mut at_ms, mut alive) = (0, 0, Vec::new());
        for (count, persistent, then_ms) in batches {
            let messages: Vec<Ranked> = (0..count).map(|i| (number + i + 1, 0, persistent)).collect();
            number += count;
            let publish = Fixture::publish_batch(&mut client, &[&queue], batch(&messages, &[0, 0]));
            fixture.turn([publish]);
            alive.extend(messages.iter().map(|(number, ..)| (*number, at_ms)));
            fixture.now += Duration::from_millis(then_ms);
            at_ms += then_ms;
            fixture.settle_down();
            alive.retain(|(_, came)| came + TTL_MS > at_ms);
            prop_assert_eq!(ready(&fixture, queue.id), alive.len() as u64);
        }
        let expected: Vec<u64> = alive.iter().map(|(number, _)| *number).collect();
        prop_assert_eq!(drain(&mut fixture, &queue), expected);
        prop_assert_eq!(fixture.shard.held_bytes, 0);
        let (messages, chunks) = fixture.log.lock().log.kept_count();
        prop_assert_eq!((messages, chunks), (0, 0));
    }
}
