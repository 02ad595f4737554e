//! Positions rise and are durable at once.

use super::*;
use crate::log::{Group, QueueId};

#[test]
fn an_entry_is_durable_as_soon_as_it_is_appended() {
    let mut log = MemoryLog::default();
    let settle = Entry::Settle {
        group: Group(1),
        queue: QueueId(7),
        first_seq: 1,
        count: 2,
    };
    let first = log.append(settle).unwrap();
    let second = log.append(settle).unwrap();
    assert!(first < second);
    assert_eq!(log.durable(), second);
}
