//! Names of what is damaged: a file, or bytes of one, in the words in which an operator accepts the loss of it.
//!
//! `wal/0000000000000002.wal@8192-12288` are the bytes of a file from the first number to before the second; `seg/0000000000000007.seg` is a
//! file as a whole; `wal@8192-12288` are bytes of the log, counted from its beginning, of which no file is there.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::wal;

/// A file of the data folder, or a range of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DamagedRange {
    /// The file, relative to the data folder; `wal` for bytes of the log that no file has.
    pub file: String,
    /// The first byte and the one behind the last; none for all of the file.
    pub bytes: Option<(u64, u64)>,
}

impl DamagedRange {
    /// All of a file.
    pub(crate) fn whole(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            bytes: None,
        }
    }

    /// Bytes of a file; all of it where the range is empty.
    pub(crate) fn of(file: impl Into<String>, bytes: Range<u64>) -> Self {
        Self {
            file: file.into(),
            bytes: (bytes.start < bytes.end).then_some((bytes.start, bytes.end)),
        }
    }

    /// The range of a damage in the log.
    pub(crate) fn in_log(damage: &wal::Damage, folder: &str) -> Self {
        let (from, to) = (damage.from.0, damage.to.0);
        match damage.file_start {
            Some(start) if start <= damage.from => {
                let file = damage.file.display().to_string();
                Self::of(file, from - start.0..to - start.0)
            }
            _ => Self::of(folder, from..to),
        }
    }
}

impl fmt::Display for DamagedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            Some((from, to)) => write!(f, "{}@{from}-{to}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// What an operator accepts to lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Whatever is damaged: `all`.
    All,
    /// What lies in this range.
    Range(DamagedRange),
}

impl Accept {
    /// Whether a damage is within what is accepted.
    pub fn covers(&self, damage: &DamagedRange) -> bool {
        let Self::Range(accepted) = self else {
            return true;
        };
        let is_within = match (accepted.bytes, damage.bytes) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((from, to)), Some((first, end))) => from <= first && end <= to,
        };
        accepted.file == damage.file && is_within
    }
}

/// Text that names no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is neither `all` nor a range as the check prints it, like wal/0000000000000002.wal@8192-12288"
)]
pub struct NoRange;

impl FromStr for Accept {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        if text == "all" {
            return Ok(Self::All);
        }
        let Some((file, bytes)) = text.split_once('@') else {
            return match text.contains('/') {
                true => Ok(Self::Range(DamagedRange::whole(text))),
                false => Err(NoRange),
            };
        };
        let (from, to) = bytes.split_once('-').ok_or(NoRange)?;
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| NoRange);
        let (from, to) = (number(from)?, number(to)?);
        match from < to && !file.is_empty() {
            true => Ok(Self::Range(DamagedRange::of(file, from..to))),
            false => Err(NoRange),
        }
    }
}
