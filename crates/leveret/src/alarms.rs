//! Measures memory and disk, and raises and clears the broker's alarms.
//!
//! An alarm is cleared only when there is clearly more room than where it was raised, so that it does not flicker.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leveret_broker::alarms::Alarms;
use leveret_broker::broker::Broker;
use leveret_store::store::Store;
use tokio::sync::Notify;

use crate::config::Config;
use crate::machine::Machine;

#[cfg(test)]
mod tests;

/// How often is measured.
const EVERY: Duration = Duration::from_millis(500);

/// What is measured, and against what.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Where it is told whether something waits for room on the disk.
    store: Option<Arc<Store>>,
    /// Told when the disk is full, so that this is not seen only at the next measuring.
    full: Arc<Notify>,
    data_dir: PathBuf,
    memory_max: u64,
    disk_free_min: u64,
}

/// What was measured. What cannot be measured raises nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measured {
    memory: Option<u64>,
    disk_free: Option<u64>,
    /// Something could not be written for lack of room.
    is_full: bool,
}

impl Watch {
    pub(crate) fn new(
        config: &Config,
        machine: &Machine,
        store: Arc<Store>,
        full: Arc<Notify>,
    ) -> Watch {
        Watch {
            store: Some(store),
            full,
            data_dir: config.data_dir.clone(),
            memory_max: config.alarms.memory_max(machine),
            disk_free_min: config.alarms.disk_free_min,
        }
    }

    /// Measures again and again until the program ends.
    pub(crate) async fn run(self, broker: Arc<Broker>) {
        let mut ticks = tokio::time::interval(EVERY);
        let mut on = Alarms::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.full.notified() => {}
            }
            let measured = Measured {
                memory: resident_bytes(),
                disk_free: disk_free(&self.data_dir),
                is_full: self.store.as_ref().is_some_and(|store| store.is_full()),
            };
            on = self.judge(on, measured);
            if broker.set_alarms(on) {
                tell(on, measured);
            }
        }
    }

    /// The alarms that are to be on, given those that are.
    fn judge(&self, on: Alarms, measured: Measured) -> Alarms {
        let short_of_memory = |bytes: u64| {
            let clear_below = self.memory_max / 10 * 9;
            bytes
                > if on.memory {
                    clear_below
                } else {
                    self.memory_max
                }
        };
        let short_of_disk = |free: u64| {
            let clear_from = self.disk_free_min / 4 * 5;
            free < if on.disk {
                clear_from
            } else {
                self.disk_free_min
            }
        };
        Alarms {
            memory: measured.memory.is_some_and(short_of_memory),
            disk: measured.is_full || measured.disk_free.is_some_and(short_of_disk),
        }
    }
}

fn tell(
    alarms: Alarms,
    Measured {
        memory, disk_free, ..
    }: Measured,
) {
    if alarms.any() {
        tracing::warn!(memory, disk_free, "{alarms}: publishers are blocked");
    } else {
        tracing::info!(memory, disk_free, "alarms are off: publishers go on");
    }
}

/// Memory of this process that is in use, in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Bytes that this process may still write to the disk of a folder.
pub(crate) fn disk_free(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}
