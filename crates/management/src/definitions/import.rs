//! Taking definitions in: the whole document is read and held against what is there before the first change, so that a document that cannot be taken
//! changes nothing. What is there and not in the document stays; queues that are there stay as they are.

use std::collections::HashSet;

use leveret_broker::arguments::{ExchangeSettings, QueueSettings};
use leveret_broker::bindings::ExchangeKind;
use leveret_broker::broker::Broker;
use leveret_broker::exchange::ExchangeDeclaration;
use leveret_broker::limits::VhostMetadata;
use leveret_broker::parameters::{self, ParameterKey};
use leveret_broker::policies::{Policy, Sort};
use leveret_broker::queue_handle::QueueDeclaration;
use leveret_broker::users::{Permission, TopicPermission, User};
use leveret_broker::vhost::door::Binding;
use leveret_message::name::Name;
use leveret_message::table::{Table, TableWriter};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::RESERVED;
use crate::permissions::{NewPermission, NewTopicPermission};
use crate::queues::named;
use crate::refusal::Refusal;
use crate::users::NewUser;
use crate::{json, vhosts};

/// What will be changed, in this order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    users: Vec<User>,
    vhosts: Vec<(Name, VhostMetadata)>,
    permissions: Vec<(Name, Name, Permission)>,
    topics: Vec<(Name, (Name, Name), TopicPermission)>,
    parameters: Vec<(ParameterKey, Value)>,
    globals: Vec<(Name, Value)>,
    exchanges: Vec<(Name, ExchangeDeclaration)>,
    queues: Vec<(Name, QueueDeclaration)>,
    bindings: Vec<(Name, NewBinding)>,
}

/// A binding of the document.
#[derive(Debug)]
struct NewBinding {
    source: String,
    to_queue: bool,
    destination: String,
    key: String,
    arguments: Table,
}

/// Reads a document.
struct Reading<'a> {
    broker: &'a Broker,
    /// Where everything belongs, for a document of one vhost.
    vhost: Option<&'a Name>,
    document: &'a Value,
    plan: Plan,
}

fn bad(reason: impl Into<String>) -> Refusal {
    Refusal::bad_request(reason)
}

/// An item's field of a type.
fn typed<T: for<'de> Deserialize<'de>>(item: &Value, what: &str) -> Result<T, Refusal> {
    T::deserialize(item).map_err(|error| bad(format!("{what}: {error}")))
}

fn text(item: &Value, key: &str) -> Result<String, Refusal> {
    let found = item.get(key).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or_else(|| bad(format!("key missing: {key}")))
}

fn name(item: &Value, key: &str) -> Result<Name, Refusal> {
    named(&text(item, key)?)
}

fn flag(item: &Value, key: &str, default: bool) -> bool {
    item.get(key).and_then(Value::as_bool).unwrap_or(default)
}

impl Plan {
    /// Reads a document, of all or of one vhost, and checks it. Changes nothing.
    ///
    /// **Errors**: 400 with the first thing that cannot be taken.
    pub(crate) fn read(
        broker: &Broker,
        vhost: Option<&Name>,
        document: &Value,
    ) -> Result<Self, Refusal> {
        if !document.is_object() {
            return Err(bad("definitions have to be an object"));
        }
        let mut reading = Reading {
            broker,
            vhost,
            document,
            plan: Self::default(),
        };
        if vhost.is_none() {
            reading.read_users()?;
        }
        reading.read_parameters()?;
        reading.read_topology()?;
        reading.check_queue_limits()?;
        Ok(reading.plan)
    }

