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

#[test]
fn what_was_put_away_comes_back_once() {
    let mut log = MemoryLog::default();
    let body = Bytes::from_static(b"large");
    let first = log.put_away(b"one", std::slice::from_ref(&body)).unwrap();
    let second = log.put_away(b"two", &[]).unwrap();
    let mut fetched = vec![];
    log.take_fetched(&mut fetched);
    assert!(fetched.is_empty(), "nothing was asked for");
    log.fetch(second);
    log.fetch(first);
    log.fetch(first);
    log.take_fetched(&mut fetched);
    let came: Vec<_> = fetched
        .iter()
        .map(|f| (f.at, f.records.as_slice()))
        .collect();
    assert_eq!(came, [(second, &b"two"[..]), (first, &b"one"[..])]);
    assert_eq!(fetched[1].bodies, [body]);
}

#[test]
fn what_is_forgotten_does_not_come() {
    let mut log = MemoryLog::default();
    let at = log.put_away(b"one", &[]).unwrap();
    let asked = log.put_away(b"two", &[]).unwrap();
    log.fetch(asked);
    log.forget(at);
    log.forget(asked);
    log.fetch(at);
    let mut fetched = vec![];
    log.take_fetched(&mut fetched);
    assert!(fetched.is_empty());
}
