//! Segments on a simulated disk: what was pushed comes back, wherever reading begins, and every wrong order is refused.
//!
//! Damage, hostile files and crashes have files of their own below.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::disk::{Disk, Faults, SimDisk};
use crate::entry::{SegmentId, Stream};
use crate::log::QueueId;

mod crash;
mod damage;
mod hostile;

const ID: SegmentId = SegmentId(0x2a);
const UUID: u128 = 0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00;
const CREATED_MS: u64 = 1_700_000_000_000;

/// A message as the writer is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    seq: u64,
    delivery_count: u32,
    record: Vec<u8>,
    body: Option<Vec<u8>>,
}

/// An extent's queue, stream and messages.
type Content = Vec<(u64, u32, Vec<Message>)>;

fn message(seq: u64, record: usize, body: Option<usize>) -> Message {
    let fill = |len: usize, salt: u64| {
        (0..len as u64)
            .map(|at| (seq.wrapping_mul(31) + at * 7 + at / 256 + salt) as u8)
            .collect()
    };
    Message {
        seq,
        delivery_count: seq as u32 % 3,
        record: fill(record, 1),
        body: body.map(|len| fill(len, 2)),
    }
}

/// A few extents with small messages, gaps and bodies.
fn small() -> Content {
    let plain = (10..14).map(|seq| message(seq, 40, None)).collect();
    let bodies = vec![
        message(0, 20, Some(100)),
        message(7, 0, Some(0)),
        message(8, 0, None),
        message(90, 33, Some(7)),
    ];
    let single = vec![message(u64::MAX, 5, None)];
    vec![(1, 0, plain), (1, 3, bodies), (9, 0, single)]
}

#[test]
fn a_full_disk_leaves_nothing_of_a_segment() {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new(FOLDER)).unwrap();
    disk.set_faults(Faults {
        capacity: Some(6000),
        ..Faults::default()
    });
    let mut writer = SegmentWriter::new(Arc::new(disk.clone()), ID, UUID, CREATED_MS).unwrap();
    writer.begin_extent(QueueId(1), Stream(0)).unwrap();
    let new = NewMessage {
        seq: 1,
        delivery_count: 0,
        arrived_ms: CREATED_MS,
        record: &[7; 3000],
        body: None,
    };
    writer.push(new).unwrap();
    let error = writer.finish().expect_err("it needs more than there is");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(disk.list(Path::new(FOLDER)).unwrap(), []);
    assert_eq!(disk.free_bytes().unwrap(), 6000);
}

/// One extent of many messages, some larger than the distance of two points, between two small ones.
fn large() -> Content {
    let sizes = [30, 900, 61, 0, 8, 20_000, 300];
    let many = (0..300).map(|n| {
        let body = (n % 5 == 1).then_some(n as usize * 3);
        let record = sizes[n as usize % sizes.len()];
        match n {
            120 => message(1_240, 200_000, None),
            200 => message(1_400, 12, Some(100_000)),
            _ => message(1_000 + n * 2, record, body),
        }
    });
    let few = |seq| vec![message(seq, 64, None), message(seq + 1, 65, None)];
    vec![
        (4, 0, few(5)),
        (5, 1, many.collect()),
        (u64::MAX, u32::MAX, few(6)),
    ]
}

fn new_disk() -> SimDisk {
    let disk = SimDisk::new(1);
    make_folder(&disk);
    disk
}

fn make_folder(disk: &dyn Disk) {
    disk.create_dir(Path::new(FOLDER)).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
}

fn write(disk: &SimDisk, id: SegmentId, content: &Content) -> std::io::Result<Sealed> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut writer = SegmentWriter::new(disk, id, UUID, CREATED_MS)?;
    for (queue, stream, messages) in content {
        writer.begin_extent(QueueId(*queue), Stream(*stream))?;
        for message in messages {
            let body = message.body.as_deref();
            writer.push(NewMessage {
                seq: message.seq,
                delivery_count: message.delivery_count,
                arrived_ms: arrived(message.seq),
                record: &message.record,
                body,
            })?;
        }
    }
    writer.finish()
}

