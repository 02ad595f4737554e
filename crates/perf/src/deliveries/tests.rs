//! Deliveries whole, in parts, damaged, and of nobody.

use super::Deliveries;
use crate::body::{self, Numbers};
use crate::latency::no_times;
use crate::run::Run;

const SIZE: usize = 40;

fn message(producer: u16, sequence: u64) -> Vec<u8> {
    let mut body = body::blank(SIZE);
    body[..8].copy_from_slice(&Numbers { producer, sequence }.to_octets());
    body[8..16].copy_from_slice(&1000_u64.to_be_bytes());
    body
}

/// Received, damaged, and how many different messages of producer 0 came.
fn after(messages: &[(u64, Vec<&[u8]>)]) -> (u64, u64, u64) {
    let (run, mut times) = (Run::new(1), no_times());
    let mut deliveries = Deliveries::new(SIZE, 1, 1);
    for (size, parts) in messages {
        let mut is_whole = deliveries.header(*size);
        for part in parts {
            assert!(!is_whole);
            is_whole = deliveries.body(part, 5_000_000, &mut times);
        }
        assert!(is_whole);
    }
    deliveries.settle(&run, 1);
    let different = run.books[0].lock().different;
    assert_eq!(times.len(), different);
    (
        run.counts.received.count(),
        run.counts.damaged.count(),
        different,
    )
}

#[test]
fn bodies_are_the_same_whole_and_in_parts() {
    let (a, b) = (message(0, 0), message(0, 1));
    for cut in 1..SIZE {
        let (front, back) = b.split_at(cut);
        let size = SIZE as u64;
        let messages = [(size, vec![a.as_slice()]), (size, vec![front, back])];
        assert_eq!(after(&messages), (2, 0, 2), "cut at {cut}");
    }
}

#[test]
fn damage_is_seen_wherever_it_is() {
    let good = message(0, 0);
    for place in 16..SIZE {
        let mut bad = good.clone();
        bad[place] ^= 1;
        assert_eq!(after(&[(SIZE as u64, vec![&bad])]), (1, 1, 0));
        let (front, back) = bad.split_at(20);
        assert_eq!(after(&[(SIZE as u64, vec![front, back])]), (1, 1, 0));
    }
    assert_eq!(after(&[(39, vec![&good[..39]])]), (1, 1, 0));
    assert_eq!(after(&[(41, vec![&good, b"x"])]), (1, 1, 0));
    assert_eq!(after(&[(0, vec![])]), (1, 1, 0));
    assert_eq!(after(&[(SIZE as u64, vec![&message(1, 0)])]), (1, 1, 0));
}

#[test]
fn a_deliver_that_is_cut_short_is_an_error() {
    let mut deliveries = Deliveries::new(SIZE, 1, 1);
    let arguments = [&[1, b'c'][..], &7_u64.to_be_bytes(), &[1, 0, 1, b'q']].concat();
    deliveries.deliver(&arguments).expect("it is whole");
    assert_eq!(deliveries.tag(), 7);
    assert_eq!(deliveries.counted.redelivered, 1);
    for len in 0..11 {
        assert!(deliveries.deliver(&arguments[..len]).is_err(), "{len}");
    }
}
