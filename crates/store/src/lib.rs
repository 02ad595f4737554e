//! The log behind the queues.
//!
//! A shard tells the log what happens to its queues, as entries; the log answers each with a *position*. Whatever depends on an entry being
//! safe waits until the log is durable at that position: a confirm, a `declare-ok` of something durable. The order of entries of one log is
//! the order in which they were appended.
//!
//! This crate names positions, groups, queues by number, and bytes. It knows no message, no consumer, no protocol.

pub mod checkpoint;
pub mod crc;
pub mod disk;
pub mod entry;
pub mod index;
pub mod log;
pub mod memory;
pub mod runs;
pub mod segment;
pub mod wal;
