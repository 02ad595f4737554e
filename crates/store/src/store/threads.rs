//! The loops of the store's threads. What they call waits for the disk; what they share is told in the module above.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Order, Shared};
use crate::bell::Woken;
use crate::chunks::Chunks;
use crate::clock::unix_ms;
use crate::commit::{Commit, CommitError, Turn};
use crate::keeper::{Done, Keeper, KeeperError};
use crate::log::{Arrived, ChunkId};
use crate::reading::Reader;
use crate::work::Work;

/// When nothing was staged for so long, the log is sealed.
const REST: Duration = Duration::from_millis(10);

/// What nobody waits for is written together with what is staged so much later.
const PAUSE: Duration = Duration::from_millis(5);

/// What nobody waits for is synced after so long.
const UNSYNCED_MAX: Duration = Duration::from_millis(200);

/// How long until what had no room is tried again.
const FULL: Duration = Duration::from_millis(100);

/// How often the keeper looks whether it is time for what has its time.
const KEEP: Duration = Duration::from_millis(250);

type Thread = io::Result<JoinHandle<()>>;

/// Starts a thread whose end by an error or a panic is a failure of the store.
fn start<E: std::fmt::Display>(
    shared: &Arc<Shared>,
    name: &str,
    run: impl FnOnce(&Shared) -> Result<(), E> + Send + 'static,
) -> Thread {
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name(format!("store-{name}"));
    let name = name.to_owned();
    thread.spawn(
        move || match catch_unwind(AssertUnwindSafe(|| run(&shared))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.fail(error.to_string()),
            Err(_) => shared.fail(format!("the thread of the {name} has panicked")),
        },
    )
}

/// Writes what is staged, syncs it when somebody waits, and seals the log when nobody has anything to say.
pub(super) fn commit(shared: &Arc<Shared>, mut commit: Commit) -> Thread {
    start(shared, "commit", move |shared| -> Result<(), CommitError> {
        let mut limit = Some(REST);
        let mut synced_at = Instant::now();
        let mut was_full = false;
        loop {
            match shared.commit_bell.wait(limit, PAUSE) {
                Woken::Quiet if limit == Some(REST) => {
                    commit.rest(unix_ms())?;
                    limit = shared.orders.is_log_full().then_some(FULL);
                    shared.keeper_bell.ring(true);
                    continue;
                }
                Woken::Stop => {
                    while commit.turn(unix_ms())? == Turn::Wrote {}
                    return commit.rest(unix_ms());
                }
                Woken::Quiet | Woken::Rung => {}
            }
            // What is staged meanwhile has rung again, and is given its time again to become more.
            let was_stuck = commit.is_stuck();
            let mut turn = commit.turn(unix_ms())?;
            if was_stuck && turn == Turn::Wrote {
                // What was staged behind it has rung while there was no room.
                turn = commit.turn(unix_ms())?;
            }
            // At once: what is left of the log is for acks, and must not go to publishers meanwhile.
            if shared.orders.is_full() && !was_full {
                (shared.listeners.full)();
            }
            was_full = shared.orders.is_full();
            if !commit.has_unsynced() {
                synced_at = Instant::now();
            } else if synced_at.elapsed() >= UNSYNCED_MAX {
                commit.flush()?;
            }
            if shared.orders.is_wanting() {
                shared.keeper_bell.ring(true);
            }
            limit = Some(match turn {
                Turn::Full => FULL,
                Turn::Nothing if limit == Some(FULL) && shared.orders.is_log_full() => FULL,
                Turn::Nothing | Turn::Wrote => REST,
            });
        }
    })
}

/// Does the keeper's steps as long as there are any, and looks again when the log has moved or some time has gone by.
pub(super) fn keeper(shared: &Arc<Shared>, mut keeper: Keeper) -> Thread {
    start(shared, "keeper", move |shared| -> Result<(), KeeperError> {
        let mut limit = Some(KEEP);
        loop {
            let woken = shared.keeper_bell.wait(limit, Duration::ZERO);
            if woken == Woken::Stop {
                *shared.keeper.lock() = Some(keeper);
                return Ok(());
            }
            let mut done = Done::Step;
            while done == Done::Step && !shared.has_failed() {
                done = keeper.turn(unix_ms())?;
                tell(shared, &mut keeper);
            }
            limit = (done == Done::Full || keeper.has_plans()).then_some(KEEP);
        }
    })
}

/// Passes on what came of a step.
fn tell(shared: &Shared, keeper: &mut Keeper) {
    for closed in keeper.take_closed() {
        let readers = shared.readers.iter();
        readers.for_each(|reader| reader.push(Order::Close(closed)));
    }
    for lost in keeper.take_lost() {
        (shared.listeners.lost)(lost);
    }
    if shared.orders.is_pending() {
        shared.commit_bell.ring(true);
    }
}

/// Reads what shards ask for.
pub(super) fn reader(shared: &Arc<Shared>, work: &Arc<Work<Order>>, mut reader: Reader) -> Thread {
    let work = Arc::clone(work);
    start(shared, "reader", move |shared| {
        while let Some(order) = work.next() {
            match order {
                Order::Read(wanted, inbox) => {
                    let mut lost = |lost| (shared.listeners.lost)(lost);
                    let read = reader.read(&wanted, &mut lost)?;
                    inbox.push(Arrived::Read(wanted, read));
                }
                Order::Close(closed) => reader.close(closed),
                Order::PutAway(..) | Order::Fetch(..) | Order::Forget(_) => {}
            }
        }
        Ok::<(), io::Error>(())
    })
}

/// Keeps chunks, and gives them back.
pub(super) fn chunks(shared: &Arc<Shared>, mut chunks: Chunks) -> Thread {
    start(shared, "chunks", move |shared| {
        while let Some(order) = shared.chunks.next() {
            match order {
                Order::PutAway(id, bytes, inbox) => {
                    put_when_there_is_room(shared, &mut chunks, id, &bytes)?;
                    shared.waiting_chunks.remove(bytes.len());
                    inbox.ring();
                }
                Order::Fetch(id, inbox) => inbox.push(Arrived::Chunk(id, chunks.take(id)?)),
                Order::Forget(id) => chunks.forget(id)?,
                Order::Read(..) | Order::Close(_) => {}
            }
        }
        Ok::<(), io::Error>(())
    })
}

/// Keeps a chunk, as soon as the disk has room for it; gives up when the end is asked for.
fn put_when_there_is_room(
    shared: &Shared,
    chunks: &mut Chunks,
    id: ChunkId,
    bytes: &[u8],
) -> io::Result<()> {
    while let Err(error) = chunks.put(id, bytes) {
        if error.kind() != io::ErrorKind::StorageFull {
            return Err(error);
        }
        shared.orders.set_chunks_full(true);
        if shared.chunks.stops_within(FULL) {
            return Ok(());
        }
    }
    shared.orders.set_chunks_full(false);
    Ok(())
}
