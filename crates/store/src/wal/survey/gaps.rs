//! From batch to batch, and over what is damaged between them.
//!
//! The rules are those of `scan/walk.rs`: a batch follows on another if it lies where that ended or at the beginning of a later file, and names
//! it. Where the next one does not follow, confirmed data is damaged if anything behind the last one was durable, and torn if not.

use super::super::scan::{Damage, Fault};
use super::files::Break;
use super::{BLOCK, BatchHeader, Gap, Lsn, Piece, Step, Survey, What};

/// How far the log was followed.
struct Reached {
    file: usize,
    cursor: Lsn,
    last: Option<(Lsn, u32)>,
}

impl Reached {
    /// As `Walk::follows` in the scan.
    fn is_followed_by(&self, header: &BatchHeader) -> bool {
        if header.begins() {
            return header.durable <= self.cursor;
        }
        match self.last {
            Some(last) => last == (header.previous, header.previous_crc),
            None => header.lsn == self.cursor || header.previous < self.cursor,
        }
    }
}

impl Survey {
    /// Puts the pieces in their order.
    pub(super) fn chain(&mut self, pieces: &[Piece], breaks: Vec<Break>) {
        let first = self.info(self.first).map(|info| info.first());
        let mut reached = Reached {
            file: self.first,
            cursor: self.start.from.max(first.unwrap_or_default()),
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
                last: Some((header.lsn, crc)),
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

    /// Whether the parts reach over the gap, and nothing can have been between them.
    fn lines_up(&self, reached: &Reached, parts: &[Piece], next: Option<&Piece>) -> bool {
        let (mut file, mut cursor) = (reached.file, reached.cursor);
        for part in parts {
            let begins_file =
                part.file > file && self.info(part.file).map(|info| info.first()) == Some(part.lsn);
            if part.header().is_none() || !(part.lsn == cursor || begins_file) {
                return false;
            }
            (file, cursor) = (part.file, part.end());
        }
        let last_part = parts.last().map(|part| part.lsn);
        match next.and_then(Piece::header) {
            None => cursor >= self.durable,
            Some(header) if header.begins() => header.durable <= cursor,
            Some(header) => match last_part {
                Some(last) => header.previous == last,
                None => reached.last == Some((header.previous, header.previous_crc)),
            },
        }
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
