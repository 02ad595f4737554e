//! What operators set, as keys and values of the log: users, vhosts, permissions, parameters.
//!
//! Each value is a version, 1, and JSON as RabbitMQ's definitions have it, without what the key says:
//!
//! ```text
//! u  user                     user:             password_hash, hashing_algorithm (both absent without a password), tags, limits
//! v  vhost                    vhost:            description, tags, default_queue_type, protected_from_deletion, tracing
//! p  user, vhost              permission:       configure, write, read
//! t  user, vhost, exchange    topic permission: write, read
//! c  component, vhost, name   parameter, also policies and limits of vhosts: its value
//! g  name                     global parameter: its value
//! s                           seeded: no JSON; from now on the configuration's users and vhosts do not count
//! ```

use leveret_message::name::Name;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Reader, VERSION, key};
use crate::limits::VhostMetadata;
use crate::parameters::ParameterKey;
use crate::throttle::MAX_PUBLISH_RATE;
use crate::users::{
    Access, HashAlgorithm, PasswordHash, Permission, TopicPermission, User, UserLimits,
};

/// The key that says that the configuration's users and vhosts were taken over once.
pub(crate) const SEEDED: &[u8] = b"s";

/// A setting that was read.
#[derive(Clone, Debug)]
pub enum Setting {
    /// A user.
    User(User),
    /// A vhost.
    Vhost(Name, VhostMetadata),
    /// What a user may do in a vhost.
    Permission(Name, Name, Permission),
    /// What a user may do with the topics of an exchange of a vhost.
    TopicPermission(Name, (Name, Name), TopicPermission),
    /// A parameter.
    Parameter(ParameterKey, Value),
    /// A global parameter.
    GlobalParameter(Name, Value),
    /// The configuration's users and vhosts do not count any more.
    Seeded,
}

#[derive(Serialize, Deserialize)]
struct UserValue {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hashing_algorithm: Option<String>,
    tags: Vec<String>,
    limits: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct PermissionValue {
    configure: String,
    write: String,
    read: String,
}

#[derive(Serialize, Deserialize)]
struct TopicPermissionValue {
    write: String,
    read: String,
}

impl UserLimits {
    /// As RabbitMQ's definitions have them.
    pub fn to_json(&self) -> Map<String, Value> {
        let limits = [
            ("max-connections", self.max_connections),
            ("max-channels", self.max_channels),
            (MAX_PUBLISH_RATE, self.max_publish_rate),
        ];
        let set = limits
            .iter()
            .filter_map(|(name, limit)| Some((name, (*limit)?)));
        set.map(|(name, limit)| ((*name).to_owned(), limit.into()))
            .collect()
    }

    /// From RabbitMQ's definitions. Negative ones are no limits.
    ///
    /// **Errors**: RabbitMQ's sentence for what cannot be taken.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let limits = crate::limits::limits_of(
            value,
            &["max-connections", "max-channels", MAX_PUBLISH_RATE],
        )?;
        let of = |name: &str| limits.get(name).and_then(Value::as_u64);
        Ok(Self {
            max_connections: of("max-connections"),
            max_channels: of("max-channels"),
            max_publish_rate: of(MAX_PUBLISH_RATE),
        })
    }
}

pub(crate) fn user_key(user: &str) -> Vec<u8> {
    key(b'u', &[user.as_bytes()])
}

pub(crate) fn user_value(user: &User) -> Vec<u8> {
    let password = user.password.as_ref();
    json(&UserValue {
        password_hash: password.map(PasswordHash::to_base64),
        hashing_algorithm: password.map(|hash| hash.algorithm().name().to_owned()),
        tags: user.tags.iter().map(ToString::to_string).collect(),
        limits: user.limits.to_json(),
    })
}

pub(crate) fn vhost_key(vhost: &str) -> Vec<u8> {
    key(b'v', &[vhost.as_bytes()])
}

