//! What a binding of a headers exchange asks of a message: `x-match`, its criteria, and when one is met.
//!
//! Values compare exactly but not by wire type, as in RabbitMQ: every integer type and timestamps are numbers, both
//! float types are floats, `S` and `x` are bytes. A number, a float and a string are never equal. Tables and arrays
//! are equal when their bytes are. When a message repeats a header, the last one counts.

use std::collections::HashMap;

use leveret_message::{ArrayRef, TableRef, Value};

use super::error::{BindingError, term};

/// The binding argument that says how criteria combine.
const X_MATCH: &str = "x-match";

/// How many headers are looked through one by one; more of them are hashed.
const FEW: usize = 16;

/// How the criteria of a binding combine, and whether arguments that begin with `x-` are criteria.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum XMatch {
    /// Each criterion is met; the default.
    #[default]
    All,
    /// At least one is met.
    Any,
    AllWithX,
    AnyWithX,
}

impl XMatch {
    /// What the arguments of a binding say.
    ///
    /// **Errors**: `x-match` is there, but not one of the four words.
    pub(super) fn of(arguments: TableRef<'_>) -> Result<Self, BindingError> {
        match arguments.find(X_MATCH) {
            None | Some(Value::LongStr(b"all")) => Ok(Self::All),
            Some(Value::LongStr(b"any")) => Ok(Self::Any),
            Some(Value::LongStr(b"all-with-x")) => Ok(Self::AllWithX),
            Some(Value::LongStr(b"any-with-x")) => Ok(Self::AnyWithX),
            Some(value @ Value::LongStr(_)) => Err(BindingError::MatchValue { value: term(value) }),
            Some(other) => Err(BindingError::MatchType {
                kind: other.type_name(),
                value: term(other),
            }),
        }
    }

    pub(super) fn needs_all(self) -> bool {
        matches!(self, Self::All | Self::AllWithX)
    }

    /// The criteria among the arguments of a binding.
    pub(super) fn criteria<'a>(
        self,
        arguments: TableRef<'a>,
    ) -> impl Iterator<Item = Criterion<'a>> {
        let skipped = match self {
            Self::All | Self::Any => |name: &str| name.starts_with("x-"),
            Self::AllWithX | Self::AnyWithX => |name: &str| name == X_MATCH,
        };
        arguments
            .iter()
            .filter(move |(name, _)| !skipped(name))
            .map(|(name, value)| Criterion {
                name,
                wanted: Exact::of(value),
            })
    }
}

/// A header a binding asks for, and the value it is to have; [`Exact::Void`] stands for any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Criterion<'a> {
    pub(super) name: &'a str,
    pub(super) wanted: Exact<'a>,
}

impl Criterion<'_> {
    pub(super) fn is_met_by(&self, headers: &Headers<'_>) -> bool {
        match headers.find(self.name) {
            Some(value) => self.wanted == Exact::Void || self.wanted == value,
            None => false,
        }
    }
}

/// A value without what does not count when headers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Exact<'a> {
    Integer(i64),
    /// A timestamp that is no `i64`.
    Beyond(u64),
    /// A float by its bits.
    Float(u64),
    Bool(bool),
    Bytes(&'a [u8]),
    Decimal(u8, i32),
    Table(TableRef<'a>),
    Array(ArrayRef<'a>),
    Void,
}

impl<'a> Exact<'a> {
    pub(super) fn of(value: Value<'a>) -> Self {
        match value {
            Value::LongStr(bytes) | Value::Binary(bytes) => Self::Bytes(bytes),
            Value::Timestamp(seconds) => {
                i64::try_from(seconds).map_or(Self::Beyond(seconds), Self::Integer)
            }
            Value::Bool(value) => Self::Bool(value),
            Value::Byte(number) => Self::Integer(number.into()),
            Value::UnsignedByte(number) => Self::Integer(number.into()),
            Value::Short(number) => Self::Integer(number.into()),
            Value::UnsignedShort(number) => Self::Integer(number.into()),
            Value::SignedInt(number) => Self::Integer(number.into()),
            Value::UnsignedInt(number) => Self::Integer(number.into()),
            Value::Long(number) => Self::Integer(number),
            Value::Float(number) => Self::Float(f64::from(number).to_bits()),
            Value::Double(number) => Self::Float(number.to_bits()),
            Value::Decimal { scale, value } => Self::Decimal(scale, value),
            Value::Table(table) => Self::Table(table),
            Value::Array(array) => Self::Array(array),
            Value::Void => Self::Void,
        }
    }
}

/// The headers of a message by name; of a repeated one the last.
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack of one lookup, which is not to allocate"
)]
pub(super) enum Headers<'a> {
    Few([(&'a str, Exact<'a>); FEW], usize),
    Many(HashMap<&'a str, Exact<'a>>),
}

impl<'a> Headers<'a> {
    pub(super) fn of(table: TableRef<'a>) -> Self {
        let mut few = [("", Exact::Void); FEW];
        let mut len = 0;
        for (name, value) in table.iter() {
            let known = few[..len].iter().position(|(other, _)| *other == name);
            let at = known.unwrap_or(len);
            let Some(place) = few.get_mut(at) else {
                return Self::Many(
                    table
                        .iter()
                        .map(|(name, value)| (name, Exact::of(value)))
                        .collect(),
                );
            };
            *place = (name, Exact::of(value));
            len = len.max(at + 1);
        }
        Self::Few(few, len)
    }

    pub(super) fn for_each(&self, mut each: impl FnMut(&'a str, Exact<'a>)) {
        match self {
            Self::Few(few, len) => few[..*len]
                .iter()
                .for_each(|(name, value)| each(name, *value)),
            Self::Many(many) => many.iter().for_each(|(name, value)| each(name, *value)),
        }
    }

    fn find(&self, name: &str) -> Option<Exact<'a>> {
        match self {
            Self::Few(few, len) => few[..*len]
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| *value),
            Self::Many(many) => many.get(name).copied(),
        }
    }
}
