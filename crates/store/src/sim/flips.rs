//! Flipped bits: in a copy of the disk, so that the run goes on without the damage.
//!
//! The log is sealed before, so that nothing of it may pass for a torn tail. Either recovery refuses and names the file, or the store opens,
//! tells what is lost, reads everything else, and lives on with the damage: the keeper must come to terms with it too.

use std::collections::BTreeSet;
use std::path::Path;

use super::Held;
use super::check::{self, Seen};
use super::model::{Change, Part, State, Told, record};
use super::rig::Rig;
use super::world::World;
use crate::checkpoint;
use crate::disk::{Disk, SimDisk};
use crate::entry::{self, NewEnqueue, Stamp, Stream, Target};
use crate::index::{Index, Location};
use crate::keeper::Done;
use crate::log::{Group, QueueId, Urgency};
use crate::reading::Lost;
use crate::recovery::WAL_FOLDER;
use crate::segment;
use crate::wal::BLOCK;

/// How many messages come behind the damage, so that all files of the log become old.
const LATER: u64 = 40;

/// Where a bit is to be flipped.
struct Place {
    path: String,
    offset: u64,
}

/// Messages, each with its queue.
type Messages = BTreeSet<(u64, u64)>;

impl World {
    /// Flips a bit of a copy.
    pub(super) fn flip_a_copy(&mut self) -> Held {
        while self.commit_turn()? == Some(crate::commit::Turn::Wrote) {}
        self.rest()?;
        if self.failed.is_some() || self.disk.crashed() {
            return Ok(());
        }
        let disk = self.disk.kill();
        let place = self.some_place(&disk)?;
        let damaged = self.in_reach(&disk, &place)?;
        let bit = self.chance.below(8) as u8;
        let flipped = disk.flip(Path::new(&place.path), place.offset, bit);
        flipped.map_err(|error| error.to_string())?;
        self.figures.flips += 1;
        let (path, offset) = (&place.path, place.offset);
        self.meet(&disk, &place, &damaged)
            .map_err(|what| format!("with a bit flipped in byte {offset} of {path}: {what}"))
    }

    fn some_place(&mut self, disk: &SimDisk) -> Held<Place> {
        if let (true, Some(path)) = (self.chance.coin(), self.some_live_file()) {
            return self.in_file(path, disk);
        }
        let folder = match self.chance.below(20) {
            0 => return self.in_file("VERSION".to_owned(), disk),
            1..4 => checkpoint::FOLDER,
            4..11 => segment::FOLDER,
            _ => WAL_FOLDER,
        };
        let names = disk.list(Path::new(folder));
        let mut names = names.map_err(|error| error.to_string())?;
        names.retain(|(_, len)| *len > 0);
        if names.is_empty() {
            return self.in_file("VERSION".to_owned(), disk);
        }
        let at = self.chance.below(names.len());
        self.in_file(format!("{folder}/{}", names[at].0), disk)
    }

    /// A file with live messages: an older one is more often not replayed.
    fn some_live_file(&mut self) -> Option<String> {
        let applied = self.rig.applied.read();
        let segments = applied.index.segments();
        let mut paths: Vec<String> = segments
            .filter(|(_, segment)| segment.live > 0)
            .map(|(id, _)| segment::sealed_path(id))
            .collect();
        let files = applied.index.wal_files().iter().rev().skip(1);
        let files = files.filter(|file| file.live > 0);
        paths.extend(files.map(|file| format!("{WAL_FOLDER}/{:016x}.wal", file.file_seq)));
        let at = self.chance.below(paths.len().max(1));
        paths.into_iter().nth(at)
    }

    fn in_file(&mut self, path: String, disk: &SimDisk) -> Held<Place> {
        let len = read_file(disk, &path)?.len();
        let offset = self.chance.below(len) as u64;
        Ok(Place { path, offset })
    }

