//! Commands that change something.

use std::fs;

use serde_json::{Map, Value, json};

use super::super::arguments::any;
use super::super::client::{Client, ClientError};
use super::super::requests::{Ask, part};
use super::super::table;
use super::words::Words;
use super::{Action, Command, CtlError};

/// All of them.
pub(super) const COMMANDS: [&str; 40] = [
    "add_user",
    "delete_user",
    "change_password",
    "clear_password",
    "authenticate_user",
    "set_user_tags",
    "set_permissions",
    "clear_permissions",
    "set_topic_permissions",
    "clear_topic_permissions",
    "set_user_limits",
    "clear_user_limits",
    "add_vhost",
    "delete_vhost",
    "set_vhost_limits",
    "clear_vhost_limits",
    "trace_on",
    "trace_off",
    "enable_vhost_deletion_protection",
    "disable_vhost_deletion_protection",
    "set_policy",
    "clear_policy",
    "set_operator_policy",
    "clear_operator_policy",
    "set_parameter",
    "clear_parameter",
    "set_global_parameter",
    "clear_global_parameter",
    "set_cluster_name",
    "delete_queue",
    "purge_queue",
    "close_connection",
    "close_all_connections",
    "close_all_user_connections",
    "import_definitions",
    "enable_feature_flag",
    "force_gc",
    "eval",
    "set_log_level",
    "rotate_logs",
];

/// The command, if it is one of these. Some have to ask first what is there.
pub(super) fn understand(words: &Words, client: &Client) -> Result<Option<Command>, CtlError> {
    if !COMMANDS.contains(&words.command.as_str()) {
        return Ok(None);
    }
    if words.command == "eval" {
        let [term] = exactly(words)?;
        let action = Action::Tell(eval(term)?, "ok");
        let banner = String::new();
        return Ok(Some(Command { banner, action }));
    }
    let (banner, asks) = match words.command.as_str() {
        name if name.contains("password") || name == "authenticate_user" => {
            passwords(words, client)?
        }
        name if name.contains("user") => users(words, client)?,
        name if name.contains("permissions") => permissions(words)?,
        name if name.contains("vhost") || name.contains("trace") => vhosts(words, client)?,
        name if name.contains("policy") || name.contains("parameter") => parameters(words)?,
        _ => others(words, client)?,
    };
    let action = Action::Change(asks);
    Ok(Some(Command { banner, action }))
}

type Changes = (String, Vec<Ask>);

fn exactly<const N: usize>(words: &Words) -> Result<[&str; N], CtlError> {
    words.exactly().map_err(CtlError::Usage)
}

fn json_of(text: &str) -> Result<Value, CtlError> {
    any(text).map_err(|error| CtlError::BadData(format!("JSON decoding error: {error}")))
}

fn one(banner: String, ask: Ask) -> Changes {
    (banner, vec![ask])
}

fn users(words: &Words, client: &Client) -> Result<Changes, CtlError> {
    let path = |user: &str| format!("/users/{}", part(user));
    let is_there = |user: &str| client.request(&Ask::get(path(user), &[]));
    Ok(match words.command.as_str() {
        "add_user" => {
            let [user, password] = exactly(words)?;
            if is_there(user).is_ok() {
                return Err(CtlError::Exists(format!("User \"{user}\" already exists")));
            }
            let new = json!({"password": password, "tags": ""});
            one(
                format!("Adding user \"{user}\" ..."),
                Ask::put(path(user), new),
            )
        }
        "delete_user" => {
            let [user] = exactly(words)?;
            one(
                format!("Deleting user \"{user}\" ..."),
                Ask::delete(path(user)),
            )
        }
        "set_user_tags" => {
            let (user, tags) = words.arguments.split_first().ok_or_else(|| lacks(words))?;
            let mut told = is_there(user)?;
            told["tags"] = tags.into();
            let banner = format!(
                "Setting tags for user \"{user}\" to [{}] ...",
                tags.join(", ")
            );
            one(banner, Ask::put(path(user), told))
        }
        "set_user_limits" => {
            let [user, limits] = exactly(words)?;
            let banner = format!("Setting user limits to \"{limits}\" for user \"{user}\" ...");
            (
                banner,
                limit_asks(&format!("/user-limits/{}", part(user)), &json_of(limits)?)?,
            )
        }
        "clear_user_limits" => {
            let [user, limit] = exactly(words)?;
            is_there(user)?;
            let limits = match limit {
                "all" => &["max-connections", "max-channels"][..],
                _ => &[limit],
            };
            let of = |limit: &&str| format!("/user-limits/{}/{}", part(user), part(limit));
            (
                format!("Clearing limits for user \"{user}\" ..."),
                limits.iter().map(of).map(Ask::delete).collect(),
            )
        }
        "close_all_user_connections" => {
            let [user, reason] = exactly(words)?;
            let mut ask = Ask::delete(format!("/connections/username/{}", part(user)));
            ask.reason = Some(reason.to_owned());
            one(format!("Closing connections of user {user} ..."), ask)
        }
        _ => return Err(lacks(words)),
    })
}

