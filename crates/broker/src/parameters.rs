//! Runtime parameters: values that operators set by component, vhost and name, and global ones by name alone.
//!
//! `policy`, `operator_policy` and `vhost-limits` are what the broker itself obeys: they are checked, and kept where they are obeyed
//! ([`crate::policies`], [`crate::vhost::limits`]). The components of RabbitMQ's plugins (`shovel`, `federation-upstream`,
//! `federation-upstream-set`) are kept and reported.

use std::collections::BTreeMap;

use leveret_message::name::Name;
use serde_json::Value;

use crate::limits::VhostLimits;

/// The component of the limits of a vhost; their name is always `limits`.
pub const VHOST_LIMITS: &str = "vhost-limits";

/// Components that are kept and not obeyed.
const PLUGINS: [&str; 4] = [
    "shovel",
    "federation",
    "federation-upstream",
    "federation-upstream-set",
];

/// Which parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParameterKey {
    /// The component, such as `shovel`.
    pub component: Name,
    /// The vhost.
    pub vhost: Name,
    /// The name.
    pub name: Name,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// Those of plugins.
    pub by_key: BTreeMap<ParameterKey, Value>,
    /// Global ones.
    pub global: BTreeMap<Name, Value>,
}

/// Whether a parameter of a component can be set, policies aside.
///
/// **Errors**: RabbitMQ's sentence for what is wrong with it.
pub fn check(component: &str, value: &Value) -> Result<(), String> {
    match component {
        VHOST_LIMITS => VhostLimits::check(value).map(drop),
        known if is_known(known) => Ok(()),
        other => Err(format!("component {other} not found")),
    }
}

/// Whether parameters of a component can be set here, other than those that the broker obeys.
pub(crate) fn is_known(component: &str) -> bool {
    PLUGINS.contains(&component)
}