/// When the message of a number came.
fn arrived(seq: u64) -> u64 {
    seq.wrapping_mul(1_000_003) ^ CREATED_MS
}

fn plain(seq: u64, record: &[u8]) -> NewMessage<'_> {
    NewMessage {
        seq,
        delivery_count: 0,
        arrived_ms: arrived(seq),
        record,
        body: None,
    }
}

/// The messages of a reading as they were pushed.
fn pushed(messages: &Messages) -> Vec<Message> {
    let list = messages.list.iter();
    let came_then = |stored: &&Stored| {
        assert_eq!(stored.arrived_ms, arrived(stored.seq));
        true
    };
    list.filter(came_then)
        .map(|stored| Message {
            seq: stored.seq,
            delivery_count: stored.delivery_count,
            record: messages.records[stored.record.clone()].to_vec(),
            body: stored.body.as_ref().map(|body| body.to_vec()),
        })
        .collect()
}

/// All that can be read of an extent, and what was damaged.
fn read_all(
    reader: &SegmentReader,
    extent: usize,
    max_bytes: usize,
) -> (Vec<Message>, Vec<Damage>) {
    let (mut messages, mut damages) = (Vec::new(), Vec::new());
    let mut from = Start::Ordinal(0);
    loop {
        match reader.read(extent, from, max_bytes) {
            Ok(read) => {
                messages.extend(pushed(&read));
                match read.next {
                    Some(next) => from = Start::Place(next),
                    None => return (messages, damages),
                }
            }
            Err(damage) => {
                from = Start::Place(damage.lost.as_ref().expect("of messages").resume);
                damages.push(damage);
            }
        }
    }
}

fn check_whole(disk: &SimDisk, content: &Content) {
    let reader = SegmentReader::open(disk, ID).unwrap();
    assert_eq!(reader.flaws(), []);
    let verified = reader.verify(&mut |damage| panic!("{damage}"));
    let count: usize = content.iter().map(|(.., messages)| messages.len()).sum();
    assert_eq!((verified.messages, verified.damages), (count as u64, 0));
    for (extent, (.., messages)) in content.iter().enumerate() {
        assert_eq!(
            read_all(&reader, extent, 100_000),
            (messages.clone(), vec![])
        );
    }
}

/// Bytes that were asked of the disk in reads since a line of its log.
fn bytes_read(disk: &SimDisk, since: usize) -> (usize, u64) {
    let log = disk.log();
    let reads = log[since..].lines().filter(|line| line.contains(" read #"));
    let lens = reads.map(|line| {
        let (_, rest) = line.split_once('+').unwrap();
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        digits.parse::<u64>().unwrap()
    });
    let lens: Vec<u64> = lens.collect();
    (lens.len(), lens.iter().sum())
}

#[test]
fn what_is_sealed_is_found_by_queue_and_stream() {
    let disk = new_disk();
    let sealed = write(&disk, ID, &small()).unwrap();
    check_whole(&disk, &small());
    let reader = SegmentReader::open(&disk, ID).unwrap();
    assert_eq!(reader.extents(), sealed.extents);
    assert_eq!(
        (reader.id(), reader.uuid(), reader.bytes()),
        (ID, UUID, sealed.bytes)
    );
    let files = disk.list(Path::new(FOLDER)).unwrap();
    assert_eq!(files, [("000000000000002a.seg".to_owned(), sealed.bytes)]);
    assert_eq!(reader.find(QueueId(1), Stream(3)), Some(1));
    assert_eq!(reader.find(QueueId(1), Stream(1)), None);
    let extent = sealed.extents[1];
    assert_eq!((extent.queue, extent.stream), (QueueId(1), Stream(3)));
    assert_eq!(
        (extent.first_seq, extent.last_seq, extent.count),
        (0, 90, 4)
    );
}

