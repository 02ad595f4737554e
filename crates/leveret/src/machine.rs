//! What the process may use of the machine: cores, memory, file descriptors.
//!
//! Defaults are worked out from it. Measured once, at start.

use std::fs;

use rustix::process::{Resource, getrlimit, setrlimit};

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    /// Threads that can run at a time.
    pub(crate) cores: usize,
    /// Memory in bytes: the machine's, or less where a control group says so.
    pub(crate) memory_bytes: u64,
    /// Files and sockets that can be open at a time.
    pub(crate) descriptors: usize,
}

/// Taken where the memory cannot be found out.
const MEMORY_UNKNOWN: u64 = 1024 * 1024 * 1024;
/// Taken where descriptors have no limit.
const DESCRIPTORS_UNLIMITED: u64 = 1_048_576;

impl Machine {
    /// Raises the limit on file descriptors as far as the process may, and measures.
    pub(crate) fn measure() -> Machine {
        Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory_bytes(),
            descriptors: raise_descriptor_limit(),
        }
    }
}

/// Raises the soft limit on file descriptors to the hard one; what holds then.
fn raise_descriptor_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    if limit.current != before && setrlimit(Resource::Nofile, limit).is_err() {
        limit.current = before;
    }
    let descriptors = limit.current.unwrap_or(DESCRIPTORS_UNLIMITED);
    usize::try_from(descriptors).unwrap_or(usize::MAX)
}

/// The least of the machine's memory and the limits of the control groups, version 2 and 1.
fn memory_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").ok();
    let machine = meminfo.as_deref().and_then(total_of_meminfo);
    let groups = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .into_iter()
    .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    machine
        .into_iter()
        .chain(groups)
        .min()
        .unwrap_or(MEMORY_UNKNOWN)
}

/// `MemTotal:       24576000 kB`, in bytes.
fn total_of_meminfo(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests;
