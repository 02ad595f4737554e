//! Events of users, permissions, vhosts, policies, parameters and alarms. The operators' door tells them, in the order in which things change.

use leveret_message::table::{ArrayWriter, TableWriter};
use serde_json::{Map, Value};

use super::{Events, put_actor};
use crate::alarms::Alarms;
use crate::limits::VhostMetadata;
use crate::parameters::ParameterKey;
use crate::policies::Policy;
use crate::users::{Permission, TopicPermission, User};

impl Events {
    /// A user was added, or replaced one of its name.
    pub(crate) fn user_put(&self, before: Option<&User>, user: &User) {
        let named = |routing_key| {
            self.tell(routing_key, |headers, _| {
                headers.put("name", &*user.name);
                put_actor(headers);
            });
        };
        let password = before.map(|before| &before.password);
        match (password, &user.password) {
            (None, _) => named("user.created"),
            (Some(Some(_)), None) => named("user.password.cleared"),
            (Some(before), now) if before != now => named("user.password.changed"),
            _ => {}
        }
        let tags = before.map(|before| &before.tags);
        if tags.is_none_or(|tags| *tags != user.tags) {
            self.tell("user.tags.set", |headers, _| {
                headers.put("name", &*user.name);
                put_tags(headers, user.tags.iter().map(|tag| &**tag));
                put_actor(headers);
            });
        }
    }

    pub(crate) fn user_deleted(&self, name: &str) {
        self.tell("user.deleted", |headers, _| {
            headers.put("name", name);
            put_actor(headers);
        });
    }

    pub(crate) fn permission_created(&self, user: &str, vhost: &str, permission: &Permission) {
        use crate::users::Access;
        self.tell("permission.created", |headers, _| {
            headers
                .put("user", user)
                .put("vhost", vhost)
                .put("configure", permission.pattern(Access::Configure))
                .put("write", permission.pattern(Access::Write))
                .put("read", permission.pattern(Access::Read));
            put_actor(headers);
        });
    }

    pub(crate) fn permission_deleted(&self, user: &str, vhost: &str) {
        self.tell("permission.deleted", |headers, _| {
            headers.put("user", user).put("vhost", vhost);
            put_actor(headers);
        });
    }

    pub(crate) fn topic_permission_created(
        &self,
        user: &str,
        (vhost, exchange): (&str, &str),
        permission: &TopicPermission,
    ) {
        use crate::users::Access;
        self.tell("topic.permission.created", |headers, _| {
            headers
                .put("user", user)
                .put("vhost", vhost)
                .put("exchange", exchange)
                .put("write", permission.pattern(Access::Write))
                .put("read", permission.pattern(Access::Read));
            put_actor(headers);
        });
    }

    pub(crate) fn topic_permission_deleted(&self, user: &str, vhost: &str) {
        self.tell("topic.permission.deleted", |headers, _| {
            headers.put("user", user).put("vhost", vhost);
            put_actor(headers);
        });
    }

    pub(crate) fn vhost_created(&self, name: &str, metadata: &VhostMetadata) {
        self.tell("vhost.created", |headers, _| {
            headers
                .put("name", name)
                .put("description", &*metadata.description)
                .put("tracing", metadata.tracing);
            let kind = metadata.default_queue_type.as_deref();
            headers.put("default_queue_type", kind.unwrap_or("undefined"));
            put_tags(headers, metadata.tags.iter().map(String::as_str));
            put_actor(headers);
        });
    }

    pub(crate) fn vhost_deleted(&self, name: &str) {
        self.tell("vhost.deleted", |headers, _| {
            headers.put("name", name);
            put_actor(headers);
        });
    }

