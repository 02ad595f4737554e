//! Output is written in order, whatever the pieces and however little the socket takes.

use super::*;

fn drain(output: &mut Output, step: usize) -> Vec<u8> {
    let mut written = vec![];
    while !output.is_empty() {
        let mut slices = [IoSlice::new(&[]); 3];
        let used = output.slices(&mut slices);
        let all: Vec<u8> = slices[..used]
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let taken = step.min(all.len());
        written.extend_from_slice(&all[..taken]);
        output.advance(taken);
    }
    written
}

#[test]
fn pieces_come_in_order() {
    for step in 1..20 {
        let mut output = Output::default();
        output.push_shared(Bytes::from_static(b"ab"));
        output.buffer().extend_from_slice(b"cde");
        output.push_shared(Bytes::from_static(b"fgh"));
        output.push_shared(Bytes::from_static(b"i"));
        output.buffer().extend_from_slice(b"jk");
        assert_eq!(output.len(), 11);
        assert_eq!(drain(&mut output, step), b"abcdefghijk");
        output.buffer().extend_from_slice(b"next");
        assert_eq!(drain(&mut output, step), b"next");
    }
}

#[test]
fn an_idle_output_keeps_no_large_buffer() {
    let (mut output, mut pool) = (Output::default(), Vec::with_capacity(100_000));
    output.lend(&mut pool);
    assert_eq!(pool.capacity(), 0);
    output.buffer().push(1);
    output.take_back(&mut pool);
    assert_eq!(pool.capacity(), 0);
    output.advance(1);
    output.take_back(&mut pool);
    assert!(pool.capacity() >= 100_000 && output.bytes.capacity() == 0);
}

#[test]
fn a_buffer_that_is_never_empty_does_not_grow() {
    let mut output = Output::default();
    let (mut said, mut written) = (vec![], vec![]);
    for round in 0..1000u32 {
        let piece = round.to_le_bytes().repeat(1000);
        said.extend_from_slice(&piece);
        if round % 7 == 0 {
            output.push_shared(Bytes::from(piece));
        } else {
            output.buffer().extend_from_slice(&piece);
        }
        while output.len() > 3000 {
            let mut slices = [IoSlice::new(&[]); 1];
            output.slices(&mut slices);
            let taken = slices[0].len().min(2999);
            written.extend_from_slice(&slices[0][..taken]);
            output.advance(taken);
        }
        assert!(!output.is_empty());
        assert!(output.bytes.len() < 2 * WRITTEN_KEPT, "{round}");
    }
    written.extend(drain(&mut output, 100));
    assert!(written == said, "in order, and whole");
}
