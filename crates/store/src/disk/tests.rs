//! Both disks do the same for the same calls, as long as nothing fails.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// Paths of files, folders, things below files, and things that are not there.
const PATHS: [&str; 10] = [
    "a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "a/b", "x/y", "../a",
];

#[derive(Clone, Debug)]
enum Step {
    Create(&'static str),
    Open(&'static str),
    Close(usize),
    Rename(&'static str, &'static str),
    Remove(&'static str),
    List(&'static str),
    CreateDir(&'static str),
    RemoveDirAll(&'static str),
    SyncDir(&'static str),
    Lock(&'static str),
    Unlock,
    Write(usize, u64, Vec<u8>),
    Read(usize, u64, usize),
    Sync(usize),
    Len(usize),
    Allocate(usize, u64),
    Truncate(usize, u64),
}

fn path() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(PATHS.to_vec())
}

fn folder() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), Just("d"), path()]
}

fn place() -> impl Strategy<Value = u64> {
    prop_oneof![0..20u64, 0..5_000u64]
}

fn step() -> impl Strategy<Value = Step> {
    let file = 0..4usize;
    let bytes = proptest::collection::vec(any::<u8>(), 0..1_500);
    prop_oneof![
        4 => path().prop_map(Step::Create),
        2 => path().prop_map(Step::Open),
        1 => file.clone().prop_map(Step::Close),
        2 => (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => path().prop_map(Step::Remove),
        2 => folder().prop_map(Step::List),
        2 => folder().prop_map(Step::CreateDir),
        1 => folder().prop_map(Step::RemoveDirAll),
        1 => folder().prop_map(Step::SyncDir),
        1 => path().prop_map(Step::Lock),
        1 => Just(Step::Unlock),
        6 => (file.clone(), place(), bytes).prop_map(|(file, at, bytes)| Step::Write(file, at, bytes)),
        6 => (file.clone(), place(), 0..3_000usize).prop_map(|(file, at, len)| Step::Read(file, at, len)),
        1 => file.clone().prop_map(Step::Sync),
        1 => file.clone().prop_map(Step::Len),
        2 => (file.clone(), place()).prop_map(|(file, len)| Step::Allocate(file, len)),
        2 => (file, place()).prop_map(|(file, len)| Step::Truncate(file, len)),
    ]
}

/// What a step showed.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Files(Vec<(String, u64)>),
    Bytes(Vec<u8>),
    Len(u64),
}

/// A disk with what was opened on it.
struct User {
    disk: Box<dyn Disk>,
    files: Vec<Arc<dyn File>>,
    lock: Option<Lock>,
}

impl User {
    fn new(disk: impl Disk + 'static) -> Self {
        Self {
            disk: Box::new(disk),
            files: Vec::new(),
            lock: None,
        }
    }

    fn take(&mut self, step: &Step) -> Result<Shown, io::ErrorKind> {
        self.on_disk(step).map_err(|error| match error.kind() {
            // What the system says of a file that is renamed to the folder it is in.
            io::ErrorKind::DirectoryNotEmpty => io::ErrorKind::IsADirectory,
            kind => kind,
        })
    }

    fn on_disk(&mut self, step: &Step) -> io::Result<Shown> {
        let disk = &self.disk;
        match step {
            Step::Create(path) => self.files.push(disk.create(Path::new(path))?),
            Step::Open(path) => self.files.push(disk.open(Path::new(path))?),
            Step::Rename(from, to) => disk.rename(Path::new(from), Path::new(to))?,
            Step::Remove(path) => disk.remove(Path::new(path))?,
            Step::List(folder) => return disk.list(Path::new(folder)).map(Shown::Files),
            Step::CreateDir(folder) => disk.create_dir(Path::new(folder))?,
            Step::RemoveDirAll(folder) => disk.remove_dir_all(Path::new(folder))?,
            Step::SyncDir(folder) => disk.sync_dir(Path::new(folder))?,
            Step::Lock(path) => self.lock = Some(disk.lock(Path::new(path))?),
            Step::Unlock => self.lock = None,
            Step::Close(file) if *file < self.files.len() => drop(self.files.remove(*file)),
            in_file => return self.in_file(in_file),
        }
        Ok(Shown::Nothing)
    }

    fn in_file(&self, step: &Step) -> io::Result<Shown> {
        let file = |index: &usize| self.files.get(*index).ok_or(io::ErrorKind::Other);
        match step {
            Step::Write(index, at, bytes) => file(index)?.write_at(*at, bytes)?,
            Step::Sync(index) => file(index)?.sync()?,
            Step::Len(index) => return file(index)?.len().map(Shown::Len),
            Step::Allocate(index, len) => file(index)?.allocate(*len)?,
            Step::Truncate(index, len) => file(index)?.truncate(*len)?,
            Step::Read(index, at, len) => {
                let mut bytes = vec![0; *len];
                let read = file(index)?.read_at(*at, &mut bytes)?;
                bytes.truncate(read);
                return Ok(Shown::Bytes(bytes));
            }
            _ => {}
        }
        Ok(Shown::Nothing)
    }

    /// Every file that a name finds, with its content.
    fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for folder in ["", "d", "d/e", "x"] {
            for (name, len) in self.disk.list(Path::new(folder)).unwrap_or_default() {
                let path = Path::new(folder).join(name);
                let mut bytes = vec![0; len as usize + 1];
                let file = self.disk.open(&path).unwrap();
                assert_eq!(file.read_at(0, &mut bytes).unwrap() as u64, len);
                found.push((path, bytes));
            }
        }
        found
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_two_disks_behave_alike(steps in proptest::collection::vec(step(), 1..80)) {
        let folder = tempfile::tempdir().unwrap();
        let mut real = User::new(RealDisk::open(folder.path()).unwrap());
        let mut sim = User::new(SimDisk::new(0));
        for step in &steps {
            prop_assert_eq!(real.take(step), sim.take(step), "{:?}", step);
        }
        prop_assert_eq!(real.everything(), sim.everything());
    }
}
