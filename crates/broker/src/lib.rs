//! Everything that clients of any protocol share: vhosts, exchanges, bindings, queues, consumers, users.
//!
//! Nothing here knows a frame or a socket. `crates/ARCHITECTURE.md` tells who owns which state, and who uses whom. Reading order: `broker`, `vhost`, `exchange`,
//! `route`, `publisher`, `command`, `shard`, `queue`, `link`.

pub mod alarms;
pub mod arguments;
pub mod backing;
pub mod bindings;
pub mod broker;
pub mod command;
pub mod connections;
pub mod dead_letter;
pub mod deduplication;
pub mod definitions;
pub mod delay;
#[cfg(test)]
mod doubles;
pub mod error;
pub mod events;
pub mod exchange;
pub mod figures;
pub mod filling;
pub mod found;
pub mod ids;
pub mod limits;
pub mod link;
pub mod mailbox;
pub mod operator;
pub mod parameters;
mod placement;
pub mod policies;
pub mod publisher;
pub mod queue;
pub mod queue_handle;
mod reach;
pub mod room;
pub mod route;
pub mod shard;
mod stable_hash;
pub mod stream;
pub mod throttle;
pub mod users;
pub mod vhost;
mod window;

pub use leveret_store::runs;
