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

#[test]
fn records_can_be_read_again() {
    let mut builder = BatchBuilder::default();
    builder.push(new(b"\x00\x01a", true), b"first");
    builder.push_shared(new(b"\x00\x01b", false), Bytes::from(vec![7; 20_000]));
    builder.push(new(b"\x00\x01c", false), b"");
    let batch = builder.seal();
    let bodies = batch.shared_bodies().to_vec();
    let again = Batch::read(batch.records(1, 2).to_vec(), bodies).unwrap();
    assert_eq!(again.len(), 2);
    assert!(!again.has_persistent());
    assert_eq!(
        (again.message(0), again.message(1)),
        (batch.message(1), batch.message(2))
    );
    assert_eq!(Batch::read(vec![], vec![]).unwrap().len(), 0);
}

#[test]
fn what_is_no_record_is_not_read() {
    let mut builder = BatchBuilder::default();
    builder.push(new(b"\x00\x01a", true), b"first");
    builder.push_shared(new(b"\x00\x01b", false), Bytes::from(vec![7; 20_000]));
    let batch = builder.seal();
    assert!(
        Batch::read(batch.bytes().to_vec(), vec![]).is_none(),
        "a body is missing"
    );
    for len in 1..batch.bytes().len() {
        let cut = batch.bytes()[..len].to_vec();
        let read = Batch::read(cut, batch.shared_bodies().to_vec());
        assert!(read.is_none_or(|read| read.len() == 1), "cut at {len}");
    }
}
