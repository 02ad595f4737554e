//! Flipped bits, overwritten blocks, cut files: each is reported where it is, costs no message but its own, and gives out no wrong one.

use super::super::layout::HEAD;
use super::*;

/// A message's queue, stream and extent, and its bytes in the file.
#[derive(Clone, Debug)]
struct Spot {
    queue: u64,
    stream: u32,
    extent: usize,
    range: std::ops::Range<u64>,
    seq: u64,
}

/// Where each message of a segment is.
fn spots(content: &Content) -> Vec<Spot> {
    let mut at = 4096;
    let mut spots = Vec::new();
    for (extent, (queue, stream, messages)) in content.iter().enumerate() {
        for message in messages {
            let body = message.body.as_ref().map_or(0, |body| 4 + body.len());
            let size = (HEAD + message.record.len() + body).next_multiple_of(8) as u64;
            spots.push(Spot {
                queue: *queue,
                stream: *stream,
                extent,
                range: at..at + size,
                seq: message.seq,
            });
            at += size;
        }
    }
    spots
}

fn all_damages(reader: &SegmentReader) -> Vec<Damage> {
    let mut damages = Vec::new();
    let verified = reader.verify(&mut |damage| damages.push(damage));
    assert_eq!(verified.damages, damages.len() as u64);
    damages
}

/// Everything but the messages in these spots is read, and the damages that are met account for each of them.
fn check_lost(reader: &SegmentReader, content: &Content, lost: &[&Spot]) {
    for (extent, (queue, stream, messages)) in content.iter().enumerate() {
        let here: Vec<_> = lost.iter().filter(|spot| spot.extent == extent).collect();
        let is_lost = |message: &&Message| here.iter().any(|spot| spot.seq == message.seq);
        let kept = messages.iter().filter(|m| !is_lost(m)).cloned();
        let (read, damages) = read_all(reader, extent, 50_000);
        assert_eq!(read, kept.collect::<Vec<_>>());
        let count: u64 = damages
            .iter()
            .map(|damage| damage.lost.as_ref().expect("of messages").count)
            .sum();
        assert_eq!(count, here.len() as u64);
        for spot in here {
            let reports = damages.iter().any(|damage| {
                let lost = damage.lost.as_ref().expect("of messages");
                (lost.queue, lost.stream) == (QueueId(*queue), Stream(*stream))
                    && lost.seqs.contains(&spot.seq)
                    && damage.range.start <= spot.range.start
                    && spot.range.end <= damage.range.end
            });
            assert!(reports, "{spot:?} in {damages:?}");
        }
    }
}

#[test]
fn every_flipped_bit_is_reported_and_costs_no_other_message() {
    let disk = new_disk();
    let content = small();
    let sealed = write(&disk, ID, &content).unwrap();
    let spots = spots(&content);
    let path = sealed_path(ID);
    let in_messages = 4096..spots.last().unwrap().range.end;
    for at in 0..sealed.bytes {
        let every_bit = in_messages.contains(&at) || at < 200 || sealed.bytes - at < 600;
        let bits = if every_bit {
            0..8
        } else {
            at as u8 % 8..at as u8 % 8 + 1
        };
        for bit in bits {
            disk.flip(Path::new(&path), at, bit).unwrap();
            let reader = SegmentReader::open(&disk, ID).unwrap();
            let hit = spots.iter().find(|spot| spot.range.contains(&at));
            check_lost(&reader, &content, hit.as_slice());
            let damages = all_damages(&reader);
            let [damage] = damages.as_slice() else {
                panic!("byte {at}, bit {bit}: {damages:?}");
            };
            assert!(damage.range.contains(&at) && damage.file == path);
            match hit {
                Some(spot) => assert_eq!(damage.range, spot.range),
                None => assert_eq!(damage.lost, None),
            }
            disk.flip(Path::new(&path), at, bit).unwrap();
        }
    }
    check_whole(&disk, &content);
}

#[test]
fn a_damaged_length_or_link_costs_one_message_among_many() {
    let disk = new_disk();
    let content = large();
    write(&disk, ID, &content).unwrap();
    // In the length, the sequence number, the link back and the count.
    let places = [
        (0, 3),
        (0, 7),
        (1, 1),
        (2, 0),
        (3, 7),
        (8, 0),
        (16, 4),
        (17, 2),
        (20, 0),
    ];
    let path = sealed_path(ID);
    for (n, spot) in spots(&content).into_iter().enumerate() {
        for (at, bit) in [places[n % 9], places[(n + 3) % 5]] {
            disk.flip(Path::new(&path), spot.range.start + at, bit)
                .unwrap();
            let reader = SegmentReader::open(&disk, ID).unwrap();
            let damages = all_damages(&reader);
            assert_eq!(damages.len(), 1, "{spot:?}: {damages:?}");
            let lost = damages[0].lost.as_ref().unwrap();
            assert_eq!(
                (damages[0].range.clone(), lost.count),
                (spot.range.clone(), 1)
            );
            assert!(lost.seqs.contains(&spot.seq));
            assert_eq!(lost.queue, QueueId(spot.queue));
            assert_eq!(lost.stream, Stream(spot.stream));
            disk.flip(Path::new(&path), spot.range.start + at, bit)
                .unwrap();
        }
    }
}

