//! Batches give back what was put in.

use std::sync::Arc;

use super::*;

fn new(exchange_and_key: &'static [u8], persistent: bool) -> NewMessage<'static> {
    NewMessage {
        exchange_and_key,
        properties: &[0x10, 0, 2],
        persistent,
        priority: 3,
    }
}

#[test]
fn messages_come_back_as_they_were_added() {
    let mut builder = BatchBuilder::default();
    builder.push(new(b"\x00\x01q", true), b"hello");
    builder.push_shared(new(b"\x01x\x00", false), Bytes::from(vec![7; 20_000]));
    builder.push(new(b"\x00\x00", false), b"");
    assert!(builder.byte_len() > 20_000);
    let batch = builder.seal();
    assert_eq!((batch.len(), builder.len(), builder.byte_len()), (3, 0, 0));
    assert!(batch.has_persistent() && batch.has_shared_bodies());

    let first = batch.message(0).unwrap();
    assert_eq!(first.exchange_and_key, b"\x00\x01q");
    assert_eq!(
        (first.persistent, first.priority, first.body),
        (true, 3, Body::Inline(b"hello"))
    );
    let second = batch.message(1).unwrap();
    assert_eq!((second.persistent, second.body.len()), (false, 20_000));
    assert!(matches!(second.body, Body::Shared(_)));
    assert!(batch.message(2).unwrap().body.is_empty());
    assert_eq!(batch.message(3), None);
}

#[test]
fn blind_keys_stay_with_their_message_and_are_not_seen() {
    let mut builder = BatchBuilder::default();
    builder.push(new(b"\x00\x01q", false), b"before");
    builder.push(new(b"\x01x\x01q", false), b"hello");
    builder.mark_blind(b"\x01\x00k");
    builder.push_shared(new(b"\x00\x00", true), Bytes::from(vec![7; 20_000]));
    builder.mark_blind(b"\x01\x00j");
    builder.mark_died();
    builder.push(new(b"\x00\x00", false), b"behind");
    let batch = builder.seal();
    let (mut records, mut starts) = (Vec::new(), Vec::new());
    batch.copy_records(0, 4, &mut records, &mut starts);
    for batch in [&*batch, &Batch::read(records).expect("whole records")] {
        let seen = [0, 1, 2, 3].map(|index| batch.message(index).unwrap());
        let keys = seen.map(|message| message.exchange_and_key);
        assert_eq!(
            keys,
            [&b"\x00\x01q"[..], b"\x01x\x01q", b"\x00\x00", b"\x00\x00"]
        );
        let bodies = seen.map(|message| message.body.len());
        assert_eq!(bodies, [6, 5, 20_000, 6]);
        assert_eq!(
            seen.map(|message| message.died),
            [false, false, true, false]
        );
        assert!(
            seen.iter()
                .all(|message| message.properties == [0x10, 0, 2])
        );
        let blind = [0, 1, 2, 3].map(|index| batch.blind_keys(index));
        assert_eq!(blind, [&b""[..], b"\x01\x00k", b"\x01\x00j", b""]);
    }
    // What is too long is not kept.
    builder.push(new(b"\x00\x00", false), b"x");
    builder.mark_blind(&[0; u16::MAX as usize + 1]);
    let batch = builder.seal();
    assert_eq!(batch.blind_keys(0), b"");
    assert_eq!(batch.message(0).unwrap().body.len(), 1);
}

#[test]
fn size_counts_shared_bodies() {
    let mut builder = BatchBuilder::default();
    builder.push(new(b"\x00\x00", false), b"12345");
    builder.push_shared(new(b"\x00\x00", false), Bytes::from(vec![7; 30_000]));
    let batch = builder.seal();
    assert_eq!(batch.size(0, 1), HEAD + 2 + 3 + 5);
    assert_eq!(batch.size(1, 1), HEAD + 2 + 3 + 4 + 30_000);
    assert_eq!(batch.size(0, 2), batch.size(0, 1) + batch.size(1, 1));
    assert_eq!(batch.size(2, 0), 0);
}

#[test]
fn the_next_batch_reserves_what_the_last_needed() {
    let mut builder = BatchBuilder::default();
    for _ in 0..100 {
        builder.push(new(b"\x00\x00", false), b"x");
    }
    let size = builder.seal().bytes().len();
    builder.push(new(b"\x00\x00", false), b"x");
    assert!(builder.batch.bytes.capacity() >= size);
}

#[test]
fn records_can_be_read_again() {
    let mut builder = BatchBuilder::default();
    builder.push(new(b"\x00\x01a", true), b"first");
    builder.push_shared(new(b"\x00\x01b", false), Bytes::from(vec![7; 20_000]));
    builder.push(new(b"\x00\x01c", false), b"");
    let batch = builder.seal();
    let (mut records, mut starts) = (vec![], vec![]);
    batch.copy_records(0, 1, &mut records, &mut starts);
    batch.copy_records(1, 2, &mut records, &mut starts);
    let again = Batch::read(records).unwrap();
    assert_eq!(again.len(), 3);
    assert!(!again.has_shared_bodies());
    assert_eq!(again.starts(), starts);
    for index in 0..3 {
        let (was, is) = (batch.message(index).unwrap(), again.message(index).unwrap());
        assert_eq!(was.body.as_bytes(), is.body.as_bytes());
        assert_eq!(
            (was.exchange_and_key, was.properties, was.persistent),
            (is.exchange_and_key, is.properties, is.persistent)
        );
    }
    assert_eq!(Batch::read(vec![]).unwrap().len(), 0);
}

#[test]
fn records_without_shared_bodies_are_copied_at_once() {
    let mut builder = BatchBuilder::default();
    for body in [b"a".as_slice(), b"bb", b"ccc"] {
        builder.push(new(b"\x00\x01a", true), body);
    }
    let batch = builder.seal();
    let (mut records, mut starts) = (vec![9; 5], vec![]);
    batch.copy_records(1, 2, &mut records, &mut starts);
    let again = Batch::read(records.split_off(5)).unwrap();
    assert_eq!(again.message(0), batch.message(1));
    assert_eq!(again.message(1), batch.message(2));
    let shifted: Vec<u32> = again.starts().iter().map(|start| start + 5).collect();
    assert_eq!(starts, shifted);
}

#[test]
fn messages_are_cut_by_persistence() {
    let batch_of = |persistent: &[bool]| {
        let mut builder = BatchBuilder::default();
        for persistent in persistent {
            builder.push(new(b"\x00\x01a", *persistent), b"x");
        }
        builder.seal()
    };
    let pieces = |persistent: &[bool], first, count| -> Vec<(u32, u32, bool)> {
        let batch = batch_of(persistent);
        let by_kind = batch.by_kind(first, count, told_apart(true, false));
        by_kind
            .map(|(first, count, kind)| (first, count, kind.persistent))
            .collect()
    };
    assert_eq!(pieces(&[true; 4], 1, 3), [(1, 3, true)]);
    assert_eq!(pieces(&[false; 4], 0, 4), [(0, 4, false)]);
    let mixed = [true, true, false, true, false, false];
    let expected = [(1, 1, true), (2, 1, false), (3, 1, true), (4, 2, false)];
    assert_eq!(pieces(&mixed, 1, 5), expected);
    assert_eq!(pieces(&mixed, 2, 0), []);
}

#[test]
fn messages_are_cut_by_priority_where_that_counts() {
    let mut builder = BatchBuilder::default();
    for priority in [1, 1, 0, 9] {
        let message = NewMessage {
            priority,
            ..new(b"\x00\x01a", true)
        };
        builder.push(message, b"x");
    }
    let batch = builder.seal();
    let pieces = |priority| -> Vec<(u32, u32, u8)> {
        let by_kind = batch.by_kind(0, 4, told_apart(false, priority));
        by_kind
            .map(|(first, count, kind)| (first, count, kind.priority))
            .collect()
    };
    assert_eq!(pieces(true), [(0, 2, 1), (2, 1, 0), (3, 1, 9)]);
    assert_eq!(pieces(false), [(0, 4, 0)]);
}

#[test]
fn what_is_no_record_is_not_read() {
    let mut builder = BatchBuilder::default();
    builder.push(new(b"\x00\x01a", true), b"first");
    let inline = builder.seal().bytes().to_vec();
    for len in 1..inline.len() {
        assert!(
            Batch::read(inline[..len].to_vec()).is_none(),
            "cut at {len}"
        );
    }
    builder.push_shared(new(b"\x00\x01b", false), Bytes::from(vec![7; 20_000]));
    let shared = builder.seal().bytes().to_vec();
    assert!(Batch::read(shared).is_none(), "a body is missing");
}

#[test]
fn messages_know_when_they_arrived_and_how_long_they_may_stay() {
    let mut builder = BatchBuilder::default();
    let expiring = NewMessage {
        properties: &[0x01, 0, 3, b'2', b'5', b'0'],
        ..new(b"\x00\x01q", false)
    };
    builder.push(new(b"\x00\x01q", true), b"stays");
    assert!(!builder.batch.has_expiring());
    builder.push(expiring, b"goes");
    let mut arrivals = Arrivals::default();
    for (index, ms) in [(0, 10), (1, 10), (2, 30)] {
        arrivals.push(index, ms);
    }
    let mut batch = Arc::into_inner(builder.seal()).unwrap();
    batch.set_arrivals(arrivals);
    assert!(batch.has_expiring());
    assert_eq!(
        [0, 1, 2].map(|i| batch.expiration_ms(i)),
        [None, Some(250), None]
    );
    assert_eq!(
        [0, 1, 2, 9].map(|i| batch.arrivals().of(i)),
        [10, 10, 30, 30]
    );
    assert_eq!(
        [0, 1, 2].map(|i| batch.arrivals().change_after(i)),
        [Some(2), Some(2), None]
    );

    let read = Batch::read(batch.bytes().to_vec()).unwrap();
    assert!(read.has_expiring());
    assert_eq!(read.expiration_ms(1), Some(250));
}

fn told_apart(persistence: bool, priority: bool) -> ToldApart {
    ToldApart {
        persistence,
        priority: match priority {
            true => ToldPriority::OrZero,
            false => ToldPriority::No,
        },
    }
}

#[test]
fn a_message_without_a_priority_is_told_apart_from_one_of_0() {
    let mut builder = BatchBuilder::default();
    for properties in [&[0, 0][..], &[8, 0, 0], &[8, 0, 7], &[0, 0]] {
        builder.push(
            NewMessage {
                exchange_and_key: b"\x01e\x03key",
                properties,
                persistent: false,
                priority: properties.get(2).copied().unwrap_or_default(),
            },
            b"body",
        );
    }
    let told_apart = ToldApart {
        persistence: false,
        priority: ToldPriority::Or(4),
    };
    let batch = builder.seal();
    let kinds = batch.by_kind(0, 4, told_apart);
    let kinds: Vec<_> = kinds.map(|(at, _, kind)| (at, kind.priority)).collect();
    assert_eq!(kinds, [(0, 4), (1, 0), (2, 7), (3, 4)]);
}
