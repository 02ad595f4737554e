//! The names of the simulated disk: what finds which file now, and what would after a power cut.
//!
//! Folders have numbers, so that a name in a folder that was removed is not found in one that was made later under the same name. The changes
//! of one call (the two names of a rename) last together or not at all, unless one of their folders was synced and the other was not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;

use super::chance::{Chance, Fate};

/// The data folder.
const ROOT: u64 = 0;

/// Calls whose changes may be open at once; then the oldest last, as a system writes its journal in the end.
const OPEN_MAX: usize = 1024;

/// What a name finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Folder(u64),
    File(u64),
}

/// A name in a folder.
pub(super) type Name = (u64, String);

/// A name finds something else from now on, or nothing.
pub(super) type Change = (Name, Option<Node>);

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    now: BTreeMap<Name, Node>,
    lasting: BTreeMap<Name, Node>,
    /// What was not synced, in order: the changes of one call each.
    open: Vec<Vec<Change>>,
}

impl Names {
    /// The folder at a path.
    pub(super) fn folder(&self, path: &Path) -> io::Result<u64> {
        path.iter().try_fold(ROOT, |folder, part| {
            let name = (folder, part.to_string_lossy().into_owned());
            match self.now.get(&name) {
                Some(Node::Folder(inner)) => Ok(*inner),
                Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
                None => Err(ErrorKind::NotFound.into()),
            }
        })
    }

    /// The name at a path, whether or not it finds anything.
    pub(super) fn name(&self, path: &Path) -> io::Result<(Name, Option<Node>)> {
        let (Some(above), Some(last)) = (path.parent(), path.file_name()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let name = (self.folder(above)?, last.to_string_lossy().into_owned());
        let node = self.now.get(&name).copied();
        Ok((name, node))
    }

    /// The name and the file at a path.
    pub(super) fn file(&self, path: &Path) -> io::Result<(Name, u64)> {
        match self.name(path)? {
            (name, Some(Node::File(file))) => Ok((name, file)),
            (_, Some(Node::Folder(_))) => Err(ErrorKind::IsADirectory.into()),
            (_, None) => Err(ErrorKind::NotFound.into()),
        }
    }

    /// The name at a path if it finds nothing.
    pub(super) fn vacant(&self, path: &Path) -> io::Result<Name> {
        match self.name(path)? {
            (name, None) => Ok(name),
            (_, Some(_)) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    pub(super) fn in_folder(&self, folder: u64) -> impl Iterator<Item = (&str, Node)> {
        let from = (folder, String::new());
        let names = self.now.range(from..(folder + 1, String::new()));
        names.map(|((_, name), node)| (name.as_str(), *node))
    }

    /// Every change that empties a folder, the innermost first.
    pub(super) fn emptied(&self, folder: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, node) in self.in_folder(folder) {
            if let Node::Folder(inner) = node {
                changes.extend(self.emptied(inner));
            }
            changes.push(((folder, name.to_owned()), None));
        }
        changes
    }

    /// Makes the changes of one call.
    pub(super) fn change(&mut self, changes: Vec<Change>) {
        apply(&mut self.now, &changes);
        self.open.push(changes);
        if self.open.len() > OPEN_MAX {
            apply(&mut self.lasting, &self.open.remove(0));
        }
    }

    /// Makes the names of a folder last.
    pub(super) fn sync(&mut self, folder: u64) {
        let changes = self.take_open(folder);
        apply(&mut self.lasting, &changes);
    }

    /// The sync that failed: what it did not write down, no later one will.
    pub(super) fn fail_sync(&mut self, folder: u64, chance: &mut Chance) {
        let mut changes = self.take_open(folder);
        changes.retain(|_| chance.coin());
        apply(&mut self.lasting, &changes);
    }

    /// The names after a power cut.
    pub(super) fn crash(&self, overall: Fate, chance: &mut Chance) -> Self {
        let fate = match overall {
            Fate::Each => chance.fate(),
            settled => settled,
        };
        // Journals keep an order, which a program must not count on and which is what it most often meets.
        let in_order = chance.coin();
        let survivors = match fate {
            Fate::Nothing => 0,
            Fate::Each if in_order => chance.below(self.open.len() + 1),
            _ => self.open.len(),
        };
        let each = fate == Fate::Each && !in_order;
        let mut names = self.lasting.clone();
        for changes in &self.open[..survivors] {
            if !each || chance.coin() {
                apply(&mut names, changes);
            }
        }
        drop_unreachable(&mut names);
        Self {
            now: names.clone(),
            lasting: names,
            open: Vec::new(),
        }
    }

    /// The files that a name finds now.
    pub(super) fn files(&self) -> BTreeSet<u64> {
        self.now.values().filter_map(file_of).collect()
    }

    /// The files that a name finds now, or may find after a power cut.
    pub(super) fn known_files(&self) -> BTreeSet<u64> {
        let open = self.open.iter().flatten();
        let open = open.filter_map(|(_, node)| node.as_ref());
        let nodes = self.now.values().chain(self.lasting.values()).chain(open);
        nodes.filter_map(file_of).collect()
    }

    fn take_open(&mut self, folder: u64) -> Vec<Change> {
        let mut taken = Vec::new();
        for changes in &mut self.open {
            taken.extend(changes.extract_if(.., |(name, _)| name.0 == folder));
        }
        self.open.retain(|changes| !changes.is_empty());
        taken
    }
}

fn file_of(node: &Node) -> Option<u64> {
    match node {
        Node::File(file) => Some(*file),
        Node::Folder(_) => None,
    }
}

fn apply(names: &mut BTreeMap<Name, Node>, changes: &[Change]) {
    for (name, node) in changes {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

/// Drops the names in folders that no name finds any more.
fn drop_unreachable(names: &mut BTreeMap<Name, Node>) {
    loop {
        let mut folders: BTreeSet<u64> = names
            .values()
            .filter_map(|node| match node {
                Node::Folder(folder) => Some(*folder),
                Node::File(_) => None,
            })
            .collect();
        folders.insert(ROOT);
        let before = names.len();
        names.retain(|(folder, _), _| folders.contains(folder));
        if names.len() == before {
            return;
        }
    }
}
