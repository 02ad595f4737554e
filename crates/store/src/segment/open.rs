//! The segments that are open for reading: those used last, so that neither descriptors nor footers in memory grow with the backlog.
//!
//! A reader that goes from here stays usable for who holds it. Nothing here knows which segments are needed.

use std::collections::HashMap;
use std::sync::Arc;

use super::damage::Damage;
use super::reader::SegmentReader;
use crate::disk::Disk;
use crate::entry::SegmentId;

/// Most files that are kept open.
const FILES_MAX: usize = 256;
/// Most memory that the readers' footers take, in bytes; the one used last stays whatever it takes.
const MEMORY_MAX: usize = 32 << 20;

/// Readers by segment, the least recently used one going first.
#[derive(Debug)]
pub struct OpenSegments {
    disk: Arc<dyn Disk>,
    readers: HashMap<SegmentId, Open>,
    files_max: usize,
    memory: usize,
    uses: u64,
}

#[derive(Debug)]
struct Open {
    reader: Arc<SegmentReader>,
    used: u64,
}

impl OpenSegments {
    /// None is open yet.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self::with_files_max(disk, FILES_MAX)
    }

    /// As [`OpenSegments::new`], with another limit of open files.
    pub fn with_files_max(disk: Arc<dyn Disk>, files_max: usize) -> Self {
        Self {
            disk,
            readers: HashMap::new(),
            files_max,
            memory: 0,
            uses: 0,
        }
    }

    /// The reader of a segment. **Waits**: for the disk, if it is not open. **Errors**: those of [`SegmentReader::open`].
    pub fn reader(&mut self, id: SegmentId) -> Result<Arc<SegmentReader>, Damage> {
        self.uses += 1;
        if let Some(open) = self.readers.get_mut(&id) {
            open.used = self.uses;
            return Ok(Arc::clone(&open.reader));
        }
        let reader = Arc::new(SegmentReader::open(&*self.disk, id)?);
        self.memory += reader.memory();
        let open = Open {
            reader: Arc::clone(&reader),
            used: self.uses,
        };
        self.readers.insert(id, open);
        self.shrink();
        Ok(reader)
    }

    /// Closes a segment whose file goes, so that its space is given back.
    pub fn close(&mut self, id: SegmentId) {
        if let Some(open) = self.readers.remove(&id) {
            self.memory -= open.reader.memory();
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.readers.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    fn shrink(&mut self) {
        while self.readers.len() > 1
            && (self.readers.len() > self.files_max || self.memory > MEMORY_MAX)
        {
            let oldest = self.readers.iter().min_by_key(|(_, open)| open.used);
            let Some(id) = oldest.map(|(id, _)| *id) else {
                return;
            };
            self.close(id);
        }
    }
}
