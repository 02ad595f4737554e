//! The words of RabbitMQ's `rabbitmqctl`: the real program against the real broker.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::Command;

use amq_protocol::protocol::{AMQPClass, connection};
use leveret_tests::address::HeldAddress;
use leveret_tests::broker::{self, Broker};
use leveret_tests::client::{Connection, Login};
use leveret_tests::http::Http;
use serde_json::{Value, json};

use super::cli::{done, failed, leveret};
use super::{api, unique};

#[test]
fn lists_in_columns() {
    let name = unique("ctl");
    done(&["queues", "declare", &name]);
    let listed = done(&["rabbitmqctl", "list_queues", "name", "messages", "durable"]);
    let mut lines = listed.lines();
    assert_eq!(lines.next(), Some("Listing queues for vhost / ..."));
    assert_eq!(lines.next(), Some("name\tmessages\tdurable"));
    let line = format!("{name}\t0\ttrue");
    assert!(lines.any(|one| one == line), "{listed}");
    let quiet = done(&["rabbitmqctl", "-q", "-p", "/", "list_queues"]);
    assert!(quiet.starts_with("name\tmessages\n"), "{quiet}");
    let silent = done(&["rabbitmqctl", "-s", "list_vhosts"]);
    assert!(
        silent.lines().any(|line| line == "/") && !silent.contains("name"),
        "{silent}"
    );
    let json = done(&["rabbitmqctl", "list_users", "--formatter", "json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let guest = json!({"user": "guest", "tags": ["administrator"]});
    assert!(json.as_array().expect("a list").contains(&guest), "{json}");
    done(&["rabbitmqctl", "delete_queue", &name]);
}

#[test]
fn sets_users_and_permissions() {
    let (user, vhost) = (unique("ctl-user"), unique("ctl-vhost"));
    done(&["rabbitmqctl", "add_vhost", &vhost, "--description", "d"]);
    assert_eq!(
        done(&["rabbitmqctl", "add_user", &user, "p"]),
        format!("Adding user \"{user}\" ...\n")
    );
    done(&[
        "rabbitmqctl",
        "-q",
        "set_user_tags",
        &user,
        "monitoring",
        "other",
    ]);
    assert_eq!(
        api().get(&format!("/users/{user}"))["tags"],
        json!(["monitoring", "other"])
    );
    done(&[
        "rabbitmqctl",
        "set_permissions",
        "-p",
        &vhost,
        &user,
        ".*",
        ".*",
        ".*",
    ]);
    done(&["rabbitmqctl", "authenticate_user", &user, "p"]);
    done(&["rabbitmqctl", "change_password", &user, "q"]);
    assert_eq!(
        failed(&["rabbitmqctl", "authenticate_user", &user, "p"]).0,
        65
    );
    done(&["rabbitmqctl", "authenticate_user", &user, "q"]);
    assert_eq!(
        api().get(&format!("/users/{user}"))["tags"],
        json!(["monitoring", "other"])
    );
    done(&[
        "rabbitmqctl",
        "set_policy",
        "-p",
        &vhost,
        "p",
        "^a",
        r#"{"expires":5}"#,
        "--apply-to",
        "queues",
    ]);
    assert_eq!(
        api().get(&format!("/policies/{vhost}/p"))["apply-to"],
        "queues"
    );
    done(&["rabbitmqctl", "delete_user", &user]);
    done(&["rabbitmqctl", "delete_vhost", &vhost]);
}

#[test]
fn sets_and_clears_limits() {
    let (user, vhost) = (unique("ctl-user"), unique("ctl-vhost"));
    done(&["rabbitmqctl", "add_vhost", &vhost]);
    done(&["rabbitmqctl", "add_user", &user, "p"]);
    done(&[
        "rabbitmqctl",
        "set_vhost_limits",
        "-p",
        &vhost,
        r#"{"max-queues":7}"#,
    ]);
    assert_eq!(
        api().get(&format!("/vhost-limits/{vhost}"))[0]["value"],
        json!({"max-queues": 7})
    );
    let listed = done(&["rabbitmqctl", "-s", "list_vhost_limits", "-p", &vhost]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    done(&[
        "rabbitmqctl",
        "set_user_limits",
        &user,
        r#"{"max-channels":7,"max-connections":8}"#,
    ]);
    done(&["rabbitmqctl", "clear_user_limits", &user, "all"]);
    assert_eq!(api().get(&format!("/user-limits/{user}")), json!([]));
    done(&["rabbitmqctl", "delete_user", &user]);
    done(&["rabbitmqctl", "delete_vhost", &vhost]);
}

#[test]
fn has_rabbitmqs_exit_codes() {
    assert_eq!(failed(&["rabbitmqctl", "no_such_command"]).0, 64);
    assert_eq!(failed(&["rabbitmqctl", "add_user", "only"]).0, 64);
    assert_eq!(failed(&["rabbitmqctl", "delete_user", "nobody"]).0, 67);
    assert_eq!(failed(&["rabbitmqctl", "set_policy", "p", "a", "{"]).0, 65);
    assert_eq!(failed(&["rabbitmqctl", "set_policy", "p", "a", "{}"]).0, 69);
    assert_eq!(failed(&["rabbitmqctl", "add_user", "guest", "x"]).0, 70);
    assert_eq!(failed(&["rabbitmqctl", "delete_vhost", "none"]).0, 65);
    assert_eq!(failed(&["rabbitmqctl", "trace_on", "-p", "none"]).0, 65);
    assert_eq!(api().try_get("/vhosts/none").0, 404);
    let (code, said) = failed(&["rabbitmqctl", "list_permissions", "-p", "none"]);
    assert!(code == 65 && !said.contains("User"), "{code}: {said}");
    assert_eq!(failed(&["rabbitmqctl", "delete_queue", "none"]).0, 64);
    assert_eq!(failed(&["rabbitmqctl", "purge_queue", "none"]).0, 69);
    assert_eq!(failed(&["rabbitmqctl", "clear_policy", "none"]).0, 69);
    done(&["rabbitmqctl", "close_connection", "<a.1.2.3>", "gone"]);
    let nobody = HeldAddress::new();
    let nowhere = Command::new(broker::binary())
        .args(["rabbitmqctl", "ping"])
        .env("LEVERET_MANAGEMENT_URL", format!("http://{}", *nobody))
        .output()
        .expect("the program runs");
    assert_eq!(nowhere.status.code(), Some(69));
    done(&["rabbitmqctl", "-q", "ping"]);
    done(&["rabbitmqctl", "await_startup"]);
    done(&["rabbitmqctl", "check_alarms"]);
}

/// As the Java client's test suite does it.
#[test]
fn closes_connections_and_raises_alarms() {
    let broker = Broker::start(&broker::binary(), &[]);
    let ctl = |words: &[&str]| {
        let output = leveret(&broker, &[&["rabbitmqctl"], words].concat());
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).expect("it prints text")
    };
    let connection = Connection::open_at(broker.amqp, &Login::hearing_of_alarms());
    let channel = connection.channel(1);
    let said = ctl(&[
        "eval",
        "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).",
    ]);
    assert_eq!(said, "ok\n");
    channel.publish("", "nowhere", "one");
    let blocked = connection.next_method(0);
    let reason = connection::Blocked {
        reason: "low on memory".into(),
    };
    let blocks = connection::AMQPMethod::Blocked(reason);
    assert_eq!(blocked, Some(AMQPClass::Connection(blocks)));
    ctl(&[
        "eval",
        "rabbit_alarm:clear_alarm({resource_limit, memory, node()}).",
    ]);
    let goes_on = connection::AMQPMethod::Unblocked(connection::Unblocked {});
    assert_eq!(
        connection.next_method(0),
        Some(AMQPClass::Connection(goes_on))
    );

    let listed = ctl(&[
        "list_connections",
        "-q",
        "pid",
        "peer_port",
        "client_properties",
    ]);
    let mut line = listed.lines().nth(1).expect("one connection").split('\t');
    let pid = line.next().expect("a pid");
    ctl(&["close_connection", pid, "for a reason"]);
    connection.expect_close(320, "CONNECTION_FORCED - for a reason");

    let [here, elsewhere] = ["/", "other"].map(|vhost| {
        let api = Http::guest(broker.management);
        api.put(
            &format!("/vhosts/{}", vhost.replace('/', "%2F")),
            &json!({}),
        );
        let login = Login {
            vhost: vhost.to_owned(),
            ..Login::default()
        };
        Connection::open_at(broker.amqp, &login)
    });
    let closed = "CONNECTION_FORCED - Closed via rabbitmqctl";
    ctl(&["close_all_connections", "Closed via rabbitmqctl"]);
    here.expect_close(320, closed);
    elsewhere.channel(1).sync();
    ctl(&[
        "close_all_connections",
        "--global",
        "Closed via rabbitmqctl",
    ]);
    elsewhere.expect_close(320, closed);
}

#[test]
fn writes_definitions_to_a_file_and_reads_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("definitions.json");
    let path = file.to_str().expect("a plain path");
    let said = done(&["rabbitmqctl", "export_definitions", path]);
    assert_eq!(
        said,
        format!("Exporting definitions in JSON to a file at \"{path}\" ...\n")
    );
    let written = std::fs::read_to_string(&file).expect("it was written");
    let written: Value = serde_json::from_str(&written).expect("JSON");
    assert!(written["users"].is_array(), "{written}");
    done(&["rabbitmqctl", "import_definitions", path]);
    let printed = done(&["rabbitmqctl", "export_definitions", "-"]);
    assert!(printed.starts_with('{'), "{printed}");
    let version = done(&["rabbitmqctl", "version"]);
    assert!(
        version.starts_with(|first: char| first.is_ascii_digit()),
        "{version}"
    );
}

#[test]
fn stop_app_closes_listeners_and_connections_and_reset_is_refused() {
    let broker = Broker::start(&broker::binary(), &[]);
    let succeeds = |command: &str| {
        let output = leveret(&broker, &["rabbitmqctl", command]);
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).expect("it prints text")
    };
    let connections = [(); 2].map(|()| Connection::open_at(broker.amqp, &Login::default()));
    let said = succeeds("stop_app");
    assert!(
        said.starts_with("Stopping rabbit application on node "),
        "{said}"
    );
    for connection in &connections {
        connection.expect_close(
            320,
            "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
        );
    }
    assert_refuses(&broker);
    assert!(succeeds("start_app").starts_with("Starting node "));
    Connection::open_at(broker.amqp, &Login::default()).close();
    for command in ["reset", "force_reset"] {
        let output = leveret(&broker, &["rabbitmqctl", command]);
        assert_eq!(output.status.code(), Some(70), "{output:?}");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains("remove its data folder"), "{errors}");
    }
}

#[test]
fn suspended_listeners_let_connections_go_on() {
    let broker = Broker::start(&broker::binary(), &[]);
    let succeeds = |command: &str| {
        let output = leveret(&broker, &["rabbitmqctl", command]);
        assert!(output.status.success(), "{command}: {output:?}");
    };
    let before = Connection::open_at(broker.amqp, &Login::default()).channel(1);
    for _ in 0..2 {
        succeeds("suspend_listeners");
        assert_refuses(&broker);
        before.sync();
    }
    for _ in 0..2 {
        succeeds("resume_listeners");
        Connection::open_at(broker.amqp, &Login::default()).close();
    }
    before.sync();
}

/// No client can connect.
#[track_caller]
fn assert_refuses(broker: &Broker) {
    let refused = TcpStream::connect(broker.amqp).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}
