//! The decoder against whole, split and hostile input.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::encode;
use crate::reply_code::ReplyCode;

/// A frame that owns its bytes; the parts of a body frame are put together again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Method(u16, u16, u16, Vec<u8>),
    Header(u16, u16, u16, u64, Vec<u8>),
    Body(u16, Vec<u8>),
    Heartbeat(u16),
}

/// Feeds `input` in pieces as a connection does, keeping what was not consumed.
fn feed<'i>(
    decoder: &mut Decoder,
    pieces: impl Iterator<Item = &'i [u8]>,
) -> (Vec<Owned>, Option<FrameError>, usize) {
    let (mut frames, mut held, mut partial) = (Vec::new(), Vec::new(), None);
    let mut most_held = 0;
    for piece in pieces {
        held.extend_from_slice(piece);
        let mut start = 0;
        loop {
            match decoder.next(&held[start..]) {
                Ok(Some((consumed, frame))) => {
                    assert!(consumed > 0);
                    start += consumed;
                    collect(frame, &mut frames, &mut partial);
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error), most_held),
            }
        }
        held.drain(..start);
        most_held = most_held.max(held.len());
    }
    (frames, None, most_held)
}

fn collect(frame: Frame<'_>, frames: &mut Vec<Owned>, partial: &mut Option<(u16, Vec<u8>)>) {
    if let Frame::Body {
        channel,
        payload,
        end,
    } = frame
    {
        let (begun_on, body) = partial.get_or_insert((channel, Vec::new()));
        assert_eq!(*begun_on, channel);
        body.extend_from_slice(payload);
        if end && let Some((channel, body)) = partial.take() {
            frames.push(Owned::Body(channel, body));
        }
        return;
    }
    assert_eq!(*partial, None, "a frame inside a body frame");
    frames.push(match frame {
        Frame::Method {
            channel,
            class_id,
            method_id,
            arguments,
        } => Owned::Method(channel, class_id, method_id, arguments.to_vec()),
        Frame::Header { channel, header } => {
            let ContentHeader {
                class_id,
                weight,
                body_size,
                properties,
            } = header;
            Owned::Header(channel, class_id, weight, body_size, properties.to_vec())
        }
        Frame::Heartbeat { channel } => Owned::Heartbeat(channel),
        Frame::Body { .. } => unreachable!("taken above"),
    });
}

fn raw(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&channel.to_be_bytes());
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(FRAME_END);
    bytes
}

impl Owned {
    fn encode(&self) -> Vec<u8> {
        match self {
            Owned::Method(channel, class_id, method_id, arguments) => {
                let ids = [class_id.to_be_bytes(), method_id.to_be_bytes()].concat();
                raw(1, *channel, &[&ids, &arguments[..]].concat())
            }
            Owned::Header(channel, class_id, weight, body_size, properties) => {
                let mut payload = [class_id.to_be_bytes(), weight.to_be_bytes()].concat();
                payload.extend_from_slice(&body_size.to_be_bytes());
                payload.extend_from_slice(properties);
                raw(2, *channel, &payload)
            }
            Owned::Body(channel, payload) => raw(3, *channel, payload),
            Owned::Heartbeat(channel) => raw(8, *channel, &[]),
        }
    }
}

fn any_frame() -> impl Strategy<Value = Owned> {
    let bytes = || vec(any::<u8>(), 0..200);
    let large = (4000_usize..20_000, any::<u8>()).prop_map(|(len, first)| {
        (0..len)
            .map(|index| first.wrapping_add(index as u8))
            .collect::<Vec<u8>>()
    });
    prop_oneof![
        (any::<u16>(), any::<u16>(), any::<u16>(), bytes()).prop_map(
            |(channel, class, method, bytes)| Owned::Method(channel, class, method, bytes)
        ),
        (any::<u16>(), any::<u16>(), any::<u64>(), bytes()).prop_map(
            |(channel, class, size, bytes)| Owned::Header(channel, class, 0, size, bytes)
        ),
        (any::<u16>(), bytes()).prop_map(|(channel, bytes)| Owned::Body(channel, bytes)),
        (any::<u16>(), large).prop_map(|(channel, bytes)| Owned::Body(channel, bytes)),
        any::<u16>().prop_map(Owned::Heartbeat),
    ]
}

