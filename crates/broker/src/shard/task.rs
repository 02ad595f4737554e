//! Runs a shard: takes what has come, one turn, waits for more. The shard itself never waits.

use std::future::poll_fn;
use std::time::{Instant, SystemTime};

use crate::command::Shards;
use crate::shard::Shard;

/// Runs a shard until the program ends.
pub async fn shard_task(mut shard: Shard, shards: Shards) {
    let mailbox = shards.mailbox(shard.id());
    let mut commands = Vec::new();
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    shard.begins_at(Instant::now(), unix.unwrap_or_default());
    // Queues that were there before are looked at once without being asked.
    shard.turn(std::iter::empty(), Instant::now());
    loop {
        let arrival = poll_fn(|context| mailbox.poll_take(context, &mut commands));
        match shard.next_deadline() {
            None => arrival.await,
            Some(deadline) => {
                // Either is fine: a turn without commands looks after what is due.
                let _ = tokio::time::timeout_at(deadline.into(), arrival).await;
            }
        }
        shard.turn(commands.drain(..), Instant::now());
        // A shard that is never idle must still let the connections on its thread run.
        tokio::task::yield_now().await;
    }
}
