//! Files that belong to nobody, and the quarantine.

use std::collections::BTreeSet;
use std::io;

use super::{Look, QUARANTINE, list};
use crate::checkpoint;
use crate::disk::Disk;
use crate::recovery::WAL_FOLDER;
use crate::segment;

impl Look {
    /// Lists what is in the folders and means nothing.
    pub(super) fn find_names(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let mut remarks = vec![];
        for name in self.survey.strays() {
            remarks.push(format!("{WAL_FOLDER}/{name} is no file of the log"));
        }
        let segments = self.index.segments();
        let known: BTreeSet<String> = segments.map(|(id, _)| segment::sealed_path(id)).collect();
        for (name, _) in list(disk, segment::FOLDER)? {
            let path = format!("{}/{name}", segment::FOLDER);
            if known.contains(&path) {
                continue;
            }
            if name.ends_with(".tmp") {
                remarks.push(format!(
                    "{path} was never finished; the next start removes it"
                ));
                continue;
            }
            remarks.push(format!("{path} belongs to nobody"));
            self.strangers.push(path);
        }
        for (name, _) in list(disk, checkpoint::FOLDER)? {
            if !name.ends_with(".ckpt") {
                remarks.push(format!("{}/{name} is no checkpoint", checkpoint::FOLDER));
            }
        }
        self.report.remarks.append(&mut remarks);
        self.report.quarantine = list(disk, QUARANTINE)?;
        Ok(())
    }
}
