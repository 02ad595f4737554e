//! From batch to batch, and over what is damaged between them.
//!
//! The rules are those of `scan/walk.rs`: a batch follows on another if it lies where that ended or at the beginning of a later file, and names
//! it. Where the next one does not follow, confirmed data is damaged if anything behind the last one was durable, and torn if not.

use super::super::scan::{Damage, Fault};
use super::files::Break;
use super::{BLOCK, BatchHeader, Gap, Lsn, Piece, Step, Survey, What};

/// How far the log was followed.
#[derive(Clone, Copy)]
struct Reached {
    file: usize,
    cursor: Lsn,
    /// The last batch, and its header's checksum where that is known.
    last: Option<(Lsn, Option<u32>)>,
}

impl Reached {
    /// As `Walk::follows` in the scan.
    fn is_followed_by(&self, header: &BatchHeader) -> bool {
        if header.begins() {
            return header.durable <= self.cursor;
        }
        match self.last {
            Some((last, crc)) => {
                last == header.previous && crc.is_none_or(|crc| crc == header.previous_crc)
            }
            None => header.lsn == self.cursor || header.previous < self.cursor,
        }
    }
}

impl Survey {
    /// Puts the pieces in their order.
    pub(super) fn chain(&mut self, pieces: &[Piece], breaks: Vec<Break>) {
        let from = self.start.from;
        // Where the log does not begin in the first file there is, something before it is gone.
        let first = self.info(self.first).filter(|info| info.start <= from);
        let first = first.map(|info| info.first());
        let mut reached = Reached {
            file: self.first,
            cursor: from.max(first.unwrap_or_default()),
            last: None,
        };
        let mut breaks = breaks.into_iter().peekable();
        let mut rest = pieces;
        while let Some((before, piece, behind)) = split_at_whole(rest) {
            let What::Whole(header, crc) = piece.what else {
                break;
            };
            let mut broken = vec![];
            while let Some((_, damage)) = breaks.next_if(|(place, _)| *place <= piece.file) {
                broken.push(damage);
            }
            let is_next = piece.lsn == reached.cursor
                || piece.file > reached.file
                    && self.info(piece.file).map(|info| info.first()) == Some(piece.lsn);
            if !broken.is_empty() || !is_next || !reached.is_followed_by(&header) {
                if broken.is_empty() && self.durable <= reached.cursor {
                    break;
                }
                self.gap(&reached, before, Some(&piece), broken);
            }
            self.steps.push(Step::Batch(piece));
            reached = Reached {
                file: piece.file,
                cursor: piece.end(),
                last: Some((header.lsn, Some(crc))),
            };
            rest = behind;
        }
        let broken: Vec<Damage> = breaks.map(|(_, damage)| damage).collect();
        if self.durable > reached.cursor || !broken.is_empty() {
            self.gap(&reached, rest, None, broken);
        } else if !rest.is_empty() {
            self.torn = Some(reached.cursor);
        }
    }

    /// Confirmed data is damaged behind what was reached, up to the batch `next`; or files are, as `broken` says.
    fn gap(
        &mut self,
        reached: &Reached,
        parts: &[Piece],
        next: Option<&Piece>,
        broken: Vec<Damage>,
    ) {
        let beyond = Lsn(self.durable.0.max(reached.cursor.0 + BLOCK));
        let to = next.map_or(beyond, |next| next.lsn);
        let lines_up = match next {
            // What an unreadable file at the end had is not known.
            None => broken.is_empty() && self.lines_up(reached, parts, None),
            next => self.lines_up(reached, parts, next),
        };
        let mut damages = broken;
        if self.durable > reached.cursor {
            damages.extend(self.ranges(reached, parts, to, damages.is_empty()));
        }
        damages.sort_by_key(|damage| damage.from);
        self.steps.push(Step::Gap(self.gaps.len()));
        self.gaps.push(Gap {
            damages,
            lines_up,
            parts: parts.to_vec(),
        });
    }

    /// Whether the parts reach over the gap, and nothing can have been between them: each follows on the one before it, as batches do. That a
    /// part begins a file proves nothing, since the end of the file before it may be what is gone.
    fn lines_up(&self, reached: &Reached, parts: &[Piece], next: Option<&Piece>) -> bool {
        let mut reached = *reached;
        for part in parts.iter().chain(next) {
            let Some(header) = part.header() else {
                return false;
            };
            let is_right = !matches!(part.what, What::Payload(_, false));
            let follows = match is_right {
                true => reached.is_followed_by(header),
                false => part.lsn == reached.cursor,
            };
            if !follows {
                return false;
            }
            reached = Reached {
                file: part.file,
                cursor: part.end(),
                last: Some((part.lsn, is_right.then(|| header.encode().1))),
            };
        }
        next.is_some() || reached.cursor >= self.durable
    }

    /// The range of each file that the gap reaches into and that has something of it; without one, what is left of the file that was reached
    /// where a range is needed because no other damage says where the gap is.
    fn ranges(&self, reached: &Reached, parts: &[Piece], to: Lsn, needed: bool) -> Vec<Damage> {
        let mut ranges = vec![];
        for number in reached.file..self.files.len() {
            let Some(info) = self.info(number) else {
                continue;
            };
            let from = reached.cursor.max(info.first());
            let end = to.min(info.end());
            let has_part = |part: &Piece| part.file == number && part.lsn < to;
            let is_end = needed && info.offset(Lsn(to.0 - 1)).is_some();
            if from < end && (is_end || parts.iter().any(has_part)) {
                ranges.push(self.range(number, from, end));
            }
        }
        if ranges.is_empty() && needed {
            let info = self.info(reached.file);
            let end = info.map_or(to, |info| info.end().min(to));
            let end = end.max(Lsn(reached.cursor.0 + 1));
            ranges.push(self.range(reached.file, reached.cursor, end));
        }
        ranges
    }

    fn range(&self, file: usize, from: Lsn, to: Lsn) -> Damage {
        let info = self.info(file);
        Damage {
            file: info.map_or_else(
                || self.options.folder.clone(),
                |info| info.path(&self.options.folder),
            ),
            fault: Fault::Batch,
            from,
            to,
            file_start: info.map(|info| info.start),
        }
    }
}

/// The first whole batch, with what lies before and behind it.
fn split_at_whole(pieces: &[Piece]) -> Option<(&[Piece], Piece, &[Piece])> {
    let at = pieces
        .iter()
        .position(|piece| matches!(piece.what, What::Whole(..)))?;
    let (before, rest) = pieces.split_at(at);
    let (piece, behind) = rest.split_first()?;
    Some((before, *piece, behind))
}
