//! Why a run ends before it is done: mostly in the broker's own words.

use std::io;

use leveret_wire::FrameError;
use thiserror::Error;

/// What ended a run.
#[derive(Debug, Error)]
pub enum PerfError {
    /// No connection was made.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        error: io::Error,
    },
    /// The broker closed the connection.
    #[error("the broker closed the connection: {code} {text}")]
    ConnectionClosed {
        /// The reply code.
        code: u16,
        /// The reply text.
        text: String,
    },
    /// The broker closed the channel.
    #[error("the broker closed the channel: {code} {text}")]
    ChannelClosed {
        /// The reply code.
        code: u16,
        /// The reply text.
        text: String,
    },
    /// The broker ended the socket without a word.
    #[error("the broker closed the socket without a word")]
    Gone,
    /// The broker cancelled a consumer.
    #[error("the broker cancelled the consumer of queue {0}")]
    Cancelled(String),
    /// The socket failed.
    #[error("the connection to the broker broke: {0}")]
    Io(#[from] io::Error),
    /// Nothing came for too long.
    #[error("the broker has not answered for {0} s")]
    Silent(u64),
    /// The broker speaks another protocol, or does not keep to this one.
    #[error("the broker sent what is no frame of AMQP 0-9-1: {0}")]
    Frame(#[from] FrameError),
    /// The broker does not keep to the protocol.
    #[error("the broker sent what was not asked for: {0}")]
    Unexpected(String),
    /// It went well for a while.
    #[error("after {done} {what}: {error}")]
    After {
        /// How many were done.
        done: u64,
        /// What they are.
        what: &'static str,
        /// What came then.
        error: Box<PerfError>,
    },
    /// What is asked for cannot be done.
    #[error("{0}")]
    Options(String),
}

impl PerfError {
    /// For what came instead of what was to come.
    pub(crate) fn unexpected(what: &impl std::fmt::Debug) -> PerfError {
        PerfError::Unexpected(format!("{what:?}"))
    }
}