#[test]
fn an_extent_without_messages_is_left_out() {
    let disk = new_disk();
    let mut content = small();
    content.insert(1, (1, 1, vec![]));
    content.push((10, 0, vec![]));
    let sealed = write(&disk, ID, &content).unwrap();
    assert_eq!(sealed.extents.len(), small().len());
    check_whole(&disk, &small());
    let empty = write(&disk, SegmentId(1), &vec![(1, 0, vec![])]).unwrap();
    assert_eq!(empty.extents, []);
    let reader = SegmentReader::open(&disk, SegmentId(1)).unwrap();
    assert!(reader.read(0, Start::Seq(0), 10).unwrap().list.is_empty());
}

#[test]
fn wrong_orders_are_refused() {
    let disk: Arc<dyn Disk> = Arc::new(new_disk());
    let mut writer = SegmentWriter::new(Arc::clone(&disk), ID, UUID, CREATED_MS).unwrap();
    let is_refused = |result: std::io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    };
    is_refused(writer.push(plain(1, b"r")));
    writer.begin_extent(QueueId(2), Stream(1)).unwrap();
    writer.push(plain(5, b"r")).unwrap();
    is_refused(writer.push(plain(5, b"r")));
    is_refused(writer.push(plain(4, b"r")));
    is_refused(writer.begin_extent(QueueId(2), Stream(1)));
    is_refused(writer.begin_extent(QueueId(2), Stream(0)));
    is_refused(writer.begin_extent(QueueId(1), Stream(9)));
    writer.push(plain(6, b"r")).unwrap();
    let sealed = writer.finish().unwrap();
    assert_eq!(sealed.extents[0].count, 2);
}

#[test]
fn a_segment_that_is_given_up_leaves_nothing() {
    let disk = new_disk();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut writer = SegmentWriter::new(shared, ID, UUID, CREATED_MS).unwrap();
    writer.begin_extent(QueueId(2), Stream(1)).unwrap();
    writer.push(plain(5, b"record")).unwrap();
    assert_eq!(writer.bytes(), 40);
    writer.abandon().unwrap();
    assert_eq!(disk.list(Path::new(FOLDER)).unwrap(), []);
}

#[test]
fn reading_begins_at_any_number_and_any_ordinal() {
    let disk = new_disk();
    let content = large();
    write(&disk, ID, &content).unwrap();
    check_whole(&disk, &content);
    let reader = SegmentReader::open(&disk, ID).unwrap();
    for (extent, (.., messages)) in content.iter().enumerate() {
        let mut low = 0;
        for (ordinal, message) in messages.iter().enumerate() {
            for from in [
                Start::Ordinal(ordinal as u64),
                Start::Seq(message.seq),
                Start::Seq(low),
            ] {
                let read = reader.read(extent, from, 1).unwrap();
                assert_eq!(pushed(&read), std::slice::from_ref(message), "{from:?}");
                let next = read.next.map(|place| place.ordinal());
                let behind = ordinal as u64 + 1;
                assert_eq!(next, (behind < messages.len() as u64).then_some(behind));
            }
            low = message.seq + 1;
        }
        for behind in [Start::Seq(low), Start::Ordinal(messages.len() as u64)] {
            let read = reader.read(extent, behind, 1_000).unwrap();
            assert_eq!((read.list, read.next), (vec![], None));
        }
    }
    let nowhere = reader.read(content.len(), Start::Ordinal(0), 1_000);
    assert_eq!(nowhere.unwrap().list, []);
}

