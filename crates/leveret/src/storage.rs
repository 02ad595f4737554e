//! The seam between the daemon and the store: opens the data folder, says what its operator has to know, and ends the program when the disk fails.

use std::path::Path;
use std::sync::Arc;

use leveret_broker::backing::{Backing, Found};
use leveret_broker::command::Shards;
use leveret_broker::found::{FoundMessages, FoundQueue, FoundReturned};
use leveret_broker::ids::ShardId;
use leveret_store::applied::Applied;
use leveret_store::disk::{Filesystem, FilesystemKind};
use leveret_store::entry::Stream;
use leveret_store::index::Index;
use leveret_store::log::{Log, QueueId};
use leveret_store::recovery::RecoveryError;
use leveret_store::store::{Listeners, Opened, Settings, Store};
use tokio::sync::Notify;

/// The exit code when the disk has failed: EX_SOFTWARE of sysexits.h.
const FAILED: i32 = 70;

/// Opens the data folder, with what a broker of so many shards needs.
///
/// `full` is told when the disk is full. **Waits** for the disk. **Errors**: the folder cannot be used, or confirmed data in it is damaged.
/// Nothing was changed then.
pub(crate) fn open(
    folder: &Path,
    shards: usize,
    log_bytes: u64,
    full: Arc<Notify>,
) -> Result<(Store, Backing), RecoveryError> {
    let shards = Shards::new(shards);
    let rings = (0..shards.count() as u16).map(|shard| {
        let shards = shards.clone();
        Box::new(move || shards.mailbox(ShardId(shard)).ring()) as Box<dyn Fn() + Send + Sync>
    });
    let listeners = Listeners {
        shards: rings.collect(),
        failed: Box::new(fail),
        full: Box::new(move || full.notify_one()),
        lost: Box::new(|lost| tracing::error!("{lost}")),
    };
    let mut settings = Settings::new(folder.to_owned(), disk_bytes(folder)?, rand::random());
    settings.aims.log_bytes = settings.aims.log_bytes.min(log_bytes);
    let Opened {
        store,
        logs,
        definitions,
        applied,
        remarks,
        filesystem,
        is_new,
    } = Store::open(&settings, listeners)?;
    for remark in remarks {
        tracing::warn!("data folder: {remark}");
    }
    warn_of(filesystem);
    let found = found(&applied.read());
    let messages: u64 = applied.read().index.queues().map(|queue| queue.count).sum();
    tracing::info!(
        folder = %folder.display(),
        filesystem = filesystem.name,
        is_new,
        definitions = found.definitions.len(),
        messages,
        "data folder is open"
    );
    let logs = logs.into_iter().map(|log| Box::new(log) as Box<dyn Log>);
    let backing = Backing {
        shards,
        logs: logs.collect(),
        definitions,
        found,
    };
    Ok((store, backing))
}

/// How many bytes the disk of a folder has, whoever uses them.
fn disk_bytes(folder: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_blocks.saturating_mul(disk.f_frsize))
}

/// Nothing may be confirmed any more, and what the disk has is known only after it was read again: the program ends, and the next start does
/// that.
fn fail(what: String) {
    tracing::error!(
        "the store has failed, so the broker ends; nothing that was confirmed is lost: {what}"
    );
    std::process::exit(FAILED);
}

fn warn_of(filesystem: Filesystem) {
    let name = filesystem.name;
    match filesystem.kind {
        FilesystemKind::Local => {}
        FilesystemKind::Network => tracing::warn!(
            "the data folder is on a network filesystem ({name}): what is confirmed is as safe as that server and the way to it"
        ),
        FilesystemKind::CopyOnWrite => tracing::warn!(
            "the data folder is on {name}, which writes to new blocks: a full disk may stop the broker where another filesystem would not"
        ),
        FilesystemKind::Memory => tracing::warn!(
            "the data folder is on {name}, in memory: nothing in it survives a power cut"
        ),
        FilesystemKind::Layered => tracing::warn!(
            "the data folder is on {name}: what is in it commonly goes with the container; use a volume"
        ),
        FilesystemKind::Unknown => tracing::warn!(
            "the data folder is on a filesystem that is not known ({name}): whether a sync there is one, only it can tell"
        ),
    }
}

/// What the index says of definitions and queues.
fn found(applied: &Applied) -> Found {
    let index = &applied.index;
    let definitions = index
        .definitions()
        .map(|(key, value)| (key.into(), value.into()));
    let mut queues: Vec<FoundQueue> = Vec::new();
    for state in index.queues() {
        let (queue, stream) = (state.queue, state.stream);
        if queues.last().is_none_or(|last| last.id != queue.0) {
            queues.push(FoundQueue {
                id: queue.0,
                ..FoundQueue::default()
            });
        }
        let Some(found) = queues.last_mut() else {
            continue;
        };
        let delivered = index.deliveries(queue, stream, 0).last();
        let returned_below = delivered.map_or(0, |run| run.first_seq + run.count);
        found.returned_below = found.returned_below.max(returned_below);
        found.next_seq = found.next_seq.max(state.next_seq);
        let waits = waiting_upto(index, (queue, stream));
        let returned = returned(index, (queue, stream), waits);
        let returned_count: u64 = returned.iter().map(|run| run.count).sum();
        found.returned.extend(returned);
        let from = waits.map_or(0, |last| last + 1);
        let first = index.live(queue, stream, from).next();
        let ends = first.zip(index.last_live(queue, stream));
        found
            .messages
            .extend(ends.map(|(first, last_seq)| FoundMessages {
                stream: stream.0,
                first_seq: first.first_seq,
                last_seq,
                count: state.count.saturating_sub(returned_count),
                bytes: index.live_bytes(queue, stream),
            }));
    }
    Found {
        definitions: definitions.collect(),
        queues,
    }
}

/// The last message of a stream that was told to wait for its next delivery.
fn waiting_upto(index: &Index, (queue, stream): (QueueId, Stream)) -> Option<u64> {
    let delivered = index.deliveries(queue, stream, 0);
    let waiting = delivered.filter(|run| run.ready_ms > 0).last();
    waiting.map(|run| run.first_seq + (run.count - 1))
}

/// The messages of a stream up to one that waits. All of them were handed out: a stream is handed out in order.
fn returned(
    index: &Index,
    (queue, stream): (QueueId, Stream),
    waits: Option<u64>,
) -> Vec<FoundReturned> {
    let Some(last) = waits else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for live in index.live(queue, stream, 0) {
        let mut first_seq = live.first_seq;
        let end = live.last_seq().min(last) + 1;
        while first_seq < end {
            let known = index.deliveries(queue, stream, first_seq).next();
            let known = known.filter(|run| run.first_seq < end);
            let (upto, deliveries, ready_ms) = match known {
                Some(run) if run.first_seq > first_seq => (run.first_seq, 0, 0),
                Some(run) => (first_seq + run.count, run.delivery_count, run.ready_ms),
                None => (end, 0, 0),
            };
            let upto = upto.min(end);
            found.push(FoundReturned {
                stream: stream.0,
                first_seq,
                count: upto - first_seq,
                deliveries,
                ready_ms,
            });
            first_seq = upto;
        }
    }
    found
}
