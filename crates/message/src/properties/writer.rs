//! Making the bytes of properties: for what the broker says itself, and to change a publisher's.
//!
//! Start from [`PropertiesWriter::default`] or from checked [`Properties`], set or clear fields,
//! and take the bytes.

use super::{Properties, PropertiesError, flag};
use crate::table::{TableRef, TableWriter, Value};

/// The fourteen properties of the basic class as fields; `None` is unset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct PropertiesWriter<'a> {
    pub content_type: Option<&'a [u8]>,
    pub content_encoding: Option<&'a [u8]>,
    pub headers: Option<TableRef<'a>>,
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<&'a [u8]>,
    pub reply_to: Option<&'a [u8]>,
    pub expiration: Option<&'a [u8]>,
    pub message_id: Option<&'a [u8]>,
    pub timestamp: Option<u64>,
    pub message_type: Option<&'a [u8]>,
    pub user_id: Option<&'a [u8]>,
    pub app_id: Option<&'a [u8]>,
    pub cluster_id: Option<&'a [u8]>,
}

impl<'a> From<Properties<'a>> for PropertiesWriter<'a> {
    fn from(properties: Properties<'a>) -> PropertiesWriter<'a> {
        PropertiesWriter {
            content_type: properties.content_type(),
            content_encoding: properties.content_encoding(),
            headers: properties.headers(),
            delivery_mode: properties.delivery_mode(),
            priority: properties.priority(),
            correlation_id: properties.correlation_id(),
            reply_to: properties.reply_to(),
            expiration: properties.expiration(),
            message_id: properties.message_id(),
            timestamp: properties.timestamp(),
            message_type: properties.message_type(),
            user_id: properties.user_id(),
            app_id: properties.app_id(),
            cluster_id: properties.cluster_id(),
        }
    }
}

impl Properties<'_> {
    /// The same with other headers: those that `keep` takes, in their order, and behind them the `added` ones, which replace those of the same name.
    ///
    /// `None` where that cannot be written, which is not so for what was checked.
    pub fn with_headers(
        self,
        keep: impl Fn(&str) -> bool,
        added: &[(&str, Value<'_>)],
    ) -> Option<Vec<u8>> {
        let mut headers = TableWriter::new();
        let old = self.headers();
        for (name, value) in old.iter().flat_map(|old| old.iter()) {
            if keep(name) && added.iter().all(|(other, _)| *other != name) {
                headers.put(name, value);
            }
        }
        for (name, value) in added {
            headers.put(name, *value);
        }
        let mut writer = PropertiesWriter::from(self);
        writer.headers = Some(headers.view());
        writer.to_bytes().ok()
    }
}

impl PropertiesWriter<'_> {
    /// The flags and the property list, as a content header has them after the body size.
    ///
    /// **Errors**: [`PropertiesError::TooLong`] for a short string above 255 bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PropertiesError> {
        let mut list = List {
            flags: 0,
            bytes: vec![0, 0],
        };
        list.short(flag::CONTENT_TYPE, self.content_type)?;
        list.short(flag::CONTENT_ENCODING, self.content_encoding)?;
        list.table(self.headers)?;
        list.octets(flag::DELIVERY_MODE, self.delivery_mode.map(u8::to_be_bytes));
        list.octets(flag::PRIORITY, self.priority.map(u8::to_be_bytes));
        list.short(flag::CORRELATION_ID, self.correlation_id)?;
        list.short(flag::REPLY_TO, self.reply_to)?;
        list.short(flag::EXPIRATION, self.expiration)?;
        list.short(flag::MESSAGE_ID, self.message_id)?;
        list.octets(flag::TIMESTAMP, self.timestamp.map(u64::to_be_bytes));
        list.short(flag::TYPE, self.message_type)?;
        list.short(flag::USER_ID, self.user_id)?;
        list.short(flag::APP_ID, self.app_id)?;
        list.short(flag::CLUSTER_ID, self.cluster_id)?;
        if let Some(flags) = list.bytes.first_chunk_mut::<2>() {
            *flags = list.flags.to_be_bytes();
        }
        Ok(list.bytes)
    }
}

/// A property list under construction, behind room for its flags.
struct List {
    flags: u16,
    bytes: Vec<u8>,
}

impl List {
    fn short(&mut self, bit: u16, text: Option<&[u8]>) -> Result<(), PropertiesError> {
        if let Some(text) = text {
            let len = u8::try_from(text.len()).map_err(|_| PropertiesError::TooLong)?;
            self.flags |= bit;
            self.bytes.push(len);
            self.bytes.extend_from_slice(text);
        }
        Ok(())
    }

    fn table(&mut self, table: Option<TableRef<'_>>) -> Result<(), PropertiesError> {
        if let Some(table) = table {
            let bytes = table.as_bytes();
            let len = u32::try_from(bytes.len()).map_err(|_| PropertiesError::TooLong)?;
            self.octets(flag::HEADERS, Some(len.to_be_bytes()));
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn octets<const N: usize>(&mut self, bit: u16, octets: Option<[u8; N]>) {
        if let Some(octets) = octets {
            self.flags |= bit;
            self.bytes.extend_from_slice(&octets);
        }
    }
}
