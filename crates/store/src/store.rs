//! The store as a whole: a data folder that is recovered, and the threads that serve it.
//!
//! ```text
//!  shards ──stagings──> commit ──batches──> log files
//!  door  ──┘               │ applied
//!                          ▼
//!                        index <──asks── readers ──> log files, segments ──messages──> shards
//!                          ▲
//!                          └──asks── keeper ──> segments, checkpoints
//!  shards ──chunks──> chunk thread ──> tmp
//! ```
//!
//! What each thread does is in the module of its name; here are only their loops. The first error of any of them is the end: it is told once,
//! and whoever is told ends the program.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};

use crate::applied::Applied;
use crate::bell::Bell;
use crate::chunks::Chunks;
use crate::commit::Commit;
use crate::defined::{StoreDefinitions, Waits};
use crate::disk::{Disk, Filesystem, RealDisk};
use crate::folder::Folder;
use crate::index::Index;
use crate::keeper::{Aims, Keeper, KeeperParts};
use crate::log::{ChunkId, GROUPS, Group, Position, Wanted};
use crate::orders::Orders;
use crate::reading::{Closed, Lost, Reader, WalFiles};
use crate::recovery::{FileLens, Recovered, RecoveryError, WAL_FOLDER, recover};
use crate::shard_log::{Inbox, ShardLog, WaitingChunks};
use crate::staging::Staging;
use crate::transactions::Transactions;
use crate::work::Work;

mod threads;

/// The folder of the chunks, below the data folder.
pub const CHUNK_FOLDER: &str = "tmp";

/// How many threads read.
const READERS: usize = 2;

/// What a store is opened with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder, which must be there.
    pub data_dir: PathBuf,
    /// Lengths of the log's files.
    pub lens: FileLens,
    /// What is kept small, and how small.
    pub aims: Aims,
    /// A new random number.
    pub random: u128,
}

impl Settings {
    /// The usual ones, on a disk of so many bytes: where it is small, the log and its reserve are a small part of it too.
    pub fn new(data_dir: PathBuf, disk_bytes: u64, random: u128) -> Self {
        let part = |of: u64, usual: u64| {
            let whole = (disk_bytes / of) >> 20 << 20;
            whole.clamp(1 << 20, usual)
        };
        let aims = Aims::default();
        let full = part(48, 16 << 20);
        Self {
            data_dir,
            lens: FileLens {
                first: full.min(4 << 20),
                full,
            },
            aims: Aims {
                log_bytes: part(6, aims.log_bytes),
                segment_bytes: part(24, aims.segment_bytes),
                checkpoint_bytes: part(12, aims.checkpoint_bytes),
                reserve_bytes: 3 * full,
                ..aims
            },
            random,
        }
    }
}

/// Who hears of what happens in the store. None of these may wait.
pub struct Listeners {
    /// Rings one shard each: something has come for it, or the log is durable further.
    pub shards: Vec<Box<dyn Fn() + Send + Sync>>,
    /// The store has failed: nothing is durable any more from here on, and nothing was told to be that is not. Called once.
    pub failed: Box<dyn Fn(String) + Send + Sync>,
    /// The disk is full: what is left of the log is for acks. Publishers should stop as soon as can be.
    pub full: Box<dyn Fn() + Send + Sync>,
    /// Confirmed data is damaged.
    pub lost: Box<dyn Fn(Lost) + Send + Sync>,
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners").finish_non_exhaustive()
    }
}

/// What a thread is asked for.
#[derive(Debug)]
pub(crate) enum Order {
    /// Of a reader: messages of a queue.
    Read(Wanted, Arc<Inbox>),
    /// Of a reader: a file has gone.
    Close(Closed),
    /// Of the chunk thread.
    PutAway(ChunkId, Vec<u8>, Arc<Inbox>),
    /// Of the chunk thread.
    Fetch(ChunkId, Arc<Inbox>),
    /// Of the chunk thread.
    Forget(ChunkId),
}

