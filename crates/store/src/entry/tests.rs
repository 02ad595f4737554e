//! Entries there and back, cut at every length, with every bit flipped, and random bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const STAMP: Stamp = Stamp {
    group: Group(7),
    term: 3,
    index: 99,
};

/// An entry as a value of its own, so that what was encoded and what was decoded can be compared.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Enqueue {
        unix_ms: u64,
        targets: Vec<Target>,
        messages: Vec<Vec<u8>>,
        bodies: Vec<Vec<u8>>,
    },
    Settle(QueueId, Stream, Reason, Vec<Run>),
    SettleEach(Reason, Vec<QueueRun>),
    Requeue(QueueId, Stream, Reason, Vec<RequeueRun>),
    Bundle(Vec<Owned>),
    Purge(QueueId, Stream, u64),
    QueueDelete(QueueId),
    Define(Vec<u8>, Vec<u8>),
    Undefine(Vec<u8>),
    SegmentAdd(SegmentId, u64, Vec<Extent>),
    SegmentDrop(SegmentId),
    Seal,
}

impl Owned {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Enqueue {
                unix_ms,
                targets,
                messages,
                bodies,
            } => {
                let mut starts = Vec::new();
                let mut records = Vec::new();
                for message in messages {
                    starts.push(records.len() as u32);
                    records.extend_from_slice(message);
                }
                let bodies: Vec<Bytes> = bodies.iter().cloned().map(Bytes::from).collect();
                let new = NewEnqueue {
                    unix_ms: *unix_ms,
                    targets,
                    starts: &starts,
                    records: &records,
                    bodies: &bodies,
                };
                enqueue(out, STAMP, &new)
            }
            Self::Settle(queue, stream, reason, runs) => {
                settle(out, STAMP, (*queue, *stream), *reason, runs.iter().copied())
            }
            Self::SettleEach(reason, runs) => settle_each(out, STAMP, *reason, runs),
            Self::Requeue(queue, stream, reason, runs) => {
                requeue(out, STAMP, (*queue, *stream), *reason, runs.iter().copied())
            }
            Self::Bundle(entries) => bundle(out, STAMP, |out| {
                entries.iter().for_each(|entry| entry.encode(out));
                Ok(())
            }),
            Self::Purge(queue, stream, upto) => purge(out, STAMP, *queue, *stream, *upto),
            Self::QueueDelete(queue) => queue_delete(out, STAMP, *queue),
            Self::Define(key, value) => define(out, STAMP, key, value),
            Self::Undefine(key) => undefine(out, STAMP, key),
            Self::SegmentAdd(segment, len, extents) => {
                segment_add(out, STAMP, *segment, *len, extents)
            }
            Self::SegmentDrop(segment) => segment_drop(out, STAMP, *segment),
            Self::Seal => seal(out, STAMP),
        }
        .unwrap();
    }

    fn of(entry: Entry<'_>) -> Self {
        match entry {
            Entry::Enqueue(enqueue) => Self::Enqueue {
                unix_ms: enqueue.unix_ms,
                targets: enqueue.targets.collect(),
                messages: (0..enqueue.count())
                    .map(|index| enqueue.messages(index, 1).unwrap().to_vec())
                    .collect(),
                bodies: enqueue.bodies.map(<[u8]>::to_vec).collect(),
            },
            Entry::Settle {
                queue,
                stream,
                reason,
                runs,
            } => Self::Settle(queue, stream, reason, runs.collect()),
            Entry::SettleEach { reason, runs } => Self::SettleEach(reason, runs.collect()),
            Entry::Requeue {
                queue,
                stream,
                reason,
                runs,
            } => Self::Requeue(queue, stream, reason, runs.collect()),
            Entry::Bundle(entries) => Self::Bundle(
                entries
                    .map(|entry| Self::of(entry.unwrap().entry))
                    .collect(),
            ),
            Entry::Purge {
                queue,
                stream,
                upto,
            } => Self::Purge(queue, stream, upto),
            Entry::QueueDelete { queue } => Self::QueueDelete(queue),
            Entry::Define { key, value } => Self::Define(key.to_vec(), value.to_vec()),
            Entry::Undefine { key } => Self::Undefine(key.to_vec()),
            Entry::SegmentAdd {
                segment,
                file_len,
                extents,
            } => Self::SegmentAdd(segment, file_len, extents.collect()),
            Entry::SegmentDrop { segment } => Self::SegmentDrop(segment),
            Entry::Seal => Self::Seal,
        }
    }
}

