//! Commands that tell something.

use super::super::requests::{Ask, part};
use super::words::Words;
use super::{Action, Command, CtlError};

/// A list: the command, what it says, its path, the columns without any being asked for, and columns that stand elsewhere in an answer, or behind a
/// `=` always say the same.
struct Listing {
    command: &'static str,
    banner: &'static str,
    path: &'static str,
    columns: &'static [&'static str],
    renamed: &'static [(&'static str, &'static str)],
}

/// `{vhost}` and `{0}`, the first argument, are put into paths.
const LISTINGS: [Listing; 21] = [
    Listing {
        command: "list_queues",
        banner: "Listing queues for vhost {vhost} ...",
        path: "/queues/{vhost}",
        columns: &["name", "messages"],
        renamed: &[("pid", "name"), ("slave_pids", "none")],
    },
    Listing {
        command: "list_exchanges",
        banner: "Listing exchanges for vhost {vhost} ...",
        path: "/exchanges/{vhost}",
        columns: &["name", "type"],
        renamed: &[],
    },
    Listing {
        command: "list_bindings",
        banner: "Listing bindings for vhost {vhost}...",
        path: "/bindings/{vhost}",
        columns: &[
            "source_name",
            "source_kind",
            "destination_name",
            "destination_kind",
            "routing_key",
            "arguments",
        ],
        renamed: &[
            ("source_name", "source"),
            ("source_kind", "=exchange"),
            ("destination_name", "destination"),
            ("destination_kind", "destination_type"),
        ],
    },
    Listing {
        command: "list_connections",
        banner: "Listing connections ...",
        path: "/connections",
        columns: &["user", "peer_host", "peer_port", "state"],
        renamed: &[],
    },
    Listing {
        command: "list_channels",
        banner: "Listing channels ...",
        path: "/channels",
        columns: &["pid", "user", "consumer_count", "messages_unacknowledged"],
        renamed: &[("pid", "name"), ("connection", "connection_details.name")],
    },
    Listing {
        command: "list_consumers",
        banner: "Listing consumers in vhost {vhost} ...",
        path: "/consumers/{vhost}",
        columns: &[
            "queue_name",
            "channel_pid",
            "consumer_tag",
            "ack_required",
            "prefetch_count",
            "active",
            "arguments",
        ],
        renamed: &[
            ("queue_name", "queue.name"),
            ("channel_pid", "channel_details.name"),
        ],
    },
    Listing {
        command: "list_vhosts",
        banner: "Listing vhosts ...",
        path: "/vhosts",
        columns: &["name"],
        renamed: &[],
    },
    Listing {
        command: "list_users",
        banner: "Listing users ...",
        path: "/users",
        columns: &["user", "tags"],
        renamed: &[("user", "name")],
    },
    Listing {
        command: "list_permissions",
        banner: "Listing permissions for vhost \"{vhost}\" ...",
        path: "/vhosts/{vhost}/permissions",
        columns: &["user", "configure", "write", "read"],
        renamed: &[],
    },
    Listing {
        command: "list_user_permissions",
        banner: "Listing permissions for user \"{0}\" ...",
        path: "/users/{0}/permissions",
        columns: &["vhost", "configure", "write", "read"],
        renamed: &[],
    },
    Listing {
        command: "list_topic_permissions",
        banner: "Listing topic permissions for vhost \"{vhost}\" ...",
        path: "/vhosts/{vhost}/topic-permissions",
        columns: &["user", "exchange", "write", "read"],
        renamed: &[],
    },
    Listing {
        command: "list_user_topic_permissions",
        banner: "Listing topic permissions for user \"{0}\" ...",
        path: "/users/{0}/topic-permissions",
        columns: &["vhost", "exchange", "write", "read"],
        renamed: &[],
    },
    Listing {
        command: "list_policies",
        banner: "Listing policies for vhost \"{vhost}\" ...",
        path: "/policies/{vhost}",
        columns: &[
            "vhost",
            "name",
            "pattern",
            "apply-to",
            "definition",
            "priority",
        ],
        renamed: &[],
    },
    Listing {
        command: "list_operator_policies",
        banner: "Listing operator policy overrides for vhost \"{vhost}\" ...",
        path: "/operator-policies/{vhost}",
        columns: &[
            "vhost",
            "name",
            "pattern",
            "apply-to",
            "definition",
            "priority",
        ],
        renamed: &[],
    },
    Listing {
        command: "list_parameters",
        banner: "Listing runtime parameters for vhost \"{vhost}\" ...",
        path: "/parameters",
        columns: &["component", "name", "value"],
        renamed: &[],
    },
    Listing {
        command: "list_global_parameters",
        banner: "Listing global runtime parameters ...",
        path: "/global-parameters",
        columns: &["name", "value"],
        renamed: &[],
    },
    Listing {
        command: "list_vhost_limits",
        banner: "Listing limits for all vhosts ...",
        path: "/vhost-limits",
        columns: &["vhost", "limits"],
        renamed: &[("limits", "value")],
    },
    Listing {
        command: "list_user_limits",
        banner: "Listing limits for all users ...",
        path: "/user-limits",
        columns: &["user", "limits"],
        renamed: &[("limits", "value")],
    },
    Listing {
        command: "list_feature_flags",
        banner: "Listing feature flags ...",
        path: "/feature-flags",
        columns: &["name", "state"],
        renamed: &[],
    },
    Listing {
        command: "listeners",
        banner: "Asking node to report its protocol listeners ...",
        path: "/nodes",
        columns: &["listeners"],
        renamed: &[],
    },
    Listing {
        command: "list_unresponsive_queues",
        banner: "Listing unresponsive queues for vhost {vhost} ...",
        path: "/parameters/none",
        columns: &["name"],
        renamed: &[],
    },
];

