//! Whose turn it is, seen alone: what a shard does with the answer is tested there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::ids::ConnectionId;

const ANYONE: fn(&Consumer) -> bool = |_| true;

fn holder() -> Holder {
    Holder {
        connection: ConnectionId(1),
        channel: 1,
    }
}

fn new(slot: u32, priority: i64, prefetch: u16) -> NewConsumer {
    NewConsumer {
        slot: ConsumerSlot(slot),
        tag: Name::new(&format!("tag {}", slot)).expect("short"),
        no_ack: false,
        exclusive: false,
        prefetch,
        channel_credit: None,
        priority,
        timeout: None,
        offset: Default::default(),
        filter: None,
        offset_name: None,
        reader: 0,
    }
}

/// Adds consumers with slots 1, 2, ... of these priorities and prefetch counts.
fn consumers(of: &[(i64, u16)]) -> (Consumers, Vec<ConsumerKey>) {
    let mut consumers = Consumers::default();
    let keys = of.iter().zip(1..).map(|((priority, prefetch), slot)| {
        consumers.add(holder(), new(slot, *priority, *prefetch), None)
    });
    let keys = keys.collect();
    (consumers, keys)
}

/// The next turns, as slots and counts.
fn turns(consumers: &mut Consumers, available: u64, count: usize) -> Vec<(u32, u64)> {
    (0..count)
        .filter_map(|_| consumers.next(available, ANYONE))
        .map(|turn| (turn.slot.0, turn.count))
        .collect()
}

#[test]
fn one_at_a_time_while_others_wait_and_all_at_once_when_alone() {
    let (mut some, keys) = consumers(&[(0, 2), (0, 0)]);
    let expected = [(1, 1), (2, 1), (1, 1), (2, 1), (2, 9), (2, 9)];
    assert_eq!(turns(&mut some, 9, 6), expected);
    some.give_back(keys[0], 1);
    assert_eq!(turns(&mut some, 9, 3), [(2, 1), (1, 1), (2, 1)]);
}

#[test]
fn one_alone_takes_no_more_than_its_credit() {
    let (mut one, keys) = consumers(&[(0, 5)]);
    assert_eq!(turns(&mut one, 3, 9), [(1, 3), (1, 2)]);
    one.give_back(keys[0], 4);
    assert_eq!(turns(&mut one, 9, 9), [(1, 4)]);
}

#[test]
fn higher_priorities_first() {
    let (mut some, keys) = consumers(&[(-5, 0), (7, 1), (0, 1), (7, 1)]);
    assert_eq!(
        turns(&mut some, 1, 5),
        [(2, 1), (4, 1), (3, 1), (1, 1), (1, 1)]
    );
    some.give_back(keys[2], 1);
    some.give_back(keys[3], 1);
    assert_eq!(turns(&mut some, 1, 3), [(4, 1), (3, 1), (1, 1)]);
}

#[test]
fn who_may_not_take_leaves_the_order_until_woken() {
    let (mut some, _) = consumers(&[(0, 0), (0, 0)]);
    let mut asked = 0;
    let refused = some.next(1, |_| {
        asked += 1;
        false
    });
    assert!(refused.is_none());
    assert!(some.next(1, ANYONE).is_none(), "nobody is in the order");
    assert_eq!(asked, 2);
    some.wake(|consumer| consumer.slot == ConsumerSlot(2));
    some.wake(|_| true);
    assert_eq!(turns(&mut some, 1, 3), [(2, 1), (1, 1), (2, 1)]);
}

#[test]
fn a_consumer_that_goes_takes_its_turn_with_it() {
    let (mut some, keys) = consumers(&[(0, 0), (0, 0), (0, 0)]);
    assert_eq!(turns(&mut some, 1, 1), [(1, 1)]);
    assert_eq!(some.remove(|consumer| consumer.key == keys[1]), 1);
    some.give_back(keys[1], 1);
    assert_eq!(turns(&mut some, 1, 3), [(3, 1), (1, 1), (3, 1)]);
    assert_eq!(some.remove(|_| true), 2);
    assert!(some.is_empty());
    assert!(some.next(1, ANYONE).is_none());
}

#[test]
fn exclusive_is_alone() {
    let (mut some, _) = consumers(&[(0, 0)]);
    assert!(some.admits(false) && !some.admits(true));
    some.remove(|_| true);
    assert!(some.admits(false) && some.admits(true));
    let exclusive = NewConsumer {
        exclusive: true,
        ..new(1, 0, 0)
    };
    some.add(holder(), exclusive, None);
    assert!(!some.admits(false) && !some.admits(true));
    some.remove(|_| true);
    assert!(some.admits(false) && some.admits(true));
}

