//! How connections, their channels and consumers, and shards are told apart.

/// A connection's number, never used twice while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A consumer, as its connection numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerSlot(pub u32);

/// A channel of a connection, as the shards know it: who holds unacked messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The connection.
    pub connection: ConnectionId,
    /// Its channel's number.
    pub channel: u16,
}

/// Which shard owns a queue's contents: an index into the broker's shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// How many shards there can be: each has a bit in [`Link`]'s marks.
pub const SHARDS_MAX: usize = 64;