/// A store that is open, and what was found in its folder.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// A log for each shard.
    pub logs: Vec<ShardLog>,
    /// Where definitions go.
    pub definitions: Arc<StoreDefinitions>,
    /// What is live.
    pub applied: Arc<RwLock<Applied>>,
    /// What the operator should hear of.
    pub remarks: Vec<String>,
    /// What the folder is on.
    pub filesystem: Filesystem,
    /// Whether the folder was made just now.
    pub is_new: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    _folder: Folder,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    listeners: Listeners,
    commit_bell: Arc<Bell>,
    keeper_bell: Arc<Bell>,
    readers: Vec<Arc<Work<Order>>>,
    chunks: Arc<Work<Order>>,
    waiting_chunks: Arc<WaitingChunks>,
    orders: Arc<Orders>,
    inboxes: Vec<Arc<Inbox>>,
    has_failed: AtomicBool,
    /// The keeper, between its thread and the last checkpoint.
    keeper: Mutex<Option<Keeper>>,
}

impl Shared {
    /// The first failure is told, and ends everything.
    fn fail(&self, what: String) {
        if !self.has_failed.swap(true, Ordering::AcqRel) {
            (self.listeners.failed)(what);
        }
    }

    fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }
}

impl Store {
    /// Opens a data folder, or makes one in an empty folder, and starts the threads.
    ///
    /// **Effect**: what is found is durable. **Waits** for the disk. **Errors**: see [`RecoveryError`]; nothing was changed then.
    pub fn open(settings: &Settings, listeners: Listeners) -> Result<Opened, RecoveryError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&settings.data_dir)?);
        let filesystem = disk.filesystem()?;
        let found = recover(&disk, settings.lens, settings.random)?;
        let Recovered { folder, index, .. } = found;
        let is_new = folder.is_new;
        let chunks = chunks(settings)?;
        let indexes = last_indexes(&index);
        let upto = found.wal.durable();
        let applied = Arc::new(RwLock::new(Applied { index, upto }));
        let files = Arc::new(WalFiles::new(WAL_FOLDER.into()));
        let shared = Arc::new(shared(listeners));
        let stagings = Stagings::new(&shared);
        let orders = Arc::clone(&shared.orders);
        let transactions = Arc::<Transactions>::default();
        let in_order = (stagings.in_order(), Arc::clone(&transactions));
        let commit = Commit::new(
            found.wal,
            Arc::clone(&applied),
            Arc::clone(&files),
            orders,
            in_order,
        );
        let keeper = Keeper::new(KeeperParts {
            disk: Arc::clone(&disk),
            store: folder.store,
            aims: settings.aims,
            applied: Arc::clone(&applied),
            files: Arc::clone(&files),
            orders: Arc::clone(&shared.orders),
            staging: Arc::clone(&stagings.keeper),
            checkpoint: found.checkpoint,
            next_segment: found.next_segment,
            dropped: found.dropped,
        });
        let definitions = StoreDefinitions::new(
            Arc::clone(&stagings.definitions),
            Arc::clone(&stagings.waits),
            indexes.first().copied().unwrap_or_default(),
        );
        let logs = shard_logs(&shared, (&stagings.shards, &transactions), &indexes);
        let reader = || {
            let (disk, applied) = (Arc::clone(&disk), Arc::clone(&applied));
            Reader::new(disk, applied, Arc::clone(&files))
        };
        let keeper = threads::keeper(&shared, keeper)?;
        let mut threads = vec![
            threads::commit(&shared, commit)?,
            threads::chunks(&shared, chunks)?,
        ];
        for work in &shared.readers {
            threads.push(threads::reader(&shared, work, reader())?);
        }
        let store = Self {
            shared,
            threads: Mutex::new(threads),
            keeper: Mutex::new(Some(keeper)),
            _folder: folder,
        };
        Ok(Opened {
            store,
            logs,
            definitions: Arc::new(definitions),
            applied,
            remarks: found.remarks,
            filesystem,
            is_new,
        })
    }

    /// Whether something waits to be written because the disk is full.
    pub fn is_full(&self) -> bool {
        self.shared.orders.is_full()
    }

    /// Ends the threads; nothing may be staged any more. **Effect**: everything that was staged is durable, and a checkpoint makes the next start quick. **Waits** for the
    /// disk.
    pub fn close(&self) {
        // The keeper first: the others must be there to make its last entry durable.
        self.shared.keeper_bell.stop();
        join(self.keeper.lock().take());
        self.shared.commit_bell.stop();
        self.shared.readers.iter().for_each(|work| work.stop());
        self.shared.chunks.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        threads.into_iter().for_each(|thread| join(Some(thread)));
        if let Some(mut keeper) = self.shared.keeper.lock().take()
            && !self.shared.has_failed()
            && let Err(error) = keeper.checkpoint(crate::clock::unix_ms())
        {
            // Nothing depends on it: the log has everything.
            self.shared
                .fail(format!("the last checkpoint cannot be written: {error}"));
        }
    }
}