fn bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..len)
}

fn place() -> impl Strategy<Value = (QueueId, Stream)> {
    (any::<u64>(), any::<u32>()).prop_map(|(queue, stream)| (QueueId(queue), Stream(stream)))
}

fn reason() -> impl Strategy<Value = Reason> {
    (0..6u8).prop_map(|number| Reason::read(number).unwrap())
}

fn target(messages: u32) -> impl Strategy<Value = Target> {
    let range = (0..messages).prop_flat_map(move |first| (Just(first), 1..=messages - first));
    (place(), range, any::<u32>(), 0..u64::MAX / 2, any::<u64>()).prop_map(
        |((queue, stream), (first, count), flags, first_seq, expires_ms)| Target {
            queue,
            stream,
            first,
            count,
            flags,
            first_seq,
            expires_ms,
        },
    )
}

fn an_enqueue() -> impl Strategy<Value = Owned> {
    vec(bytes(30), 1..8).prop_flat_map(|messages| {
        let targets = vec(target(messages.len() as u32), 0..5);
        (any::<u64>(), targets, Just(messages), vec(bytes(90), 0..3)).prop_map(
            |(unix_ms, targets, messages, bodies)| Owned::Enqueue {
                unix_ms,
                targets,
                messages,
                bodies,
            },
        )
    })
}

fn extent() -> impl Strategy<Value = Extent> {
    let seqs = (0..u64::MAX / 4, 0..1u64 << 40)
        .prop_flat_map(|(first, span)| (Just(first), Just(first + span), 1..=span + 1));
    (place(), seqs, 0..u64::MAX / 2, 0..u64::MAX / 2).prop_map(
        |((queue, stream), (first_seq, last_seq, count), offset, len)| Extent {
            queue,
            stream,
            first_seq,
            last_seq,
            count,
            offset,
            len,
        },
    )
}

fn single() -> impl Strategy<Value = Owned> {
    let run = (0..u64::MAX / 2, 1..u64::MAX / 2);
    let runs = vec(
        run.clone()
            .prop_map(|(first_seq, count)| Run { first_seq, count }),
        0..20,
    );
    let requeue_run = (
        run.clone(),
        any::<u32>(),
        prop_oneof![Just(0), any::<u64>()],
    )
        .prop_map(
            |((first_seq, count), delivery_count, ready_ms)| RequeueRun {
                first_seq,
                count,
                delivery_count,
                ready_ms,
            },
        );
    let queue_run = (place(), run).prop_map(|((queue, stream), (first_seq, count))| {
        let run = Run { first_seq, count };
        QueueRun { queue, stream, run }
    });
    prop_oneof![
        (reason(), vec(queue_run, 0..20))
            .prop_map(|(reason, runs)| Owned::SettleEach(reason, runs)),
        an_enqueue(),
        (place(), reason(), runs)
            .prop_map(|((queue, stream), reason, runs)| Owned::Settle(queue, stream, reason, runs)),
        (place(), reason(), vec(requeue_run, 0..20)).prop_map(|((queue, stream), reason, runs)| {
            Owned::Requeue(queue, stream, reason, runs)
        }),
        (place(), any::<u64>())
            .prop_map(|((queue, stream), upto)| Owned::Purge(queue, stream, upto)),
        place().prop_map(|(queue, _)| Owned::QueueDelete(queue)),
        (bytes(40), bytes(200)).prop_map(|(key, value)| Owned::Define(key, value)),
        bytes(40).prop_map(Owned::Undefine),
        (any::<u64>(), any::<u64>(), vec(extent(), 0..6))
            .prop_map(|(id, len, extents)| Owned::SegmentAdd(SegmentId(id), len, extents)),
        any::<u64>().prop_map(|id| Owned::SegmentDrop(SegmentId(id))),
        Just(Owned::Seal),
    ]
}

fn any_entry() -> impl Strategy<Value = Owned> {
    prop_oneof![4 => single(), 1 => vec(single(), 0..5).prop_map(Owned::Bundle)]
}

/// Looks at everything that can be reached in an entry.
fn walk(bytes: &[u8]) {
    for decoded in Entries::new(Lsn(u64::MAX - 3), bytes).flatten() {
        let _ = Owned::of(decoded.entry);
        let _ = verify(decoded.lsn, decoded.bytes);
    }
}

