//! The quarantine: copies of what is damaged before anything else is done, and the originals once nothing needs them.
//!
//! A file in it is called by what it was and where: `wal-0000000000000002.wal@8192-12288`; a number is added where that name is taken by
//! something else. It has its name only with all of it synced.

use std::io;
use std::path::Path;

use super::{RepairError, Repaired};
use crate::check::{DamagedRange, Look, QUARANTINE, list};
use crate::disk::{Disk, File};
use crate::recovery::WAL_FOLDER;
use crate::segment;

/// How much is copied at once.
const COPY_LEN: u64 = 1 << 20;

/// Copies every damaged range of the log, and the checkpoints that cannot be used. **Effect**: synced.
pub(super) fn copy_damaged(
    disk: &dyn Disk,
    checkpoints: &[String],
    repaired: &mut Repaired,
) -> Result<(), RepairError> {
    remove_unfinished(disk)?;
    let in_log =
        |range: &DamagedRange| range.file.starts_with(WAL_FOLDER) && range.file != WAL_FOLDER;
    let ranges = repaired.findings.iter().map(|finding| finding.at.clone());
    let mut ranges: Vec<_> = ranges.filter(in_log).collect();
    ranges.extend(checkpoints.iter().map(DamagedRange::whole));
    ranges.sort();
    ranges.dedup();
    for range in ranges {
        let file = match disk.open(Path::new(&range.file)) {
            // What is missing is the damage.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        match copy(disk, &*file, &range)? {
            Ok(name) => repaired.quarantined.push(name),
            Err(error) => repaired
                .remarks
                .push(format!("{range} cannot be copied: {error}")),
        }
    }
    Ok(disk.sync_dir(Path::new(QUARANTINE))?)
}

/// Moves the old files of the log, and segments that nothing needs, to the quarantine.
pub(super) fn move_unneeded(
    disk: &dyn Disk,
    look: &Look,
    repaired: &mut Repaired,
) -> Result<(), RepairError> {
    let old = look
        .survey
        .numbers()
        .map(|seq| format!("{WAL_FOLDER}/{seq:016x}.wal"));
    let segments = look.damaged_segments.iter();
    let segments = segments.map(|damaged| segment::sealed_path(damaged.id));
    for path in old.chain(segments).chain(look.strangers.iter().cloned()) {
        let to = vacant(disk, &flat(&path))?;
        match disk.rename(Path::new(&path), Path::new(&to)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => {
                done?;
                repaired.quarantined.push(to);
            }
        }
    }
    // The new names first: else a power cut could take both.
    for folder in [QUARANTINE, WAL_FOLDER, segment::FOLDER] {
        disk.sync_dir(Path::new(folder))?;
    }
    Ok(())
}

/// Copies bytes of a file. The inner error is the damaged file's, which goes on being where it is.
fn copy(disk: &dyn Disk, from: &dyn File, range: &DamagedRange) -> io::Result<io::Result<String>> {
    let (mut at, end) = match range.bytes {
        Some((first, end)) => (first, end.min(from.len()?)),
        None => (0, from.len()?),
    };
    let name = vacant(disk, &flat(&range.to_string()))?;
    let building = format!("{name}.tmp");
    let to = disk.create(Path::new(&building))?;
    let (mut buffer, mut written) = (vec![], 0);
    while at < end {
        buffer.resize(COPY_LEN.min(end - at) as usize, 0);
        let read = match from.read_at(at, &mut buffer) {
            Ok(0) => break,
            Ok(read) => read as u64,
            Err(error) => {
                disk.remove(Path::new(&building))?;
                return Ok(Err(error));
            }
        };
        to.write_at(written, buffer.get(..read as usize).unwrap_or_default())?;
        (at, written) = (at + read, written + read);
    }
    to.sync()?;
    disk.rename(Path::new(&building), Path::new(&name))?;
    Ok(Ok(name))
}

/// Removes copies that an earlier repair did not finish.
fn remove_unfinished(disk: &dyn Disk) -> io::Result<()> {
    for (name, _) in list(disk, QUARANTINE)? {
        if name.ends_with(".tmp") {
            disk.remove(&Path::new(QUARANTINE).join(name))?;
        }
    }
    Ok(())
}

/// A path as one name.
fn flat(path: &str) -> String {
    path.replace('/', "-")
}

/// A path in the quarantine that nothing has.
fn vacant(disk: &dyn Disk, name: &str) -> io::Result<String> {
    let taken = list(disk, QUARANTINE)?;
    let is_free = |name: &String| taken.iter().all(|(there, _)| there != name);
    let numbered = (2..).map(|number| format!("{name}.{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    let free = names.find(is_free).unwrap_or_default();
    Ok(format!("{QUARANTINE}/{free}"))
}
