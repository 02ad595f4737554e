//! Policies: what operators say of queues and exchanges by the pattern of their names.
//!
//! Of all policies of a vhost that match, the one of the highest priority counts, and beside it one operator policy, whose keys limit those
//! of the policy: the smaller number holds, and for everything that is no number the operator's value.
//! <https://www.rabbitmq.com/docs/policies>.

use std::sync::Arc;

use leveret_message::name::Name;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::error::Kind;

mod govern;
mod keys;
#[cfg(test)]
mod tests;

pub(crate) use govern::{governed, governed_window};
pub(crate) use keys::term;

/// Bytes that a compiled pattern, and as much again that its cache, may take.
const COMPILED_MAX: usize = 1 << 20;

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyTo {
    /// `all`.
    All,
    /// `queues`, of any type.
    Queues,
    /// `classic_queues`.
    ClassicQueues,
    /// `quorum_queues`.
    QuorumQueues,
    /// `streams`.
    Streams,
    /// `exchanges`.
    Exchanges,
}

impl ApplyTo {
    const NAMES: [(&str, ApplyTo); 6] = [
        ("all", Self::All),
        ("queues", Self::Queues),
        ("classic_queues", Self::ClassicQueues),
        ("quorum_queues", Self::QuorumQueues),
        ("streams", Self::Streams),
        ("exchanges", Self::Exchanges),
    ];

    /// By the name it has in definitions.
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, apply_to)| *apply_to)
    }

    /// The name it has in definitions.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, known)| *known == self);
        found.map_or("all", |(name, _)| name)
    }

    fn takes(self, of: Object<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Exchanges => of.kind == Kind::Exchange,
            Self::Queues => of.kind == Kind::Queue,
            Self::ClassicQueues => of.queue_type == Some("classic"),
            Self::QuorumQueues => of.queue_type == Some("quorum"),
            Self::Streams => of.queue_type == Some("stream"),
        }
    }
}

/// What a policy may be for: a queue or an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: &'a str,
    /// The `x-queue-type` of a queue.
    pub queue_type: Option<&'a str>,
}

/// A policy or an operator policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name, unique in its vhost among those of its sort.
    pub name: Name,
    /// What matches the names it is for.
    pattern: Regex,
    /// What it is for.
    pub apply_to: ApplyTo,
    /// The highest one counts.
    pub priority: i64,
    /// Keys and values.
    pub definition: Map<String, Value>,
}

/// Whose policy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A policy.
    User,
    /// An operator policy, which limits the others.
    Operator,
}

impl Sort {
    /// The component of the parameter that it is kept as.
    pub fn component(self) -> &'static str {
        match self {
            Self::User => "policy",
            Self::Operator => "operator_policy",
        }
    }
}

impl Policy {
    /// Reads a policy as definitions and the management API write it: `pattern`, `definition`, `priority` (0), `apply-to` (`all`).
    ///
    /// **Errors**: RabbitMQ's sentence for what is wrong with it.
    pub fn parse(sort: Sort, name: Name, value: &Value) -> Result<Self, String> {
        let policy = Self::read(name, value)?;
        keys::check(sort, &policy.definition)?;
        Ok(policy)
    }

    /// As [`Policy::parse`], of one that was taken before, perhaps by a version that looked less closely at what its keys say.
    pub(crate) fn read(name: Name, value: &Value) -> Result<Self, String> {
        let Some(value) = value.as_object() else {
            return Err("a policy has to be an object".to_owned());
        };
        let pattern = match value.get("pattern") {
            Some(Value::String(pattern)) => pattern,
            Some(other) => {
                return Err(format!(
                    "pattern should be binary, actually was {}",
                    term(other)
                ));
            }
            None => return Err("Key 'pattern' not found".to_owned()),
        };
        let pattern = RegexBuilder::new(pattern)
            .size_limit(COMPILED_MAX)
            .dfa_size_limit(COMPILED_MAX)
            .build()
            .map_err(|error| {
                format!("pattern should be regular expression but is invalid: {error}")
            })?;
        let priority = match value.get("priority") {
            None | Some(Value::Null) => 0,
            Some(priority) => priority.as_i64().ok_or_else(|| {
                format!(
                    "priority should be a number, actually was {}",
                    term(priority)
                )
            })?,
        };
        let apply_to = match value.get("apply-to") {
            None | Some(Value::Null) => ApplyTo::All,
            Some(name) => name.as_str().and_then(ApplyTo::from_name).ok_or_else(|| {
                format!(
                    "apply-to does not have valid value, actually was {}",
                    term(name)
                )
            })?,
        };
        let Some(Value::Object(definition)) = value.get("definition") else {
            return Err("Key 'definition' not found".to_owned());
        };
        Ok(Self {
            name,
            pattern,
            apply_to,
            priority,
            definition: definition.clone(),
        })
    }

