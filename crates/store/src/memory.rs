//! A log that keeps nothing: every entry is durable at once and gone with the process.
//!
//! It stands where the disk log will stand, so that positions and the waits on them are in use from the first day. A broker on it says at
//! start that it keeps nothing across a restart.

use crate::log::{Entry, Error, Log, Position};

#[cfg(test)]
mod tests;

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryLog {
    last: Position,
}

impl Log for MemoryLog {
    fn append(&mut self, _entry: Entry<'_>) -> Result<Position, Error> {
        self.last.0 += 1;
        Ok(self.last)
    }

    fn durable(&self) -> Position {
        self.last
    }
}
