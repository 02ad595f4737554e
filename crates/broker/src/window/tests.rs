//! A window against a list, by random steps.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::command::Shards;
use crate::deduplication::KEY_BYTES;
use crate::doubles;
use crate::queue_handle::QueueDeclaration;

fn window(keys_max: u64) -> (Window, Arc<KeyLimit>) {
    let vhost = doubles::vhost("/", &Shards::new(1));
    let declaration = QueueDeclaration {
        name: leveret_message::name::Name::new("w").unwrap(),
        durable: true,
        owner: None,
        auto_delete: false,
        arguments: Default::default(),
    };
    let declared = vhost.declare_queue(crate::ids::ConnectionId(0), declaration, false);
    let handle = Arc::clone(declared.unwrap().queue());
    let limit = Arc::new(KeyLimit::new((keys_max * KEY_BYTES) as usize));
    (Window::new(handle, 0, Arc::clone(&limit)), limit)
}

#[derive(Clone, Debug)]
enum Step {
    /// A message with this key comes, to be known for so long.
    Come(u8, Option<u64>),
    /// Time passes.
    Pass(u64),
    /// Keys that are over are forgotten, so many at the most.
    Forget(usize),
    /// The window is read back.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ttl = prop::option::of(0..60_u64);
    let step = prop_oneof![
        10 => (0..12_u8, ttl).prop_map(|(key, ttl)| Step::Come(key, ttl)),
        3 => (0..30_u64).prop_map(Step::Pass),
        2 => (1..4_usize).prop_map(Step::Forget),
        1 => Just(Step::Restart),
    ];
    vec(step, 1..80)
}

proptest! {
    #[test]
    fn it_knows_what_a_list_knows(steps in steps(), size in 1..8_u64, keys_max in 1..9_u64) {
        let (mut window, limit) = window(keys_max);
        let (mut now_ms, mut next_seq) = (1_000, 1);
        // Until when, the sequence number, the key.
        let mut list: BTreeSet<(u64, u64, u8)> = BTreeSet::new();
        // What the log has.
        let mut logged: BTreeSet<u64> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Come(key, ttl) => {
                    let known = list.iter().any(|(until, _, of)| *of == key && *until > now_ms);
                    prop_assert_eq!(window.knows(Key(key.into()), now_ms), known);
                    if known {
                        continue;
                    }
                    let until_ms = ttl.map_or(FOR_EVER, |ttl| now_ms + ttl);
                    let seq = window.add(Key(key.into()), until_ms, size, |seq| {
                        assert!(logged.remove(&seq));
                    });
                    list.retain(|(_, _, of)| *of != key);
                    while list.len() as u64 >= size.min(keys_max) {
                        list.pop_first();
                    }
                    prop_assert_eq!(seq, next_seq);
                    list.insert((until_ms, seq, key));
                    logged.insert(seq);
                    next_seq += 1;
                }
                Step::Pass(ms) => now_ms += ms,
                Step::Forget(most) => {
                    let mut gone = Vec::new();
                    let is_left = window.forget_over(now_ms, most, |seq| gone.push(seq));
                    let over = list.iter().filter(|(until, ..)| *until <= now_ms);
                    let over: Vec<_> = over.take(most).copied().collect();
                    prop_assert!(is_left || over.len() < most || window.next_ms() > Some(now_ms));
                    over.iter().for_each(|over| {
                        list.remove(over);
                    });
                    gone.iter().for_each(|seq| {
                        logged.remove(seq);
                    });
                    prop_assert_eq!(gone, over.iter().map(|(_, seq, _)| *seq).collect::<Vec<_>>());
                }
                Step::Restart => {
                    let handle = Arc::clone(&window.handle);
                    window = Window::new(handle, next_seq, Arc::clone(&limit));
                    for (until_ms, seq, key) in &list {
                        let record = record(Key((*key).into()), *until_ms);
                        let (key, until_ms) = read(&record).unwrap();
                        window.put_back(key, until_ms, *seq);
                    }
                }
            }
            prop_assert_eq!(window.count(), list.len());
            prop_assert_eq!(logged.len(), list.len());
            prop_assert_eq!(limit.known(), list.len() as u64);
        }
        drop(window);
        prop_assert_eq!(limit.known(), 0);
    }
}

#[test]
fn where_fewer_are_allowed_than_before_they_go_by_and_by() {
    let (mut window, _) = window(10_000);
    for key in 0..5_000 {
        window.add(Key(key), FOR_EVER, 10_000, |_| panic!("there is room"));
    }
    let mut counts = Vec::new();
    for key in 5_000..5_006 {
        let mut gone = 0;
        window.add(Key(key), FOR_EVER, 10, |_| gone += 1);
        counts.push((gone, window.count()));
    }
    let expected = [3_977, 2_954, 1_931, 908, 10, 10];
    assert_eq!(
        counts.iter().map(|(_, left)| *left).collect::<Vec<_>>(),
        expected
    );
    assert!(counts.iter().all(|(gone, _)| *gone <= 1_024));
    assert!(window.knows(Key(5_005), 0) && !window.knows(Key(0), 0));
}
