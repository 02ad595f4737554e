//! What is wrong with a segment, and where: enough for a line in the log and for going on behind it.
//!
//! Nothing here decides what to do about it.

use std::fmt;
use std::io;
use std::ops::{Range, RangeInclusive};

use super::walk::Place;
use crate::entry::Stream;
use crate::log::QueueId;

/// Bytes of a segment that cannot be trusted. None of them is ever given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, relative to the data folder.
    pub file: String,
    /// The bytes of the file that are lost; empty where the file as a whole is (missing, of a wrong length).
    pub range: Range<u64>,
    /// What was found.
    pub cause: Cause,
    /// The messages that are lost by it, if it is about messages.
    pub lost: Option<Box<Lost>>,
}

/// Messages that are lost by a damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Their queue.
    pub queue: QueueId,
    /// Their stream in it.
    pub stream: Stream,
    /// All of them have sequence numbers in here: from behind the last good message to before the next good one. Numbers in it that never
    /// stood in the segment are not lost.
    pub seqs: RangeInclusive<u64>,
    /// How many.
    pub count: u64,
    /// Where reading goes on behind them; the end of the extent if there is nothing.
    pub resume: Place,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The device or the filesystem answered with an error.
    Io(io::ErrorKind, String),
    /// The file is shorter than what it must hold.
    Short {
        /// Its length in bytes.
        len: u64,
    },
    /// The header's checksum or content is wrong; the messages can be read all the same.
    Header,
    /// The trailer's checksum or content is wrong. If the copy in the header is good, the messages can be read all the same.
    Trailer,
    /// The table of extents or the points are wrong. If the other copy is good, the messages can be read all the same.
    Footer,
    /// There is something where there must be zeros; the messages can be read all the same.
    Padding,
    /// The checksum of a message is wrong, or it is not the message that belongs here.
    Message,
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Cause::Io(error.kind(), error.to_string())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Io(_, text) => write!(f, "cannot be read: {text}"),
            Cause::Short { len } => write!(f, "missing: the file ends at byte {len}"),
            Cause::Header => f.write_str("header damaged"),
            Cause::Trailer => f.write_str("trailer damaged"),
            Cause::Footer => f.write_str("footer damaged"),
            Cause::Padding => f.write_str("not zero"),
            Cause::Message => f.write_str("message damaged"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage {
            file,
            range,
            cause,
            lost,
        } = self;
        write!(f, "{file}, bytes {} to {}: {cause}", range.start, range.end)?;
        let Some(lost) = lost else { return Ok(()) };
        let (first, last) = lost.seqs.clone().into_inner();
        write!(
            f,
            "; {} of the messages {first} to {last} of queue {}, stream {}, are lost",
            lost.count, lost.queue.0, lost.stream.0
        )
    }
}

impl std::error::Error for Damage {}
