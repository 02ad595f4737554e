//! Batches give back what was put in.

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
