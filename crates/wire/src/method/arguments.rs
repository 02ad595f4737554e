//! The reader of method arguments: one field after the other, each checked against the bytes that
//! are there.

use leveret_message::TableRef;

use super::MethodError;

/// What has not been read of a method's arguments.
pub(crate) struct Arguments<'a>(&'a [u8]);

impl<'a> Arguments<'a> {
    #[inline]
    pub(crate) fn new(arguments: &'a [u8]) -> Arguments<'a> {
        Arguments(arguments)
    }

    #[inline]
    fn octets<const N: usize>(&mut self) -> Result<[u8; N], MethodError> {
        let (octets, rest) = self.0.split_first_chunk::<N>().ok_or(MethodError::Syntax)?;
        self.0 = rest;
        Ok(*octets)
    }

    #[inline]
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], MethodError> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(MethodError::Syntax)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn short(&mut self) -> Result<u16, MethodError> {
        self.octets().map(u16::from_be_bytes)
    }

    pub(crate) fn long(&mut self) -> Result<u32, MethodError> {
        self.octets().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn long_long(&mut self) -> Result<u64, MethodError> {
        self.octets().map(u64::from_be_bytes)
    }

    /// A short string that may hold any bytes, such as a routing key.
    #[inline]
    pub(crate) fn short_bytes(&mut self) -> Result<&'a [u8], MethodError> {
        let [len] = self.octets()?;
        self.bytes(usize::from(len))
    }

    /// A short string that is a name or a text, and so must be UTF-8.
    pub(crate) fn short_string(&mut self) -> Result<&'a str, MethodError> {
        str::from_utf8(self.short_bytes()?).map_err(|_| MethodError::Syntax)
    }

    pub(crate) fn long_bytes(&mut self) -> Result<&'a [u8], MethodError> {
        let len = self.long()?;
        self.bytes(usize::try_from(len).map_err(|_| MethodError::Syntax)?)
    }

    pub(crate) fn table(&mut self) -> Result<TableRef<'a>, MethodError> {
        TableRef::parse(self.long_bytes()?).map_err(|_| MethodError::Syntax)
    }

    /// The octet that packs up to eight bits that follow each other.
    #[inline]
    pub(crate) fn bits(&mut self) -> Result<Bits, MethodError> {
        let [octet] = self.octets()?;
        Ok(Bits(octet))
    }

    /// Holds the arguments to be read to their end.
    #[inline]
    pub(crate) fn end(self) -> Result<(), MethodError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(MethodError::Syntax)
        }
    }
}

/// Packed bit fields, the first in the lowest bit. Bits that stand for no field are ignored.
#[derive(Clone, Copy)]
pub(crate) struct Bits(u8);

impl Bits {
    #[inline]
    pub(crate) fn is_set(self, index: u8) -> bool {
        self.0 >> index & 1 != 0
    }
}
