//! A disk in memory that does what disks do at the worst moment, the same way for the same seed.
//!
//! Between the program and the platter is a page cache: see `sim/pages.rs` for files, `sim/names.rs` for folders. What was not synced may or
//! may not be there after [`SimDisk::crash`], in any combination. Failures are set with [`SimDisk::set_faults`]; `sim/calls.rs` is where they
//! strike.
//!
//! The rules, harsher than most filesystems: sectors of 512 bytes survive on their own, each as any of the versions it had since the last
//! sync; a file that grew may have any length it had, and its new part zeros or (by [`Faults::garbage`]) what lay there before; names that
//! were not synced survive in any subset; a sync that failed has marked clean what it did not write.
//!
//! The same calls on a disk of the same seed have the same results, leave the same log, and crash the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::chance::Recycled;
use self::names::Names;
use self::pages::Pages;

pub(crate) use self::chance::Chance;

mod calls;
mod chance;
mod names;
mod pages;

#[cfg(test)]
mod tests;

/// Free bytes where no capacity is set.
const UNLIMITED: u64 = 1 << 40;

/// Failures to come. Those that are counted are counted from the making of the disk, from 1 on, see [`SimDisk::counts`].
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The n-th read (`read_at`, `open`, `list`) fails with EIO.
    pub fail_read: Option<u64>,
    /// The n-th write (`write_at`, `allocate`) fails with EIO.
    pub fail_write: Option<u64>,
    /// The n-th sync (`sync`, `sync_dir`) fails with EIO; what it did not bring to the platter is marked clean and lost for good.
    pub fail_sync: Option<u64>,
    /// The n-th change of a name or a length (`create`, `rename`, `remove`, `create_dir`, `remove_dir_all`, `truncate`, `lock`) fails with
    /// EIO and does nothing.
    pub fail_change: Option<u64>,
    /// A `write_at` that fails with EIO has written a part of its bytes from the start.
    pub short_writes: bool,
    /// Bytes that all files may have together; beyond them writes end with `StorageFull`, after what fits.
    pub capacity: Option<u64>,
    /// Blocks that were new to a file and not synced show, after a crash, what lay on the disk before: blocks of removed files as they were.
    pub garbage: bool,
    /// The machine stops in the n-th call: it and all later ones fail, and what it was to do is as uncertain as all that was not synced.
    pub crash_at: Option<u64>,
}

/// How often a disk was called, in the sorts of [`Faults`]. Asking for a length or for the free space is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of all sorts.
    pub calls: u64,
    /// See [`Faults::fail_read`].
    pub reads: u64,
    /// See [`Faults::fail_write`].
    pub writes: u64,
    /// See [`Faults::fail_sync`].
    pub syncs: u64,
    /// See [`Faults::fail_change`].
    pub changes: u64,
}

