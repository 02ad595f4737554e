//! Alarms: memory or disk is short. While one is on, connections that publish are not read from, and hear `connection.blocked` if they can
//! (<https://www.rabbitmq.com/docs/alarms>). Consumers go on, and make room.
//!
//! Who measures raises and clears; what the broker keeps here is only which are on.

use std::fmt;

/// Which alarms are on. Prints as the reason that clients are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Memory is short.
    pub memory: bool,
    /// Disk space is short.
    pub disk: bool,
}

impl Alarms {
    /// Whether publishers are blocked.
    pub fn any(self) -> bool {
        self.memory || self.disk
    }
}

impl fmt::Display for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.memory, self.disk) {
            (true, true) => "low on memory & disk",
            (true, false) => "low on memory",
            (false, true) => "low on disk",
            (false, false) => "low on nothing",
        })
    }
}
