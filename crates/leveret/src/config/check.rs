//! Refuses values that have the right type and make no sense, alone or together.
//!
//! Ranges keep the bounds of the broker bounds: there is no value that turns one off.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::{ClientCertificates, Config, ListenAddress, Nonsense, log, users};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const TIB: u64 = 1024 * 1024 * MIB;

/// The first thing that makes no sense.
pub(super) fn check(config: &Config) -> Result<(), Nonsense> {
    check_listeners(config)?;
    check_tls(config)?;
    check_limits(config)?;
    check_store(config)?;
    log::check_level(&config.log.level).map_err(|reason| nonsense("log.level", reason))?;
    let watermark = config.alarms.memory_high_watermark;
    within("alarms.memory_high_watermark", watermark, 0.01..=1.0)?;
    check_compat(config)?;
    within("shutdown.wait_secs", config.shutdown.wait_secs, 0..=3600)?;
    check_vhosts(config)?;
    check_users(config)
}

fn nonsense(key: impl Into<String>, reason: impl Into<String>) -> Nonsense {
    Nonsense {
        key: key.into(),
        reason: reason.into(),
    }
}

fn within<T: PartialOrd + Display>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), Nonsense> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(nonsense(
        key,
        format!(
            "{value} is not within {} and {}",
            range.start(),
            range.end()
        ),
    ))
}

fn check_listeners(config: &Config) -> Result<(), Nonsense> {
    if config.listeners.amqp.is_empty() && config.listeners.amqps.is_empty() {
        return Err(nonsense("listeners.amqp", "at least one address is needed"));
    }
    for (name, addresses) in [
        ("management", &config.listeners.management),
        ("management_tls", &config.listeners.management_tls),
    ] {
        let is_unix = |address: &ListenAddress| matches!(address, ListenAddress::Unix(_));
        if let Some(index) = addresses.iter().position(is_unix) {
            let key = format!("listeners.{name}[{index}]");
            return Err(nonsense(key, "HTTP is served on IP addresses only"));
        }
    }
    Ok(())
}

fn check_tls(config: &Config) -> Result<(), Nonsense> {
    let tls = &config.tls;
    for (index, address) in config.listeners.amqps.iter().enumerate() {
        if let ListenAddress::Unix(_) = address {
            let key = format!("listeners.amqps[{index}]");
            return Err(nonsense(key, "TLS is served on IP addresses only"));
        }
    }
    let is_used = config.listeners.need_certificate();
    let by = match config.listeners.amqps.is_empty() {
        true => "listeners.management_tls",
        false => "listeners.amqps",
    };
    for (key, file) in [
        ("tls.cert_file", &tls.cert_file),
        ("tls.key_file", &tls.key_file),
    ] {
        if is_used && file.as_os_str().is_empty() {
            let reason = format!("`{by}` needs a certificate and its key");
            return Err(nonsense(key, reason));
        }
    }
    let asked = [tls.client_certificates, tls.management_client_certificates];
    let asks = asked.iter().any(|of| *of != ClientCertificates::None);
    if asks && tls.ca_file.as_os_str().is_empty() {
        let reason = "clients' certificates need the authorities that they are from";
        return Err(nonsense("tls.ca_file", reason));
    }
    Ok(())
}

