//! One header more, with a number, for messages that are handed on one after the other: those that follow each other mostly have the same properties, and
//! then only the number is written anew.

use super::{Properties, flag, set_bits, split_field};
use crate::table::{TableRef, TableWriter, Value};

/// See the module.
#[derive(Debug)]
pub struct AddedHeader<'m> {
    name: &'static str,
    /// The properties that were asked for last, without the header.
    of: Option<&'m [u8]>,
    /// The same with it.
    bytes: Vec<u8>,
    /// Where the number is in them.
    number_at: usize,
}

impl<'m> AddedHeader<'m> {
    /// The header of this name.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            of: None,
            bytes: Vec::new(),
            number_at: 0,
        }
    }

    /// Checked properties with the header, as the last one; a header of its name is not in them any more.
    ///
    /// **Cost**: a comparison where the properties are those of before, else a copy.
    #[inline]
    pub fn on(&mut self, properties: &'m [u8], number: i64) -> &[u8] {
        if self.of != Some(properties) {
            self.add_to(properties);
        }
        if let Some(octets) = self.bytes.get_mut(self.number_at..self.number_at + 8) {
            octets.copy_from_slice(&number.to_be_bytes());
        }
        &self.bytes
    }

    fn add_to(&mut self, bytes: &'m [u8]) {
        self.of = Some(bytes);
        let properties = Properties::checked(bytes);
        let (before, headers, behind) = around_headers(&properties);
        let mut entry = TableWriter::new();
        entry.put(self.name, Value::Long(0));
        let entry = entry.view().as_bytes();
        let headers = TableRef::checked(headers);
        let mut kept = TableWriter::new();
        let headers = match headers.find(self.name) {
            None => headers,
            Some(_) => {
                for (name, value) in headers.iter().filter(|(name, _)| *name != self.name) {
                    kept.put(name, value);
                }
                kept.view()
            }
        };
        let flags = properties.flags | flag::HEADERS;
        let len = (headers.as_bytes().len() + entry.len()) as u32;
        self.bytes.clear();
        self.bytes.extend_from_slice(&flags.to_be_bytes());
        self.bytes.extend_from_slice(before);
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(headers.as_bytes());
        self.bytes.extend_from_slice(entry);
        self.number_at = self.bytes.len() - 8;
        self.bytes.extend_from_slice(behind);
    }
}

/// The property list before the headers, the headers themselves, and the list behind them.
fn around_headers<'a>(properties: &Properties<'a>) -> (&'a [u8], &'a [u8], &'a [u8]) {
    let (list, mut rest) = (properties.list, properties.list);
    for bit in set_bits(properties.flags).filter(|bit| *bit >= flag::HEADERS) {
        let Some((field, behind)) = split_field(bit, rest) else {
            break;
        };
        if bit == flag::HEADERS {
            let (before, _) = list.split_at(list.len() - rest.len());
            return (before, field, behind);
        }
        rest = behind;
    }
    let (before, behind) = list.split_at(list.len() - rest.len());
    (before, &[], behind)
}