    /// The limits of a vhost were set; to nothing, if there are none.
    pub(crate) fn vhost_limits_set(&self, vhost: &str, limits: &Map<String, Value>) {
        let routing_key = match limits.is_empty() {
            true => "vhost.limits.cleared",
            false => "vhost.limits.set",
        };
        self.tell(routing_key, |headers, _| {
            headers.put("name", "limits").put("vhost", vhost);
            for (key, value) in limits {
                put_json(headers, key, value);
            }
            put_actor(headers);
        });
    }

    pub(crate) fn policy_set(&self, vhost: &str, policy: &Policy) {
        self.tell("policy.set", |headers, _| {
            headers.put("name", &*policy.name).put("vhost", vhost);
            if let Value::Object(value) = policy.value() {
                for (key, value) in &value {
                    put_json(headers, key, value);
                }
            }
            put_actor(headers);
        });
    }

    pub(crate) fn policy_cleared(&self, vhost: &str, name: &str) {
        self.tell("policy.cleared", |headers, _| {
            headers.put("name", name).put("vhost", vhost);
            put_actor(headers);
        });
    }

    pub(crate) fn parameter_set(&self, key: &ParameterKey, value: &Value) {
        self.tell("parameter.set", |headers, _| {
            put_key(headers, key);
            put_json(headers, "value", value);
            put_actor(headers);
        });
    }

    pub(crate) fn parameter_cleared(&self, key: &ParameterKey) {
        self.tell("parameter.cleared", |headers, _| {
            put_key(headers, key);
            put_actor(headers);
        });
    }

    /// Alarms went on or off.
    pub(crate) fn alarms_changed(&self, before: Alarms, now: Alarms) {
        let both = [
            ("memory", before.memory, now.memory),
            ("disk", before.disk, now.disk),
        ];
        for (source, _, is_on) in both.into_iter().filter(|(_, before, now)| before != now) {
            let routing_key = if is_on { "alarm.set" } else { "alarm.cleared" };
            self.tell(routing_key, |headers, on| {
                headers.put("source", source).put("node", &*on.node);
            });
        }
    }
}

fn put_tags<'a>(headers: &mut TableWriter, tags: impl Iterator<Item = &'a str>) {
    headers.put_array("tags", |array| {
        for tag in tags {
            array.push(tag);
        }
    });
}

fn put_key(headers: &mut TableWriter, key: &ParameterKey) {
    headers
        .put("component", &*key.component)
        .put("vhost", &*key.vhost)
        .put("name", &*key.name);
}

fn put_json(headers: &mut TableWriter, key: &str, value: &Value) {
    match value {
        Value::Null => {
            headers.put(key, "");
        }
        Value::Bool(flag) => {
            headers.put(key, *flag);
        }
        Value::Number(number) => {
            headers.put(key, scalar(number));
        }
        Value::String(text) => {
            headers.put(key, text.as_str());
        }
        Value::Array(values) => {
            headers.put_array(key, |array| {
                values.iter().for_each(|value| push_json(array, value))
            });
        }
        Value::Object(fields) => {
            headers.put_table(key, |table| {
                fields
                    .iter()
                    .for_each(|(key, value)| put_json(table, key, value));
            });
        }
    }
}

fn push_json(array: &mut ArrayWriter, value: &Value) {
    match value {
        Value::Null => {
            array.push("");
        }
        Value::Bool(flag) => {
            array.push(*flag);
        }
        Value::Number(number) => {
            array.push(scalar(number));
        }
        Value::String(text) => {
            array.push(text.as_str());
        }
        Value::Array(values) => {
            array.push_array(|inner| values.iter().for_each(|value| push_json(inner, value)));
        }
        Value::Object(fields) => {
            array.push_table(|table| {
                fields
                    .iter()
                    .for_each(|(key, value)| put_json(table, key, value));
            });
        }
    }
}

fn scalar(number: &serde_json::Number) -> leveret_message::table::Value<'static> {
    use leveret_message::table::Value;
    let whole = number.as_i64().map(Value::Long);
    whole.unwrap_or_else(|| Value::Double(number.as_f64().unwrap_or_default()))
}