/// A thread that ended by a panic has told so.
fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        let _ = thread.join();
    }
}

/// Who stages entries.
struct Stagings {
    shards: Vec<Arc<Staging>>,
    keeper: Arc<Staging>,
    definitions: Arc<Staging>,
    waits: Arc<Waits>,
}

impl Stagings {
    fn new(shared: &Shared) -> Self {
        let staging = |on_progress| {
            let bell = Arc::clone(&shared.commit_bell);
            Arc::new(Staging::new(bell, on_progress))
        };
        let shards = shared.inboxes.iter().map(|inbox| {
            let inbox = Arc::clone(inbox);
            staging(Box::new(move |_| inbox.ring()))
        });
        let waits = Arc::new(Waits::default());
        let (reached, bell) = (Arc::clone(&waits), Arc::clone(&shared.keeper_bell));
        Self {
            shards: shards.collect(),
            keeper: staging(Box::new(move |_| bell.ring(true))),
            definitions: staging(Box::new(move |durable| reached.reached(durable))),
            waits,
        }
    }

    /// Those of the shards first, by their numbers. The definitions come last: an entry of a shard that was staged behind a definition is then never durable before it.
    fn in_order(&self) -> Vec<Arc<Staging>> {
        let others = [&self.keeper, &self.definitions];
        self.shards.iter().chain(others).map(Arc::clone).collect()
    }
}

fn chunks(settings: &Settings) -> io::Result<Chunks> {
    let unsynced: Arc<dyn Disk> = Arc::new(RealDisk::open_unsynced(&settings.data_dir)?);
    Chunks::new(unsynced, CHUNK_FOLDER.into(), settings.aims.segment_bytes)
}

/// The number of the last entry of each group, by the group's number.
fn last_indexes(index: &Index) -> Vec<u64> {
    let last = |group| index.last_of(Group(group)).map_or(0, |last| last.1);
    (0..=GROUPS).map(last).collect()
}

fn shared(mut listeners: Listeners) -> Shared {
    let shards = std::mem::take(&mut listeners.shards);
    Shared {
        listeners,
        commit_bell: Arc::default(),
        keeper_bell: Arc::default(),
        readers: (0..READERS).map(|_| Arc::default()).collect(),
        chunks: Arc::default(),
        waiting_chunks: Arc::default(),
        orders: Arc::default(),
        inboxes: shards
            .into_iter()
            .map(|ring| Arc::new(Inbox::new(ring)))
            .collect(),
        has_failed: AtomicBool::new(false),
        keeper: Mutex::new(None),
    }
}

fn shard_logs(
    shared: &Shared,
    (stagings, transactions): (&[Arc<Staging>], &Arc<Transactions>),
    indexes: &[u64],
) -> Vec<ShardLog> {
    let readers = shared.readers.iter().cycle();
    let parts = stagings.iter().zip(&shared.inboxes).zip(readers);
    let count = stagings.len() as u64;
    parts
        .enumerate()
        .map(|(number, ((staging, inbox), readers))| ShardLog {
            number,
            staging: Arc::clone(staging),
            transactions: Arc::clone(transactions),
            before_part: Position::default(),
            inbox: Arc::clone(inbox),
            readers: Arc::clone(readers),
            chunks: Arc::clone(&shared.chunks),
            waiting_chunks: Arc::clone(&shared.waiting_chunks),
            indexes: indexes.to_vec(),
            next_chunk: number as u64,
            chunk_step: count,
        })
        .collect()
}
