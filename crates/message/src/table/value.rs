//! The values of field tables and arrays, one variant for each of RabbitMQ's field types.
//!
//! Variants carry the words RabbitMQ uses for the types in its reply texts. Reading is total: bytes
//! that were not checked read as an early end.

use std::fmt;

use super::{Table, TableRef, check};

/// A value of a field table or array, borrowing from the table's bytes.
///
/// `==` is by type and value; [`Value::equivalent`] is the looser comparison of redeclarations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `S`: bytes that are usually UTF-8.
    LongStr(&'a [u8]),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `t`: any octet but 0 is true.
    Bool(bool),
    /// `b`: a signed 8-bit integer.
    Byte(i8),
    /// `B`: an unsigned 8-bit integer.
    UnsignedByte(u8),
    /// `s`: a signed 16-bit integer.
    Short(i16),
    /// `u`: an unsigned 16-bit integer.
    UnsignedShort(u16),
    /// `I`: a signed 32-bit integer.
    SignedInt(i32),
    /// `i`: an unsigned 32-bit integer.
    UnsignedInt(u32),
    /// `l` and `L`: a signed 64-bit integer.
    Long(i64),
    /// `f`: a 32-bit float.
    Float(f32),
    /// `d`: a 64-bit float.
    Double(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// How many digits stand behind the decimal point.
        scale: u8,
        /// The digits.
        value: i32,
    },
    /// `F`: a nested table.
    Table(TableRef<'a>),
    /// `A`: an array.
    Array(ArrayRef<'a>),
    /// `x`: bytes.
    Binary(&'a [u8]),
    /// `V`: no value.
    Void,
}

impl<'a> Value<'a> {
    /// The word RabbitMQ uses for the type in reply texts, as in `of type 'longstr'`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::LongStr(_) => "longstr",
            Value::Timestamp(_) => "timestamp",
            Value::Bool(_) => "bool",
            Value::Byte(_) => "byte",
            Value::UnsignedByte(_) => "unsignedbyte",
            Value::Short(_) => "short",
            Value::UnsignedShort(_) => "unsignedshort",
            Value::SignedInt(_) => "signedint",
            Value::UnsignedInt(_) => "unsignedint",
            Value::Long(_) => "long",
            Value::Float(_) => "float",
            Value::Double(_) => "double",
            Value::Decimal { .. } => "decimal",
            Value::Table(_) => "table",
            Value::Array(_) => "array",
            Value::Binary(_) => "binary",
            Value::Void => "void",
        }
    }

    /// The number, if the type is one of the seven integers; a timestamp is none of them.
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Value::Byte(number) => Some(number.into()),
            Value::UnsignedByte(number) => Some(number.into()),
            Value::Short(number) => Some(number.into()),
            Value::UnsignedShort(number) => Some(number.into()),
            Value::SignedInt(number) => Some(number.into()),
            Value::UnsignedInt(number) => Some(number.into()),
            Value::Long(number) => Some(number),
            _ => None,
        }
    }

    /// The text, if this is a `longstr` of UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Value::LongStr(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Tells whether a redeclaration may have one value for the other.
    ///
    /// Integers of any width compare by value, everything else by type and value.
    pub fn equivalent(&self, other: &Value<'_>) -> bool {
        match (self.as_integer(), other.as_integer()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self == other,
        }
    }
}

/// Prints the value as it stands between quotes in reply texts, as in `the value '1000' of type
/// 'long'`.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::LongStr(bytes) | Value::Binary(bytes) => {
                f.write_str(&String::from_utf8_lossy(bytes))
            }
            Value::Timestamp(seconds) => write!(f, "{seconds}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::Double(value) => write!(f, "{value:?}"),
            Value::Decimal { scale, value } => write!(f, "{{{scale},{value}}}"),
            Value::Table(table) => write!(f, "{table:?}"),
            Value::Array(array) => write!(f, "{array:?}"),
            Value::Void => f.write_str("undefined"),
            Value::Byte(_)
            | Value::UnsignedByte(_)
            | Value::Short(_)
            | Value::UnsignedShort(_)
            | Value::SignedInt(_)
            | Value::UnsignedInt(_)
            | Value::Long(_) => write!(f, "{}", self.as_integer().unwrap_or_default()),
        }
    }
}

