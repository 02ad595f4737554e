//! The checkpoints: which one the index is read from, and what is wrong with them.

use std::io;

use super::range::DamagedRange;
use super::report::{Finding, Loses, Report};
use crate::checkpoint::{self, Kept, Salvaged};
use crate::disk::Disk;
use crate::index::Index;
use crate::wal::Start;

/// What the log is replayed onto.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) index: Index,
    pub(super) start: Start,
    pub(super) damaged_checkpoints: Vec<String>,
}

/// Reads the newest checkpoint that is whole, else what is left of those that are not.
pub(super) fn read(disk: &dyn Disk, store: u128, report: &mut Report) -> io::Result<Read> {
    let kept = checkpoint::load_each(disk, store)?;
    let is_whole = kept.iter().any(|kept| kept.read.is_ok());
    let mut read = Read::default();
    if !is_whole && !kept.is_empty() {
        salvage(disk, store, &kept, &mut read, report);
    }
    for Kept {
        path,
        generation,
        read: found,
    } in kept
    {
        match found {
            Err(damage) => {
                if is_whole {
                    let what = format!("{damage}; the other checkpoint is whole");
                    let at = DamagedRange::whole(path.clone());
                    report.findings.push(Finding::new(at, what, Loses::Nothing));
                }
                read.damaged_checkpoints.push(path);
            }
            Ok((header, index)) => {
                let durable = read.start.durable.max(header.durable);
                if report.generation.is_none() {
                    report.generation = Some(generation);
                    read.index = index;
                    read.start.from = header.applied;
                }
                read.start.durable = durable;
            }
        }
    }
    Ok(read)
}

/// No checkpoint is whole: takes the one of which most is left.
fn salvage(disk: &dyn Disk, store: u128, kept: &[Kept], read: &mut Read, report: &mut Report) {
    let salvaged = kept
        .iter()
        .filter_map(|kept| checkpoint::salvage(disk, &kept.path, store).ok());
    let best = salvaged.min_by_key(|salvaged| (salvaged.header.is_none(), salvaged.lost.len()));
    let best = best.unwrap_or_else(|| Salvaged {
        header: None,
        index: Index::default(),
        lost: vec!["whole"],
    });
    let (rest, loses) = match (best.lost.is_empty(), best.header) {
        (true, _) => (
            "all of it can be read nevertheless".to_owned(),
            Loses::Nothing,
        ),
        (false, Some(_)) => (lost(&best.lost), Loses::Something),
        (false, None) => (
            format!("{}; the log is read from its beginning", lost(&best.lost)),
            Loses::Something,
        ),
    };
    for Kept { path, read, .. } in kept {
        if let Err(damage) = read {
            let at = DamagedRange::whole(path.clone());
            let what = format!("{damage}, and no other checkpoint is whole: {rest}");
            report.findings.push(Finding::new(at, what, loses));
        }
    }
    if let Some(header) = best.header {
        read.start = Start {
            from: header.applied,
            durable: header.durable,
        };
    }
    read.index = best.index;
}

fn lost(sections: &[&str]) -> String {
    format!("lost are {}", sections.join(", "))
}
