//! Reading the kernel's files, and what is made of the machine this runs on.

use super::*;

#[test]
fn meminfo_is_read_in_kib() {
    assert_eq!(
        total_of_meminfo("MemTotal:         2048 kB\nMemFree: 1 kB\n"),
        Some(2_097_152)
    );
    assert_eq!(total_of_meminfo("MemFree: 1 kB\n"), None);
    assert_eq!(total_of_meminfo("MemTotal: much\n"), None);
}

#[test]
fn this_machine_has_something_of_everything() {
    let machine = Machine::measure();
    assert!(machine.cores >= 1);
    assert!(machine.memory_bytes >= 16 * 1024 * 1024);
    assert_eq!(
        getrlimit(Resource::Nofile).current,
        getrlimit(Resource::Nofile).maximum
    );
}
