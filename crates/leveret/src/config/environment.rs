//! The environment: a variable for each key that has one value, and RabbitMQ's names for the default user.
//!
//! The variable of `limits.frame_max` is `LEVERET_LIMITS_FRAME_MAX`; the three listeners have shorter names, and users have
//! none. Lists are separated by commas. `RABBITMQ_DEFAULT_USER`, `_PASS` and `_VHOST` mean what they mean in RabbitMQ's
//! container image: they take the place of `guest` and of the vhost `/`, unless the file has users or vhosts of its own, to which
//! they are added then.
//!
//! A variable that begins with `LEVERET_` and belongs to no key is no error: container platforms make such variables for
//! every service they know.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde::Deserialize;
use toml::{Table, Value};

use super::file::Document;
use super::{Config, ConfigError, Nonsense, User};

const PREFIX: &str = "LEVERET_";
/// The variable that names the file, and so has no key.
const CONFIG: &str = "LEVERET_CONFIG";
/// Keys whose variable is not made from their name.
const NAMED: [(&str, &str); 4] = [
    ("listeners.amqp", "LEVERET_AMQP_LISTEN"),
    ("listeners.amqps", "LEVERET_AMQPS_LISTEN"),
    ("listeners.management", "LEVERET_MANAGEMENT_LISTEN"),
    ("listeners.management_tls", "LEVERET_MANAGEMENT_TLS_LISTEN"),
];
const DEFAULT_USER: &str = "RABBITMQ_DEFAULT_USER";
const DEFAULT_PASS: &str = "RABBITMQ_DEFAULT_PASS";
const DEFAULT_VHOST: &str = "RABBITMQ_DEFAULT_VHOST";

/// The variables that can concern the broker.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// Of all variables, those that can concern the broker.
    pub(crate) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Environment {
        let concerns = |name: &str| {
            name.starts_with(PREFIX) || [DEFAULT_USER, DEFAULT_PASS, DEFAULT_VHOST].contains(&name)
        };
        let variables = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, value)| concerns(name) && !value.is_empty())
            .collect();
        Environment { variables }
    }

    /// The file that the environment names.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        self.variables.get(CONFIG).map(PathBuf::from)
    }

    /// Puts the values of the environment over those of the file.
    pub(super) fn apply(&self, config: &mut Config, file: &Document) -> Result<(), ConfigError> {
        for (key, default) in keys() {
            let variable = variable_of(&key);
            if let Some(text) = self.text(&variable)? {
                set(config, &key, &default, text)
                    .map_err(|reason| ConfigError::InEnvironment { variable, reason })?;
            }
        }
        self.apply_default_user(config, file)
    }

    fn apply_default_user(&self, config: &mut Config, file: &Document) -> Result<(), ConfigError> {
        let user = self.text(DEFAULT_USER)?;
        let password = self.text(DEFAULT_PASS)?;
        let vhost = self.text(DEFAULT_VHOST)?;
        if let Some(vhost) = vhost {
            let chosen = ["vhosts", "users"].iter().any(|key| file.has(key));
            if !chosen && !self.has(&variable_of("vhosts")) {
                config.vhosts.clear();
            }
            if !config.vhosts.iter().any(|known| known == vhost) {
                config.vhosts.push(vhost.to_owned());
            }
        }
        if user.or(password).or(vhost).is_none() || (file.has("users") && user.is_none()) {
            return Ok(());
        }
        let name = user.unwrap_or("guest");
        let default_user =
            User::administrator(name, password.unwrap_or("guest"), vhost.unwrap_or("/"));
        if !file.has("users") {
            config.users.clear();
        }
        config.users.retain(|known| known.name != name);
        config.users.push(default_user);
        Ok(())
    }

    /// The error for a value that makes no sense once the environment is applied.
    pub(super) fn blame(&self, nonsense: Nonsense) -> ConfigError {
        let Nonsense { key, reason } = nonsense;
        let whole = key.split('[').next().unwrap_or(&key);
        let variable = match whole {
            "users" if self.has(DEFAULT_USER) => DEFAULT_USER.to_owned(),
            "vhosts" if self.has(DEFAULT_VHOST) => DEFAULT_VHOST.to_owned(),
            whole => variable_of(whole),
        };
        if self.has(&variable) {
            return ConfigError::InEnvironment { variable, reason };
        }
        ConfigError::Together { key, reason }
    }

    /// Variables with the prefix that name no key.
    pub(super) fn unknown_variables(&self) -> Vec<String> {
        let known: Vec<String> = keys().map(|(key, _)| variable_of(&key)).collect();
        let is_unknown =
            |name: &&String| name.starts_with(PREFIX) && *name != CONFIG && !known.contains(name);
        self.variables.keys().filter(is_unknown).cloned().collect()
    }

    fn has(&self, variable: &str) -> bool {
        self.variables.contains_key(variable)
    }

    fn text(&self, variable: &str) -> Result<Option<&str>, ConfigError> {
        let Some(value) = self.variables.get(variable) else {
            return Ok(None);
        };
        value
            .to_str()
            .map(Some)
            .ok_or_else(|| ConfigError::InEnvironment {
                variable: variable.to_owned(),
                reason: "is not UTF-8".to_owned(),
            })
    }
}

/// The variable of a key.
pub(super) fn variable_of(key: &str) -> String {
    match NAMED.iter().find(|(named, _)| *named == key) {
        Some((_, variable)) => (*variable).to_owned(),
        None => format!("{PREFIX}{}", key.replace('.', "_").to_uppercase()),
    }
}

/// The keys that have a variable, each with its default.
pub(super) fn keys() -> impl Iterator<Item = (String, Value)> {
    let mut keys = Vec::new();
    for (name, value) in table_of(&Config::default()) {
        match value {
            Value::Table(section) => {
                keys.extend(
                    section
                        .into_iter()
                        .map(|(key, value)| (format!("{name}.{key}"), value)),
                );
            }
            Value::Array(items) if items.iter().any(Value::is_table) => {}
            value => keys.push((name, value)),
        }
    }
    keys.into_iter()
}

/// The settings as TOML.
pub(super) fn table_of(config: &Config) -> Table {
    Table::try_from(config).expect("settings are made of what TOML has")
}

fn set(config: &mut Config, key: &str, default: &Value, text: &str) -> Result<(), String> {
    let value = match default {
        Value::Integer(_) => Value::Integer(
            text.parse()
                .map_err(|_| format!("`{text}` is not a whole number"))?,
        ),
        Value::Float(_) => Value::Float(
            text.parse()
                .map_err(|_| format!("`{text}` is not a number"))?,
        ),
        Value::Boolean(_) => Value::Boolean(
            text.parse()
                .map_err(|_| format!("`{text}` is not true or false"))?,
        ),
        Value::Array(_) => Value::Array(
            text.split(',')
                .map(|item| Value::String(item.trim().to_owned()))
                .collect(),
        ),
        _ => Value::String(text.to_owned()),
    };
    let mut table = table_of(config);
    let mut target = &mut table;
    let mut last = key;
    if let Some((section, key)) = key.split_once('.') {
        target = target[section]
            .as_table_mut()
            .expect("a section is a table");
        last = key;
    }
    target.insert(last.to_owned(), value);
    *config = Config::deserialize(table).map_err(|error| error.message().to_owned())?;
    Ok(())
}
