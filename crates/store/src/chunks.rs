//! Chunks: messages that queues cannot keep in memory and that need not outlive the process. Written once, read back once, in any order.
//!
//! They lie one behind the other in files of a folder that is emptied at the start; nothing is synced. A file goes when none of its chunks is
//! left. Where more than half of what the files take is dead, the chunks of the emptiest file move to the newest one, so that a few chunks
//! that stay long cost no more than a few files.
//!
//! One thread owns a [`Chunks`]. A chunk comes back under its checksum or not at all.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::crc::crc32c;
use crate::disk::{Disk, File};
use crate::log::ChunkId;

#[cfg(test)]
mod tests;

/// See the module.
#[derive(Debug)]
pub struct Chunks {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// About how long files get.
    file_len: u64,
    places: HashMap<ChunkId, Place>,
    /// By rising number; the last one is written to.
    files: BTreeMap<u64, ChunkFile>,
    next_file: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    file: u64,
    offset: u64,
    len: usize,
    crc: u32,
}

#[derive(Debug)]
struct ChunkFile {
    file: Arc<dyn File>,
    len: u64,
    live: u64,
}

impl Chunks {
    /// None yet, in a folder that is made anew. **Errors**: the disk's.
    pub fn new(disk: Arc<dyn Disk>, folder: PathBuf, file_len: u64) -> io::Result<Self> {
        match disk.remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => disk.create_dir(&folder)?,
        }
        Ok(Self {
            disk,
            folder,
            file_len,
            places: HashMap::new(),
            files: BTreeMap::new(),
            next_file: 1,
        })
    }

    /// Keeps a chunk. **Waits** for the disk. **Errors**: the disk's; the chunk is not kept then.
    pub fn put(&mut self, id: ChunkId, bytes: &[u8]) -> io::Result<()> {
        let place = self.append(bytes)?;
        self.places.insert(id, place);
        Ok(())
    }

    /// Gives a chunk back, and forgets it. **Waits** for the disk. **Errors**: the disk's; `InvalidData` where it is not what was written, and
    /// `NotFound` for one that is not kept.
    pub fn take(&mut self, id: ChunkId) -> io::Result<Vec<u8>> {
        let place = self.places.get(&id).copied();
        let bytes = self.read(place.ok_or(io::ErrorKind::NotFound)?)?;
        self.forget(id)?;
        Ok(bytes)
    }

    /// Forgets a chunk; one that is not kept is fine. **Waits** for the disk. **Errors**: the disk's.
    pub fn forget(&mut self, id: ChunkId) -> io::Result<()> {
        let Some(place) = self.places.remove(&id) else {
            return Ok(());
        };
        self.leave(place)?;
        self.compact()
    }

    /// How much the files take, in bytes.
    pub fn disk_bytes(&self) -> u64 {
        self.files.values().map(|file| file.len).sum()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<Place> {
        let is_full = |file: &ChunkFile| file.len >= self.file_len;
        if self.files.values().next_back().is_none_or(is_full) {
            let number = self.next_file;
            self.next_file += 1;
            let file = self.disk.create(&self.path(number))?;
            let (len, live) = (0, 0);
            self.files.insert(number, ChunkFile { file, len, live });
        }
        let Some((number, file)) = self.files.iter_mut().next_back() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        file.file.write_at(file.len, bytes)?;
        let place = Place {
            file: *number,
            offset: file.len,
            len: bytes.len(),
            crc: crc32c(bytes),
        };
        file.len += bytes.len() as u64;
        file.live += bytes.len() as u64;
        Ok(place)
    }

    fn read(&self, place: Place) -> io::Result<Vec<u8>> {
        let file = self.files.get(&place.file);
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; place.len];
        let read = file.file.read_at(place.offset, &mut bytes)?;
        if read == place.len && crc32c(&bytes) == place.crc {
            return Ok(bytes);
        }
        let path = self.path(place.file);
        let text = format!(
            "{}: bytes {} to {} are not what was written",
            path.display(),
            place.offset,
            place.offset + place.len as u64
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// A chunk is in a file no more.
    fn leave(&mut self, place: Place) -> io::Result<()> {
        let Some(file) = self.files.get_mut(&place.file) else {
            return Ok(());
        };
        file.live -= place.len as u64;
        if file.live == 0 {
            self.files.remove(&place.file);
            self.disk.remove(&self.path(place.file))?;
        }
        Ok(())
    }

    /// Moves the chunks of the emptiest file, where more than half of everything is dead.
    fn compact(&mut self) -> io::Result<()> {
        let live: u64 = self.files.values().map(|file| file.live).sum();
        let newest = self.files.keys().next_back().copied();
        if self.disk_bytes() < 2 * live + 2 * self.file_len {
            return Ok(());
        }
        let finished = self
            .files
            .iter()
            .filter(|(number, _)| Some(**number) != newest);
        let Some(emptiest) = finished.min_by_key(|(_, file)| file.live) else {
            return Ok(());
        };
        let number = *emptiest.0;
        let moving: Vec<(ChunkId, Place)> = self
            .places
            .iter()
            .filter(|(_, place)| place.file == number)
            .map(|(id, place)| (*id, *place))
            .collect();
        for (id, place) in moving {
            let bytes = self.read(place)?;
            self.put(id, &bytes)?;
            self.leave(place)?;
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016x}.chunks"))
    }
}
