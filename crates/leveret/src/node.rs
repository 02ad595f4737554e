//! What management tells of this process and its machine.

use std::path::Path;
use std::time::Instant;

use leveret_management::{Listener, Node, Readings, Wishes};

use crate::alarms::{disk_free, resident_bytes};
use crate::config::{Config, Tls};
use crate::machine::Machine;
use crate::tls;

/// Describes the process: where it listens, and who takes wishes about that. `since` is when it was started.
pub(crate) fn describe(
    config: &Config,
    machine: &Machine,
    (listeners, wishes): (Vec<Listener>, Wishes),
    since: Instant,
) -> Node {
    let data_dir = std::path::absolute(&config.data_dir);
    let data_dir = data_dir.unwrap_or_else(|_| config.data_dir.clone());
    let shown = config
        .listeners
        .need_certificate()
        .then(|| config.tls.clone());
    Node {
        name: name(),
        product: config.compat.product.clone(),
        product_version: config.compat.version().to_owned(),
        rabbitmq_version: config.compat.rabbitmq_version().to_owned(),
        data_dir: data_dir.display().to_string(),
        memory_max: config.alarms.memory_max(machine),
        disk_free_min: config.alarms.disk_free_min,
        descriptors_max: machine.descriptors as u64,
        cores: machine.cores,
        since,
        listeners,
        wishes,
        measure: Box::new(move || measure(&data_dir, shown.as_ref())),
    }
}

fn measure(data_dir: &Path, shown: Option<&Tls>) -> Readings {
    let descriptors = std::fs::read_dir("/proc/self/fd").ok();
    Readings {
        memory: resident_bytes(),
        disk_free: disk_free(data_dir),
        certificate_expires: shown.and_then(tls::expires),
        descriptors: descriptors.map(|entries| entries.count() as u64),
    }
}

/// What this broker is called.
pub(crate) fn name() -> String {
    format!("leveret@{}", host_name())
}

/// The machine's name up to the first point, as RabbitMQ's nodes have it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let short = name.trim().split('.').next().unwrap_or_default();
    if short.is_empty() {
        "localhost".to_owned()
    } else {
        short.to_owned()
    }
}
