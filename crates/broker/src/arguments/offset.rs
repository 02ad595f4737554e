//! Where a consumer of a stream begins: `x-stream-offset`.

use std::time::Duration;

use leveret_message::table::Value;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offset {
    /// At the first message there is.
    First,
    /// At the last messages that were published together.
    Last,
    /// Behind all there are.
    #[default]
    Next,
    /// At an offset; at the first message there is, if that is behind it.
    At(u64),
    /// At what was published at a time, in milliseconds since 1970, or a bit before.
    Since(u64),
    /// At what was published so long ago, or a bit before.
    Within(Duration),
}

impl Offset {
    /// Reads the argument; none where it says nothing that is an offset.
    pub fn read(value: Value<'_>, interval: impl FnOnce(&str) -> Option<Duration>) -> Option<Self> {
        if let Value::Timestamp(unix_secs) = value {
            return Some(Self::Since(unix_secs.saturating_mul(1000)));
        }
        if let Some(offset) = value.as_integer() {
            return Some(Self::At(u64::try_from(offset).unwrap_or(0)));
        }
        match value.as_str()? {
            "first" => Some(Self::First),
            "last" => Some(Self::Last),
            "next" => Some(Self::Next),
            word => interval(word).map(Self::Within),
        }
    }
}
