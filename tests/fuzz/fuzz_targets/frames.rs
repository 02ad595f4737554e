//! The frame decoder on any octets in any pieces, and the one-step content against it.
//!
//! The first octet chooses the size of the pieces. Run: `cargo +nightly fuzz run --fuzz-dir tests/fuzz frames`.

#![no_main]

use leveret_message::Properties;
use leveret_wire::{Decoder, Frame, FrameError, method};
use libfuzzer_sys::fuzz_target;

/// What a stream comes to: how many frames, octets of body and why it ended.
#[derive(Debug, Default, PartialEq)]
struct Sum {
    frames: usize,
    body: usize,
    error: Option<FrameError>,
}

fn feed(input: &[u8], piece: usize) -> Sum {
    let mut decoder = Decoder::new();
    decoder.set_frame_max(131_072);
    let mut sum = Sum::default();
    let mut held: Vec<u8> = Vec::new();
    for piece in input.chunks(piece) {
        held.extend_from_slice(piece);
        let mut start = 0;
        loop {
            match decoder.next(&held[start..]) {
                Ok(Some((consumed, frame))) => {
                    assert!(consumed > 0 && start + consumed <= held.len());
                    read(frame, &mut sum);
                    start += consumed;
                    check_content(&decoder, &held[start..]);
                }
                Ok(None) => break,
                Err(error) => {
                    let _ = error.to_string();
                    sum.error = Some(error);
                    return sum;
                }
            }
        }
        held.drain(..start);
    }
    sum
}

fn read(frame: Frame<'_>, sum: &mut Sum) {
    match frame {
        Frame::Method {
            class_id,
            method_id,
            arguments,
            ..
        } => {
            let _ = method::decode(class_id, method_id, arguments);
            sum.frames += 1;
        }
        Frame::Header { header, .. } => {
            let _ = Properties::parse(header.properties);
            sum.frames += 1;
        }
        Frame::Body { payload, end, .. } => {
            sum.body += payload.len();
            sum.frames += usize::from(end);
        }
        Frame::Heartbeat { .. } => sum.frames += 1,
    }
}

/// A content in one step must be what the general path makes of the same octets.
fn check_content(decoder: &Decoder, input: &[u8]) {
    let channel = input
        .get(1..3)
        .map_or(0, |octets| u16::from_be_bytes([octets[0], octets[1]]));
    let Some((consumed, header, body)) = decoder.whole_content(input, channel) else {
        return;
    };
    assert_eq!(header.body_size, body.len() as u64);
    let mut general = Decoder::new();
    general.set_frame_max(131_072);
    let first = general.next(input).expect("valid").expect("whole");
    assert_eq!(first.1, Frame::Header { channel, header });
    if body.is_empty() {
        assert_eq!(first.0, consumed);
    } else {
        let second = general
            .next(&input[first.0..])
            .expect("valid")
            .expect("whole");
        assert_eq!(
            second.1,
            Frame::Body {
                channel,
                payload: body,
                end: true
            }
        );
        assert_eq!(first.0 + second.0, consumed);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((piece, input)) = input.split_first() else {
        return;
    };
    let whole = feed(input, input.len().max(1));
    let pieces = feed(input, usize::from(*piece) + 1);
    // A bad end of a large body is found after parts of it were handed out, so only frames count.
    assert_eq!((whole.frames, whole.error), (pieces.frames, pieces.error));
    if whole.error.is_none() {
        assert_eq!(whole.body, pieces.body);
    }
});
