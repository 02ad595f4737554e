//! Field tables: arguments, headers and client properties, kept as the bytes a peer sent.
//!
//! ```text
//! table = { u8 length | name | value }*       array = { value }*       value = u8 type letter | data
//! ```
//!
//! The u32 length in front of a table is not part of these bytes. A table is checked once, by
//! [`TableRef::parse`]; order and repeated keys stay as sent. The letters are RabbitMQ's, which
//! differ from the specification's (`s` is a 16-bit integer, `l` and `L` are both signed).

mod check;
mod value;
mod writer;

use std::fmt;

pub use self::check::{MAX_DEPTH, TableError};
pub use self::value::{ArrayRef, Value};
pub use self::writer::{ArrayWriter, TableWriter};

/// A field table that borrows the bytes between its length and its end.
///
/// Two tables are equal when their bytes are: the same entries in the same order with the same
/// types.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TableRef<'a>(&'a [u8]);

impl<'a> TableRef<'a> {
    /// Checks all of `bytes` as the entries of a field table.
    ///
    /// **Errors**: [`TableError`] when lengths do not add up, a type letter is unknown, a key is
    /// not UTF-8 or tables and arrays nest deeper than [`MAX_DEPTH`]; over AMQP 0-9-1 each is 502
    /// `SYNTAX_ERROR`.
    pub fn parse(bytes: &'a [u8]) -> Result<TableRef<'a>, TableError> {
        check::table(bytes)?;
        Ok(TableRef(bytes))
    }

    /// A table over bytes that were checked as part of something larger.
    #[inline]
    pub(crate) fn checked(bytes: &'a [u8]) -> TableRef<'a> {
        TableRef(bytes)
    }

    /// The entries in the order they were sent, repeated keys included.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first()?;
            let (key, after) = after.split_at_checked(usize::from(*len))?;
            let (value, after) = value::read(after)?;
            rest = after;
            Some((str::from_utf8(key).unwrap_or_default(), value))
        })
    }

    /// The value of the first entry with this key.
    pub fn find(&self, key: &str) -> Option<Value<'a>> {
        self.iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Tells whether the table has no entries.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries as sent, without the length in front.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Copies the table out of the buffer it borrows.
    pub fn to_owned(&self) -> Table {
        Table(self.0.into())
    }
}

impl fmt::Debug for TableRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A field table that owns its bytes; without entries it owns no memory.
///
/// Compares and hashes by its bytes, as [`TableRef`] does.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Table(Box<[u8]>);

impl Table {
    /// Borrows the table for reading.
    #[inline]
    pub fn view(&self) -> TableRef<'_> {
        TableRef(&self.0)
    }

    /// Tells whether the table has no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

#[cfg(test)]
mod tests;
