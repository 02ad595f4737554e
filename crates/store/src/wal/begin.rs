//! Beginning the log anew behind everything it had: what a repair ends with.

use std::io;

use super::blank::is_blank;
use super::writer::{Names, adopt, invalid};
use super::{BLOCK, Options, WalFile};
use crate::disk::Disk;
use crate::entry::Lsn;

/// Makes an empty file of the log with a number and a first lsn, of which the caller knows that nothing has them.
///
/// **Effect**: synced under its name; files that never became ones of the log are removed. The other files are left alone. **Waits** for the
/// disk. **Errors**: the disk's; `InvalidInput` for a place where no file can begin.
pub fn begin_file(
    disk: &dyn Disk,
    options: &Options,
    seq: u64,
    start: Lsn,
    unix_ms: u64,
) -> io::Result<WalFile> {
    if !start.0.is_multiple_of(BLOCK) {
        return Err(invalid("a file of the log begins on a block"));
    }
    for (name, _) in disk.list(&options.folder)? {
        if is_blank(&name) {
            disk.remove(&options.folder.join(name))?;
        }
    }
    let mut names = Names {
        next_seq: seq,
        next_blank: 0,
    };
    let order = names.order(options, options.file_len_first);
    let blank = order.make(disk)?;
    let info = names.next_file(options, start, blank.len);
    Ok(adopt(disk, options, blank, info, unix_ms)?.info)
}
