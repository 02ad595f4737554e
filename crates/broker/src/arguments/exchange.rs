//! What the arguments of an exchange say. Arguments of one exchange type, such as a hash's, belong to that type.

use leveret_message::name::Name;
use leveret_message::table::TableRef;

use super::{Reader, Result};

/// The settings of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeSettings {
    /// `alternate-exchange`: where messages go that this exchange cannot route.
    ///
    /// `x-alternate-exchange` is taken as well, as LavinMQ does; RabbitMQ ignores it.
    pub alternate_exchange: Option<Name>,
}

impl ExchangeSettings {
    /// Reads the arguments of `exchange.declare`.
    ///
    /// **Errors**: [`ArgumentError`](super::ArgumentError) (406) for a value that is not the name of an exchange.
    pub fn parse(arguments: TableRef<'_>) -> Result<Self> {
        let reader = Reader(arguments);
        let alternate_exchange = match reader.exchange("alternate-exchange")? {
            None => reader.exchange("x-alternate-exchange")?,
            name => name,
        };
        Ok(Self { alternate_exchange })
    }
}