fn tuned() -> Decoder {
    let mut decoder = Decoder::new();
    decoder.set_frame_max(131_072);
    decoder
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_frames(
        frames in vec(any_frame(), 0..6),
        sizes in vec(1_usize..9000, 1..20),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(Owned::encode).collect();
        let whole = feed(&mut tuned(), std::iter::once(&bytes[..]));
        prop_assert_eq!(&whole.0, &frames);
        prop_assert_eq!(whole.1, None);

        let octets = feed(&mut tuned(), bytes.chunks(1));
        prop_assert_eq!(&octets.0, &frames);

        let mut rest = &bytes[..];
        let mut sizes = sizes.iter().cycle();
        let pieces = std::iter::from_fn(|| {
            let (piece, after) = rest.split_at(rest.len().min(*sizes.next()?));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(&feed(&mut tuned(), pieces).0, &frames);
    }

    #[test]
    fn a_cut_stream_gives_a_beginning_and_no_error(
        frames in vec(any_frame(), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(Owned::encode).collect();
        let cut = &bytes[..cut.index(bytes.len())];
        let (got, error, _) = feed(&mut tuned(), std::iter::once(cut));
        prop_assert_eq!(error, None);
        prop_assert!(got.len() < frames.len());
        prop_assert_eq!(&got[..], &frames[..got.len()]);
    }

    #[test]
    fn random_octets_are_never_more_than_their_input(
        bytes in vec(prop_oneof![any::<u8>(), 0_u8..4, Just(FRAME_END)], 0..300),
        step in 1_usize..40,
    ) {
        let whole = feed(&mut tuned(), std::iter::once(&bytes[..]));
        let pieces = feed(&mut tuned(), bytes.chunks(step));
        prop_assert_eq!((whole.0, whole.1), (pieces.0, pieces.1));
    }

    #[test]
    fn a_whole_content_is_what_the_general_path_reads(
        channel in 0_u16..3,
        frames in vec((0_u16..3, proptest::option::of(0_u64..20), vec(any::<u8>(), 0..20)), 1..3),
        damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = Vec::new();
        for (channel, body_size, body) in &frames {
            let claimed = body_size.unwrap_or(body.len() as u64);
            encode::content_header(&mut bytes, *channel, claimed, &[0x10, 0, 2]);
            encode::body(&mut bytes, *channel, body, 24);
        }
        if let Some((index, octet)) = damage {
            let index = index.index(bytes.len());
            bytes[index] = octet;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let fast = Decoder::new().whole_content(&bytes, channel);
        prop_assert_eq!(fast, general_content(&bytes, channel));
    }
}

/// A content in one body frame at most, read frame by frame.
fn general_content(bytes: &[u8], on: u16) -> Option<(usize, ContentHeader<'_>, &[u8])> {
    let mut decoder = Decoder::new();
    let (first, Frame::Header { channel, header }) = decoder.next(bytes).ok()?? else {
        return None;
    };
    if channel != on || header.class_id != 60 || header.weight != 0 {
        return None;
    }
    if header.body_size == 0 {
        return Some((first, header, &[]));
    }
    let (
        second,
        Frame::Body {
            channel,
            payload,
            end: true,
        },
    ) = decoder.next(&bytes[first..]).ok()??
    else {
        return None;
    };
    let whole = channel == on && payload.len() as u64 == header.body_size;
    whole.then_some((first + second, header, payload))
}

#[test]
fn takes_a_small_content_in_one_step() {
    for body in [&b""[..], b"x", b"sixteen octets.."] {
        let mut bytes = Vec::new();
        encode::content_header(&mut bytes, 5, body.len() as u64, &[0, 0]);
        encode::body(&mut bytes, 5, body, 131_072);
        let len = bytes.len();
        encode::heartbeat(&mut bytes);
        let properties: &[u8] = &[0, 0];
        let header = ContentHeader {
            class_id: 60,
            weight: 0,
            body_size: body.len() as u64,
            properties,
        };
        assert_eq!(
            Decoder::new().whole_content(&bytes, 5),
            Some((len, header, body))
        );
        assert_eq!(Decoder::new().whole_content(&bytes, 4), None);
        for cut in 0..len {
            assert_eq!(Decoder::new().whole_content(&bytes[..cut], 5), None);
        }
    }
}

#[test]
fn whole_content_keeps_to_the_frame_max() {
    let mut bytes = Vec::new();
    encode::content_header(&mut bytes, 1, 9000, &[0, 0]);
    encode::body(&mut bytes, 1, &[7; 9000], 131_072);
    assert_eq!(Decoder::new().whole_content(&bytes, 1), None);
    assert!(tuned().whole_content(&bytes, 1).is_some());
}

#[test]
fn no_content_begins_inside_a_body_frame() {
    let mut bytes = raw(3, 1, &[7; 5000]);
    encode::content_header(&mut bytes, 1, 0, &[0, 0]);
    let mut decoder = tuned();
    let (consumed, _) = decoder.next(&bytes[..4000]).unwrap().unwrap();
    assert_eq!(decoder.whole_content(&bytes[5008..], 1), None);
    let (rest, _) = decoder.next(&bytes[consumed..]).unwrap().unwrap();
    assert_eq!(consumed + rest, 5008);
    assert!(decoder.whole_content(&bytes[5008..], 1).is_some());
}

#[test]
fn a_large_body_is_held_only_until_it_is_handed_out() {
    let body = vec![9; 100_000];
    let bytes = raw(3, 1, &body);
    let (frames, _, most_held) = feed(&mut tuned(), bytes.chunks(1000));
    assert_eq!(frames, [Owned::Body(1, body)]);
    // The frame's start, or the last octet of the payload.
    assert!(most_held < 8, "{most_held}");
    // A body of 4 KiB is whole or not there.
    let bytes = raw(3, 1, &[9; 4096]);
    assert_eq!(tuned().next(&bytes[..bytes.len() - 1]), Ok(None));
}

#[test]
fn a_part_never_completes_a_body_before_the_frame_end_is_checked() {
    let mut bytes = raw(3, 1, &[9; 5000]);
    let len = bytes.len();
    *bytes.last_mut().unwrap() = 0xCD;
    let mut decoder = tuned();
    let part = decoder.next(&bytes[..len - 1]).unwrap().unwrap();
    assert_eq!(
        part,
        (
            7 + 4999,
            Frame::Body {
                channel: 1,
                payload: &[9; 4999],
                end: false
            }
        )
    );
    let error = decoder.next(&bytes[part.0..]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "type 3, first 16 octets = <<9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9>>: {invalid_frame_end_marker,205}"
    );
}

fn error_of(decoder: &mut Decoder, bytes: &[u8]) -> String {
    let error = decoder.next(bytes).unwrap_err();
    assert_eq!(error.code(), ReplyCode::FrameError);
    error.to_string()
}

#[test]
fn a_frame_above_the_ceiling_is_an_error_before_its_payload() {
    let start = |size: u32| [&[1, 0, 0][..], &size.to_be_bytes()].concat();
    let text = |size, max| format!("type 1, all octets = <<>>: {{frame_too_large,{size},{max}}}");
    // Eight octets more than agreed are suffered, as RabbitMQ does.
    assert_eq!(Decoder::new().next(&start(8192)), Ok(None));
    assert_eq!(
        error_of(&mut Decoder::new(), &start(8193)),
        text(8193, 8184)
    );
    assert_eq!(tuned().next(&start(131_072)), Ok(None));
    assert_eq!(
        error_of(&mut tuned(), &start(131_073)),
        text(131_073, 131_064)
    );
    assert_eq!(
        error_of(&mut tuned(), &start(u32::MAX)),
        text(u32::MAX, 131_064)
    );
    let mut unlimited = Decoder::new();
    unlimited.set_frame_max(u32::MAX);
    assert_eq!(unlimited.next(&start(u32::MAX)), Ok(None));
}

#[test]
fn a_wrong_end_an_unknown_type_and_an_impossible_payload_are_frame_errors() {
    let cases: [(&[u8], &str); 8] = [
        (
            b"\x01\0\0\0\0\0\x04\0\x0a\0\x0b\xcd",
            "type 1, all octets = <<0,10,0,11>>: {invalid_frame_end_marker,205}",
        ),
        (
            b"\x08\0\0\0\0\0\0\0",
            "type 8, all octets = <<>>: {invalid_frame_end_marker,0}",
        ),
        (
            b"\x04\0\0\0\0\0\0\xce",
            "type 4, all octets = <<>>: unknown_frame",
        ),
        (
            b"\0\0\x01\0\0\0\x02hi\xce",
            "type 0, all octets = <<\"hi\">>: unknown_frame",
        ),
        (
            b"\x01\0\0\0\0\0\x03abc\xce",
            "type 1, all octets = <<\"abc\">>: unknown_frame",
        ),
        (
            b"\x02\0\x01\0\0\0\x01\"\xce",
            "type 2, all octets = <<\"\\\"\">>: unknown_frame",
        ),
        (
            b"\x08\0\0\0\0\0\x01\x01\xce",
            "type 8, all octets = <<1>>: unknown_frame",
        ),
        (
            b"\x09\0\0\0\0\0\x11seventeen octets.\xce",
            "type 9, first 16 octets = <<\"seventeen octets\">>: unknown_frame",
        ),
    ];
    for (bytes, text) in cases {
        assert_eq!(error_of(&mut Decoder::new(), bytes), text);
    }
}

#[test]
fn empty_frames_and_heartbeats_pass() {
    let bytes = [raw(3, 9, &[]), raw(8, 0, &[]), raw(8, 1, &[])].concat();
    let (frames, error, _) = feed(&mut Decoder::new(), std::iter::once(&bytes[..]));
    assert_eq!(error, None);
    assert_eq!(
        frames,
        [
            Owned::Body(9, vec![]),
            Owned::Heartbeat(0),
            Owned::Heartbeat(1)
        ]
    );
}