    /// The live messages in the entry of the log, or in the segment, that a place is in.
    fn in_reach(&self, disk: &SimDisk, place: &Place) -> Held<Messages> {
        let mut reached = Messages::new();
        let bytes = read_file(disk, &place.path)?;
        let applied = self.rig.applied.read();
        let file = self.rig.files.list().into_iter();
        let mut file = file.filter(|file| Path::new(&place.path) == file.path(WAL_FOLDER.as_ref()));
        let file = file.next();
        for (queue, run) in runs(&applied.index) {
            let is_reached = match run.location {
                Location::Segment { id, .. } => segment::id_of(&place.path) == Some(id),
                Location::Wal { lsn, .. } => file.is_some_and(|file| {
                    let at = file.offset(lsn);
                    at.is_some_and(|at| entry_at(&bytes, at).contains(&place.offset))
                }),
            };
            if is_reached {
                reached.extend((run.first_seq..=run.last_seq()).map(|seq| (queue, seq)));
            }
        }
        Ok(reached)
    }

    /// Opens a store with a damage, and lives on with it.
    fn meet(&mut self, disk: &SimDisk, place: &Place, damaged: &Messages) -> Held {
        let random = u128::from(self.chance.number());
        self.figures.recoveries += 1;
        let mut rig = match Rig::open(&self.seen(disk), &self.setup, random) {
            Ok(rig) => rig,
            Err(refused) => return self.is_refused_rightly(place, &refused.to_string()),
        };
        if newest_checkpoint(disk).is_some_and(|newest| newest == place.path)
            && !rig
                .remarks
                .iter()
                .any(|remark| remark.contains(&place.path))
        {
            return Err("nobody is told of the checkpoint that cannot be used".to_owned());
        }
        let mut state = self.model.durable.clone();
        let missing = whole_but(&mut rig, &state, place, damaged)?;
        self.figures.lossy += u64::from(!missing.is_empty());
        let mut clock = self.now_ms;
        live_on(
            &mut rig,
            &mut state,
            &missing,
            (self.setup.shards, &mut clock),
        )?;
        let later = whole_but(&mut rig, &state, place, damaged)?;
        if later != missing {
            return Err(format!(
                "{later:?} are missing later, first {missing:?} were"
            ));
        }
        drop(rig);
        let after = disk.kill();
        let again = Rig::open(&self.seen(&after), &self.setup, random);
        let mut again = again.map_err(|error| format!("it opened once, and then not: {error}"))?;
        let last = whole_but(&mut again, &state, place, damaged)?;
        match last == missing {
            true => Ok(()),
            false => Err(format!(
                "{last:?} are missing after a restart, not {missing:?}"
            )),
        }
    }

    /// A refusal names the file; and what nothing depends on is refused by nobody.
    fn is_refused_rightly(&mut self, place: &Place, text: &str) -> Held {
        self.figures.refused += 1;
        if !text.contains(&place.path) {
            return Err(format!("the refusal does not name the file: {text}"));
        }
        if place.path.starts_with(segment::FOLDER) {
            return Err(format!("there are two of what was damaged: {text}"));
        }
        let end = self.rig.applied.read().upto;
        let mut files = self.rig.files.list().into_iter();
        let is_behind = files.any(|file| {
            let is_it = Path::new(&place.path) == file.path(WAL_FOLDER.as_ref());
            is_it && place.offset >= BLOCK && file.start.0 + place.offset >= end.0
        });
        match is_behind {
            true => Err(format!("nothing was there: {text}")),
            false => Ok(()),
        }
    }
}

/// Whether the store is what it must be, but for messages in reach of the damage; which these are.
fn whole_but(rig: &mut Rig, state: &State, place: &Place, damaged: &Messages) -> Held<Messages> {
    {
        let applied = rig.applied.read();
        check::index(&applied.index, state)?;
        check::counts(&applied.index)?;
    }
    let Seen {
        missing,
        told,
        lost,
    } = check::all(rig, state, 4096)?;
    if lost != missing.len() as u64 || told.is_empty() != missing.is_empty() {
        return Err(format!(
            "{lost} messages are said to be lost, {missing:?} are"
        ));
    }
    let in_log = place.path.starts_with(WAL_FOLDER);
    let is_fine = match in_log {
        // What is still live of the entry.
        true => missing.is_subset(damaged) && (missing.is_empty() || missing == *damaged),
        // A message, or none.
        false => missing.is_subset(damaged) && missing.len() <= 1,
    };
    match is_fine {
        true => Ok(missing),
        false => Err(format!(
            "{missing:?} are lost, the damage reaches {damaged:?}"
        )),
    }
}