#[test]
fn two_damages_near_each_other_cost_two_messages() {
    let disk = new_disk();
    let content = large();
    write(&disk, ID, &content).unwrap();
    let spots = spots(&content);
    let path = sealed_path(ID);
    for (n, pair) in spots.windows(4).enumerate().step_by(7) {
        // One has a wrong length, so that it must be found from behind, past the other or up to it.
        for (length, number) in [(&pair[0], &pair[n % 3 + 1]), (&pair[n % 3 + 1], &pair[0])] {
            let flips = [length.range.start + 1, number.range.start + 9];
            for at in flips {
                disk.flip(Path::new(&path), at, 2).unwrap();
            }
            let reader = SegmentReader::open(&disk, ID).unwrap();
            check_lost(&reader, &content, &[length, number]);
            for at in flips {
                disk.flip(Path::new(&path), at, 2).unwrap();
            }
        }
    }
}

#[test]
fn an_overwritten_block_costs_the_messages_that_it_touches() {
    let content = large();
    let disk = new_disk();
    let sealed = write(&disk, ID, &content).unwrap();
    let spots = spots(&content);
    let file = disk.open(Path::new(&sealed_path(ID))).unwrap();
    for block in 0..sealed.bytes.div_ceil(4096) {
        let range = block * 4096..(block * 4096 + 4096).min(sealed.bytes);
        let mut before = vec![0; (range.end - range.start) as usize];
        file.read_at(range.start, &mut before).unwrap();
        let garbage = [0, 0xff][block as usize % 2];
        file.write_at(range.start, &vec![garbage; before.len()])
            .unwrap();
        let reader = SegmentReader::open(&disk, ID).unwrap();
        let touched = |spot: &&Spot| spot.range.start < range.end && range.start < spot.range.end;
        let lost: Vec<_> = spots.iter().filter(touched).collect();
        check_lost(&reader, &content, &lost);
        assert!(!all_damages(&reader).is_empty(), "block {block}");
        file.write_at(range.start, &before).unwrap();
    }
    check_whole(&disk, &content);
}

#[test]
fn a_search_reports_damage_only_where_what_is_wanted_may_be_in_it() {
    let disk = new_disk();
    let content = vec![(1, 0, (10..20).map(|seq| message(seq, 50, None)).collect())];
    write(&disk, ID, &content).unwrap();
    let spot = spots(&content)[4].clone();
    disk.flip(Path::new(&sealed_path(ID)), spot.range.start + 1, 0)
        .unwrap();
    let reader = SegmentReader::open(&disk, ID).unwrap();
    let first = |from| reader.read(0, from, 1).map(|read| read.list[0].seq);
    assert_eq!(first(Start::Seq(13)), Ok(13));
    assert_eq!(first(Start::Seq(15)), Ok(15));
    assert_eq!(first(Start::Ordinal(5)), Ok(15));
    for from in [Start::Seq(14), Start::Ordinal(4)] {
        let damage = first(from).unwrap_err();
        let lost = damage.lost.clone().unwrap();
        assert_eq!((lost.seqs, lost.count), (14..=14, 1));
        assert_eq!(first(Start::Place(lost.resume)), Ok(15));
        let text = damage.to_string();
        assert!(text.contains("seg/000000000000002a.seg"), "{text}");
        assert!(text.contains("queue 1"), "{text}");
    }
    // A reading that is under way ends before it, and the next one reports it.
    let read = reader.read(0, Start::Seq(12), 1_000).unwrap();
    assert_eq!(read.list.len(), 2);
    let next = Start::Place(read.next.unwrap());
    assert_eq!(reader.read(0, next, 1_000).unwrap_err().range, spot.range);
}

