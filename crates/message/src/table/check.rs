//! The one check of a field table's bytes, after which reading them cannot fail.
//!
//! Every length is held against the bytes that are there, so nothing is allocated, and the depth is
//! limited, so the recursion below is too: a peer can send 1,500 nested arrays in a few kilobytes.

/// How deep tables and arrays may nest, the outermost table counted.
pub const MAX_DEPTH: usize = 32;

/// What is wrong with the bytes of a field table. Each is 502 `SYNTAX_ERROR` over AMQP 0-9-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The bytes end inside an entry, or a length points past the end of what holds it.
    #[error("field table ends inside an entry")]
    Truncated,
    /// A type letter that RabbitMQ does not know.
    #[error("unknown field type {0}")]
    UnknownType(u8),
    /// A key that is not UTF-8.
    #[error("field name is not UTF-8")]
    Key,
    /// More than [`MAX_DEPTH`] tables and arrays inside each other.
    #[error("field table nests deeper than 32")]
    TooDeep,
}

pub(super) fn table(bytes: &[u8]) -> Result<(), TableError> {
    table_at(bytes, 1)
}

fn table_at(mut bytes: &[u8], depth: usize) -> Result<(), TableError> {
    if depth > MAX_DEPTH {
        return Err(TableError::TooDeep);
    }
    while let Some((len, rest)) = bytes.split_first() {
        let (key, rest) = rest
            .split_at_checked(usize::from(*len))
            .ok_or(TableError::Truncated)?;
        if str::from_utf8(key).is_err() {
            return Err(TableError::Key);
        }
        bytes = value_at(rest, depth)?;
    }
    Ok(())
}

fn array_at(mut bytes: &[u8], depth: usize) -> Result<(), TableError> {
    if depth > MAX_DEPTH {
        return Err(TableError::TooDeep);
    }
    while !bytes.is_empty() {
        bytes = value_at(bytes, depth)?;
    }
    Ok(())
}

/// Checks the value at the start of `bytes` and returns what follows it.
fn value_at(bytes: &[u8], depth: usize) -> Result<&[u8], TableError> {
    let (kind, rest) = bytes.split_first().ok_or(TableError::Truncated)?;
    let width = match kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' | b'F' | b'A' => {
            let (inner, rest) = long(rest).ok_or(TableError::Truncated)?;
            match kind {
                b'F' => table_at(inner, depth + 1)?,
                b'A' => array_at(inner, depth + 1)?,
                _ => {}
            }
            return Ok(rest);
        }
        unknown => return Err(TableError::UnknownType(*unknown)),
    };
    rest.get(width..).ok_or(TableError::Truncated)
}

/// Splits off what a u32 length in front of it covers.
#[inline]
pub(super) fn long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}
