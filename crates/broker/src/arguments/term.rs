//! Erlang's way of writing values, as far as RabbitMQ's reply texts show it.
//!
//! Long lists are not broken into lines as Erlang does; a reply text is cut before that matters.

use std::fmt::{self, Display, Formatter, Write as _};

use leveret_message::table::Value;

/// Text inside an Erlang string literal, without the quotes around it.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' => f.write_str("\\\""),
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '\r' => f.write_str("\\r"),
            '\t' => f.write_str("\\t"),
            c if c.is_control() => write!(f, "\\x{{{:x}}}", u32::from(c)),
            c => f.write_char(c),
        })
    }
}

/// A value without its type: strings as they are, anything else as a term.
pub(super) struct Plain<'a>(pub(super) Value<'a>);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::LongStr(bytes) | Value::Binary(bytes) => {
                f.write_str(&String::from_utf8_lossy(bytes))
            }
            other => term(f, other),
        }
    }
}

/// A value as a term.
pub(super) struct Term<'a>(pub(super) Value<'a>);

impl Display for Term<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        term(f, self.0)
    }
}

fn term(f: &mut Formatter<'_>, value: Value<'_>) -> fmt::Result {
    match value {
        Value::LongStr(bytes) | Value::Binary(bytes) => binary(f, bytes),
        Value::Float(value) => float(f, value.into()),
        Value::Double(value) => float(f, value),
        Value::Table(table) => list(f, table.iter(), |f, (key, value)| {
            f.write_str("{")?;
            binary(f, key.as_bytes())?;
            write!(f, ",{},", value.type_name())?;
            term(f, value)?;
            f.write_str("}")
        }),
        Value::Array(array) => list(f, array.iter(), |f, value| {
            write!(f, "{{{},", value.type_name())?;
            term(f, value)?;
            f.write_str("}")
        }),
        other => write!(f, "{other}"),
    }
}

fn list<T>(
    f: &mut Formatter<'_>,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str("[")?;
    for (i, item) in items.enumerate() {
        if i > 0 {
            f.write_str(",")?;
        }
        write(f, item)?;
    }
    f.write_str("]")
}

fn binary(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    if bytes.is_empty() {
        return f.write_str("<<>>");
    }
    write!(f, "<<\"{}\">>", Escaped(&String::from_utf8_lossy(bytes)))
}

/// The shortest digits that read back as the same number, always with a point, and with an exponent where that is no longer.
fn float(f: &mut Formatter<'_>, value: f64) -> fmt::Result {
    let plain = format!("{value:?}");
    let scientific = format!("{value:e}");
    let scientific = match scientific.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
        _ => scientific,
    };
    let plain_is_better = !plain.contains('e') && plain.len() <= scientific.len();
    f.write_str(if plain_is_better { &plain } else { &scientific })
}
