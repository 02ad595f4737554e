//! The store as `store.rs` puts it together, without its threads: whoever has a rig calls the turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::applied::Applied;
use crate::bell::Bell;
use crate::checkpoint::{self, Header};
use crate::commit::Commit;
use crate::disk::{Chance, Disk};
use crate::entry::Lsn;
use crate::folder::Folder;
use crate::index::Index;
use crate::keeper::{Aims, Keeper, KeeperParts};
use crate::orders::Orders;
use crate::reading::{Reader, WalFiles};
use crate::recovery::{FileLens, Recovered, RecoveryError, WAL_FOLDER, recover};
use crate::staging::Staging;

/// How many stagings there are beside those of the shards: the keeper's and the definitions'.
const OTHERS: usize = 2;

/// What a store of a run is opened with: so little of everything that files come and go all the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) lens: FileLens,
    pub(super) aims: Aims,
    pub(super) shards: usize,
}

impl Setup {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let first = 16 * 1024;
        let segment_bytes = [16, 32, 96, 256];
        Self {
            lens: FileLens {
                first,
                full: first << chance.below(2),
            },
            aims: Aims {
                log_bytes: (32 + chance.below(33) as u64) * 1024,
                segment_bytes: segment_bytes[chance.below(segment_bytes.len())] * 1024,
                reserve_bytes: first * chance.below(3) as u64,
                checkpoint_bytes: (16 + chance.below(33) as u64) * 1024,
                checkpoint_ms: 10 + chance.below(200) as u64,
            },
            shards: 1 + chance.below(3),
        }
    }

    pub(super) fn stagings(&self) -> usize {
        self.shards + OTHERS
    }

    /// The keeper's.
    pub(super) fn keeper(&self) -> usize {
        self.shards
    }

    /// The last one: that of the definitions.
    pub(super) fn definitions(&self) -> usize {
        self.shards + 1
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) commit: Commit,
    pub(super) keeper: Keeper,
    pub(super) reader: Reader,
    pub(super) applied: Arc<RwLock<Applied>>,
    pub(super) files: Arc<WalFiles>,
    pub(super) orders: Arc<Orders>,
    /// Those of the shards, the keeper's, the definitions'.
    pub(super) stagings: Vec<Arc<Staging>>,
    /// How often anybody was told of progress.
    pub(super) told: Arc<AtomicU64>,
    pub(super) remarks: Vec<String>,
    _folder: Folder,
}

impl Rig {
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        setup: &Setup,
        random: u128,
    ) -> Result<Self, RecoveryError> {
        let Recovered {
            folder,
            index,
            wal,
            checkpoint,
            next_segment,
            dropped,
            remarks,
        } = recover(disk, setup.lens, random)?;
        let upto = wal.durable();
        let applied = Arc::new(RwLock::new(Applied { index, upto }));
        let files = Arc::new(WalFiles::new(WAL_FOLDER.into()));
        let (orders, bell) = (Arc::<Orders>::default(), Arc::<Bell>::default());
        let told = Arc::<AtomicU64>::default();
        let staging = |_| {
            let told = Arc::clone(&told);
            let tell = move |_| _ = told.fetch_add(1, Ordering::Relaxed);
            Arc::new(Staging::new(Arc::clone(&bell), Box::new(tell)))
        };
        let stagings: Vec<_> = (0..setup.stagings()).map(staging).collect();
        let commit = Commit::new(
            wal,
            Arc::clone(&applied),
            Arc::clone(&files),
            Arc::clone(&orders),
            (stagings.clone(), Arc::default()),
        );
        let keeper = Keeper::new(KeeperParts {
            disk: Arc::clone(disk),
            store: folder.store,
            aims: setup.aims,
            applied: Arc::clone(&applied),
            files: Arc::clone(&files),
            orders: Arc::clone(&orders),
            staging: Arc::clone(&stagings[setup.keeper()]),
            checkpoint,
            next_segment,
            dropped,
        });
        let reader = Reader::new(Arc::clone(disk), Arc::clone(&applied), Arc::clone(&files));
        Ok(Self {
            commit,
            keeper,
            reader,
            applied,
            files,
            orders,
            stagings,
            told,
            remarks,
            _folder: folder,
        })
    }

    /// The index as bytes: the same for the same entries.
    pub(super) fn bytes(&self) -> Vec<u8> {
        bytes_of(&self.applied.read().index)
    }

    /// How far each staging is durable.
    pub(super) fn durable(&self) -> Vec<u64> {
        let durable = self.stagings.iter().map(|staging| staging.durable().0);
        durable.collect()
    }
}

/// An index as bytes.
fn bytes_of(index: &Index) -> Vec<u8> {
    let header = Header {
        generation: 0,
        store: 0,
        applied: Lsn(0),
        durable: Lsn(0),
    };
    checkpoint::encode(index, &header)
}
