//! What a stream keeps, where readers begin, and what retention takes.

use leveret_message::batch::{Arrivals, BatchBuilder, NewMessage};
use leveret_message::name::Name;
use leveret_message::properties::Properties;
use leveret_message::table::Value;

use super::chunks::{Chunks, Found};
use super::*;
use crate::arguments::{Filter, Offset};
use crate::command::NewConsumer;
use crate::ids::{ConnectionId, ConsumerSlot};

mod model;

fn batch(count: u32, arrived_ms: u64) -> Arc<Batch> {
    filtered(&vec![None; count as usize], arrived_ms)
}

/// A message for each value.
fn filtered(values: &[Option<&str>], arrived_ms: u64) -> Arc<Batch> {
    let mut builder = BatchBuilder::default();
    for value in values {
        let value = value.map(|value| Value::LongStr(value.as_bytes()));
        let header = value.map(|value| ("x-stream-filter-value", value));
        let properties = Properties::default().with_headers(|_| true, header.as_slice());
        let properties = properties.unwrap();
        let message = NewMessage {
            exchange_and_key: b"\0\0",
            properties: &properties,
            persistent: false,
            priority: 0,
        };
        builder.push(message, &[0; 100]);
    }
    let mut batch = builder.seal();
    Arc::make_mut(&mut batch).set_arrivals(Arrivals::at(arrived_ms));
    batch
}

fn stream() -> Stream {
    let shards = crate::command::Shards::new(1);
    let vhost = crate::doubles::vhost("/", &shards);
    let declaration = crate::queue_handle::QueueDeclaration {
        name: leveret_message::name::Name::new("s").unwrap(),
        durable: true,
        owner: None,
        auto_delete: false,
        arguments: leveret_message::table::Table::default(),
    };
    let declared = vhost.declare_queue(ConnectionId(0), declaration, false);
    let mut stream = Stream::new(Arc::clone(declared.unwrap().queue()));
    // All is safe at once.
    stream.durable.set(u64::MAX - 1);
    stream
}

fn append(stream: &mut Stream, batch: &Arc<Batch>) {
    stream.append(batch, (0, batch.len()), true);
}

fn holder() -> Holder {
    Holder {
        connection: ConnectionId(1),
        channel: 1,
    }
}

fn read_from(stream: &mut Stream, offset: Offset, filter: Option<Filter>) -> usize {
    let new = NewConsumer {
        slot: ConsumerSlot(stream.readers.len() as u32),
        tag: Name::new("tag").expect("short"),
        no_ack: false,
        exclusive: false,
        prefetch: 1000,
        channel_credit: None,
        priority: 0,
        timeout: None,
        offset,
        filter,
        offset_name: None,
        reader: stream.readers.len() as u32 + 1,
    };
    stream.consume(holder(), &new, 10_000).unwrap();
    stream.readers.len() - 1
}

/// What a reader is given until there is no more: sequence numbers.
fn take(stream: &mut Stream, reader: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    while let Next::Run(run) = stream.next_run(reader, 1000) {
        stream.note_delivered(reader, &run);
        taken.extend(run.first_seq..run.end());
    }
    taken
}

#[test]
fn each_reader_begins_where_it_says() {
    let mut stream = stream();
    for ms in [1_000, 2_000, 3_000] {
        append(&mut stream, &batch(2, ms));
    }
    for (offset, expected) in [
        (Offset::First, vec![1, 2, 3, 4, 5, 6]),
        (Offset::Last, vec![5, 6]),
        (Offset::Next, vec![]),
        (Offset::At(3), vec![4, 5, 6]),
        (Offset::At(100), vec![]),
    ] {
        let reader = read_from(&mut stream, offset, None);
        assert_eq!(take(&mut stream, reader), expected, "{offset:?}");
    }
}

#[test]
fn readers_do_not_take_anything_from_each_other() {
    let mut stream = stream();
    let (one, other) = (
        read_from(&mut stream, Offset::Next, None),
        read_from(&mut stream, Offset::First, None),
    );
    append(&mut stream, &batch(3, 1));
    assert_eq!(take(&mut stream, one), [1, 2, 3]);
    assert_eq!(take(&mut stream, other), [1, 2, 3]);
    append(&mut stream, &batch(1, 1));
    assert_eq!(take(&mut stream, one), [4]);
    assert_eq!(stream.count(), 4);
}

