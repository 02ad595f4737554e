//! The log's batches once more in their order, with what can be proven of the damaged ones.

use std::io;

use super::super::BATCH_HEADER_LEN;
use super::super::read::Found;
use super::{Batch, Gap, Piece, Step, Survey, What};
use crate::entry::{self, Decoded, Entries, Lsn};

/// What [`Survey::replay`] meets.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// The next batch.
    Batch(&'a Batch<'a>),
    /// A batch in the gap that was told before, or a part of one.
    Part(&'a Part<'a>),
    /// Confirmed data is damaged here; its parts follow.
    Gap(&'a Gap),
    /// The gap that was told last ends here.
    GapEnd,
}

/// What is left of a damaged batch.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The number of the file it is in.
    pub file_seq: u64,
    /// Its entries whose checksums hold, in their order.
    pub entries: Vec<Decoded<'a>>,
    /// How many entries it had that cannot be read, as far as its header tells; 0 if all of it is there.
    pub lost: u32,
}

impl Survey {
    /// Gives what was found to `on_seen`, in the order of the log.
    ///
    /// **Effect**: nothing is changed. **Waits** for the disk. **Errors**: the disk's, and `on_seen`'s.
    pub fn replay(
        &mut self,
        mut on_seen: impl FnMut(Seen<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let (steps, gaps) = (
            std::mem::take(&mut self.steps),
            std::mem::take(&mut self.gaps),
        );
        let done = self.play(&steps, &gaps, &mut on_seen);
        (self.steps, self.gaps) = (steps, gaps);
        done
    }

    fn play(
        &mut self,
        steps: &[Step],
        gaps: &[Gap],
        on_seen: &mut dyn FnMut(Seen<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        for step in steps {
            match step {
                Step::Batch(piece) => self.play_batch(piece, on_seen)?,
                Step::Gap(number) => {
                    let Some(gap) = gaps.get(*number) else {
                        continue;
                    };
                    on_seen(Seen::Gap(gap))?;
                    for part in &gap.parts {
                        self.play_part(part, on_seen)?;
                    }
                    on_seen(Seen::GapEnd)?;
                }
            }
        }
        Ok(())
    }

    fn play_batch(
        &mut self,
        piece: &Piece,
        on_seen: &mut dyn FnMut(Seen<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = self.files.get_mut(piece.file);
        let Some(reading) = file.and_then(|file| file.reading.as_mut()) else {
            return Ok(());
        };
        match reading.find(piece.lsn)? {
            Found::Batch(_, _, batch) => on_seen(Seen::Batch(&batch)),
            _ => Err(io::Error::other("the log changes while it is read")),
        }
    }

    fn play_part(
        &mut self,
        piece: &Piece,
        on_seen: &mut dyn FnMut(Seen<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = self.files.get_mut(piece.file);
        let Some(reading) = file.and_then(|file| file.reading.as_mut()) else {
            return Ok(());
        };
        let file_seq = reading.info.seq;
        let Some(header) = piece.header() else {
            return Ok(());
        };
        let pieced = match reading.payload(header, piece.lsn)? {
            Some(_) => vec![],
            None => reading.payload_in_blocks(header, piece.lsn),
        };
        let payload = reading.payload(header, piece.lsn)?.unwrap_or(&pieced);
        let first = Lsn(piece.lsn.0 + BATCH_HEADER_LEN as u64);
        let (entries, lost) = match piece.what {
            // What it has and this program does not know is lost with it, though its bytes are right.
            What::Payload(..) => {
                let (known, unknown): (Vec<_>, Vec<_>) =
                    Entries::new(first, payload).partition(Result::is_ok);
                (known.into_iter().flatten().collect(), unknown.len() as u32)
            }
            _ => proven(first, payload, header.entries),
        };
        let part = Part {
            file_seq,
            entries,
            lost,
        };
        on_seen(Seen::Part(&part))
    }
}

/// The entries of a damaged payload whose own checksums hold. Those behind a damaged one count only if the lengths of all lead to the
/// payload's end in as many steps as there were entries: else the place of the next one is a guess.
fn proven(first: Lsn, payload: &[u8], count: u32) -> (Vec<Decoded<'_>>, u32) {
    let mut found = vec![];
    let (mut at, mut steps, mut bad) = (0, 0, 0);
    let mut before_the_damage = None;
    while let Some(rest) = payload.get(at..).filter(|rest| !rest.is_empty()) {
        let len = match entry::verify(Lsn(first.0 + at as u64), rest) {
            Ok(decoded) => {
                found.push(decoded);
                decoded.bytes.len()
            }
            Err(_) => {
                bad += 1;
                before_the_damage = before_the_damage.or(Some(found.len()));
                let len = rest.first_chunk().map(|len| u32::from_le_bytes(*len));
                len.map_or(0, |len| len as usize)
            }
        };
        if len < entry::HEADER_LEN {
            break;
        }
        at = at.saturating_add(len);
        steps += 1;
    }
    if at == payload.len() && steps == count {
        return (found, bad);
    }
    found.truncate(before_the_damage.unwrap_or(found.len()));
    let lost = count.saturating_sub(found.len() as u32).max(1);
    (found, lost)
}
