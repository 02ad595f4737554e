//! What is in a body, so that a consumer can tell what became of it.
//!
//! ```text
//! u16 producer, u48 sequence number | u64 nanoseconds when it was sent | octets that follow from their place
//! ```
//!
//! Of bodies too short for it, the time is left out first, then the numbers: then messages can only be counted.

/// The longest body.
pub(crate) const SIZE_MAX: usize = 128 << 20;
/// Octets of the numbers, and of them and the time.
pub(crate) const NUMBERED: usize = 8;
pub(crate) const TIMED: usize = 16;

const SEQUENCE_BITS: u32 = 48;

/// Who sent a message, and as which of its own, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) producer: u16,
    pub(crate) sequence: u64,
}

impl Numbers {
    #[inline]
    pub(crate) fn to_octets(self) -> [u8; 8] {
        (u64::from(self.producer) << SEQUENCE_BITS | self.sequence).to_be_bytes()
    }

    #[inline]
    pub(crate) fn of(octets: [u8; 8]) -> Numbers {
        let both = u64::from_be_bytes(octets);
        Numbers {
            producer: (both >> SEQUENCE_BITS) as u16,
            sequence: both & ((1 << SEQUENCE_BITS) - 1),
        }
    }
}

/// How many octets at the front differ from message to message.
pub(crate) fn head_len(size: usize) -> usize {
    match size {
        TIMED.. => TIMED,
        NUMBERED.. => NUMBERED,
        _ => 0,
    }
}

/// A body with nothing at its front yet.
pub(crate) fn blank(size: usize) -> Vec<u8> {
    let filling = (0..size).map(|place| (place % 251) as u8);
    filling.collect()
}