pub(crate) fn vhost_value(metadata: &VhostMetadata) -> Vec<u8> {
    json(metadata)
}

pub(crate) fn permission_key(user: &str, vhost: &str) -> Vec<u8> {
    key(b'p', &[user.as_bytes(), vhost.as_bytes()])
}

pub(crate) fn permission_value(permission: &Permission) -> Vec<u8> {
    let of = |access| permission.pattern(access).to_owned();
    json(&PermissionValue {
        configure: of(Access::Configure),
        write: of(Access::Write),
        read: of(Access::Read),
    })
}

pub(crate) fn topic_permission_key(user: &str, vhost: &str, exchange: &str) -> Vec<u8> {
    let fields = [user.as_bytes(), vhost.as_bytes(), exchange.as_bytes()];
    key(b't', &fields)
}

pub(crate) fn topic_permission_value(permission: &TopicPermission) -> Vec<u8> {
    let of = |access| permission.pattern(access).to_owned();
    json(&TopicPermissionValue {
        write: of(Access::Write),
        read: of(Access::Read),
    })
}

pub(crate) fn parameter_key(component: &str, vhost: &str, name: &str) -> Vec<u8> {
    let fields = [component.as_bytes(), vhost.as_bytes(), name.as_bytes()];
    key(b'c', &fields)
}

pub(crate) fn global_parameter_key(name: &str) -> Vec<u8> {
    key(b'g', &[name.as_bytes()])
}

pub(crate) fn parameter_value(value: &Value) -> Vec<u8> {
    json(value)
}

pub(crate) fn seeded_value() -> Vec<u8> {
    vec![VERSION]
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value).expect("names are texts, and memory takes everything");
    bytes
}

/// Reads a setting; `kind` is the key's letter, `value` stands behind the version. None where it is no setting, or none of this version.
pub(super) fn parse(kind: u8, fields: &mut Reader<'_>, value: &mut Reader<'_>) -> Option<Setting> {
    let value = std::mem::take(&mut value.0);
    let setting = match kind {
        b'u' => {
            let name = fields.name()?;
            let of: UserValue = serde_json::from_slice(value).ok()?;
            Setting::User(User {
                name,
                password: password(&of)?,
                tags: of.tags.into_iter().map(Into::into).collect(),
                limits: UserLimits::from_json(&Value::Object(of.limits)).ok()?,
            })
        }
        b'v' => Setting::Vhost(fields.name()?, serde_json::from_slice(value).ok()?),
        b'p' => {
            let (user, vhost) = (fields.name()?, fields.name()?);
            let of: PermissionValue = serde_json::from_slice(value).ok()?;
            let permission = Permission::new(&of.configure, &of.write, &of.read).ok()?;
            Setting::Permission(user, vhost, permission)
        }
        b't' => {
            let (user, at) = (fields.name()?, (fields.name()?, fields.name()?));
            let of: TopicPermissionValue = serde_json::from_slice(value).ok()?;
            Setting::TopicPermission(user, at, TopicPermission::new(&of.write, &of.read).ok()?)
        }
        b'c' => {
            let key = ParameterKey {
                component: fields.name()?,
                vhost: fields.name()?,
                name: fields.name()?,
            };
            Setting::Parameter(key, serde_json::from_slice(value).ok()?)
        }
        b'g' => Setting::GlobalParameter(fields.name()?, serde_json::from_slice(value).ok()?),
        b's' if value.is_empty() => Setting::Seeded,
        _ => return None,
    };
    Some(setting)
}

/// The inner none is a user without a password.
fn password(of: &UserValue) -> Option<Option<PasswordHash>> {
    let Some(hash) = &of.password_hash else {
        return Some(None);
    };
    let algorithm = HashAlgorithm::from_name(of.hashing_algorithm.as_deref()?).ok()?;
    PasswordHash::from_base64(hash, algorithm).ok().map(Some)
}
