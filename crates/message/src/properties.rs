//! The properties of a message: flags and property list of its content header, kept as the
//! publisher sent them.
//!
//! ```text
//! u16 flags | { further u16 flags }* | property list         flags: bit 15 content-type ... bit 2 cluster-id,
//!                                                            bit 0 = another word of flags follows
//! ```
//!
//! [`Properties::parse`] checks the whole once; a field is looked for only when it is asked for,
//! because most messages are never asked for more than their delivery mode. Unset properties stay
//! unset.

mod header;
mod writer;

use crate::table::{TableError, TableRef};

pub use self::header::AddedHeader;
pub use self::writer::PropertiesWriter;

/// What is wrong with the properties of a content header. Each is 502 `SYNTAX_ERROR` over AMQP
/// 0-9-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// The bytes end inside the flags or inside a property.
    #[error("content header ends inside its properties")]
    Truncated,
    /// A flag of a property that the basic class does not have.
    #[error("content header has flags of unknown properties")]
    UnknownFlag,
    /// Bytes follow the last property.
    #[error("content header has bytes after its properties")]
    Trailing,
    /// The headers table is malformed.
    #[error("content header: {0}")]
    Headers(#[from] TableError),
    /// A property to write is longer than the 255 bytes of a short string. Never from `parse`.
    #[error("a property is longer than 255 bytes")]
    TooLong,
}

/// The flag bits, in the order the list has the properties.
mod flag {
    pub(super) const CONTENT_TYPE: u16 = 1 << 15;
    pub(super) const CONTENT_ENCODING: u16 = 1 << 14;
    pub(super) const HEADERS: u16 = 1 << 13;
    pub(super) const DELIVERY_MODE: u16 = 1 << 12;
    pub(super) const PRIORITY: u16 = 1 << 11;
    pub(super) const CORRELATION_ID: u16 = 1 << 10;
    pub(super) const REPLY_TO: u16 = 1 << 9;
    pub(super) const EXPIRATION: u16 = 1 << 8;
    pub(super) const MESSAGE_ID: u16 = 1 << 7;
    pub(super) const TIMESTAMP: u16 = 1 << 6;
    pub(super) const TYPE: u16 = 1 << 5;
    pub(super) const USER_ID: u16 = 1 << 4;
    pub(super) const APP_ID: u16 = 1 << 3;
    pub(super) const CLUSTER_ID: u16 = 1 << 2;
    /// The bit after the last property, which stands for none.
    pub(super) const UNDEFINED: u16 = 1 << 1;
    pub(super) const CONTINUED: u16 = 1;
}

/// The checked properties of a message, borrowing the bytes they came in.
///
/// Short strings are handed out as bytes, since RabbitMQ does not ask for UTF-8 in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Properties<'a> {
    bytes: &'a [u8],
    flags: u16,
    list: &'a [u8],
}

impl Default for Properties<'_> {
    /// No property set.
    fn default() -> Self {
        Properties {
            bytes: &[0, 0],
            flags: 0,
            list: &[],
        }
    }
}