/// More messages come, so that the keeper has to do with all that is there.
fn live_on(
    rig: &mut Rig,
    state: &mut State,
    missing: &Messages,
    (shards, clock): (usize, &mut u64),
) -> Held {
    let queue = state.queues.keys().next_back().map_or(64, |last| last + 64);
    for number in 0..LATER {
        let told = enqueue(rig, state, (queue, number), shards)?;
        state.apply(&told);
        *clock += 20;
        rig.commit.turn(*clock).map_err(|error| error.to_string())?;
        let mut done = Done::Step;
        while done == Done::Step {
            let turned = rig.keeper.turn(*clock);
            done = turned.map_err(|error| error.to_string())?;
            rig.commit.turn(*clock).map_err(|error| error.to_string())?;
        }
        rig.keeper
            .take_closed()
            .into_iter()
            .for_each(|closed| rig.reader.close(closed));
        for lost in rig.keeper.take_lost() {
            is_lost(&lost, missing)?;
        }
    }
    rig.commit.rest(*clock).map_err(|error| error.to_string())
}

/// Whether there is something to what was told of a loss.
fn is_lost(lost: &Lost, missing: &Messages) -> Held {
    let range = (lost.queue, lost.first_seq)..=(lost.queue, lost.last_seq);
    match missing.range(range).next() {
        Some(_) => Ok(()),
        None => Err(format!("the keeper tells what is not so: {lost}")),
    }
}

/// Stages a message of a queue.
fn enqueue(rig: &Rig, state: &State, (queue, number): (u64, u64), shards: usize) -> Held<Told> {
    let (of, id) = (QueueId(queue), u64::MAX - number);
    let group = Group::of(of);
    let index = state.last.get(&group.0).map_or(1, |last| last + 1);
    let stamp = Stamp {
        group,
        term: 0,
        index,
    };
    let target = Target {
        queue: of,
        stream: Stream(0),
        first: 0,
        count: 1,
        flags: 0,
        first_seq: number + 1,
        expires_ms: 0,
    };
    let new = NewEnqueue {
        unix_ms: 0,
        targets: &[target],
        starts: &[0],
        records: &record(id),
        bodies: &[],
    };
    let staging = &rig.stagings[usize::from(group.0) % shards];
    let pushed = staging.push(Urgency::Synced, |out| entry::enqueue(out, stamp, &new));
    pushed.map_err(|error| error.to_string())?;
    let part = Part {
        queue,
        first_seq: number + 1,
        first_id: id,
        count: 1,
    };
    Ok(Told {
        change: Change::Enqueue(vec![part]),
        group: group.0,
        index,
    })
}

/// The live runs of all queues.
fn runs(index: &Index) -> impl Iterator<Item = (u64, crate::index::LiveRun)> {
    index.queues().flat_map(|state| {
        let live = index.live(state.queue, state.stream, 0);
        live.map(move |run| (state.queue.0, run))
    })
}

/// The bytes of a file that an entry takes.
fn entry_at(bytes: &[u8], at: u64) -> std::ops::Range<u64> {
    let len = bytes.get(at as usize..).and_then(|rest| rest.first_chunk());
    let len = len.map_or(0, |len| u64::from(u32::from_le_bytes(*len)));
    at..at + len
}

fn newest_checkpoint(disk: &SimDisk) -> Option<String> {
    let names = disk.list(Path::new(checkpoint::FOLDER)).ok()?;
    let mut names = names.iter().map(|(name, _)| name).rev();
    let newest = names.find(|name| name.ends_with(".ckpt"))?;
    Some(format!("{}/{newest}", checkpoint::FOLDER))
}

fn read_file(disk: &SimDisk, path: &str) -> Held<Vec<u8>> {
    let read = || {
        let file = disk.open(Path::new(path))?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_at(0, &mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    read().map_err(|error| format!("{path}: {error}"))
}