    /// As [`Policy::parse`] reads it, and as RabbitMQ keeps it.
    pub fn value(&self) -> Value {
        serde_json::json!({
            "pattern": self.pattern.as_str(),
            "definition": self.definition,
            "priority": self.priority,
            "apply-to": self.apply_to.name(),
        })
    }

    /// The text of its pattern.
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    fn is_for(&self, object: Object<'_>) -> bool {
        self.apply_to.takes(object) && self.pattern.is_match(object.name)
    }
}

/// What policies say of one queue or exchange.
#[derive(Clone, Debug, Default)]
pub struct Effective {
    /// The policy.
    pub policy: Option<Arc<Policy>>,
    /// The operator policy.
    pub operator_policy: Option<Arc<Policy>>,
    /// What both together say.
    pub definition: Map<String, Value>,
}

/// The policies of a vhost.
#[derive(Debug, Default)]
pub struct Policies {
    user: Vec<Arc<Policy>>,
    operator: Vec<Arc<Policy>>,
}

impl Policies {
    /// Those of a sort, those of higher priority first, then by name.
    pub fn of(&self, sort: Sort) -> &[Arc<Policy>] {
        match sort {
            Sort::User => &self.user,
            Sort::Operator => &self.operator,
        }
    }

    /// The one of that name.
    pub fn get(&self, sort: Sort, name: &str) -> Option<&Arc<Policy>> {
        self.of(sort).iter().find(|policy| *policy.name == *name)
    }

    /// Adds one, or replaces the one of the same name. Returns whether there was none.
    pub(crate) fn put(&mut self, sort: Sort, policy: Policy) -> bool {
        let is_new = !self.remove(sort, &policy.name);
        let policies = self.of_mut(sort);
        let at = policies.partition_point(|there| {
            (-there.priority, &there.name) < (-policy.priority, &policy.name)
        });
        policies.insert(at, Arc::new(policy));
        is_new
    }

    /// Removes the one of that name. Returns whether there was one.
    pub(crate) fn remove(&mut self, sort: Sort, name: &str) -> bool {
        let policies = self.of_mut(sort);
        let before = policies.len();
        policies.retain(|policy| *policy.name != *name);
        policies.len() < before
    }

    fn of_mut(&mut self, sort: Sort) -> &mut Vec<Arc<Policy>> {
        match sort {
            Sort::User => &mut self.user,
            Sort::Operator => &mut self.operator,
        }
    }

    /// What they say of a queue or exchange. **Cost**: a search of its name for each policy.
    pub fn effective(&self, object: Object<'_>) -> Effective {
        let first = |sort| {
            self.of(sort)
                .iter()
                .find(|policy| policy.is_for(object))
                .cloned()
        };
        let (policy, operator_policy) = (first(Sort::User), first(Sort::Operator));
        let mut definition = policy
            .as_ref()
            .map_or_else(Map::new, |p| p.definition.clone());
        for (key, value) in operator_policy.iter().flat_map(|p| &p.definition) {
            let merged = match definition.get(key) {
                Some(there) => keys::limited(there, value),
                None => value.clone(),
            };
            definition.insert(key.clone(), merged);
        }
        Effective {
            policy,
            operator_policy,
            definition,
        }
    }
}