impl<'a> Properties<'a> {
    /// Checks all of `bytes`, the content header after the body size.
    ///
    /// **Errors**: [`PropertiesError`]; 502 `SYNTAX_ERROR` over AMQP 0-9-1.
    /// **Cost**: a few instructions when nothing, or nothing but the delivery mode, is set.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Properties<'a>, PropertiesError> {
        match bytes {
            [0, 0] => Ok(Properties {
                bytes,
                flags: 0,
                list: &[],
            }),
            [0x10, 0, list @ ..] if list.len() == 1 => Ok(Properties {
                bytes,
                flags: flag::DELIVERY_MODE,
                list,
            }),
            _ => Self::parse_any(bytes),
        }
    }

    /// Takes what [`Properties::parse`] has checked before; a property that cannot be read is as if it was not set.
    pub fn checked(bytes: &'a [u8]) -> Properties<'a> {
        let (flags, list) = split_flags(bytes).unwrap_or_default();
        Properties { bytes, flags, list }
    }

    fn parse_any(bytes: &'a [u8]) -> Result<Properties<'a>, PropertiesError> {
        let (flags, list) = split_flags(bytes)?;
        let mut rest = list;
        for bit in set_bits(flags) {
            let (field, after) = split_field(bit, rest).ok_or(PropertiesError::Truncated)?;
            if bit == flag::HEADERS {
                TableRef::parse(field)?;
            }
            rest = after;
        }
        if !rest.is_empty() {
            return Err(PropertiesError::Trailing);
        }
        Ok(Properties { bytes, flags, list })
    }

    /// The flags and the property list as sent.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The MIME type of the body.
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.field(flag::CONTENT_TYPE)
    }

    /// The encoding of the body.
    pub fn content_encoding(&self) -> Option<&'a [u8]> {
        self.field(flag::CONTENT_ENCODING)
    }

    /// The table of the application's headers.
    pub fn headers(&self) -> Option<TableRef<'a>> {
        self.field(flag::HEADERS).map(TableRef::checked)
    }

    /// 2 for a persistent message; any other number is as good as none.
    #[inline]
    pub fn delivery_mode(&self) -> Option<u8> {
        if self.flags == flag::DELIVERY_MODE {
            return self.list.first().copied();
        }
        self.octet(flag::DELIVERY_MODE)
    }

    /// Tells whether the delivery mode is 2.
    #[inline]
    pub fn is_persistent(&self) -> bool {
        self.delivery_mode() == Some(2)
    }

    /// The priority in a priority queue.
    pub fn priority(&self) -> Option<u8> {
        self.octet(flag::PRIORITY)
    }

    /// What the application correlates a reply by.
    pub fn correlation_id(&self) -> Option<&'a [u8]> {
        self.field(flag::CORRELATION_ID)
    }

    /// The queue that replies shall go to.
    pub fn reply_to(&self) -> Option<&'a [u8]> {
        self.field(flag::REPLY_TO)
    }

    /// The time to live: milliseconds in decimal digits, not checked here.
    pub fn expiration(&self) -> Option<&'a [u8]> {
        self.field(flag::EXPIRATION)
    }

    /// The time to live in milliseconds, where it is a number.
    pub fn expiration_ms(&self) -> Option<u64> {
        std::str::from_utf8(self.expiration()?).ok()?.parse().ok()
    }

    /// The application's name for the message.
    pub fn message_id(&self) -> Option<&'a [u8]> {
        self.field(flag::MESSAGE_ID)
    }

    /// Seconds since 1970, as the publisher says.
    pub fn timestamp(&self) -> Option<u64> {
        let octets = self.field(flag::TIMESTAMP)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*octets))
    }

    /// The property `type`: the application's name for the kind of message.
    pub fn message_type(&self) -> Option<&'a [u8]> {
        self.field(flag::TYPE)
    }

    /// The user that published, which the broker holds against the login.
    pub fn user_id(&self) -> Option<&'a [u8]> {
        self.field(flag::USER_ID)
    }

    /// The publishing application.
    pub fn app_id(&self) -> Option<&'a [u8]> {
        self.field(flag::APP_ID)
    }

    /// A leftover of AMQP 0-8, carried like the others.
    pub fn cluster_id(&self) -> Option<&'a [u8]> {
        self.field(flag::CLUSTER_ID)
    }

    fn octet(&self, bit: u16) -> Option<u8> {
        self.field(bit)?.first().copied()
    }

    /// The contents of a property, past the ones that stand before it.
    #[inline]
    fn field(&self, wanted: u16) -> Option<&'a [u8]> {
        if self.flags & wanted == 0 {
            return None;
        }
        let mut rest = self.list;
        for bit in set_bits(self.flags) {
            let (field, after) = split_field(bit, rest)?;
            if bit == wanted {
                return Some(field);
            }
            rest = after;
        }
        None
    }
}

/// The flags of properties, and the list behind them.
fn split_flags(bytes: &[u8]) -> Result<(u16, &[u8]), PropertiesError> {
    let (word, mut list) = flag_word(bytes)?;
    if word & flag::UNDEFINED != 0 {
        return Err(PropertiesError::UnknownFlag);
    }
    let mut continued = word & flag::CONTINUED != 0;
    while continued {
        let (further, rest) = flag_word(list)?;
        if further & !flag::CONTINUED != 0 {
            return Err(PropertiesError::UnknownFlag);
        }
        continued = further != 0;
        list = rest;
    }
    Ok((word & !flag::CONTINUED, list))
}

/// Whether properties have an expiration, by their flags.
#[inline]
pub(crate) fn has_expiration(bytes: &[u8]) -> bool {
    bytes
        .first()
        .is_some_and(|high| u16::from(*high) << 8 & flag::EXPIRATION != 0)
}

fn flag_word(bytes: &[u8]) -> Result<(u16, &[u8]), PropertiesError> {
    let (word, rest) = bytes
        .split_first_chunk::<2>()
        .ok_or(PropertiesError::Truncated)?;
    Ok((u16::from_be_bytes(*word), rest))
}

/// The bits that are set, highest first: the order of the property list.
#[inline]
fn set_bits(mut flags: u16) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        let bit = 0x8000_u16.checked_shr(flags.leading_zeros())?;
        flags &= !bit;
        Some(bit)
    })
}

/// Splits the property of this flag, without its length, off the list.
#[inline]
fn split_field(bit: u16, list: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, list) = match bit {
        flag::DELIVERY_MODE | flag::PRIORITY => (1, list),
        flag::TIMESTAMP => (8, list),
        flag::HEADERS => {
            let (len, list) = list.split_first_chunk::<4>()?;
            (usize::try_from(u32::from_be_bytes(*len)).ok()?, list)
        }
        _ => {
            let (len, list) = list.split_first()?;
            (usize::from(*len), list)
        }
    };
    list.split_at_checked(len)
}

#[cfg(test)]
mod tests;
