//! What a consumer of a stream wants of it: `x-stream-filter` (<https://www.rabbitmq.com/docs/streams#filtering>).
//!
//! Publishers give a message a value in the header `x-stream-filter-value`. RabbitMQ filters by chunks and lets consumers see some that they do not want;
//! here each message is looked at.

use leveret_message::batch::{Batch, Message};
use leveret_message::properties::Properties;

/// The header that has a message's value.
const VALUE: &str = "x-stream-filter-value";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The values that are wanted.
    pub values: Vec<Box<str>>,
    /// Whether messages without a value are wanted too.
    pub unfiltered_too: bool,
}

impl Filter {
    /// Whether a message of a batch is wanted.
    pub(crate) fn takes_one(&self, batch: &Batch, index: u32) -> bool {
        batch
            .message(index)
            .is_some_and(|message| self.takes(&message))
    }

    /// Whether a message is wanted.
    pub fn takes(&self, message: &Message<'_>) -> bool {
        let headers = Properties::checked(message.properties).headers();
        match headers.and_then(|headers| headers.find(VALUE)) {
            None => self.unfiltered_too,
            Some(value) => {
                let value = value.as_str();
                self.values.iter().any(|wanted| value == Some(wanted))
            }
        }
    }
}
