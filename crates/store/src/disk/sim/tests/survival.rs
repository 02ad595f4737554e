//! What was synced always survives, against an oracle that knows nothing of pages: for each file every content it had since its last sync, for
//! each name every file it found since its folder's last sync.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 4] = ["a", "b", "d/a", "d/b"];

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Rename(usize, usize),
    Remove(usize),
    SyncDir(bool),
    Write(usize, usize, u8, usize),
    Truncate(usize, usize),
    Allocate(usize, usize),
    Sync(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    let (file, at) = (0..3usize, 0..3_000usize);
    prop_oneof![
        3 => name.clone().prop_map(Step::Create),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => name.prop_map(Step::Remove),
        3 => any::<bool>().prop_map(Step::SyncDir),
        6 => (file.clone(), at.clone(), 1u8.., 1..2_000usize)
            .prop_map(|(file, at, byte, len)| Step::Write(file, at, byte, len)),
        1 => (file.clone(), at.clone()).prop_map(|(file, len)| Step::Truncate(file, len)),
        1 => (file.clone(), at).prop_map(|(file, len)| Step::Allocate(file, len)),
        4 => file.prop_map(Step::Sync),
    ]
}

/// One file and the contents it had, the last synced one first.
struct Known {
    file: Arc<dyn File>,
    contents: Vec<Vec<u8>>,
}

impl Known {
    /// Whether this may be what is left of the file.
    fn may_be(&self, left: &[u8]) -> bool {
        let contents = &self.contents;
        if let [synced] = contents.as_slice() {
            return left == synced;
        }
        let byte_known = |(at, byte): (usize, &u8)| {
            let had = |content: &Vec<u8>| content.get(at).copied().unwrap_or(0);
            contents.iter().any(|content| had(content) == *byte)
        };
        contents.iter().any(|content| content.len() == left.len())
            && left.iter().enumerate().all(byte_known)
    }
}

struct Oracle {
    disk: SimDisk,
    files: Vec<Known>,
    /// What each name found since its folder was synced, last what it finds now.
    names: BTreeMap<&'static str, Vec<Option<usize>>>,
}

impl Oracle {
    fn new() -> Self {
        let disk = SimDisk::new(9);
        disk.create_dir(path("d")).unwrap();
        disk.sync_dir(path("")).unwrap();
        Self {
            disk,
            files: Vec::new(),
            names: NAMES.map(|name| (name, vec![None])).into(),
        }
    }

    fn now(&self, name: &str) -> Option<usize> {
        *self.names[name].last().expect("a name always has a state")
    }

    fn put(&mut self, name: &'static str, found: Option<usize>) {
        self.names.entry(name).or_default().push(found);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Create(name) => {
                let created = self.disk.create(path(NAMES[name]));
                assert_eq!(created.is_ok(), self.now(NAMES[name]).is_none());
                if let Ok(file) = created {
                    self.put(NAMES[name], Some(self.files.len()));
                    let contents = vec![Vec::new()];
                    self.files.push(Known { file, contents });
                }
            }
            Step::Rename(from, to) => {
                let (from, to) = (NAMES[from], NAMES[to]);
                let renamed = self.disk.rename(path(from), path(to));
                assert_eq!(renamed.is_ok(), self.now(from).is_some());
                if renamed.is_ok() && from != to {
                    self.put(to, self.now(from));
                    self.put(from, None);
                }
            }
            Step::Remove(name) => {
                let removed = self.disk.remove(path(NAMES[name]));
                assert_eq!(removed.is_ok(), self.now(NAMES[name]).is_some());
                if removed.is_ok() {
                    self.put(NAMES[name], None);
                }
            }
            Step::SyncDir(inner) => {
                let folder = if inner { "d" } else { "" };
                self.disk.sync_dir(path(folder)).unwrap();
                let synced = |name: &&str| path(name).parent() == Some(path(folder));
                let names = self.names.iter_mut().filter(|(name, _)| synced(name));
                names.for_each(|(_, states)| drop(states.drain(..states.len() - 1)));
            }
            _ => self.in_file(step),
        }
    }

    fn in_file(&mut self, step: &Step) {
        let (Step::Write(file, ..)
        | Step::Truncate(file, _)
        | Step::Allocate(file, _)
        | Step::Sync(file)) = *step
        else {
            return;
        };
        // The newest files are the ones that matter.
        let Some(known) = self.files.iter_mut().rev().nth(file) else {
            return;
        };
        match *step {
            Step::Write(_, at, byte, len) => {
                known.file.write_at(at as u64, &vec![byte; len]).unwrap();
            }
            Step::Truncate(_, len) => known.file.truncate(len as u64).unwrap(),
            Step::Allocate(_, len) => known.file.allocate(len as u64).unwrap(),
            _ => {
                known.file.sync().unwrap();
                known.contents.clear();
            }
        }
        let content = all_of(&*known.file);
        if known.contents.last() != Some(&content) {
            known.contents.push(content);
        }
    }

    fn check(&self, left: &SimDisk) -> Result<(), TestCaseError> {
        for (name, states) in &self.names {
            let content = content(left, name);
            let explains = |state: &Option<usize>| match (state, &content) {
                (None, None) => true,
                (Some(file), Some(content)) => self.files[*file].may_be(content),
                _ => false,
            };
            prop_assert!(
                states.iter().any(explains),
                "{name} may be one of {states:?}"
            );
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_synced_with_its_folder_survives(
        steps in proptest::collection::vec(step(), 1..60),
        seed: u64,
    ) {
        let mut oracle = Oracle::new();
        for step in &steps {
            oracle.take(step);
        }
        for round in 0..8 {
            let left = oracle.disk.crash(seed.wrapping_add(round));
            oracle.check(&left)?;
            // What one power cut left, the next leaves too.
            oracle.check(&left.crash(round))?;
        }
        oracle.files.iter().for_each(|known| known.file.sync().unwrap());
        for folder in ["d", ""] {
            oracle.disk.sync_dir(path(folder)).unwrap();
        }
        let left = oracle.disk.crash(seed);
        for name in NAMES {
            prop_assert_eq!(content(&left, name), content(&oracle.disk, name));
        }
    }
}
