//! The log behind the queues, and everything that keeps it small and whole.
//!
//! A shard tells the log what happens to its queues, as entries; the log answers each with a *position*. Whatever depends on an entry being
//! safe waits until the log is durable at that position: a confirm, a `declare-ok` of something durable. The order of entries of one shard is
//! the order in which they were appended.
//!
//! From the bottom up: `disk` (real and simulated), `crc`, `entry`, `wal`, `segment`, `index` (what is live, and where), `checkpoint`, `folder`,
//! `staging`, `transactions` and `commit` (group commit), `reading`, `keeper` (page-out, compaction, checkpoints), `recovery`, `chunks`; `check` and `repair` for an operator whose folder is damaged; `log` is how a shard sees
//! it, `store` is the whole with its threads, `memory` a log for tests that keeps nothing. Each draws its format where it has one.
//!
//! This crate names positions, groups, queues by number, and bytes. It knows no message, no consumer, no protocol.

pub mod applied;
pub mod bell;
pub mod check;
pub mod checkpoint;
pub mod chunks;
mod clock;
pub mod commit;
pub mod crc;
pub mod defined;
pub mod disk;
pub mod entry;
pub mod folder;
pub mod index;
pub mod keeper;
pub mod log;
pub mod memory;
pub mod orders;
pub mod reading;
pub mod recovery;
pub mod repair;
pub mod runs;
pub mod segment;
pub mod shard_log;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod staging;
pub mod store;
pub mod transactions;
pub mod wal;
mod work;