/// A MiB and something more.
fn large_batch() -> Arc<Batch> {
    batch(10_000, 1)
}

#[test]
fn the_tail_is_long_while_a_reader_takes_it() {
    let mut stream = stream();
    for _ in 0..8 {
        append(&mut stream, &large_batch());
    }
    assert!(stream.tail.bytes() <= TAIL_BYTES, "nobody reads");
    let reader = read_from(&mut stream, Offset::Last, None);
    assert!(!take(&mut stream, reader).is_empty());
    let large = (TAIL_WANTED_BYTES / large_batch().size(0, 10_000)) as u64;
    for _ in 1..large {
        append(&mut stream, &large_batch());
    }
    assert!(stream.tail.bytes() > TAIL_BYTES, "what it has not taken");
    for _ in 0..2 * large {
        append(&mut stream, &large_batch());
    }
    assert!(stream.tail.bytes() <= TAIL_BYTES, "it is too late for that");
}

#[test]
fn an_ack_gives_credit_and_nothing_else() {
    let mut stream = stream();
    append(&mut stream, &batch(5, 1));
    let reader = read_from(&mut stream, Offset::First, None);
    let Next::Run(run) = stream.next_run(reader, 1000) else {
        panic!("there are five");
    };
    assert_eq!(stream.readers[reader].claim(5), 5);
    stream.note_delivered(reader, &run);
    assert_eq!(stream.readers[reader].credit(), 995);
    stream.settle(stream.readers[reader].id, (2, 3));
    assert_eq!(
        (
            stream.readers[reader].credit(),
            stream.readers[reader].unacked()
        ),
        (998, 2)
    );
    assert_eq!(stream.count(), 5);
}

#[test]
fn a_filter_passes_over_what_is_not_wanted() {
    let mut stream = stream();
    let values = [Some("a"), Some("b"), None, Some("a"), Some("a"), Some("c")];
    append(&mut stream, &filtered(&values, 1));
    let filter = |unfiltered_too| Filter {
        values: vec!["a".into()],
        unfiltered_too,
    };
    let strict = read_from(&mut stream, Offset::First, Some(filter(false)));
    assert_eq!(take(&mut stream, strict), [1, 4, 5]);
    let lenient = read_from(&mut stream, Offset::First, Some(filter(true)));
    assert_eq!(take(&mut stream, lenient), [1, 3, 4, 5]);
    append(&mut stream, &filtered(&[Some("a")], 1));
    assert_eq!(take(&mut stream, strict), [7]);
}

fn messages(most: u64) -> Limits {
    Limits {
        messages: Some(most),
        ..Limits::default()
    }
}

fn bytes(most: u64) -> Limits {
    Limits {
        bytes: Some(most),
        ..Limits::default()
    }
}

fn oldest(unix_ms: u64) -> Limits {
    Limits {
        oldest_ms: Some(unix_ms),
        ..Limits::default()
    }
}

#[test]
fn the_oldest_chunks_go_and_the_last_one_stays() {
    let mut chunks = Chunks::default();
    for (first, ms) in [(1, 100), (11, 200), (21, 300)] {
        chunks.push(first, 10, 300_000, ms);
    }
    assert_eq!(chunks.retire(bytes(900_000)), None);
    assert_eq!(chunks.retire(bytes(899_999)), Some((1, 10)));
    assert_eq!(chunks.first_seq(31), 11);
    assert_eq!(chunks.retire(oldest(1_000)), Some((11, 10)));
    assert_eq!(chunks.retire(bytes(0)), None);
    assert_eq!(chunks.first_seq(31), 21);
}

#[test]
fn what_was_there_at_the_start_goes_once_it_is_known() {
    let mut chunks = Chunks::default();
    chunks.recover(5, 25);
    chunks.push(25, 10, 300_000, 900);
    assert_eq!(chunks.retire(bytes(300_000)), None);
    assert_eq!(chunks.unknown(), Some((5, 24)));
    chunks.learn(15, 300_000, 100);
    assert_eq!(chunks.retire(bytes(300_000)), Some((5, 10)));
    chunks.learn(25, 300_000, 200);
    assert_eq!(chunks.unknown(), None);
    assert_eq!(chunks.since(200), Found::Known(Some(15)));
    assert_eq!(chunks.since(901), Found::Known(None));
    assert_eq!(chunks.retire(messages(10)), Some((15, 10)));
    assert_eq!(chunks.first_seq(35), 25);
}