#[test]
fn a_file_that_is_cut_anywhere_is_reported_and_gives_no_wrong_message() {
    let disk = new_disk();
    let content = small();
    let sealed = write(&disk, ID, &content).unwrap();
    let file = disk.open(Path::new(&sealed_path(ID))).unwrap();
    let mut opened = 0;
    for len in (0..sealed.bytes).rev() {
        file.truncate(len).unwrap();
        let Ok(reader) = SegmentReader::open(&disk, ID) else {
            continue;
        };
        opened += 1;
        assert!(!reader.flaws().is_empty());
        assert!(!all_damages(&reader).is_empty());
        check_lost(&reader, &content, &[]);
    }
    assert!(opened > 64, "the first footer serves while it is there");
    assert!(opened < sealed.bytes - 4096, "it does not while it is not");
    file.truncate(0).unwrap();
    let damage = SegmentReader::open(&disk, ID).unwrap_err();
    assert_eq!(damage.file, sealed_path(ID));
}

#[test]
fn bytes_behind_the_end_are_reported() {
    let disk = new_disk();
    let content = small();
    let sealed = write(&disk, ID, &content).unwrap();
    let file = disk.open(Path::new(&sealed_path(ID))).unwrap();
    file.write_at(sealed.bytes, b"more").unwrap();
    let reader = SegmentReader::open(&disk, ID).unwrap();
    check_lost(&reader, &content, &[]);
    let ranges: Vec<_> = all_damages(&reader).into_iter().map(|d| d.range).collect();
    let behind = sealed.bytes..sealed.bytes + 4;
    assert_eq!(ranges, std::slice::from_ref(&behind));
}

#[test]
fn what_belongs_elsewhere_is_not_taken() {
    let disk = new_disk();
    let same = || vec![message(1, 40, None), message(2, 40, None)];
    let content = vec![(1, 0, same()), (2, 0, same())];
    write(&disk, ID, &content).unwrap();
    let spots = spots(&content);
    let file = disk.open(Path::new(&sealed_path(ID))).unwrap();
    // The first queue's message, written over the same message of the other.
    let mut bytes = vec![0; 64];
    file.read_at(spots[1].range.start, &mut bytes).unwrap();
    file.write_at(spots[3].range.start, &bytes).unwrap();
    let reader = SegmentReader::open(&disk, ID).unwrap();
    check_lost(&reader, &content, &[&spots[3]]);
    // The whole file under another segment's name.
    let other = SegmentId(7);
    let (from, to) = (sealed_path(ID), sealed_path(other));
    disk.rename(Path::new(&from), Path::new(&to)).unwrap();
    let damage = SegmentReader::open(&disk, other).unwrap_err();
    assert_eq!((damage.file, damage.cause), (to, Cause::Trailer));
    let missing = SegmentReader::open(&disk, ID).unwrap_err();
    assert!(matches!(
        missing.cause,
        Cause::Io(std::io::ErrorKind::NotFound, _)
    ));
}

#[test]
fn a_body_that_looks_like_messages_is_not_searched() {
    let disk = new_disk();
    let inner = vec![(1, 0, vec![message(11, 40, None), message(12, 40, None)])];
    write(&disk, SegmentId(1), &inner).unwrap();
    let file = disk.open(Path::new(&sealed_path(SegmentId(1)))).unwrap();
    let mut forged = vec![0; 128];
    file.read_at(4096, &mut forged).unwrap();
    let forger = Message {
        record: forged,
        ..message(10, 0, None)
    };
    let content = vec![(
        1,
        0,
        vec![message(9, 1, None), forger, message(20, 9, None)],
    )];
    // Even with the right salt: the forged ones were written in a segment of the same number, store and queue.
    write(&disk, ID, &content).unwrap();
    for (from, to) in [
        (sealed_path(SegmentId(1)), "seg/away"),
        (sealed_path(ID), "seg/x"),
    ] {
        disk.rename(Path::new(&from), Path::new(to)).unwrap();
    }
    write(&disk, SegmentId(1), &content).unwrap();
    let spot = spots(&content)[1].clone();
    let path = sealed_path(SegmentId(1));
    disk.flip(Path::new(&path), spot.range.start, 5).unwrap();
    let reader = SegmentReader::open(&disk, SegmentId(1)).unwrap();
    check_lost(&reader, &content, &[&spot]);
}

#[test]
fn a_read_error_in_read_ahead_costs_nothing() {
    let disk = new_disk();
    let content = large();
    write(&disk, ID, &content).unwrap();
    let reader = SegmentReader::open(&disk, ID).unwrap();
    let faults = crate::disk::Faults {
        fail_read: Some(disk.counts().reads + 1),
        ..Default::default()
    };
    disk.set_faults(faults);
    check_lost(&reader, &content, &[]);
    let failed = disk
        .log()
        .lines()
        .filter(|line| line.contains(" read #"))
        .count();
    assert!(failed > 2);
}
