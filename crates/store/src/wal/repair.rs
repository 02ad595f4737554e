//! Clearing a torn tail: what was written behind the end of the log and never became durable.

use std::io;

use super::{BLOCK, End, Options, Scan};
use crate::disk::Disk;

/// Zeroes what seems to begin a batch behind the end, so that no later scan can meet it, and makes the scan one that ended clean.
///
/// **Effect**: synced on return. Cut off in between, the next scan ends at the same place, torn or clean. Nothing is done where the log is
/// not torn. **Waits** for the disk. **Errors**: the disk's; the log must be scanned anew then.
pub fn repair_tail(disk: &dyn Disk, options: &Options, scan: &mut Scan) -> io::Result<()> {
    let End::TornTail { at } = scan.end else {
        return Ok(());
    };
    let zeros = [0; BLOCK as usize];
    for blocks in scan.stale.chunk_by(|one, other| one.0.seq == other.0.seq) {
        let Some((info, _)) = blocks.first() else {
            continue;
        };
        let file = disk.open(&info.path(&options.folder))?;
        for (info, lsn) in blocks {
            file.write_at(lsn.0 - info.start.0, &zeros)?;
        }
        file.sync()?;
    }
    scan.stale.clear();
    scan.end = End::Clean { next_lsn: at };
    Ok(())
}
