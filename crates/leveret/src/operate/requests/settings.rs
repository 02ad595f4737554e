//! Requests about what operators set. A vhost comes as a part of a path.

use std::fs;

use serde_json::{Map, Value, json};

use super::{Ask, part};
use crate::operate::arguments::{
    Definitions, GlobalParameters, Parameters, Permissions, Policies, TopicPermissions, UserLimits,
    Users, VhostLimits, Vhosts, any,
};

pub(super) fn vhosts(verb: &Vhosts) -> Ask {
    match verb {
        Vhosts::List => Ask::get("/vhosts", &["name", "description", "tags", "messages"]),
        Vhosts::Show { name } => Ask::get(format!("/vhosts/{}", part(name)), &[]),
        Vhosts::Add {
            name,
            description,
            tags,
            default_queue_type,
        } => {
            let mut said = Map::new();
            let texts = [
                ("description", description),
                ("tags", tags),
                ("default_queue_type", default_queue_type),
            ];
            for (key, text) in texts {
                if let Some(text) = text {
                    said.insert(key.to_owned(), text.as_str().into());
                }
            }
            Ask::put(format!("/vhosts/{}", part(name)), Value::Object(said))
        }
        Vhosts::Delete { name } => Ask::delete(format!("/vhosts/{}", part(name))),
    }
}

pub(super) fn users(verb: &Users) -> Ask {
    match verb {
        Users::List => Ask::get("/users", &["name", "tags"]),
        Users::Show { name } => Ask::get(format!("/users/{}", part(name)), &[]),
        Users::Add {
            name,
            password,
            tags,
        } => {
            let user = json!({"password": password, "tags": tags});
            Ask::put(format!("/users/{}", part(name)), user)
        }
        Users::Delete { name } => Ask::delete(format!("/users/{}", part(name))),
    }
}

pub(super) fn permissions(verb: &Permissions, vhost: &str) -> Ask {
    let at = |user: &str| format!("/permissions/{vhost}/{}", part(user));
    match verb {
        Permissions::List => Ask::get(
            format!("/vhosts/{vhost}/permissions"),
            &["user", "configure", "write", "read"],
        ),
        Permissions::Show { user } => Ask::get(at(user), &[]),
        Permissions::Set {
            user,
            configure,
            write,
            read,
        } => {
            let patterns = json!({"configure": configure, "write": write, "read": read});
            Ask::put(at(user), patterns)
        }
        Permissions::Clear { user } => Ask::delete(at(user)),
    }
}

pub(super) fn topic_permissions(verb: &TopicPermissions, vhost: &str) -> Ask {
    let at = |user: &str| format!("/topic-permissions/{vhost}/{}", part(user));
    match verb {
        TopicPermissions::List => Ask::get(
            format!("/vhosts/{vhost}/topic-permissions"),
            &["user", "exchange", "write", "read"],
        ),
        TopicPermissions::Set {
            user,
            exchange,
            write,
            read,
        } => {
            let patterns = json!({"exchange": exchange, "write": write, "read": read});
            Ask::put(at(user), patterns)
        }
        TopicPermissions::Clear { user } => Ask::delete(at(user)),
    }
}

pub(super) fn policies(verb: &Policies, sort: &str, vhost: &str) -> Ask {
    let at = |name: &str| format!("/{sort}/{vhost}/{}", part(name));
    match verb {
        Policies::List => Ask::get(
            format!("/{sort}/{vhost}"),
            &["name", "pattern", "apply-to", "priority", "definition"],
        ),
        Policies::Show { name } => Ask::get(at(name), &[]),
        Policies::Set {
            name,
            pattern,
            definition,
            priority,
            apply_to,
        } => {
            let policy = json!({
                "pattern": pattern, "definition": definition, "priority": priority,
                "apply-to": apply_to,
            });
            Ask::put(at(name), policy)
        }
        Policies::Clear { name } => Ask::delete(at(name)),
    }
}

pub(super) fn parameters(verb: &Parameters, vhost: &str) -> Ask {
    let at = |component: &str, name: &str| {
        format!("/parameters/{}/{vhost}/{}", part(component), part(name))
    };
    match verb {
        Parameters::List => Ask::get("/parameters", &["vhost", "component", "name", "value"]),
        Parameters::Show { component, name } => Ask::get(at(component, name), &[]),
        Parameters::Set {
            component,
            name,
            value,
        } => Ask::put(at(component, name), json!({"value": value})),
        Parameters::Clear { component, name } => Ask::delete(at(component, name)),
    }
}

pub(super) fn global_parameters(verb: &GlobalParameters) -> Ask {
    let at = |name: &str| format!("/global-parameters/{}", part(name));
    match verb {
        GlobalParameters::List => Ask::get("/global-parameters", &["name", "value"]),
        GlobalParameters::Show { name } => Ask::get(at(name), &[]),
        GlobalParameters::Set { name, value } => Ask::put(at(name), json!({"value": value})),
        GlobalParameters::Clear { name } => Ask::delete(at(name)),
    }
}

pub(super) fn vhost_limits(verb: &VhostLimits, vhost: &str) -> Ask {
    let at = |limit: &str| format!("/vhost-limits/{vhost}/{}", part(limit));
    match verb {
        VhostLimits::List => Ask::get("/vhost-limits", &["vhost", "value"]),
        VhostLimits::Set { limit, value } => Ask::put(at(limit), json!({"value": value})),
        VhostLimits::Clear { limit } => Ask::delete(at(limit)),
    }
}

pub(super) fn user_limits(verb: &UserLimits) -> Ask {
    let at = |user: &str, limit: &str| format!("/user-limits/{}/{}", part(user), part(limit));
    match verb {
        UserLimits::List => Ask::get("/user-limits", &["user", "value"]),
        UserLimits::Set { user, limit, value } => {
            Ask::put(at(user, limit), json!({"value": value}))
        }
        UserLimits::Clear { user, limit } => Ask::delete(at(user, limit)),
    }
}

pub(super) fn definitions(verb: &Definitions, vhost: &str) -> Result<Ask, (String, String)> {
    let at = |of_vhost: bool| match of_vhost {
        true => format!("/definitions/{vhost}"),
        false => "/definitions".to_owned(),
    };
    match verb {
        Definitions::Export { of_vhost } => Ok(Ask::get(at(*of_vhost), &[])),
        Definitions::Import { file, of_vhost } => {
            let failed = |error: String| (file.display().to_string(), error);
            let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
            Ok(Ask::post(at(*of_vhost), any(&text).map_err(failed)?))
        }
    }
}
