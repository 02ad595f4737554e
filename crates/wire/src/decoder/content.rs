//! The hot path behind a `basic.publish`: header and body of a small content in one step.

use super::Decoder;
use crate::frame::{ContentHeader, FRAME_END, kind};
use crate::method::basic;

impl Decoder {
    /// Takes a whole content off the input: its header frame and its one body frame, or none for an
    /// empty body.
    ///
    /// `None` says only that this did not apply; the input is then for [`Decoder::next`], which
    /// tells an error from a content that has not all come, is split into several frames or belongs
    /// to another channel. The properties are not checked here.
    ///
    /// **Cost**: no allocation, no copy, some ten comparisons.
    #[inline]
    pub fn whole_content<'a>(
        &self,
        input: &'a [u8],
        channel: u16,
    ) -> Option<(usize, ContentHeader<'a>, &'a [u8])> {
        let (fixed, rest) = input.split_first_chunk::<19>()?;
        let &[k, c0, c1, s0, s1, s2, s3, i0, i1, w0, w1, body_size @ ..] = fixed;
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        let header_follows = start(k, c0, c1) == start_of(kind::HEADER, channel)
            && u32::from_be_bytes([i0, i1, w0, w1]) == u32::from(basic::CLASS_ID) << 16
            && size <= self.frame_max
            && self.within.is_none();
        if !header_follows {
            return None;
        }
        let properties_len = usize::try_from(size.checked_sub(12)?).ok()?;
        let (properties, [FRAME_END, rest @ ..]) = rest.split_at_checked(properties_len)? else {
            return None;
        };
        let body_size = u64::from_be_bytes(body_size);
        let weight = 0;
        let header = ContentHeader {
            class_id: basic::CLASS_ID,
            weight,
            body_size,
            properties,
        };
        if body_size == 0 {
            return Some((input.len() - rest.len(), header, &[]));
        }
        let (&[k, c0, c1, s0, s1, s2, s3], rest) = rest.split_first_chunk::<7>()?;
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        let body_follows = start(k, c0, c1) == start_of(kind::BODY, channel)
            && u64::from(size) == body_size
            && size <= self.frame_max;
        if !body_follows {
            return None;
        }
        let (body, [FRAME_END, rest @ ..]) = rest.split_at_checked(usize::try_from(size).ok()?)?
        else {
            return None;
        };
        Some((input.len() - rest.len(), header, body))
    }
}

#[inline]
fn start(kind: u8, c0: u8, c1: u8) -> u32 {
    u32::from_be_bytes([0, kind, c0, c1])
}

#[inline]
fn start_of(kind: u8, channel: u16) -> u32 {
    u32::from(kind) << 16 | u32::from(channel)
}
