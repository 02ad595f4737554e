//! The index together with how much of the log is in it: the commit writes it, everybody else reads.

use crate::entry::Lsn;
use crate::index::Index;

/// See the module.
#[derive(Debug, Default)]
pub struct Applied {
    /// What is live.
    pub index: Index,
    /// The first place in the log that is not in the index; everything below it is durable.
    pub upto: Lsn,
}