proptest! {
    #[test]
    fn come_back_as_they_were(entries in vec(any_entry(), 0..6)) {
        let mut bytes = Vec::new();
        let mut places = Vec::new();
        for entry in &entries {
            places.push(Lsn(4096 + bytes.len() as u64));
            entry.encode(&mut bytes);
        }
        let decoded: Vec<_> = Entries::new(Lsn(4096), &bytes).map(Result::unwrap).collect();
        prop_assert_eq!(decoded.iter().map(|d| d.lsn).collect::<Vec<_>>(), places);
        prop_assert!(decoded.iter().all(|d| d.stamp == STAMP && verify(d.lsn, d.bytes).is_ok()));
        prop_assert_eq!(decoded.iter().map(|d| Owned::of(d.entry)).collect::<Vec<_>>(), entries);
    }

    #[test]
    fn cut_anywhere_are_refused(entry in any_entry()) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        for len in 0..bytes.len() {
            prop_assert!(decode(Lsn(0), &bytes[..len]).is_err());
            prop_assert!(verify(Lsn(0), &bytes[..len]).is_err());
        }
    }

    #[test]
    fn any_flipped_bit_is_found(entry in any_entry()) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify(Lsn(0), &bytes).is_err(), "bit {}", bit);
            walk(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn hostile_bytes_are_refused_or_read(
        entry in any_entry(), changes in vec((any::<prop::sample::Index>(), any::<u32>()), 1..5),
    ) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        for (at, value) in changes {
            let at = at.index(bytes.len() - 3);
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        walk(&bytes);
    }
}

#[test]
fn nested_entries_know_their_places() {
    let mut bytes = Vec::new();
    Owned::Bundle(vec![
        Owned::Seal,
        Owned::QueueDelete(QueueId(1)),
        Owned::Seal,
    ])
    .encode(&mut bytes);
    let Entry::Bundle(entries) = decode(Lsn(1000), &bytes).unwrap().entry else {
        panic!("a bundle was encoded");
    };
    let places: Vec<u64> = entries.map(|entry| entry.unwrap().lsn.0).collect();
    assert_eq!(places, [1032, 1064, 1104]);
}

#[test]
fn a_bundle_in_a_bundle_is_refused() {
    let mut bytes = Vec::new();
    Owned::Bundle(vec![Owned::Bundle(vec![])]).encode(&mut bytes);
    assert!(decode(Lsn(0), &bytes).is_err());
}

#[test]
fn counts_that_are_not_there_cost_nothing() {
    let mut bytes = Vec::new();
    Owned::Settle(QueueId(1), Stream(0), Reason::Ack, vec![]).encode(&mut bytes);
    let runs_at = HEADER_LEN + 16;
    bytes[runs_at..runs_at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode(Lsn(0), &bytes).unwrap_err(), Malformed::SHORT);
}

#[test]
fn what_is_too_long_leaves_nothing_behind() {
    let body = Bytes::from(vec![0; 1 << 20]);
    let bodies = vec![body; 1024];
    let new = NewEnqueue {
        unix_ms: 0,
        targets: &[],
        starts: &[],
        records: &[],
        bodies: &bodies,
    };
    let mut out = vec![1, 2, 3];
    assert_eq!(enqueue(&mut out, STAMP, &new), Err(TooLong));
    let endless = std::iter::repeat(Run {
        first_seq: 0,
        count: 1,
    });
    let at = (QueueId(1), Stream(0));
    let failed = bundle(&mut out, STAMP, |out| {
        seal(out, STAMP)?;
        enqueue(out, STAMP, &new)
    });
    assert_eq!(failed, Err(TooLong));
    let taken = endless.take(100);
    settle(&mut out, STAMP, at, Reason::Ack, taken).unwrap();
    assert_eq!(out.len(), 3 + HEADER_LEN + 20 + 100 * 16);
}

#[test]
fn the_format_is_what_is_written_down() {
    let mut bytes = Vec::new();
    purge(&mut bytes, STAMP, QueueId(0x0102), Stream(5), 77).unwrap();
    let mut expected = vec![
        56, 0, 0, 0, 5, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0,
    ];
    expected.extend_from_slice(&bytes[24..28]);
    expected.extend_from_slice(&[0, 0, 0, 0]);
    expected.extend_from_slice(&[
        2, 1, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0,
    ]);
    assert_eq!(bytes, expected);
}