fn check_limits(config: &Config) -> Result<(), Nonsense> {
    let limits = &config.limits;
    within(
        "limits.frame_max",
        limits.frame_max,
        4096..=64 * 1024 * 1024,
    )?;
    within("limits.channel_max", limits.channel_max, 1..=65_535)?;
    within(
        "limits.handshake_timeout_secs",
        limits.handshake_timeout_secs,
        1..=3600,
    )?;
    within(
        "limits.max_message_size",
        limits.max_message_size,
        1..=512 * MIB,
    )?;
    within(
        "limits.consumers_per_channel_max",
        limits.consumers_per_channel_max,
        1..=u32::MAX,
    )?;
    within(
        "limits.unacked_per_channel_max",
        limits.unacked_per_channel_max,
        1..=u32::MAX,
    )?;
    within(
        "limits.unfinished_content_bytes_max",
        limits.unfinished_content_bytes_max,
        limits.max_message_size..=TIB,
    )?;
    within(
        "limits.transaction_bytes_max",
        limits.transaction_bytes_max,
        KIB..=256 * MIB,
    )?;
    within(
        "limits.outbox_bytes_max",
        limits.outbox_bytes_max,
        64 * KIB..=TIB,
    )?;
    within(
        "limits.queued_bytes_budget",
        limits.queued_bytes_budget,
        MIB..=1024 * TIB,
    )?;
    if limits.queued_bytes_max != 0 {
        within(
            "limits.queued_bytes_max",
            limits.queued_bytes_max,
            MIB..=1024 * TIB,
        )?;
    }
    within(
        "limits.consumer_timeout_secs",
        limits.consumer_timeout_secs,
        0..=100_000_000,
    )?;
    within("limits.shards", limits.shards, 0..=64)
}

fn check_store(config: &Config) -> Result<(), Nonsense> {
    let store = &config.store;
    within("store.log_bytes", store.log_bytes, 16 * MIB..=TIB)?;
    for (index, vhost) in store.os_durability_vhosts.iter().enumerate() {
        if !config.vhosts.contains(vhost) {
            let key = format!("store.os_durability_vhosts[{index}]");
            return Err(nonsense(key, format!("there is no vhost '{vhost}'")));
        }
    }
    Ok(())
}

fn check_compat(config: &Config) -> Result<(), Nonsense> {
    within("compat.product", config.compat.product.len(), 1..=255)
        .map_err(|_| nonsense("compat.product", "a product has 1 to 255 bytes"))?;
    let version = &config.compat.version;
    let parts: Vec<&str> = version.split('.').collect();
    let is_number = |part: &&str| part.parse::<u32>().is_ok();
    if !version.is_empty() && (parts.len() != 3 || !parts.iter().all(is_number)) {
        // Clients of several languages take it apart, and fail on anything else.
        return Err(nonsense(
            "compat.version",
            "a version is three numbers, as in 4.1.0",
        ));
    }
    Ok(())
}

fn check_vhosts(config: &Config) -> Result<(), Nonsense> {
    if config.vhosts.is_empty() {
        return Err(nonsense("vhosts", "at least one vhost is needed"));
    }
    let mut seen = HashSet::new();
    for (index, vhost) in config.vhosts.iter().enumerate() {
        let key = format!("vhosts[{index}]");
        check_name(&key, vhost)?;
        if !seen.insert(vhost) {
            return Err(nonsense(key, format!("vhost `{vhost}` is there twice")));
        }
    }
    Ok(())
}

fn check_users(config: &Config) -> Result<(), Nonsense> {
    let mut seen = HashSet::new();
    for (index, user) in config.users.iter().enumerate() {
        let key = format!("users[{index}].name");
        check_name(&key, &user.name)?;
        if !seen.insert(&user.name) {
            return Err(nonsense(
                key,
                format!("user `{}` is there twice", user.name),
            ));
        }
        let mut entered = HashSet::new();
        for (at, permission) in user.permissions.iter().enumerate() {
            let key = format!("users[{index}].permissions[{at}].vhost");
            let vhost = &permission.vhost;
            if !config.vhosts.contains(vhost) {
                return Err(nonsense(
                    key,
                    format!("there is no vhost `{vhost}` in `vhosts`"),
                ));
            }
            if !entered.insert(vhost) {
                return Err(nonsense(key, format!("vhost `{vhost}` is there twice")));
            }
        }
    }
    users::directory(config).map(|_| ())
}

/// Names travel as short strings.
fn check_name(key: &str, name: &str) -> Result<(), Nonsense> {
    if name.is_empty() || name.len() > 255 {
        return Err(nonsense(key, "a name has 1 to 255 bytes"));
    }
    Ok(())
}