fn passwords(words: &Words, client: &Client) -> Result<Changes, CtlError> {
    let path = |user: &str| format!("/users/{}", part(user));
    let is_there = |user: &str| client.request(&Ask::get(path(user), &[]));
    Ok(match words.command.as_str() {
        "change_password" | "clear_password" => {
            let mut told = words
                .arguments
                .first()
                .map(|user| is_there(user))
                .transpose()?;
            let tags = told
                .as_mut()
                .map(|told| told["tags"].take())
                .unwrap_or_default();
            let (user, password) = match words.command.as_str() {
                "change_password" => {
                    let [user, password] = exactly(words)?;
                    (user, password)
                }
                _ => (exactly::<1>(words)?[0], ""),
            };
            let new = json!({"password": password, "tags": tags});
            one(
                format!("Changing password for user \"{user}\" ..."),
                Ask::put(path(user), new),
            )
        }
        "authenticate_user" => {
            let [user, password] = exactly(words)?;
            let whoami = client
                .with_login(user, password)
                .request(&Ask::get("/whoami", &[]));
            match whoami {
                // The password is right; it is only no user of the management API.
                Err(ClientError::Refused { reason, .. }) if reason == "Not management user" => {}
                other => drop(other?),
            }
            (
                format!("Authenticating user \"{user}\" ...\nSuccess"),
                Vec::new(),
            )
        }
        _ => return Err(lacks(words)),
    })
}

fn lacks(words: &Words) -> CtlError {
    CtlError::Usage(format!("'{}' lacks arguments", words.command))
}

fn limit_asks(path: &str, limits: &Value) -> Result<Vec<Ask>, CtlError> {
    let limits = limits.as_object();
    let limits = limits.ok_or_else(|| CtlError::BadData("limits are an object".to_owned()))?;
    let asks = limits
        .iter()
        .map(|(name, value)| Ask::put(format!("{path}/{}", part(name)), json!({"value": value})));
    Ok(asks.collect())
}

fn permissions(words: &Words) -> Result<Changes, CtlError> {
    let vhost = words.vhost();
    let path = |sort: &str, user: &str| format!("/{sort}/{}/{}", part(vhost), part(user));
    Ok(match words.command.as_str() {
        "set_permissions" => {
            let [user, configure, write, read] = exactly(words)?;
            let patterns = json!({"configure": configure, "write": write, "read": read});
            let banner =
                format!("Setting permissions for user \"{user}\" in vhost \"{vhost}\" ...");
            one(banner, Ask::put(path("permissions", user), patterns))
        }
        "clear_permissions" => {
            let [user] = exactly(words)?;
            let banner =
                format!("Clearing permissions for user \"{user}\" in vhost \"{vhost}\" ...");
            one(banner, Ask::delete(path("permissions", user)))
        }
        "set_topic_permissions" => {
            let [user, exchange, write, read] = exactly(words)?;
            let patterns = json!({"exchange": exchange, "write": write, "read": read});
            let banner = format!(
                "Setting topic permissions on \"{exchange}\" for user \"{user}\" in vhost \"{vhost}\" ..."
            );
            one(banner, Ask::put(path("topic-permissions", user), patterns))
        }
        _ => {
            let (user, exchange) = match words.arguments.as_slice() {
                [user] => (user, String::new()),
                [user, exchange] => (user, format!("/{}", part(exchange))),
                _ => return Err(lacks(words)),
            };
            let banner =
                format!("Clearing topic permissions for user \"{user}\" in vhost \"{vhost}\" ...");
            one(
                banner,
                Ask::delete(path("topic-permissions", user) + &exchange),
            )
        }
    })
}

