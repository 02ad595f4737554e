//! Files whose checksums hold and whose content is nonsense: nothing panics, nothing runs for ever, nothing is read outside the file.

use super::super::layout::{Footer, HEAD, Head, Trailer, encode_header, salt};
use super::*;
use crate::crc::{crc32c, crc32c_of};

/// Writes a file that passes all checksums of header, footers and trailer.
fn forge(disk: &SimDisk, footer: &Footer, extents: &[u8], footer_at: u64) {
    let bytes = footer.encode();
    let trailer = Trailer {
        footer_at,
        extents: footer.rows.len() as u32,
        points: footer.points.len() as u32,
        id: ID,
        uuid: UUID,
        footer_crc: crc32c(&bytes),
    };
    let file = disk.create(Path::new(&sealed_path(ID))).unwrap();
    file.write_at(4096, extents).unwrap();
    if footer_at < 1 << 24 {
        file.write_at(trailer.footer_at, &bytes).unwrap();
        file.write_at(trailer.copy_at(), &bytes).unwrap();
        file.write_at(trailer.trailer_at(), &trailer.encode())
            .unwrap();
    }
    file.write_at(0, &encode_header(&trailer, 1)).unwrap();
}

/// The footer of a good segment, and the bytes of its extents.
fn good(content: &Content) -> (Footer, Vec<u8>) {
    let disk = new_disk();
    let sealed = write(&disk, ID, content).unwrap();
    let file = disk.open(Path::new(&sealed_path(ID))).unwrap();
    let mut bytes = vec![0; sealed.bytes as usize];
    file.read_at(0, &mut bytes).unwrap();
    let trailer = Trailer::decode(&bytes[bytes.len() - 64..]).unwrap();
    let footer = &bytes[trailer.footer_at as usize..][..trailer.footer_len() as usize];
    let footer = Footer::decode(footer, &trailer).unwrap();
    (footer, bytes[4096..trailer.footer_at as usize].to_vec())
}

/// Reads all that a file claims to have.
fn read_everything(disk: &SimDisk) -> bool {
    let Ok(reader) = SegmentReader::open(disk, ID) else {
        return false;
    };
    reader.verify(&mut |_| ());
    for extent in 0..reader.extents().len() {
        read_all(&reader, extent, 10_000);
        for from in [Start::Seq(u64::MAX), Start::Seq(1_300), Start::Ordinal(7)] {
            // Whatever comes of it.
            let _any = reader.read(extent, from, usize::MAX);
        }
    }
    true
}

fn any_long() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(1 << 63),
        Just((1 << 60) - 8),
        0..40u64,
        (0..2_000u64).prop_map(|n| n * 8),
        any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_footer_of_nonsense_is_refused_or_read(
        changes in proptest::collection::vec((any::<usize>(), 0..13usize, any_long()), 1..4),
        footer_at in proptest::option::weighted(0.2, any_long()),
    ) {
        let (mut footer, extents) = good(&small());
        for (which, field, long) in changes {
            let (rows, points) = (footer.rows.len(), footer.points.len());
            let row = &mut footer.rows[which % rows];
            let point = &mut footer.points[which % points];
            match field {
                0 => row.queue.0 = long,
                1 => row.stream.0 = long as u32,
                2 => row.last_size = long as u32,
                3 => row.first_seq = long,
                4 => row.last_seq = long,
                5 => row.count = long,
                6 => row.offset = long,
                7 => row.len = long,
                8 => row.first_point = long as u32,
                9 => row.points = long as u32,
                10 => point.ordinal = long,
                11 => point.seq = long,
                _ => point.offset = long,
            }
        }
        let disk = new_disk();
        let end = 4096 + extents.len() as u64;
        forge(&disk, &footer, &extents, footer_at.unwrap_or(end));
        read_everything(&disk);
    }

    #[test]
    fn messages_of_nonsense_are_read_or_reported(
        heads in proptest::collection::vec((any::<usize>(), 0..6usize, any_long()), 1..20),
    ) {
        let (footer, mut extents) = good(&large());
        let row = &footer.rows[1];
        let salt = salt(UUID, ID, row.queue, row.stream);
        let from = row.offset as usize - 4096;
        let cells = row.len as usize / 8;
        for (cell, field, long) in heads {
            let at = from + cell % (cells - 4) * 8;
            let mut head = Head::decode(&extents[at..]).unwrap_or(Head {
                len: 8,
                crc: 0,
                seq: 1_100,
                has_body: true,
                back: 0,
                delivery_count: 0,
                arrived_ms: 0,
            });
            match field {
                0 => head.len = long as u32,
                1 => head.seq = long,
                2 => head.back = long % (1 << 20) / 8 * 8,
                3 => head.has_body = !head.has_body,
                _ => head.delivery_count = long as u32,
            }
            let covered = head.encode_covered();
            let end = at + head.size() as usize;
            let rest = extents.get(at + HEAD..end).unwrap_or_default();
            let len = head.len.to_le_bytes();
            let crc = crc32c_of(&[&len, &covered, rest]) ^ salt;
            extents[at..at + 4].copy_from_slice(&len);
            extents[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
            extents[at + 8..at + HEAD].copy_from_slice(&covered);
        }
        let disk = new_disk();
        forge(&disk, &footer, &extents, 4096 + extents.len() as u64);
        prop_assert!(read_everything(&disk));
    }

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..9_000)) {
        let disk = new_disk();
        let file = disk.create(Path::new(&sealed_path(ID))).unwrap();
        file.write_at(0, &bytes).unwrap();
        prop_assert!(!read_everything(&disk));
    }
}
