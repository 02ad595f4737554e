//! The pace of a producer, by a clock that the test turns.

use super::Pace;

const MS: u64 = 1_000_000;

fn pace(rate: u64) -> Pace {
    let mut pace = Pace::new(Some(rate));
    pace.begin(10 * MS);
    pace
}

#[test]
fn messages_are_due_one_after_the_other() {
    let pace = pace(1000);
    assert_eq!(pace.due(0, 10 * MS), 1);
    assert_eq!(pace.due(1, 10 * MS + MS / 2), 0);
    assert_eq!(pace.due(1, 11 * MS), 1);
    assert_eq!(pace.due(1, 15 * MS), 5);
    assert_eq!(pace.due(900, 15 * MS), 0);
}

#[test]
fn without_a_rate_all_are_due() {
    let mut pace = Pace::new(None);
    pace.begin(MS);
    assert_eq!(pace.due(1_000_000, MS), u64::MAX);
    assert_eq!(pace.sent_ns(5, 7 * MS), 7 * MS);
}

#[test]
fn what_was_due_while_the_broker_held_up_is_late() {
    let mut pace = pace(1000);
    assert_eq!(pace.sent_ns(0, 10 * MS), 10 * MS);
    // A write took until 15.5; messages 1 to 5 were due meanwhile, message 6 was not.
    pace.is_free(15 * MS + MS / 2);
    assert_eq!(pace.sent_ns(1, 16 * MS), 11 * MS);
    assert_eq!(pace.sent_ns(5, 16 * MS), 15 * MS);
    assert_eq!(pace.sent_ns(6, 16 * MS + 1), 16 * MS + 1);
}