/// The command, if it is one of these.
pub(super) fn understand(words: &Words) -> Result<Option<Command>, CtlError> {
    if let Some(found) = LISTINGS.iter().find(|one| one.command == words.command) {
        return list(words, found).map(Some);
    }
    let check = |banner: &str, path: &str| Command {
        banner: banner.to_owned(),
        action: Action::Check(Ask::get(path, &[])),
    };
    let say = |text: &str| Command {
        banner: String::new(),
        action: Action::Say(text.to_owned()),
    };
    let print = |path: &str| Command {
        banner: String::new(),
        action: Action::Print(Ask::get(path, &[])),
    };
    Ok(Some(match words.command.as_str() {
        "ping" => check("Will ping the node. Ping succeeded", "/whoami"),
        "await_startup" | "await_online_nodes" | "wait" => check("", "/whoami"),
        "check_running" | "is_running" | "node_health_check" => check("Node is running", "/whoami"),
        "check_alarms" | "check_local_alarms" | "alarms" => {
            check("No alarms are in effect", "/health/checks/alarms")
        }
        "check_port_connectivity"
        | "check_virtual_hosts"
        | "check_if_any_deprecated_features_are_used" => check("", "/health/checks/virtual-hosts"),
        "check_port_listener" => {
            let [port] = words.exactly().map_err(CtlError::Usage)?;
            check("", &format!("/health/checks/port-listener/{}", part(port)))
        }
        "check_protocol_listener" => {
            let [protocol] = words.exactly().map_err(CtlError::Usage)?;
            check(
                "",
                &format!("/health/checks/protocol-listener/{}", part(protocol)),
            )
        }
        "status" | "cluster_status" => print("/nodes"),
        "version" | "server_version" => print("/version"),
        "report" | "environment" => print("/overview"),
        "export_definitions" => return definitions(words).map(Some),
        "help" => say(&help()),
        _ => return Ok(None),
    }))
}

/// All definitions, into a file or, as `-`, to where everything is printed.
fn definitions(words: &Words) -> Result<Command, CtlError> {
    let [file] = words.exactly().map_err(CtlError::Usage)?;
    let ask = Ask::get("/definitions", &[]);
    Ok(match file {
        "-" => Command {
            banner: String::new(),
            action: Action::Print(ask),
        },
        file => Command {
            banner: format!("Exporting definitions in JSON to a file at \"{file}\" ..."),
            action: Action::Save(ask, file.to_owned()),
        },
    })
}

fn list(words: &Words, listing: &Listing) -> Result<Command, CtlError> {
    let takes_argument = listing.path.contains("{0}");
    let asked = match takes_argument {
        true => &[],
        false => words.arguments.as_slice(),
    };
    let first = match (takes_argument, words.arguments.first()) {
        (true, None) => {
            let reason = format!("'{}' lacks its argument", words.command);
            return Err(CtlError::Usage(reason));
        }
        (_, first) => first.map(String::as_str).unwrap_or_default(),
    };
    let fill =
        |text: &str, vhost: &str, first: &str| text.replace("{vhost}", vhost).replace("{0}", first);
    let columns = match asked {
        [] => listing
            .columns
            .iter()
            .map(|column| (*column).to_owned())
            .collect(),
        asked => asked.to_vec(),
    };
    let columns = columns.into_iter().map(|name: String| {
        let renamed = listing.renamed.iter().find(|(known, _)| *known == name);
        let at = renamed.map_or_else(|| name.clone(), |(_, at)| (*at).to_owned());
        (name, at)
    });
    let mut path = fill(listing.path, &part(words.vhost()), &part(first));
    let mut banner = fill(listing.banner, words.vhost(), first);
    // Of one, where one is named.
    let one_of = match listing.command {
        "list_vhost_limits" if !words.has("global") => Some(("vhost", words.vhost())),
        "list_user_limits" => words.option("user").map(|user| ("user", user)),
        _ => None,
    };
    if let Some((kind, name)) = one_of {
        path = format!("{path}/{}", part(name));
        banner = format!("Listing limits for {kind} \"{name}\" ...");
    }
    Ok(Command {
        banner,
        action: Action::List(Ask::get(path, &[]), columns.collect()),
    })
}

fn help() -> String {
    let lists: Vec<&str> = LISTINGS.iter().map(|listing| listing.command).collect();
    format!(
        "Commands that tell something:\n  {}\n  status cluster_status version report ping await_startup check_running \
         check_alarms check_port_listener check_protocol_listener export_definitions\n\
         Commands that change something:\n  {} {}",
        lists.join(" "),
        super::changes::COMMANDS.join(" "),
        super::node::COMMANDS.join(" "),
    )
}