#[test]
fn opening_reads_the_end_and_a_search_little_more_than_what_is_wanted() {
    let disk = new_disk();
    let many = (0..100_000).map(|seq| message(seq, 100, None)).collect();
    let content = vec![(1, 0, many)];
    let sealed = write(&disk, ID, &content).unwrap();
    assert!(sealed.bytes > 12 << 20);
    let mark = disk.log().len();
    let reader = SegmentReader::open(&disk, ID).unwrap();
    let (reads, bytes) = bytes_read(&disk, mark);
    assert_eq!(reads, 1);
    assert!(bytes <= 16 * 1024, "{bytes} bytes to open");
    for seq in [0, 1, 50_001, 99_999] {
        let mark = disk.log().len();
        let read = reader.read(0, Start::Seq(seq), 1_000).unwrap();
        assert_eq!(read.list[0].seq, seq);
        let (reads, bytes) = bytes_read(&disk, mark);
        assert!(reads <= 2 && bytes <= 70_000, "{reads} reads, {bytes} B");
    }
    // In sequence: about what the file has, in large reads.
    let mark = disk.log().len();
    let (messages, _) = read_all(&reader, 0, 1 << 20);
    assert_eq!(messages.len(), 100_000);
    let (reads, bytes) = bytes_read(&disk, mark);
    assert!(reads <= 15, "{reads} reads");
    assert!(bytes < sealed.bytes + (1 << 20), "{bytes} B");
}

#[test]
fn only_the_readers_used_last_stay_open() {
    let disk = new_disk();
    for id in 0..5 {
        write(&disk, SegmentId(id), &small()).unwrap();
    }
    let mut open = OpenSegments::with_files_max(Arc::new(disk.clone()), 3);
    let opens = |open: &mut OpenSegments, id| {
        let before = disk.counts().reads;
        open.reader(SegmentId(id)).unwrap();
        disk.counts().reads > before
    };
    assert!([0, 1, 2].iter().all(|id| opens(&mut open, *id)));
    assert!(!opens(&mut open, 0));
    assert!(opens(&mut open, 3));
    assert_eq!(open.len(), 3);
    assert!(!opens(&mut open, 0), "0 was used after 1");
    assert!(opens(&mut open, 1), "1 was used longest ago");
    open.close(SegmentId(1));
    assert_eq!(open.len(), 2);
    assert!(opens(&mut open, 1));
    assert!(open.reader(SegmentId(77)).is_err());
    assert_eq!(open.len(), 3);
}

fn any_message() -> impl Strategy<Value = (u64, usize, Option<usize>)> {
    let len = prop_oneof![
        20 => 0..200usize,
        4 => 200..20_000usize,
        1 => 60_000..140_000usize,
    ];
    let body = proptest::option::weighted(0.3, prop_oneof![0..50usize, 100..70_000usize]);
    (1..1_000u64, len, body)
}

fn any_content() -> impl Strategy<Value = Content> {
    let key = (0..5u64, 0..3u32);
    let messages = proptest::collection::vec(any_message(), 1..40);
    proptest::collection::btree_map(key, messages, 0..5).prop_map(|extents| {
        let extents = extents.into_iter();
        extents
            .map(|((queue, stream), messages)| {
                let mut seq = 0;
                let messages = messages.into_iter().map(|(gap, record, body)| {
                    seq += gap;
                    message(seq, record, body)
                });
                (queue, stream, messages.collect())
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_pushed_comes_back(
        content in any_content(),
        max_bytes in 0..300_000usize,
        seq in 0..20_000u64,
    ) {
        let disk = new_disk();
        let sealed = write(&disk, ID, &content).unwrap();
        check_whole(&disk, &content);
        let reader = SegmentReader::open(&disk, ID).unwrap();
        prop_assert_eq!(reader.extents(), &sealed.extents[..]);
        for (extent, (queue, stream, messages)) in content.iter().enumerate() {
            prop_assert_eq!(reader.find(QueueId(*queue), Stream(*stream)), Some(extent));
            prop_assert_eq!(read_all(&reader, extent, max_bytes), (messages.clone(), vec![]));
            let read = reader.read(extent, Start::Seq(seq), max_bytes).unwrap();
            let expected = messages.iter().find(|message| message.seq >= seq);
            prop_assert_eq!(pushed(&read).first().cloned(), expected.cloned());
        }
    }
}
