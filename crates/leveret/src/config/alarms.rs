//! `[alarms]`: when memory or disk space is short, and publishers have to wait.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// The section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Alarms {
    /// The part of the machine's memory beyond which the process raises the memory alarm, between 0 and 1.
    pub(crate) memory_high_watermark: f64,
    /// Free bytes on the disk of the data folder below which the disk alarm is raised; 0 for never.
    pub(crate) disk_free_min: u64,
}

impl Default for Alarms {
    fn default() -> Self {
        Alarms {
            memory_high_watermark: 0.6,
            disk_free_min: 50_000_000,
        }
    }
}

impl Alarms {
    /// The bytes of memory beyond which the alarm is raised.
    pub(crate) fn memory_max(&self, machine: &Machine) -> u64 {
        (machine.memory_bytes as f64 * self.memory_high_watermark) as u64
    }
}
