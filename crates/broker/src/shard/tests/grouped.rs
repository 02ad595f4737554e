//! Message groups: whatever consumers do, each group is with one of them at a time, and in order; and no message is left behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use leveret_message::batch::{BatchBuilder, NewMessage};
use leveret_message::properties::Properties;
use leveret_message::table::{TableWriter, Value};
use proptest::prelude::*;

use super::fixture::{Client, Delivery, Fixture, Seen, consume, consumer, settle};
use crate::command::{NewConsumer, Outcome};
use crate::queue_handle::QueueHandle;

const CLIENTS: usize = 3;

fn publish(fixture: &mut Fixture, client: &mut Client, queue: &Arc<QueueHandle>, of: &[(u64, u8)]) {
    let mut builder = BatchBuilder::default();
    for (number, group) in of {
        let header = ("group", Value::Long(i64::from(*group)));
        let properties = Properties::default().with_headers(|_| true, &[header]);
        let properties = properties.unwrap();
        let message = NewMessage {
            exchange_and_key: b"\0\0",
            properties: &properties,
            persistent: true,
            priority: 0,
        };
        builder.push(message, &number.to_le_bytes());
    }
    let publish = Fixture::publish_batch(client, &[queue], builder.seal());
    fixture.turn([publish]);
}

fn delivered(client: &Client) -> Vec<Delivery> {
    let told = client.told().into_iter();
    told.filter_map(|seen| match seen {
        Seen::Delivery(delivery) => Some(delivery),
        _ => None,
    })
    .collect()
}

proptest! {
    #[test]
    fn a_group_is_with_one_consumer_at_a_time_and_in_order(
        groups in prop::collection::vec(0_u8..6, 1..120),
        steps in prop::collection::vec((0..CLIENTS, any::<bool>()), 0..300),
        prefetch in 1_u16..6,
        budget in 0_usize..20_000,
    ) {
        let mut fixture = Fixture::with_budget(budget, usize::MAX);
        let mut arguments = TableWriter::new();
        arguments.put("x-leveret-message-group", Value::LongStr(b"group"));
        let arguments = arguments.finish();
        let queue = fixture.declare("q", |declaration| {
            declaration.durable = true;
            declaration.arguments = arguments;
        });
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| fixture.client()).collect();
        for client in &clients {
            let new = NewConsumer { prefetch, ..consumer(1) };
            fixture.turn([consume(client, &queue, new)]);
        }
        let numbered: Vec<(u64, u8)> = (1..).zip(groups.iter().copied()).collect();
        for some in numbered.chunks(7) {
            publish(&mut fixture, &mut clients[0], &queue, some);
        }
        let group_of = |message: u64| groups[message as usize - 1];
        // What each client holds, and the last message of each group that was acknowledged.
        let mut held: Vec<Vec<Delivery>> = vec![Vec::new(); CLIENTS];
        let mut acked: BTreeMap<u8, u64> = BTreeMap::new();
        let mut done = 0;
        let mut steps = steps.into_iter();
        loop {
            fixture.settle_down();
            for (client, held) in clients.iter().zip(&mut held) {
                held.extend(delivered(client));
            }
            let mut owner: BTreeMap<u8, usize> = BTreeMap::new();
            for (number, held) in held.iter().enumerate() {
                for delivery in held {
                    let group = group_of(delivery.message);
                    prop_assert_eq!(*owner.entry(group).or_insert(number), number);
                }
            }
            let scripted = steps.next().filter(|(client, _)| !held[*client].is_empty());
            let some = (0..CLIENTS).find(|client| !held[*client].is_empty());
            let Some((client, acks)) = scripted.or_else(|| some.map(|client| (client, true))) else {
                break;
            };
            // In order of delivery, as a consumer does that wants order.
            let delivery = held[client].remove(0);
            let outcome = if acks { Outcome::Ack } else { Outcome::Return };
            fixture.turn([settle(&clients[client], &queue, (delivery.seq, 1), outcome)]);
            if acks {
                done += 1;
                let last = acked.insert(group_of(delivery.message), delivery.message);
                // A consumer that gives something back while it holds more of the group has changed the order itself.
                prop_assert!(prefetch > 1 || last.is_none_or(|last| last < delivery.message));
            }
        }
        prop_assert_eq!(done, groups.len());
        prop_assert_eq!(fixture.shard.held_bytes, 0);
    }
}
