//! Confirms cover each publish once, in order, and none before its shards are done.

use super::*;

/// The tags and multiple bits of the acks that were written.
fn acks(confirms: &mut Confirms, done: &[u64]) -> Vec<(u64, bool)> {
    let mut out = vec![];
    confirms.write(1, done, &mut out);
    let frames = out.chunks(21);
    frames
        .map(|frame| {
            (
                u64::from_be_bytes(frame[11..19].try_into().unwrap()),
                frame[19] == 1,
            )
        })
        .collect()
}

const NONE: ShardSet = ShardSet(0);
const FIRST: ShardSet = ShardSet(1);
const BOTH: ShardSet = ShardSet(3);

#[test]
fn a_hand_over_is_confirmed_when_all_its_shards_are_done() {
    let mut confirms = Confirms::new();
    assert!(confirms.published(FIRST));
    assert!(!confirms.published(BOTH));
    confirms.handed_over(|_| 1);
    assert_eq!(acks(&mut confirms, &[0, 0]), []);
    assert_eq!(acks(&mut confirms, &[1, 0]), []);
    assert!(confirms.is_pending());
    assert_eq!(acks(&mut confirms, &[1, 1]), [(2, true)]);
    assert_eq!(acks(&mut confirms, &[1, 1]), []);
}

#[test]
fn unroutable_publishes_wait_for_those_before_them() {
    let mut confirms = Confirms::new();
    confirms.published(NONE);
    confirms.handed_over(|_| 0);
    assert_eq!(acks(&mut confirms, &[0, 0]), [(1, false)]);
    confirms.published(FIRST);
    confirms.handed_over(|_| 1);
    confirms.published(NONE);
    confirms.handed_over(|_| 1);
    assert_eq!(acks(&mut confirms, &[0, 0]), []);
    assert_eq!(acks(&mut confirms, &[1, 0]), [(3, true)]);
}

#[test]
fn what_is_gathered_is_not_confirmed() {
    let mut confirms = Confirms::new();
    confirms.published(FIRST);
    confirms.handed_over(|_| 1);
    confirms.published(FIRST);
    assert_eq!(acks(&mut confirms, &[1, 0]), [(1, false)]);
    confirms.handed_over(|_| 2);
    assert_eq!(acks(&mut confirms, &[1, 0]), []);
    assert_eq!(acks(&mut confirms, &[2, 0]), [(2, false)]);
}
