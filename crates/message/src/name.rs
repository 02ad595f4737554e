//! The name of a vhost, exchange, queue, user or consumer: a short string that is cloned without a
//! copy.
//!
//! A name is at most 255 bytes, because AMQP 0-9-1 carries names as short strings. Which names are
//! allowed or reserved is not decided here.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A short string that is shared by all its clones.
///
/// Compares, orders and hashes as the `str` it holds, so maps keyed by `Name` are searched with
/// `&str`. Cloning raises a counter; the empty name ([`Name::default`]) needs no allocation.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// A name of more than 255 bytes, which no short string can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name of {0} bytes is longer than 255")]
pub struct NameTooLong(pub usize);

impl Name {
    /// The longest name in bytes.
    pub const MAX_LEN: usize = 255;

    /// Copies a string into a name.
    ///
    /// **Errors**: [`NameTooLong`] above 255 bytes.
    pub fn new(name: &str) -> Result<Name, NameTooLong> {
        if name.len() > Self::MAX_LEN {
            return Err(NameTooLong(name.len()));
        }
        Ok(if name.is_empty() {
            Name::default()
        } else {
            Name(name.into())
        })
    }

    /// The name as a string.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl TryFrom<&str> for Name {
    type Error = NameTooLong;

    fn try_from(name: &str) -> Result<Name, NameTooLong> {
        Name::new(name)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests;