fn vhosts(words: &Words, client: &Client) -> Result<Changes, CtlError> {
    let path = |vhost: &str| format!("/vhosts/{}", part(vhost));
    Ok(match words.command.as_str() {
        "add_vhost" => {
            let [vhost] = exactly(words)?;
            let mut said = Map::new();
            let options = [
                ("description", "description"),
                ("tags", "tags"),
                ("default-queue-type", "default_queue_type"),
            ];
            for (option, key) in options {
                if let Some(value) = words.option(option) {
                    said.insert(key.to_owned(), value.into());
                }
            }
            let ask = Ask::put(path(vhost), Value::Object(said));
            one(format!("Adding vhost \"{vhost}\" ..."), ask)
        }
        "delete_vhost" => {
            let [vhost] = exactly(words)?;
            one(
                format!("Deleting vhost \"{vhost}\" ..."),
                Ask::delete(path(vhost)),
            )
        }
        "set_vhost_limits" => {
            let ([limits], vhost) = (exactly(words)?, words.vhost());
            let banner = format!("Setting vhost limits to \"{limits}\" for vhost \"{vhost}\" ...");
            (
                banner,
                limit_asks(&format!("/vhost-limits/{}", part(vhost)), &json_of(limits)?)?,
            )
        }
        "clear_vhost_limits" => {
            let vhost = words.vhost();
            let path = format!("/vhost-limits/{}", part(vhost));
            let limits = ["max-connections", "max-queues"];
            let asks = limits.map(|limit| Ask::delete(format!("{path}/{limit}")));
            (
                format!("Clearing vhost \"{vhost}\" limits ..."),
                asks.into(),
            )
        }
        "trace_on" | "trace_off" => {
            let (vhost, on) = (words.vhost(), words.command == "trace_on");
            // Put, it would be made.
            client.request(&Ask::get(path(vhost), &[]))?;
            let ask = Ask::put(path(vhost), json!({"tracing": on}));
            one(format!("Setting tracing for vhost \"{vhost}\" ..."), ask)
        }
        protect => {
            let [vhost] = exactly(words)?;
            let at = format!("{}/deletion/protection", path(vhost));
            let ask = match protect {
                "enable_vhost_deletion_protection" => Ask::post(at, json!({})),
                _ => Ask::delete(at),
            };
            one(
                format!("Protecting vhost \"{vhost}\" from deletion ..."),
                ask,
            )
        }
    })
}

fn parameters(words: &Words) -> Result<Changes, CtlError> {
    let vhost = part(words.vhost());
    let sort = match words.command.contains("operator") {
        true => "operator-policies",
        false => "policies",
    };
    Ok(match words.command.as_str() {
        "set_policy" | "set_operator_policy" => {
            let [name, pattern, definition] = exactly(words)?;
            let priority = words.option("priority").unwrap_or("0");
            let priority: i64 = priority
                .parse()
                .map_err(|_| CtlError::BadData("priority should be a number".to_owned()))?;
            let policy = json!({
                "pattern": pattern,
                "definition": json_of(definition)?,
                "priority": priority,
                "apply-to": words.option("apply-to").unwrap_or("all"),
            });
            let banner = format!("Setting policy \"{name}\" for pattern \"{pattern}\" ...");
            one(
                banner,
                Ask::put(format!("/{sort}/{vhost}/{}", part(name)), policy),
            )
        }
        "clear_policy" | "clear_operator_policy" => {
            let [name] = exactly(words)?;
            let ask = Ask::delete(format!("/{sort}/{vhost}/{}", part(name)));
            one(format!("Clearing policy \"{name}\" ..."), ask)
        }
        "set_parameter" => {
            let [component, name, value] = exactly(words)?;
            let path = format!("/parameters/{}/{vhost}/{}", part(component), part(name));
            let ask = Ask::put(path, json!({"value": json_of(value)?}));
            one(format!("Setting runtime parameter \"{name}\" ..."), ask)
        }
        "clear_parameter" => {
            let [component, name] = exactly(words)?;
            let path = format!("/parameters/{}/{vhost}/{}", part(component), part(name));
            one(
                format!("Clearing runtime parameter \"{name}\" ..."),
                Ask::delete(path),
            )
        }
        "set_global_parameter" => {
            let [name, value] = exactly(words)?;
            let ask = Ask::put(
                format!("/global-parameters/{}", part(name)),
                json!({"value": json_of(value)?}),
            );
            one(
                format!("Setting global runtime parameter \"{name}\" ..."),
                ask,
            )
        }
        _ => {
            let [name] = exactly(words)?;
            let ask = Ask::delete(format!("/global-parameters/{}", part(name)));
            one(
                format!("Clearing global runtime parameter \"{name}\" ..."),
                ask,
            )
        }
    })
}