/// An array inside a field table, borrowing its bytes. Equal when the bytes are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ArrayRef<'a>(&'a [u8]);

impl<'a> ArrayRef<'a> {
    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (value, after) = read(rest)?;
            rest = after;
            Some(value)
        })
    }

    /// Tells whether the array has no values.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values as sent, without the length in front.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for ArrayRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Reads the value at the start of `bytes`, and what follows it.
pub(super) fn read(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    Some(match kind {
        b'S' => with_long(rest, Value::LongStr)?,
        b'x' => with_long(rest, Value::Binary)?,
        b'F' => with_long(rest, |bytes| Value::Table(TableRef(bytes)))?,
        b'A' => with_long(rest, |bytes| Value::Array(ArrayRef(bytes)))?,
        b't' => with_chunk(rest, |[octet]| Value::Bool(octet != 0))?,
        b'b' => with_chunk(rest, |octets| Value::Byte(i8::from_be_bytes(octets)))?,
        b'B' => with_chunk(rest, |octets| {
            Value::UnsignedByte(u8::from_be_bytes(octets))
        })?,
        b's' => with_chunk(rest, |octets| Value::Short(i16::from_be_bytes(octets)))?,
        b'u' => with_chunk(rest, |octets| {
            Value::UnsignedShort(u16::from_be_bytes(octets))
        })?,
        b'I' => with_chunk(rest, |octets| Value::SignedInt(i32::from_be_bytes(octets)))?,
        b'i' => with_chunk(rest, |octets| {
            Value::UnsignedInt(u32::from_be_bytes(octets))
        })?,
        b'l' | b'L' => with_chunk(rest, |octets| Value::Long(i64::from_be_bytes(octets)))?,
        b'f' => with_chunk(rest, |octets| Value::Float(f32::from_be_bytes(octets)))?,
        b'd' => with_chunk(rest, |octets| Value::Double(f64::from_be_bytes(octets)))?,
        b'T' => with_chunk(rest, |octets| Value::Timestamp(u64::from_be_bytes(octets)))?,
        b'D' => with_chunk(rest, |[scale, a, b, c, d]| Value::Decimal {
            scale,
            value: i32::from_be_bytes([a, b, c, d]),
        })?,
        b'V' => (Value::Void, rest),
        _ => return None,
    })
}

fn with_long<'a>(
    bytes: &'a [u8],
    make: impl FnOnce(&'a [u8]) -> Value<'a>,
) -> Option<(Value<'a>, &'a [u8])> {
    let (inner, rest) = check::long(bytes)?;
    Some((make(inner), rest))
}

fn with_chunk<'a, const N: usize>(
    bytes: &'a [u8],
    make: impl FnOnce([u8; N]) -> Value<'a>,
) -> Option<(Value<'a>, &'a [u8])> {
    let (octets, rest) = bytes.split_first_chunk::<N>()?;
    Some((make(*octets), rest))
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::LongStr(text.as_bytes())
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i32> for Value<'_> {
    fn from(number: i32) -> Self {
        Value::SignedInt(number)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Long(number)
    }
}

impl<'a> From<TableRef<'a>> for Value<'a> {
    fn from(table: TableRef<'a>) -> Value<'a> {
        Value::Table(table)
    }
}

impl<'a> From<&'a Table> for Value<'a> {
    fn from(table: &'a Table) -> Value<'a> {
        Value::Table(table.view())
    }
}

impl<'a> From<ArrayRef<'a>> for Value<'a> {
    fn from(array: ArrayRef<'a>) -> Value<'a> {
        Value::Array(array)
    }
}