    /// Makes the changes.
    ///
    /// **Errors**: where something was changed by someone else since it was read.
    pub(crate) fn carry_out(self, broker: &Broker, user: &Name) -> Result<(), Refusal> {
        for user in self.users {
            broker.put_user(user);
        }
        for (name, metadata) in self.vhosts {
            crate::vhosts::put_for(broker, user, &name, metadata)?;
        }
        for (user, vhost, permission) in self.permissions {
            broker.put_permission(&user, &vhost, permission)?;
        }
        for (user, (vhost, exchange), permission) in self.topics {
            broker.put_topic_permission(&user, (&vhost, &exchange), permission)?;
        }
        for (key, value) in self.parameters {
            broker.put_parameter(key, value)?;
        }
        for (name, value) in self.globals {
            broker.put_global_parameter(&name, value);
        }
        let connection = broker.connections.next_id();
        for (vhost, declaration) in self.exchanges {
            broker.vhost(&vhost)?.declare_exchange(declaration)?;
        }
        for (vhost, declaration) in self.queues {
            let vhost = broker.vhost(&vhost)?;
            if vhost.find_queue(&declaration.name).is_none() {
                vhost.declare_queue(connection, declaration, false)?;
            }
        }
        for (vhost, new) in self.bindings {
            let vhost = broker.vhost(&vhost)?;
            let binding = Binding {
                source: &new.source,
                binding_key: new.key.as_bytes(),
                arguments: new.arguments.view(),
            };
            match new.to_queue {
                true => vhost.bind_queue(connection, &new.destination, binding)?,
                false => vhost.bind_exchange(&new.destination, binding)?,
            };
        }
        Ok(())
    }
}

