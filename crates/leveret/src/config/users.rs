//! `[[users]]`: who may log in, and what each may do in which vhost.
//!
//! What a password hash or a pattern may look like is the broker's to say: [`directory`] hands it over, and gives back what
//! the broker refused with the key it stood under.

use std::fmt;

use leveret_broker::users::{HashAlgorithm, PasswordHash, Permission, User as BrokerUser};
use leveret_broker::users::{PatternError, UserDirectory, UserLimits};
use serde::{Deserialize, Serialize};

use super::{Config, Nonsense, one_line};

/// A user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) name: String,
    /// In clear. Either this or the hash, or neither for a user who cannot log in with a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<Password>,
    /// As RabbitMQ's definitions carry it: base64 of a salt of 4 bytes and the hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password_hash: Option<String>,
    /// The algorithm of the hash, by RabbitMQ's name for it.
    #[serde(default = "hashing_algorithm")]
    pub(crate) hashing_algorithm: String,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) permissions: Vec<UserPermission>,
}

/// What a user may do in a vhost: three patterns on names of exchanges and queues, none with a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserPermission {
    pub(crate) vhost: String,
    pub(crate) configure: String,
    pub(crate) write: String,
    pub(crate) read: String,
}

/// A password in clear, which debug output does not show.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Password(pub(crate) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn hashing_algorithm() -> String {
    HashAlgorithm::default().name().to_owned()
}

fn everything() -> String {
    ".*".to_owned()
}

impl User {
    /// An administrator who may do everything in `vhost`.
    pub(crate) fn administrator(name: &str, password: &str, vhost: &str) -> User {
        User {
            name: name.to_owned(),
            password: Some(Password(password.to_owned())),
            password_hash: None,
            hashing_algorithm: hashing_algorithm(),
            tags: vec!["administrator".to_owned()],
            permissions: vec![UserPermission {
                vhost: vhost.to_owned(),
                configure: everything(),
                write: everything(),
                read: everything(),
            }],
        }
    }

    /// The user that a new RabbitMQ has.
    pub(crate) fn guest() -> User {
        User::administrator("guest", "guest", "/")
    }

    fn password_hash(&self) -> Result<Option<PasswordHash>, (&'static str, String)> {
        match (&self.password, &self.password_hash) {
            (Some(_), Some(_)) => Err((
                "password_hash",
                "there is a password as well; give one of the two".into(),
            )),
            (Some(Password(password)), None) if password.is_empty() => Err((
                "password",
                "an empty password never logs in; leave the key out".into(),
            )),
            (Some(Password(password)), None) => Ok(Some(PasswordHash::new(password.as_bytes()))),
            (None, Some(hash)) => {
                let algorithm = HashAlgorithm::from_name(&self.hashing_algorithm)
                    .map_err(|error| ("hashing_algorithm", error.to_string()))?;
                PasswordHash::from_base64(hash, algorithm)
                    .map(Some)
                    .map_err(|error| ("password_hash", error.to_string()))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Makes the broker's users of the configured ones.
///
/// **Errors**: the key that the broker refuses. **Cost**: one password hash a user.
pub(super) fn directory(config: &Config) -> Result<UserDirectory, Nonsense> {
    let mut directory = UserDirectory::default();
    directory.set_loopback_users(
        config
            .loopback_users
            .iter()
            .map(|name| name.as_str().into()),
    );
    for (index, user) in config.users.iter().enumerate() {
        let nonsense = |(key, reason): (&str, String)| Nonsense {
            key: format!("users[{index}].{key}"),
            reason,
        };
        let name = user.name.as_str();
        directory.put_user(BrokerUser {
            name: name
                .try_into()
                .map_err(|error| nonsense(("name", format!("{error}"))))?,
            tags: user.tags.iter().map(|tag| tag.as_str().into()).collect(),
            password: user.password_hash().map_err(nonsense)?,
            limits: UserLimits::default(),
        });
        for (at, given) in user.permissions.iter().enumerate() {
            let nonsense =
                |key: &str, reason| nonsense((&format!("permissions[{at}].{key}"), reason));
            let permission = Permission::new(&given.configure, &given.write, &given.read).map_err(
                |error: PatternError| nonsense(error.access.as_str(), one_line(&error.to_string())),
            )?;
            let vhost = given.vhost.as_str();
            directory.put_permission(
                name.try_into()
                    .map_err(|error| nonsense("name", format!("{error}")))?,
                vhost
                    .try_into()
                    .map_err(|error| nonsense("vhost", format!("{error}")))?,
                permission,
            );
        }
    }
    Ok(directory)
}

impl Config {
    /// The users as the broker takes them.
    pub(crate) fn user_directory(&self) -> UserDirectory {
        directory(self).expect("the configuration was checked when it was loaded")
    }
}
