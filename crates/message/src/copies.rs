//! The headers `CC` and `BCC`: further routing keys of a message (<https://www.rabbitmq.com/docs/sender-selected>). `BCC` is nobody's to see.

use std::fmt;

use crate::blind_keys;
use crate::table::{ArrayRef, TableRef, TableWriter, Value};

/// The header whose keys nobody sees.
const BLIND: &str = "BCC";

/// A header with further routing keys is no array; prints as RabbitMQ says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKeys {
    header: &'static str,
    found: &'static str,
}

impl fmt::Display for NotKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { header, found } = self;
        write!(
            f,
            "invalid message: {{unacceptable_type_in_header,<<\"{header}\">>,{found}}}"
        )
    }
}

/// All routing keys of a message. What is no text in the arrays is passed over, as in RabbitMQ.
pub fn routing_keys<'a>(
    routing_key: &'a [u8],
    headers: Option<TableRef<'a>>,
) -> Result<Vec<&'a [u8]>, NotKeys> {
    let mut keys = vec![routing_key];
    for header in ["CC", BLIND] {
        match headers.and_then(|headers| headers.find(header)) {
            None => {}
            Some(Value::Array(array)) => keys.extend(texts(array)),
            Some(other) => {
                let found = other.type_name();
                return Err(NotKeys { header, found });
            }
        }
    }
    Ok(keys)
}

fn texts(array: ArrayRef<'_>) -> impl Iterator<Item = &[u8]> {
    array.iter().filter_map(|value| match value {
        Value::LongStr(text) => Some(text),
        _ => None,
    })
}

/// Whether there are further routing keys.
#[inline]
pub fn are_in(headers: TableRef<'_>) -> bool {
    headers.find("CC").is_some() || headers.find(BLIND).is_some()
}

/// Whether there are keys that nobody sees.
pub fn are_blind(headers: Option<TableRef<'_>>) -> bool {
    headers.is_some_and(|headers| headers.find(BLIND).is_some())
}

/// The keys that nobody sees, as a message keeps them ([`blind_keys`]).
pub fn blind(headers: Option<TableRef<'_>>) -> Vec<u8> {
    let Some(Value::Array(keys)) = headers.and_then(|headers| headers.find(BLIND)) else {
        return Vec::new();
    };
    blind_keys::join(texts(keys))
}

/// The headers that are seen.
pub fn seen(headers: TableRef<'_>) -> TableWriter {
    let mut seen = TableWriter::new();
    for (name, value) in headers.iter().filter(|(name, _)| *name != BLIND) {
        seen.put(name, value);
    }
    seen
}
