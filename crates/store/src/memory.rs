//! A log that keeps nothing: every entry is durable at once and gone with the process.
//!
//! It stands where the disk log will stand, so that positions and the waits on them are in use from the first day. A broker on it says at
//! start that it keeps nothing across a restart.

use std::collections::HashMap;

use bytes::Bytes;

use crate::log::{Entry, Error, Fetched, Log, Position};

#[cfg(test)]
mod tests;

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryLog {
    last: Position,
    away: HashMap<Position, Fetched>,
    fetched: Vec<Fetched>,
}

impl Log for MemoryLog {
    fn append(&mut self, _entry: Entry<'_>) -> Result<Position, Error> {
        self.last.0 += 1;
        Ok(self.last)
    }

    fn durable(&self) -> Position {
        self.last
    }

    fn put_away(&mut self, records: &[u8], bodies: &[Bytes]) -> Result<Position, Error> {
        self.last.0 += 1;
        let at = self.last;
        let away = Fetched {
            at,
            records: records.to_vec(),
            bodies: bodies.to_vec(),
        };
        self.away.insert(at, away);
        Ok(at)
    }

    fn fetch(&mut self, at: Position) {
        self.fetched.extend(self.away.remove(&at));
    }

    fn take_fetched(&mut self, into: &mut Vec<Fetched>) {
        into.append(&mut self.fetched);
    }

    fn forget(&mut self, at: Position) {
        self.away.remove(&at);
        self.fetched.retain(|fetched| fetched.at != at);
    }
}