#[test]
fn no_ack_knows_no_credit() {
    let mut one = Consumers::default();
    let spent = Arc::new(AtomicI64::new(0));
    let no_ack = NewConsumer {
        no_ack: true,
        channel_credit: Some(Arc::clone(&spent)),
        ..new(1, 0, 1)
    };
    one.add(holder(), no_ack, None);
    assert_eq!(turns(&mut one, 9, 2), [(1, 9), (1, 9)]);
    assert_eq!(spent.load(Ordering::Relaxed), 0);
}

/// Two queues, as if on two shards, whose consumers share a channel's credit.
#[test]
fn a_channel_s_credit_is_spent_once() {
    let credit = Arc::new(AtomicI64::new(3));
    let mut queues = [Consumers::default(), Consumers::default()];
    for queue in &mut queues {
        let limited = NewConsumer {
            channel_credit: Some(Arc::clone(&credit)),
            ..new(1, 0, 0)
        };
        queue.add(holder(), limited, None);
    }
    let [one, two] = &mut queues;
    // The second looks while there is credit, and gets its turn when it has gone.
    let mut looked = 0;
    let turn = one.next(9, |consumer| {
        looked += 1;
        if looked == 1 {
            assert_eq!(turns(two, 2, 1), [(1, 2)]);
        }
        consumer.channel_credit() > 0
    });
    assert_eq!(turn.map(|turn| turn.count), Some(1));
    assert_eq!(credit.load(Ordering::Relaxed), 0);

    credit.store(2, Ordering::Relaxed);
    let mut looked = 0;
    let turn = one.next(9, |consumer| {
        looked += 1;
        let may_take = consumer.channel_credit() > 0;
        if looked == 1 {
            assert_eq!(turns(two, 9, 1), [(1, 2)]);
        }
        may_take
    });
    assert!(turn.is_none(), "{turn:?}");
    assert_eq!(looked, 2, "whoever parks it has to be asked again");
    assert_eq!(credit.load(Ordering::Relaxed), 0);
}

/// The same from two threads: the limit holds whatever the order.
#[test]
fn a_channel_s_credit_holds_between_threads() {
    const CREDIT: u64 = 20_000;
    let credit = Arc::new(AtomicI64::new(CREDIT as i64));
    let taken: u64 = std::thread::scope(|scope| {
        let take = || {
            let mut queue = Consumers::default();
            for slot in 1..=2 {
                let limited = NewConsumer {
                    channel_credit: Some(Arc::clone(&credit)),
                    ..new(slot, 0, 0)
                };
                queue.add(holder(), limited, None);
            }
            let mut taken = 0;
            while let Some(turn) = queue.next(1, |consumer| consumer.channel_credit() > 0) {
                taken += turn.count;
            }
            taken
        };
        let threads = [scope.spawn(take), scope.spawn(take)];
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!(taken, CREDIT);
    assert_eq!(credit.load(Ordering::Relaxed), 0);
}

#[test]
fn priorities_that_nobody_has_any_more_are_forgotten() {
    let (mut some, _) = consumers(&[(0, 0)]);
    for priority in 1..1000 {
        some.add(holder(), new(2, priority, 0), None);
        some.remove(|consumer| consumer.slot == ConsumerSlot(2));
    }
    assert_eq!(some.rings.len(), 1);
}

#[test]
fn a_single_active_one_takes_all_until_it_goes() {
    let mut some = Consumers::new(true);
    let keys: Vec<_> = [(0, 2), (0, 0), (5, 0), (5, 0)]
        .iter()
        .zip(1..)
        .map(|((priority, prefetch), slot)| {
            some.add(holder(), new(slot, *priority, *prefetch), None)
        })
        .collect();
    assert_eq!(turns(&mut some, 9, 4), [(1, 2)], "nobody steps in");
    some.wake(ANYONE);
    assert_eq!(turns(&mut some, 9, 4), []);
    some.give_back(keys[0], 1);
    assert_eq!(turns(&mut some, 9, 4), [(1, 1)]);
    assert_eq!(some.single_active().map(|c| c.key), Some(keys[0]));
    some.remove(|consumer| consumer.key == keys[1]);
    assert_eq!(turns(&mut some, 9, 4), []);
    some.remove(|consumer| consumer.key == keys[0]);
    assert_eq!(turns(&mut some, 9, 2), [(3, 9), (3, 9)]);
    some.remove(|consumer| consumer.key == keys[2]);
    assert_eq!(turns(&mut some, 9, 1), [(4, 9)]);
    some.remove(ANYONE);
    assert!(some.single_active().is_none());
    some.add(holder(), new(5, 0, 0), None);
    assert_eq!(turns(&mut some, 9, 1), [(5, 9)]);
}

#[test]
fn a_single_active_one_is_not_exclusive() {
    assert!(!Consumers::new(true).admits(true));
    assert!(Consumers::new(true).admits(false));
}
