//! Splits what a socket read into frames, without copying and without believing a length.
//!
//! The caller keeps the bytes: it calls [`Decoder::next`] until that needs more, drops what was
//! consumed, and reads on. The decoder itself remembers nothing but its place inside a large body
//! frame, whose payload is handed out in parts as it comes; so the largest input a caller must hold
//! is one method, content header or body frame of up to 4 KiB, and `frame_max` bounds the first
//! two.

mod content;

use crate::frame::{
    ContentHeader, FRAME_END, FRAME_OVERHEAD, Frame, FrameError, INITIAL_FRAME_MAX, Octets, kind,
};

/// Body frames up to this payload are only handed out whole, since small contents are simpler in
/// one piece.
const WHOLE_BODY_MAX: u32 = 4096;

/// The frame decoder of one connection.
///
/// ```text
///            body frame above 4 KiB, not all there
///  between ----------------------------------------> in a body frame --.
///     ^                                                 |    ^         | part
///     '-------------------------------------------------'    '---------'
///            the last octets and the frame end
/// ```
#[derive(Debug)]
pub struct Decoder {
    /// The ceiling as negotiated: payload and the 8 octets around it.
    frame_max: u32,
    within: Option<BodyFrame>,
}

/// The place in a body frame of which parts were handed out.
#[derive(Debug, Clone, Copy)]
struct BodyFrame {
    channel: u16,
    /// Octets of payload that have not been handed out, at least 1.
    remaining: usize,
    octets: Octets,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder for a new connection: frames up to 8,192 bytes until [`Decoder::set_frame_max`].
    pub fn new() -> Decoder {
        Decoder {
            frame_max: INITIAL_FRAME_MAX,
            within: None,
        }
    }

    /// Sets the ceiling that `connection.tune-ok` agreed on, payload and the 8 octets around it.
    ///
    /// No limit is `u32::MAX`. As in RabbitMQ, clients that forget the 8 octets are suffered: the
    /// payload alone may be as long as `frame_max`.
    pub fn set_frame_max(&mut self, frame_max: u32) {
        self.frame_max = frame_max;
    }

    /// Takes the next frame, or part of a large body frame, off the input.
    ///
    /// Returns how many bytes were consumed and the frame, or `None` when more bytes are needed.
    ///
    /// **Errors**: 501 `FRAME_ERROR`, each fatal for the connection; see [`FrameError`].
    /// **Cost**: no allocation, no copy.
    #[inline]
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<Option<(usize, Frame<'a>)>, FrameError> {
        if self.within.is_some() {
            return self.next_part(input);
        }
        let Some((&[kind, c0, c1, s0, s1, s2, s3], rest)) = input.split_first_chunk::<7>() else {
            return Ok(None);
        };
        let channel = u16::from_be_bytes([c0, c1]);
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        if size > self.frame_max {
            let max = self.frame_max.saturating_sub(FRAME_OVERHEAD);
            return Err(FrameError::TooLarge { kind, size, max });
        }
        let Ok(len) = usize::try_from(size) else {
            return Ok(None);
        };
        let Some((payload, [end, ..])) = rest.split_at_checked(len) else {
            let in_parts = kind == kind::BODY && size > WHOLE_BODY_MAX;
            return Ok(in_parts
                .then(|| self.first_part(channel, len, rest))
                .flatten());
        };
        if *end != FRAME_END {
            let octets = Octets::of(payload);
            return Err(FrameError::BadEnd {
                kind,
                octets,
                marker: *end,
            });
        }
        let frame = whole_frame(kind, channel, payload).ok_or_else(|| FrameError::Unknown {
            kind,
            octets: Octets::of(payload),
        })?;
        Ok(Some((len + 8, frame)))
    }

    /// Hands out what there is of a large body frame, and remembers the rest.
    fn first_part<'a>(
        &mut self,
        channel: u16,
        size: usize,
        rest: &'a [u8],
    ) -> Option<(usize, Frame<'a>)> {
        let payload = withhold_last(rest, size)?;
        let octets = Octets::of_part(payload, size);
        let remaining = size - payload.len();
        self.within = Some(BodyFrame {
            channel,
            remaining,
            octets,
        });
        Some((
            7 + payload.len(),
            Frame::Body {
                channel,
                payload,
                end: false,
            },
        ))
    }

    fn next_part<'a>(&mut self, input: &'a [u8]) -> Result<Option<(usize, Frame<'a>)>, FrameError> {
        let Some(within) = &mut self.within else {
            return Ok(None);
        };
        let (channel, remaining) = (within.channel, within.remaining);
        if let Some((payload, [marker, ..])) = input.split_at_checked(remaining) {
            if *marker != FRAME_END {
                let (kind, octets, marker) = (kind::BODY, within.octets, *marker);
                return Err(FrameError::BadEnd {
                    kind,
                    octets,
                    marker,
                });
            }
            self.within = None;
            return Ok(Some((
                remaining + 1,
                Frame::Body {
                    channel,
                    payload,
                    end: true,
                },
            )));
        }
        Ok(withhold_last(input, remaining).map(|payload| {
            within.remaining -= payload.len();
            (
                payload.len(),
                Frame::Body {
                    channel,
                    payload,
                    end: false,
                },
            )
        }))
    }
}

/// What there is of a payload of `size` octets, but not its last octet: that one comes with the
/// frame end, so that a body is never complete before its frame is known to be good. `None` if that
/// leaves nothing.
fn withhold_last(input: &[u8], size: usize) -> Option<&[u8]> {
    let len = input.len().min(size.saturating_sub(1));
    input.get(..len).filter(|payload| !payload.is_empty())
}

/// A frame from its whole payload; `None` if the type is unknown or cannot have this payload.
#[inline]
fn whole_frame(kind: u8, channel: u16, payload: &[u8]) -> Option<Frame<'_>> {
    match kind {
        kind::METHOD => {
            let (&[c0, c1, m0, m1], arguments) = payload.split_first_chunk::<4>()?;
            let class_id = u16::from_be_bytes([c0, c1]);
            let method_id = u16::from_be_bytes([m0, m1]);
            Some(Frame::Method {
                channel,
                class_id,
                method_id,
                arguments,
            })
        }
        kind::HEADER => Some(Frame::Header {
            channel,
            header: content_header(payload)?,
        }),
        kind::BODY => Some(Frame::Body {
            channel,
            payload,
            end: true,
        }),
        kind::HEARTBEAT if payload.is_empty() => Some(Frame::Heartbeat { channel }),
        _ => None,
    }
}

fn content_header(payload: &[u8]) -> Option<ContentHeader<'_>> {
    let (&[c0, c1, w0, w1], rest) = payload.split_first_chunk::<4>()?;
    let (body_size, properties) = rest.split_first_chunk::<8>()?;
    Some(ContentHeader {
        class_id: u16::from_be_bytes([c0, c1]),
        weight: u16::from_be_bytes([w0, w1]),
        body_size: u64::from_be_bytes(*body_size),
        properties,
    })
}

#[cfg(test)]
mod tests;