impl<'a> Reading<'a> {
    fn items(&self, section: &str) -> Result<&'a [Value], Refusal> {
        match self.document.get(section) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(bad(format!("{section} have to be a list"))),
        }
    }

    fn read_users(&mut self) -> Result<(), Refusal> {
        for item in self.items("users")? {
            let name = text(item, "name")?;
            let before = self.broker.users.user(&name);
            let new: NewUser = typed(item, &format!("user '{name}'"))?;
            self.plan.users.push(new.user(&name, before.as_deref())?);
        }
        for item in self.items("vhosts")? {
            let name = name(item, "name")?;
            let before = self.broker.vhost(&name).ok();
            let before = before.map(|vhost| vhost.metadata.read().clone());
            let metadata = vhosts::metadata(before.unwrap_or_default(), item)?;
            self.plan.vhosts.push((name.clone(), metadata));
            self.read_limits(&name, item)?;
        }
        for item in self.items("permissions")? {
            let (user, vhost) = self.user_and_vhost(item)?;
            let new: NewPermission = typed(item, "permission")?;
            self.plan.permissions.push((user, vhost, new.compile()?));
        }
        for item in self.items("topic_permissions")? {
            let (user, vhost) = self.user_and_vhost(item)?;
            let new: NewTopicPermission = typed(item, "topic permission")?;
            let at = (vhost, named(&new.exchange)?);
            self.plan.topics.push((user, at, new.compile()?));
        }
        for item in self.items("global_parameters")? {
            let value = item.get("value").cloned().unwrap_or_default();
            self.plan.globals.push((name(item, "name")?, value));
        }
        Ok(())
    }

    /// Limits that stand with their vhost: `[{"name": .., "value": ..}]`.
    fn read_limits(&mut self, vhost: &Name, item: &Value) -> Result<(), Refusal> {
        let limits = item.get("limits").and_then(Value::as_array);
        let mut value = Map::new();
        for limit in limits.into_iter().flatten() {
            value.insert(text(limit, "name")?, limit["value"].clone());
        }
        if value.is_empty() {
            return Ok(());
        }
        let key = ParameterKey {
            component: named(parameters::VHOST_LIMITS)?,
            vhost: vhost.clone(),
            name: named("limits")?,
        };
        self.add_parameter(key, Value::Object(value))
    }

    fn read_parameters(&mut self) -> Result<(), Refusal> {
        for item in self.items("parameters")? {
            let key = ParameterKey {
                component: name(item, "component")?,
                vhost: self.vhost_of(item)?,
                name: name(item, "name")?,
            };
            self.add_parameter(key, item.get("value").cloned().unwrap_or_default())?;
        }
        for item in self.items("policies")? {
            let key = ParameterKey {
                component: named(Sort::User.component())?,
                vhost: self.vhost_of(item)?,
                name: name(item, "name")?,
            };
            self.add_parameter(key, item.clone())?;
        }
        Ok(())
    }

    fn add_parameter(&mut self, key: ParameterKey, value: Value) -> Result<(), Refusal> {
        let invalid = |reason: String| bad(format!("Validation failed\n\n{reason}\n"));
        let policy = |sort| Policy::parse(sort, key.name.clone(), &value).map(drop);
        match &*key.component {
            "policy" => policy(Sort::User).map_err(invalid)?,
            "operator_policy" => policy(Sort::Operator).map_err(invalid)?,
            component => parameters::check(component, &value).map_err(invalid)?,
        }
        self.plan.parameters.push((key, value));
        Ok(())
    }

    fn read_topology(&mut self) -> Result<(), Refusal> {
        for item in self.items("exchanges")? {
            let vhost = self.vhost_of(item)?;
            let declaration = exchange(item)?;
            if !declaration.name.is_empty() && !declaration.name.starts_with(RESERVED) {
                self.check_exchange(&vhost, &declaration)?;
                self.plan.exchanges.push((vhost, declaration));
            }
        }
        for item in self.items("queues")? {
            let vhost = self.vhost_of(item)?;
            let declaration = queue(item)?;
            if declaration.name.starts_with(RESERVED) {
                tracing::warn!(
                    "import: queue '{}' is the broker's own and left out",
                    declaration.name
                );
                continue;
            }
            let settings = QueueSettings::parse(declaration.arguments.view());
            let what = || format!("queue '{}' in vhost '{vhost}'", declaration.name);
            settings.map_err(|error| bad(format!("{}: {error}", what())))?;
            self.plan.queues.push((vhost, declaration));
        }
        for item in self.items("bindings")? {
            let vhost = self.vhost_of(item)?;
            let binding = NewBinding {
                source: text(item, "source")?,
                to_queue: text(item, "destination_type")? == "queue",
                destination: text(item, "destination")?,
                key: text(item, "routing_key")?,
                arguments: json::to_table(item.get("arguments"))?,
            };
            // Every queue is bound to the default exchange anyway.
            if !binding.source.is_empty() && !self.is_left_out(&vhost, &binding) {
                self.check_binding(&vhost, &binding)?;
                self.plan.bindings.push((vhost, binding));
            }
        }
        Ok(())
    }

    /// Bindings of queues that are left out are too.
    fn is_left_out(&self, vhost: &Name, binding: &NewBinding) -> bool {
        let is_there = || {
            let vhost = self.broker.vhost(vhost).ok();
            vhost
                .and_then(|vhost| vhost.find_queue(&binding.destination))
                .is_some()
        };
        binding.to_queue && binding.destination.starts_with(RESERVED) && !is_there()
    }

    fn check_exchange(&self, vhost: &Name, new: &ExchangeDeclaration) -> Result<(), Refusal> {
        let settings = ExchangeSettings::parse(new.kind, new.arguments.view());
        let what = || format!("exchange '{}' in vhost '{vhost}'", new.name);
        settings.map_err(|error| bad(format!("{}: {error}", what())))?;
        if let Ok(vhost) = self.broker.vhost(vhost) {
            vhost.check_exchange(new)?;
        }
        Ok(())
    }

    fn check_binding(&self, vhost: &Name, binding: &NewBinding) -> Result<(), Refusal> {
        let there = self.broker.vhost(vhost).ok();
        let has_exchange = |name: &str| {
            let new = &self.plan.exchanges;
            name.starts_with(RESERVED)
                || new.iter().any(|(v, x)| v == vhost && *x.name == *name)
                || there
                    .as_ref()
                    .is_some_and(|v| v.find_exchange(name).is_some())
        };
        let has_queue = |name: &str| {
            let new = &self.plan.queues;
            new.iter().any(|(v, q)| v == vhost && *q.name == *name)
                || there.as_ref().is_some_and(|v| v.find_queue(name).is_some())
        };
        let destination = match binding.to_queue {
            true => has_queue(&binding.destination),
            false => has_exchange(&binding.destination),
        };
        if binding.key.len() > 255 {
            return Err(bad("a routing key is longer than 255 bytes"));
        }
        if has_exchange(&binding.source) && destination {
            return Ok(());
        }
        Err(bad(format!(
            "binding of exchange '{}' to '{}' in vhost '{vhost}': one of them is not there",
            binding.source, binding.destination
        )))
    }

    fn check_queue_limits(&self) -> Result<(), Refusal> {
        let mut vhosts: Vec<&Name> = self.plan.queues.iter().map(|(vhost, _)| vhost).collect();
        vhosts.dedup();
        for name in vhosts.into_iter().collect::<HashSet<_>>() {
            let there = self.broker.vhost(name).ok();
            let queues = self.plan.queues.iter().filter(|(vhost, _)| vhost == name);
            let is_new = |queue: &str| {
                there
                    .as_ref()
                    .is_none_or(|vhost| vhost.find_queue(queue).is_none())
            };
            let new: HashSet<&Name> = queues.map(|(_, queue)| &queue.name).collect();
            let new = new.iter().filter(|queue| is_new(queue)).count() as u64;
            let before = there
                .as_ref()
                .map_or(0, |vhost| vhost.queues_count() as u64);
            if let Some(max) = self.max_queues(name, there.as_deref())
                && new > 0
                && before + new > max
            {
                let reason = format!("queue limit in vhost '{name}' ({max}) is reached");
                return Err(bad(reason));
            }
        }
        Ok(())
    }

    /// As it will be.
    fn max_queues(&self, name: &Name, there: Option<&leveret_broker::vhost::Vhost>) -> Option<u64> {
        let set = self.plan.parameters.iter().rev();
        let mut set = set
            .filter(|(key, _)| *key.component == *parameters::VHOST_LIMITS && key.vhost == *name);
        match set.next() {
            Some((_, value)) => value.get("max-queues").and_then(Value::as_u64),
            None => there.and_then(|vhost| vhost.limits.max_queues()),
        }
    }

    /// The vhost of an item, which is there or will be.
    fn vhost_of(&self, item: &Value) -> Result<Name, Refusal> {
        if let Some(vhost) = self.vhost {
            return Ok(vhost.clone());
        }
        let vhost = name(item, "vhost")?;
        let is_new = self.plan.vhosts.iter().any(|(new, _)| *new == vhost);
        if is_new || self.broker.vhost(&vhost).is_ok() {
            return Ok(vhost);
        }
        Err(bad(format!("vhost '{vhost}' not found")))
    }

    fn user_and_vhost(&self, item: &Value) -> Result<(Name, Name), Refusal> {
        let user = name(item, "user")?;
        let is_new = self.plan.users.iter().any(|new| new.name == user);
        if !is_new && self.broker.users.user(&user).is_none() {
            return Err(bad(format!("user '{user}' not found")));
        }
        Ok((user, self.vhost_of(item)?))
    }
}

