//! Message groups: whatever consumers do, each group is with one of them at a time, and in order; and no message is left behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leveret_message::batch::{BatchBuilder, NewMessage};
use leveret_message::properties::Properties;
use leveret_message::table::{TableWriter, Value};
use proptest::prelude::*;

use super::fixture::{Client, Delivery, Fixture, Seen, consume, consumer, get, settle};
use crate::arguments::QueueArguments;
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

/// Whether what is ready waits for good reason: the owner of its group has all it can take, or where there is none, everybody has.
fn all_wait(
    ready: &BTreeMap<u64, u8>,
    held: &[Vec<Delivery>],
    group_of: impl Fn(u64) -> u8,
    prefetch: usize,
) -> bool {
    let owner = |group| {
        let is_of = |delivery: &Delivery| group_of(delivery.message) == group;
        held.iter().position(|held| held.iter().any(is_of))
    };
    ready.values().all(|group| match owner(*group) {
        Some(owner) => held[owner].len() >= prefetch,
        None => held.iter().all(|held| held.len() >= prefetch),
    })
}

fn grouped(fixture: &mut Fixture, further: &[(&str, Value<'_>)]) -> Arc<QueueHandle> {
    let mut arguments = TableWriter::new();
    arguments.put("x-leveret-message-group", Value::LongStr(b"group"));
    for (name, value) in further {
        arguments.put(name, *value);
    }
    let arguments = arguments.finish();
    fixture.declare("q", |declaration| {
        declaration.durable = true;
        declaration.arguments = arguments;
    })
}

/// Consumers take all messages of some groups by some steps, and each step settles one message of one of them.
fn consume_all(
    groups: &[u8],
    steps: Vec<(usize, bool)>,
    prefetch: u16,
    budget: usize,
) -> Result<(), TestCaseError> {
    let mut fixture = Fixture::with_budget(budget, usize::MAX);
    let queue = grouped(&mut fixture, &[]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| fixture.client()).collect();
    for client in &clients {
        let new = NewConsumer {
            prefetch,
            ..consumer(1)
        };
        fixture.turn([consume(client, &queue, new)]);
    }
    let numbered: Vec<(u64, u8)> = (1..).zip(groups.iter().copied()).collect();
    for some in numbered.chunks(7) {
        publish(&mut fixture, &mut clients[0], &queue, some);
    }
    let group_of = |message: u64| groups[message as usize - 1];
    // What is ready, what each client holds, and the last message of each group that was acknowledged.
    let mut ready: BTreeMap<u64, u8> = numbered.into_iter().collect();
    let mut held: Vec<Vec<Delivery>> = vec![Vec::new(); CLIENTS];
    let mut acked: BTreeMap<u8, u64> = BTreeMap::new();
    let mut done = 0;
    let mut steps = steps.into_iter();
    loop {
        fixture.settle_down();
        for (client, held) in clients.iter().zip(&mut held) {
            for delivery in delivered(client) {
                ready.remove(&delivery.message);
                held.push(delivery);
            }
        }
        let mut owner: BTreeMap<u8, usize> = BTreeMap::new();
        for (number, held) in held.iter().enumerate() {
            for delivery in held {
                let group = group_of(delivery.message);
                prop_assert_eq!(*owner.entry(group).or_insert(number), number);
            }
        }
        let is_looked_at = ready.len() <= 256;
        prop_assert!(!is_looked_at || all_wait(&ready, &held, group_of, usize::from(prefetch)));
        let scripted = steps.next().filter(|(client, _)| !held[*client].is_empty());
        let some = (0..CLIENTS).find(|client| !held[*client].is_empty());
        let Some((client, acks)) = scripted.or_else(|| some.map(|client| (client, true))) else {
            break;
        };
        // In order of delivery, as a consumer does that wants order.
        let delivery = held[client].remove(0);
        let outcome = if acks { Outcome::Ack } else { Outcome::Return };
        fixture.turn([settle(&clients[client], &queue, (delivery.seq, 1), outcome)]);
        let group = group_of(delivery.message);
        if acks {
            done += 1;
            let last = acked.insert(group, delivery.message);
            // A consumer that gives something back while it holds more of the group has changed the order itself.
            prop_assert!(prefetch > 1 || last.is_none_or(|last| last < delivery.message));
        } else {
            ready.insert(delivery.message, group);
        }
    }
    prop_assert_eq!(done, groups.len());
    prop_assert_eq!(fixture.shard.held_bytes, 0);
    Ok(())
}

proptest! {
    #[test]
    fn a_group_is_with_one_consumer_at_a_time_and_in_order(
        groups in prop::collection::vec(0_u8..6, 1..120),
        steps in prop::collection::vec((0..CLIENTS, any::<bool>()), 0..300),
        prefetch in 1_u16..6,
        budget in 0_usize..20_000,
    ) {
        consume_all(&groups, steps, prefetch, budget)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn so_it_is_where_more_would_be_set_aside_than_may_be(
        groups in prop::collection::vec(0_u8..4, 300..700),
        steps in prop::collection::vec((0..CLIENTS, any::<bool>()), 0..300),
        prefetch in 1_u16..3,
        budget in 0_usize..20_000,
    ) {
        consume_all(&groups, steps, prefetch, budget)?;
    }
}

/// Two consumers that take one message each, of which the first has one of group 1 and the second one of group 2; the rest of group 1 is aside.
fn aside(further: &[(&str, Value<'_>)]) -> (Fixture, Arc<QueueHandle>, Vec<Client>) {
    let mut fixture = Fixture::new();
    let queue = grouped(&mut fixture, further);
    let mut clients: Vec<Client> = (0..3).map(|_| fixture.client()).collect();
    for client in &clients[1..] {
        let new = NewConsumer {
            prefetch: 1,
            ..consumer(1)
        };
        fixture.turn([consume(client, &queue, new)]);
    }
    let of = [(1, 1), (2, 1), (3, 1), (4, 2)];
    publish(&mut fixture, &mut clients[0], &queue, &of);
    let told: Vec<_> = clients
        .iter()
        .map(|client| delivered(client).len())
        .collect();
    assert_eq!(told, [0, 1, 1]);
    assert_eq!(fixture.shard.queues[&queue.id].ready_count(), 2);
    (fixture, queue, clients)
}

#[test]
fn what_is_aside_expires() {
    let (mut fixture, queue, _clients) = aside(&[("x-message-ttl", Value::Long(1_000))]);
    let due = fixture.shard.next_deadline().unwrap();
    assert_eq!(due, fixture.now + Duration::from_millis(1_000));
    fixture.now += Duration::from_millis(999);
    fixture.turn([]);
    assert_eq!(fixture.shard.queues[&queue.id].ready_count(), 2);
    fixture.now += Duration::from_millis(1);
    fixture.turn([]);
    assert_eq!(fixture.shard.queues[&queue.id].ready_count(), 0);
    assert_eq!(fixture.shard.next_deadline(), None);
}

#[test]
fn a_time_to_live_that_comes_later_holds_for_what_is_aside() {
    let (mut fixture, queue, _clients) = aside(&[]);
    let shard = &mut fixture.shard;
    let queue_state = shard.queues.get_mut(&queue.id).unwrap();
    let mut settings = QueueArguments::clone(&queue_state.settings);
    settings.message_ttl = Some(Duration::from_millis(50));
    queue_state.govern(settings.into());
    crate::shard::touch(&mut shard.touched, queue_state);
    fixture.turn([]);
    assert_eq!(fixture.shard.queues[&queue.id].ready_count(), 2);
    fixture.now += Duration::from_millis(50);
    fixture.turn([]);
    assert_eq!(fixture.shard.queues[&queue.id].ready_count(), 0);
}

#[test]
fn what_is_aside_can_be_got_and_counts_as_the_oldest() {
    let limit = [("x-max-length", Value::Long(2))];
    let (mut fixture, queue, mut clients) = aside(&limit);
    // Number 2 is one too many now.
    publish(&mut fixture, &mut clients[0], &queue, &[(5, 2)]);
    for expected in [Some(3), Some(5), None] {
        fixture.turn([get(&clients[0], &queue, true)]);
        let told = clients[0].told();
        let [Seen::Got(got, _)] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(got.map(|got| got.message), expected);
    }
    assert_eq!(fixture.shard.queues[&queue.id].held_bytes(), {
        let shard = &fixture.shard;
        shard.held_bytes as usize
    });
}

#[test]
fn a_consumer_that_acks_one_message_after_the_other_is_dealt_to_whatever_is_aside() {
    let mut fixture = Fixture::new();
    let queue = grouped(&mut fixture, &[]);
    let mut clients: Vec<Client> = (0..3).map(|_| fixture.client()).collect();
    for client in &clients[1..] {
        let new = NewConsumer {
            prefetch: 1,
            ..consumer(1)
        };
        fixture.turn([consume(client, &queue, new)]);
    }
    // The first consumer keeps group 0, of which 200 are aside; the groups of the others are all different.
    let many = (0..200).map(|number| (number + 1, 0));
    let others = (0..100).map(|number| (number + 201, number as u8 + 1));
    let of: Vec<_> = many.chain(others).collect();
    publish(&mut fixture, &mut clients[0], &queue, &of);
    assert_eq!(delivered(&clients[1])[0].message, 1);
    for number in 201..301 {
        let delivery = delivered(&clients[2])[0];
        assert_eq!(delivery.message, number);
        let acked = settle(&clients[2], &queue, (delivery.seq, 1), Outcome::Ack);
        fixture.turn([acked]);
    }
    let acked = settle(&clients[1], &queue, (1, 1), Outcome::Ack);
    fixture.turn([acked]);
    let told: Vec<_> = clients.iter().flat_map(delivered).collect();
    assert_eq!(
        told.iter().map(|told| told.message).collect::<Vec<_>>(),
        [2]
    );
}
