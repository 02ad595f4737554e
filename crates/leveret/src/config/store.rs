//! `[store]`: how what is to outlive the broker is kept.

use serde::{Deserialize, Serialize};

/// The section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// Vhosts whose persistent messages are confirmed once the operating system has them: they survive the end of the broker, and a power cut may
    /// lose the last of them. In all others they are synced to the disk first. A queue says otherwise with `x-leveret-durability`.
    pub(crate) os_durability_vhosts: Vec<String>,
    /// Bytes of the log that are kept before messages that are still queued move to segment files.
    pub(crate) log_bytes: u64,
}

impl Default for Store {
    fn default() -> Self {
        Store {
            os_durability_vhosts: Vec::new(),
            log_bytes: 128 * 1024 * 1024,
        }
    }
}