fn exchange(item: &Value) -> Result<ExchangeDeclaration, Refusal> {
    let (name, kind) = (name(item, "name")?, text(item, "type")?);
    let known = ExchangeKind::from_name(&kind);
    Ok(ExchangeDeclaration {
        kind: known.ok_or_else(|| bad(format!("exchange '{name}': unknown type '{kind}'")))?,
        name,
        durable: flag(item, "durable", true),
        auto_delete: flag(item, "auto_delete", false),
        internal: flag(item, "internal", false),
        arguments: json::to_table(item.get("arguments"))?,
    })
}

/// A queue of another type than classic that says so outside its arguments gets it as one.
fn queue(item: &Value) -> Result<QueueDeclaration, Refusal> {
    const TYPE: &str = "x-queue-type";
    let mut arguments = json::to_table(item.get("arguments"))?;
    let kind = item.get("type").and_then(Value::as_str);
    if let Some(kind @ ("quorum" | "stream")) = kind
        && arguments.view().find(TYPE).is_none()
    {
        let mut with_type = TableWriter::new();
        for (key, value) in arguments.view().iter() {
            with_type.put(key, value);
        }
        with_type.put(TYPE, kind);
        arguments = with_type.finish();
    }
    Ok(QueueDeclaration {
        name: name(item, "name")?,
        durable: flag(item, "durable", true),
        owner: None,
        auto_delete: flag(item, "auto_delete", false),
        arguments,
    })
}
