//! `leveret store check` and `leveret store repair`: an operator's way to a data folder that is damaged.
//!
//! What is looked at and what is done is the store's affair; here are the folder, the words and the exit codes.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use leveret_broker::definitions::{self, Definition};
use leveret_store::check::{self, Accept, CheckError};
use leveret_store::disk::{Disk, RealDisk};
use leveret_store::index::Index;
use leveret_store::log::QueueId;
use leveret_store::recovery::FileLens;
use leveret_store::repair::{self, Making, RepairError};
use thiserror::Error;

use crate::arguments::{Flags, StoreCommand};
use crate::config::ConfigError;
use crate::{load, logging};

mod json;

/// What is damaged, or was not repaired.
const DAMAGED: u8 = 1;
/// The folder cannot be looked at.
const NOT_LOOKED_AT: u8 = 2;

/// Why a data folder was not looked at or repaired.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the data folder {} cannot be opened: {error}", folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error("{}: {error}", folder.display())]
    Check { folder: PathBuf, error: CheckError },
    #[error("{}: {error}", folder.display())]
    Repair { folder: PathBuf, error: RepairError },
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// Does what the command says with the configured data folder.
pub(crate) fn run(flags: &Flags, command: &StoreCommand) -> ExitCode {
    let done = match command {
        StoreCommand::Check { json } => look(flags, *json),
        StoreCommand::Repair { accept_loss } => mend(flags, accept_loss),
    };
    done.unwrap_or_else(|failure| {
        logging::last_words(&failure);
        ExitCode::from(match failure {
            Failure::Repair { .. } => DAMAGED,
            _ => NOT_LOOKED_AT,
        })
    })
}

fn look(flags: &Flags, as_json: bool) -> Result<ExitCode, Failure> {
    let folder = load(flags)?.config.data_dir;
    let disk = open(&folder)?;
    let report = check::check(&*disk, &name_of);
    let report = report.map_err(|error| Failure::Check { folder, error })?;
    let mut out = io::stdout().lock();
    match as_json {
        true => writeln!(out, "{:#}", json::report(&report))?,
        false => write!(out, "{report}")?,
    }
    Ok(match report.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DAMAGED),
    })
}

fn mend(flags: &Flags, accept: &[Accept]) -> Result<ExitCode, Failure> {
    let folder = load(flags)?.config.data_dir;
    let disk = open(&folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let unix_ms = now.map_or(0, |now| now.as_millis() as u64);
    let making = Making {
        lens: FileLens {
            first: 4 << 20,
            full: 16 << 20,
        },
        // A hasher's keys are random.
        random: RandomState::new().hash_one(unix_ms),
        unix_ms,
    };
    let repaired = repair::repair(&disk, accept, making, &name_of);
    let repaired = repaired.map_err(|error| match error {
        RepairError::Check(error) => Failure::Check {
            folder: folder.clone(),
            error,
        },
        error => Failure::Repair {
            folder: folder.clone(),
            error,
        },
    })?;
    write!(io::stdout().lock(), "{repaired}")?;
    Ok(ExitCode::SUCCESS)
}

fn open(folder: &Path) -> Result<Arc<dyn Disk>, Failure> {
    let disk = RealDisk::open(folder).map_err(|error| Failure::Folder {
        folder: folder.to_owned(),
        error,
    })?;
    Ok(Arc::new(disk))
}

/// What a queue is called, by the definitions in the index; none where its definition is gone.
fn name_of(index: &Index, queue: QueueId) -> Option<String> {
    index
        .definitions()
        .find_map(|(key, value)| match definitions::read(key, value) {
            Ok(Definition::Queue(vhost, id, declaration)) if id == queue => {
                Some(format!("queue '{}' in vhost '{vhost}'", declaration.name))
            }
            _ => None,
        })
}
