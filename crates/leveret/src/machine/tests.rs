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
fn limits_of_control_groups_are_looked_for_outwards() {
    let files = |cgroup| -> Vec<String> {
        limit_files(cgroup)
            .iter()
            .map(|file| file.display().to_string())
            .collect()
    };
    assert_eq!(
        files("0::/system.slice/leveret.service\n"),
        [
            "/sys/fs/cgroup/system.slice/leveret.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ]
    );
    assert_eq!(files("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
    assert_eq!(
        files("9:cpu,cpuacct:/a\n7:memory:/a\nnonsense\n"),
        [
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ]
    );
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
