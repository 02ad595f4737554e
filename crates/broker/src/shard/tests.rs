//! Tests of a shard, driven through `Shard::turn` as its task drives it, with the vhost's door before it.
//!
//! `fixture` is the stage: a shard, its vhost, connections, and what they are told, message by message. `model` is RabbitMQ's semantics
//! without batches, runs and rings; `stage` puts connections before both, and `property` lets them say what comes to mind. The other files are
//! cases by subject.

mod allowance;
mod away;
mod bounds;
mod consuming;
mod delayed;
mod entries;
mod fixture;
mod grouped;
mod late;
mod lengths;
mod lifetime;
mod memory;
mod model;
mod observing;
mod overdue;
mod property;
mod ranked;
mod stage;
mod transact;
mod unique;
mod windows;
