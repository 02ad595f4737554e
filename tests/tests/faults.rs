//! What the broker promises when things go wrong: it is killed, the power goes, the disk fails, fills up or is damaged.
//!
//! Each test starts brokers of its own on a data folder of its own, and compares what a queue has after the fault with what clients knew
//! before it. A confirmed message that was not acked must be there, whole and in the order of its publisher; nothing else may appear.

mod backlog;
mod damage;
mod dead_letters;
mod deduplication;
mod delayed;
mod disk;
mod exchanges;
mod expiring;
mod groups;
mod kill;
mod lengths;
mod moving;
mod refusing;
mod stop;
mod streams;
mod tx;
