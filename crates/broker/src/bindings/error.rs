//! Why a binding cannot be made. The texts are RabbitMQ's explanations, letter for letter.
//!
//! RabbitMQ prints an `x-match` it cannot take as an Erlang term; so does [`term`], on one line whatever its length: a
//! reply text is cut at 255 bytes and RabbitMQ's own line breaks in it help nobody.

use std::fmt::Write;

use leveret_message::Value;

/// Why a binding cannot be made; over AMQP 0-9-1 each is 406 `PRECONDITION_FAILED` on the channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// A topic binding key has more `#` than RabbitMQ 4.3 takes.
    #[error("Topic binding key '{key}' uses {hashes} '#' wildcards, at most 2 are allowed")]
    TooManyHashes {
        /// The binding key.
        key: String,
        /// How many `#` it has.
        hashes: usize,
    },
    /// The argument `x-match` is a string but none of the four that mean something.
    #[error("Invalid x-match field value {value}; expected all, any, all-with-x, or any-with-x")]
    MatchValue {
        /// The value, as an Erlang term.
        value: String,
    },
    /// The argument `x-match` is not a string.
    #[error("Invalid x-match field type {kind} (value {value}); expected longstr")]
    MatchType {
        /// RabbitMQ's word for the type.
        kind: &'static str,
        /// The value, as an Erlang term.
        value: String,
    },
    /// The weight of a binding of an `x-consistent-hash` exchange is zero or negative.
    #[error("The binding key must be greater than 0")]
    WeightNotPositive,
    /// The weight of a binding of an `x-consistent-hash` exchange is no number.
    #[error("The binding key must be an integer: {key}")]
    WeightNotInteger {
        /// The binding key, as an Erlang term.
        key: String,
    },
    /// A binding of an `x-local-random` exchange has a key.
    #[error("Non empty binding '{key}' key not permitted")]
    KeyNotEmpty {
        /// The binding key.
        key: String,
    },
    /// The binding key is no AMQP short string. AMQP 0-9-1 cannot carry one; other sources of bindings might.
    #[error("Binding key of {bytes} bytes is longer than 255 bytes")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
}

/// Prints a value as Erlang's `~tp` does.
pub(super) fn term(value: Value<'_>) -> String {
    let mut out = String::new();
    put(&mut out, value);
    out
}

fn put(out: &mut String, value: Value<'_>) {
    match value {
        Value::LongStr(bytes) | Value::Binary(bytes) => put_binary(out, bytes),
        Value::Table(table) => put_list(out, table.iter(), |out, (name, value)| {
            out.push('{');
            put_binary(out, name.as_bytes());
            out.push(',');
            out.push_str(value.type_name());
            out.push(',');
            put(out, value);
            out.push('}');
        }),
        Value::Array(array) => put_list(out, array.iter(), |out, value| {
            out.push('{');
            out.push_str(value.type_name());
            out.push(',');
            put(out, value);
            out.push('}');
        }),
        scalar => write!(out, "{scalar}").expect("writing to a string cannot fail"),
    }
}

fn put_list<T>(
    out: &mut String,
    items: impl Iterator<Item = T>,
    mut put: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        put(out, item);
    }
    out.push(']');
}

fn put_binary(out: &mut String, bytes: &[u8]) {
    let text = str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.chars().any(char::is_control));
    match text {
        Some("") => out.push_str("<<>>"),
        Some(text) => {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
            let suffix = if text.is_ascii() { "" } else { "/utf8" };
            write!(out, "<<\"{text}\"{suffix}>>").expect("writing to a string cannot fail");
        }
        None => {
            let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
            write!(out, "<<{}>>", numbers.join(",")).expect("writing to a string cannot fail");
        }
    }
}
