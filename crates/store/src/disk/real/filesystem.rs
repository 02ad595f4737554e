//! Filesystems by the number that `statfs` answers with.
//!
//! The numbers are those of `linux/magic.h` and of the filesystems that are not in it. One that is missing here is `Unknown`, which a caller
//! mentions but does not refuse.

use std::io;
use std::path::Path;

use super::super::FilesystemKind::{self, CopyOnWrite, Layered, Local, Memory, Network, Unknown};
use super::Filesystem;

const BY_NUMBER: [(u32, FilesystemKind, &str); 29] = [
    (0x0000_ef53, Local, "ext4"),
    (0x5846_5342, Local, "xfs"),
    (0xf2f5_2010, Local, "f2fs"),
    (0x3153_464a, Local, "jfs"),
    (0x5265_4973, Local, "reiserfs"),
    (0x0000_4d44, Local, "vfat"),
    (0x2011_bab0, Local, "exfat"),
    (0x5346_544e, Local, "ntfs"),
    (0x7366_746e, Local, "ntfs3"),
    (0x9123_683e, CopyOnWrite, "btrfs"),
    (0x2fc1_2fc1, CopyOnWrite, "zfs"),
    (0xca45_1a4e, CopyOnWrite, "bcachefs"),
    (0x0000_3434, CopyOnWrite, "nilfs2"),
    (0x0102_1994, Memory, "tmpfs"),
    (0x8584_58f6, Memory, "ramfs"),
    (0x0000_6969, Network, "nfs"),
    (0xff53_4d42, Network, "cifs"),
    (0xfe53_4d42, Network, "smb2"),
    (0x0000_517b, Network, "smb"),
    (0x00c3_6400, Network, "ceph"),
    (0x0102_1997, Network, "9p"),
    (0x5346_414f, Network, "afs"),
    (0x0bd0_0bd0, Network, "lustre"),
    (0x0116_1970, Network, "gfs2"),
    (0x7461_636f, Network, "ocfs2"),
    (0x4750_4653, Network, "gpfs"),
    (0x1980_0202, Network, "beegfs"),
    (0x794c_7630, Layered, "overlay"),
    (0x6573_5546, Unknown, "fuse"),
];

/// What kind of filesystem a folder is on.
pub(super) fn of(folder: &Path) -> io::Result<Filesystem> {
    // Every known number has 32 bits; the field has as many as the machine's words and may have a sign.
    Ok(by_number(rustix::fs::statfs(folder)?.f_type as u32))
}

pub(super) fn by_number(number: u32) -> Filesystem {
    let known = BY_NUMBER.iter().find(|known| known.0 == number);
    known.map_or(
        Filesystem {
            kind: Unknown,
            name: "unknown",
        },
        |&(_, kind, name)| Filesystem { kind, name },
    )
}