/// See the module. A clone is the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk without failures.
    pub fn new(seed: u64) -> Self {
        Self::with(State {
            chance: Chance::new(seed),
            ..State::default()
        })
    }

    /// Replaces the failures to come.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// The disk as it is found after a power cut now. This one stays as it is, so that many cuts can be made at one moment: the seed decides
    /// what each finds. The new disk has nobody's files open, no lock held, counts and a log that begin anew, and of the failures only the
    /// capacity and the garbage.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.state();
        let mut chance = Chance::new(seed);
        let overall = chance.fate();
        let recycled = state.faults.garbage.then_some(&state.recycled);
        let names = state.names.crash(overall, &mut chance);
        let left = names.files();
        let files = state.files.iter().filter(|(id, _)| left.contains(id));
        let files = files
            .map(|(id, inode)| {
                let pages = inode.pages.crash(overall, &mut chance, recycled);
                (*id, Inode { pages, open: 0 })
            })
            .collect();
        Self::with(State {
            names,
            files,
            chance,
            ..state.after_the_process()
        })
    }

    /// The disk as another process finds it after this one was killed: all that was written is there, and as uncertain as before should a
    /// power cut follow. Otherwise as [`SimDisk::crash`]; a machine that is off stays off.
    #[must_use]
    pub fn kill(&self) -> Self {
        let state = self.state();
        let mut left = State {
            names: state.names.clone(),
            files: state.files.clone(),
            crashed: state.crashed,
            ..state.after_the_process()
        };
        left.files.values_mut().for_each(|inode| inode.open = 0);
        left.forget_unknown_files();
        Self::with(left)
    }

    /// Flips a bit (0 to 7) of a file where it lies, on the platter and in the cache. No call, and not in the log. **Errors**: `NotFound`;
    /// an offset behind the end flips nothing.
    pub fn flip(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let mut state = self.state();
        let (_, file) = state.names.file(path)?;
        state.pages(file).flip(offset as usize, bit);
        Ok(())
    }

    /// Calls that were made, failed ones among them.
    pub fn calls(&self) -> u64 {
        self.state().counts.calls
    }

    /// Calls that were made, by sort.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The calls and their outcomes, a line each: number, call, file, place and a checksum of what was written, outcome.
    pub fn log(&self) -> String {
        self.state().log.clone()
    }

    /// Whether [`Faults::crash_at`] has struck.
    pub fn crashed(&self) -> bool {
        self.state().crashed
    }

    fn with(state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic between two steps of a test must not hide what the test had to say.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").finish_non_exhaustive()
    }
}

/// A file without its names.
#[derive(Clone, Debug, Default)]
struct Inode {
    pages: Pages,
    /// How many have it open.
    open: usize,
}

#[derive(Debug)]
struct State {
    names: Names,
    files: BTreeMap<u64, Inode>,
    /// The number of the file or folder that was made last.
    last_id: u64,
    /// The files whose lock is held.
    locks: BTreeSet<u64>,
    recycled: Recycled,
    chance: Chance,
    faults: Faults,
    counts: Counts,
    crashed: bool,
    log: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            names: Names::default(),
            files: BTreeMap::new(),
            last_id: 0,
            locks: BTreeSet::new(),
            recycled: Recycled::default(),
            chance: Chance::new(0),
            faults: Faults::default(),
            counts: Counts::default(),
            crashed: false,
            log: String::new(),
        }
    }
}

impl State {
    /// What does not end with the process, but for names and files.
    fn after_the_process(&self) -> Self {
        Self {
            last_id: self.last_id,
            recycled: self.recycled.clone(),
            chance: self.chance.clone(),
            faults: Faults {
                capacity: self.faults.capacity,
                garbage: self.faults.garbage,
                ..Faults::default()
            },
            ..Self::default()
        }
    }

    fn pages(&mut self, file: u64) -> &mut Pages {
        let inode = self.files.get_mut(&file);
        &mut inode
            .expect("a file lives while it has a name or is open")
            .pages
    }

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Bytes that files may still grow by.
    fn free(&self) -> u64 {
        let Some(capacity) = self.faults.capacity else {
            return UNLIMITED;
        };
        let named = self.names.files();
        let used = self.files.iter();
        let used = used.filter(|(id, inode)| inode.open > 0 || named.contains(id));
        let used: u64 = used.map(|(_, inode)| inode.pages.len() as u64).sum();
        capacity.saturating_sub(used)
    }

    /// Gives back the space of files that nobody has open and no name can find again.
    fn forget_unknown_files(&mut self) {
        let known = self.names.known_files();
        let forgotten = |id: &u64, inode: &mut Inode| inode.open == 0 && !known.contains(id);
        for (_, inode) in self.files.extract_if(.., forgotten) {
            self.recycled.remember(inode.pages.content());
        }
    }

    fn take_down(&mut self, line: fmt::Arguments<'_>, outcome: &dyn fmt::Display) {
        let call = self.counts.calls;
        writeln!(self.log, "{call} {line} = {outcome}")
            .expect("a string takes all that is written");
    }
}
