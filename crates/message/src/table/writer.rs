//! Making field tables: what the broker itself says, and tables rebuilt from a peer's.
//!
//! A writer writes what [`TableRef::parse`] accepts, entry by entry into one buffer. It does not
//! count depth: whoever puts a peer's table a level deeper answers for
//! [`MAX_DEPTH`](super::MAX_DEPTH).

use super::{Table, TableRef, Value};

/// Writes the entries of a field table.
#[derive(Debug, Default)]
pub struct TableWriter {
    bytes: Vec<u8>,
}

impl TableWriter {
    /// An empty table.
    pub fn new() -> TableWriter {
        TableWriter::default()
    }

    /// Appends an entry; keys that are there already stay.
    ///
    /// A key is at most 255 bytes; a longer one is cut at a character.
    pub fn put<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) -> &mut Self {
        put_key(&mut self.bytes, key);
        put_value(&mut self.bytes, value.into());
        self
    }

    /// Appends a nested table that `fill` writes.
    pub fn put_table(&mut self, key: &str, fill: impl FnOnce(&mut TableWriter)) -> &mut Self {
        put_key(&mut self.bytes, key);
        put_table(&mut self.bytes, fill);
        self
    }

    /// Appends an array that `fill` writes.
    pub fn put_array(&mut self, key: &str, fill: impl FnOnce(&mut ArrayWriter)) -> &mut Self {
        put_key(&mut self.bytes, key);
        put_array(&mut self.bytes, fill);
        self
    }

    /// The table written so far, borrowed.
    pub fn view(&self) -> TableRef<'_> {
        TableRef(&self.bytes)
    }

    /// Ends the table.
    pub fn finish(self) -> Table {
        Table(self.bytes.into_boxed_slice())
    }
}

/// Writes the values of an array inside a field table.
#[derive(Debug, Default)]
pub struct ArrayWriter {
    bytes: Vec<u8>,
}

impl ArrayWriter {
    /// Appends a value.
    pub fn push<'v>(&mut self, value: impl Into<Value<'v>>) -> &mut Self {
        put_value(&mut self.bytes, value.into());
        self
    }

    /// Appends a table that `fill` writes.
    pub fn push_table(&mut self, fill: impl FnOnce(&mut TableWriter)) -> &mut Self {
        put_table(&mut self.bytes, fill);
        self
    }

    /// Appends an array that `fill` writes.
    pub fn push_array(&mut self, fill: impl FnOnce(&mut ArrayWriter)) -> &mut Self {
        put_array(&mut self.bytes, fill);
        self
    }
}

fn put_key(out: &mut Vec<u8>, key: &str) {
    let (key, _) = key.split_at(key.floor_char_boundary(255));
    out.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(key.as_bytes());
}

fn put_table(out: &mut Vec<u8>, fill: impl FnOnce(&mut TableWriter)) {
    let mut writer = TableWriter::new();
    fill(&mut writer);
    put_long(out, b'F', &writer.bytes);
}

fn put_array(out: &mut Vec<u8>, fill: impl FnOnce(&mut ArrayWriter)) {
    let mut writer = ArrayWriter::default();
    fill(&mut writer);
    put_long(out, b'A', &writer.bytes);
}

fn put_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::LongStr(bytes) => put_long(out, b'S', bytes),
        Value::Binary(bytes) => put_long(out, b'x', bytes),
        Value::Table(table) => put_long(out, b'F', table.as_bytes()),
        Value::Array(array) => put_long(out, b'A', array.as_bytes()),
        Value::Timestamp(seconds) => put_octets(out, b'T', seconds.to_be_bytes()),
        Value::Bool(value) => put_octets(out, b't', [u8::from(value)]),
        Value::Byte(number) => put_octets(out, b'b', number.to_be_bytes()),
        Value::UnsignedByte(number) => put_octets(out, b'B', [number]),
        Value::Short(number) => put_octets(out, b's', number.to_be_bytes()),
        Value::UnsignedShort(number) => put_octets(out, b'u', number.to_be_bytes()),
        Value::SignedInt(number) => put_octets(out, b'I', number.to_be_bytes()),
        Value::UnsignedInt(number) => put_octets(out, b'i', number.to_be_bytes()),
        Value::Long(number) => put_octets(out, b'l', number.to_be_bytes()),
        Value::Float(number) => put_octets(out, b'f', number.to_be_bytes()),
        Value::Double(number) => put_octets(out, b'd', number.to_be_bytes()),
        Value::Decimal { scale, value } => {
            put_octets(out, b'D', [scale]);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::Void => out.push(b'V'),
    }
}

fn put_octets<const N: usize>(out: &mut Vec<u8>, kind: u8, octets: [u8; N]) {
    out.push(kind);
    out.extend_from_slice(&octets);
}

/// Writes a u32 length and the bytes; a table is part of a frame or message, so it is far below 4
/// GiB.
fn put_long(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("a field is smaller than 4 GiB");
    put_octets(out, kind, len.to_be_bytes());
    out.extend_from_slice(bytes);
}
