//! What the process may use of the machine: cores, memory, file descriptors.
//!
//! Defaults are worked out from it. Measured once, at start.

use std::fs;
use std::path::{Path, PathBuf};

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

/// The least of the machine's memory and the limits of the control groups the process is in.
fn memory_bytes() -> u64 {
    let read = |file: &Path| fs::read_to_string(file).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total_of_meminfo(&text));
    let groups = read(Path::new("/proc/self/cgroup")).map(|text| limit_files(&text));
    let limits = groups
        .into_iter()
        .flatten()
        .filter_map(|file| read(&file)?.trim().parse().ok());
    machine
        .into_iter()
        .chain(limits)
        .min()
        .unwrap_or(MEMORY_UNKNOWN)
}

/// The files with the memory limits of the control groups of `/proc/self/cgroup`, and of those around them.
///
/// Version 2 has one line, `0::/a/b`; of version 1 the line with the memory controller counts, `7:memory:/a/b`.
fn limit_files(cgroup: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let around = Path::new(group.trim_start_matches('/')).ancestors();
        files.extend(around.map(|group| Path::new(root).join(group).join(file)));
    }
    files
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
