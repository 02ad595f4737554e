//! Exceptions: every way in which a client's request can fail, with its reply code and what it closes. The one table for AMQP 0-9-1.
//!
//! Codes and texts are RabbitMQ's. Whether a channel or the connection is closed is decided here, not derived from the code: RabbitMQ uses some
//! codes at the other level than the specification.

use leveret_broker::error::Error;
use leveret_message::name::NameTooLong;
use leveret_wire::{FrameError, MethodError, ReplyCode};

/// What an exception closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The channel it happened on. On channel 0 that is the connection.
    Channel,
    /// The connection.
    Connection,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// What it closes.
    pub level: Level,
    /// The reply code.
    pub code: ReplyCode,
    /// What follows `NAME - ` in the reply text.
    pub explanation: String,
}

impl Exception {
    /// An exception that closes the channel.
    pub fn channel(code: ReplyCode, explanation: impl Into<String>) -> Self {
        Self {
            level: Level::Channel,
            code,
            explanation: explanation.into(),
        }
    }

    /// An exception that closes the connection.
    pub fn connection(code: ReplyCode, explanation: impl Into<String>) -> Self {
        Self {
            level: Level::Connection,
            code,
            explanation: explanation.into(),
        }
    }

    /// The reply text.
    pub fn text(&self) -> String {
        self.code.text(&self.explanation)
    }
}

impl From<Error> for Exception {
    fn from(error: Error) -> Self {
        let explanation = error.to_string();
        match error {
            Error::NotFound(_) => Self::channel(ReplyCode::NotFound, explanation),
            Error::Locked(_) | Error::SingleActive(_) => {
                Self::channel(ReplyCode::ResourceLocked, explanation)
            }
            Error::Inequivalent { .. }
            | Error::Unacceptable(_)
            | Error::UnknownExchangeType(_)
            | Error::InUse(_)
            | Error::NotEmpty(_)
            | Error::VhostQueues { .. } => {
                Self::channel(ReplyCode::PreconditionFailed, explanation)
            }
            Error::ReservedName(_)
            | Error::DefaultExchange
            | Error::SystemExchange(_)
            | Error::InternalExchange(_)
            | Error::ExclusiveUse(_)
            | Error::AccessRefused { .. }
            | Error::TopicRefused { .. } => Self::channel(ReplyCode::AccessRefused, explanation),
            Error::VhostNotFound(_)
            | Error::VhostRefused { .. }
            | Error::VhostConnections { .. }
            | Error::UserConnections { .. }
            | Error::UserChannels { .. } => Self::connection(ReplyCode::NotAllowed, explanation),
            Error::Unavailable => Self::connection(ReplyCode::InternalError, explanation),
        }
    }
}

impl From<MethodError> for Exception {
    fn from(error: MethodError) -> Self {
        Self::connection(error.code(), error.to_string())
    }
}

impl From<FrameError> for Exception {
    fn from(error: FrameError) -> Self {
        Self::connection(error.code(), error.to_string())
    }
}

impl From<NameTooLong> for Exception {
    fn from(error: NameTooLong) -> Self {
        Self::connection(ReplyCode::SyntaxError, error.to_string())
    }
}