fn others(words: &Words, client: &Client) -> Result<Changes, CtlError> {
    let queue = |name: &str| format!("/queues/{}/{}", part(words.vhost()), part(name));
    Ok(match words.command.as_str() {
        "set_cluster_name" => {
            let [name] = exactly(words)?;
            let ask = Ask::put("/cluster-name", json!({"name": name}));
            one(format!("Setting cluster name to {name} ..."), ask)
        }
        "delete_queue" => {
            let [name] = exactly(words)?;
            let (unused, empty) = (words.has("if-unused"), words.has("if-empty"));
            let ask = Ask::delete(format!(
                "{}?if-unused={unused}&if-empty={empty}",
                queue(name)
            ));
            one(
                format!("Deleting queue '{name}' on vhost '{}' ...", words.vhost()),
                ask,
            )
        }
        "purge_queue" => {
            let [name] = exactly(words)?;
            let ask = Ask::delete(format!("{}/contents", queue(name)));
            one(
                format!("Purging queue '{name}' in vhost '{}' ...", words.vhost()),
                ask,
            )
        }
        "close_connection" => {
            let [pid, reason] = exactly(words)?;
            // One that is gone is as good as closed.
            let asks = close(client, reason, |told| told["pid"] == pid)?;
            (
                format!("Closing connection {pid}, reason: {reason}..."),
                asks,
            )
        }
        "close_all_connections" => {
            let [reason] = exactly(words)?;
            let (all, vhost) = (words.has("global"), words.vhost());
            let asks = close(client, reason, |told| all || told["vhost"] == vhost)?;
            let of = match all {
                true => "across all vhosts".to_owned(),
                false => format!("in vhost {vhost}"),
            };
            (
                format!("Closing all connections {of}, reason: {reason}..."),
                asks,
            )
        }
        "import_definitions" => {
            let [file] = exactly(words)?;
            let text = fs::read_to_string(file);
            let text = text.map_err(|error| CtlError::BadData(format!("{file}: {error}")))?;
            let ask = Ask::post("/definitions", json_of(&text)?);
            one(
                format!("Importing definitions in JSON from a file at \"{file}\" ..."),
                ask,
            )
        }
        "enable_feature_flag" => {
            let [name] = exactly(words)?;
            let ask = Ask::put(format!("/feature-flags/{}/enable", part(name)), json!({}));
            one(format!("Enabling feature flag: {name} ..."), ask)
        }
        // What means nothing here, and does no harm.
        _ => (String::new(), Vec::new()),
    })
}

/// Requests that close the connections that are meant.
fn close(
    client: &Client,
    reason: &str,
    is_meant: impl Fn(&Value) -> bool,
) -> Result<Vec<Ask>, CtlError> {
    let told = client.request(&Ask::get("/connections", &[]))?;
    let all = told.as_array().map(Vec::as_slice).unwrap_or_default();
    let meant = all.iter().filter(|one| is_meant(one));
    let asks = meant.map(|one| Ask {
        reason: Some(reason.to_owned()),
        ..Ask::delete(format!(
            "/connections/{}",
            part(&table::cell(one.get("name")))
        ))
    });
    Ok(asks.collect())
}

/// Of Erlang only what clients' test suites say: raising and clearing an alarm.
fn eval(term: &str) -> Result<Ask, CtlError> {
    let resource = match (term.contains("memory"), term.contains("disk")) {
        (true, false) => "memory",
        (false, true) => "disk",
        _ => "",
    };
    let path = format!("/leveret/alarms/{resource}");
    let is_alarm = term.contains("rabbit_alarm:") && !resource.is_empty();
    match is_alarm {
        true if term.contains(":set_alarm") => Ok(Ask::put(path, json!({}))),
        true if term.contains(":clear_alarm") => Ok(Ask::delete(path)),
        _ => Err(CtlError::Usage(format!(
            "this broker is not written in Erlang: {term}"
        ))),
    }
}
