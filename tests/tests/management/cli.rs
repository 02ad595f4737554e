//! The subcommands for operators: the real program against the real broker.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use leveret_tests::broker::{self, Broker};
use leveret_tests::client::{Connection, Login};
use leveret_tests::http::Http;
use serde_json::{Value, json};

use super::{api, unique};

/// The program, which asks this broker.
pub(super) fn leveret(of: &Broker, words: &[&str]) -> Output {
    Command::new(broker::binary())
        .args(words)
        .env(
            "LEVERET_MANAGEMENT_URL",
            format!("http://guest:guest@{}", of.management),
        )
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// What it prints; it has to succeed.
#[track_caller]
pub(super) fn done(words: &[&str]) -> String {
    let output = leveret(broker::own(), words);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {errors}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Its exit code and what it says; it has to fail.
#[track_caller]
pub(super) fn failed(words: &[&str]) -> (i32, String) {
    let output = leveret(broker::own(), words);
    assert!(!output.status.success(), "{words:?} succeeded");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().expect("it ended by itself"), errors)
}

#[test]
fn queues_are_declared_listed_and_deleted() {
    let name = unique("cli");
    done(&[
        "queues",
        "declare",
        &name,
        "--arguments",
        r#"{"x-expires": 100000}"#,
    ]);
    assert!(
        done(&["queues", "list"])
            .lines()
            .any(|line| line.starts_with(&name))
    );
    done(&["exchanges", "publish", "", &name, "hello"]);
    let got = done(&["queues", "get", &name, "--ack"]);
    assert!(
        got.lines().nth(1).expect("a message").ends_with("hello"),
        "{got}"
    );
    let told: Value = serde_json::from_str(&done(&["queues", "show", &name])).expect("JSON");
    assert_eq!(told["arguments"], json!({"x-expires": 100_000}));
    done(&["bindings", "add", "amq.topic", &name, "a.#"]);
    let listed: Value = serde_json::from_str(&done(&["bindings", "list", "--json"])).expect("JSON");
    let bound = |listed: &Value| {
        let all = listed.as_array().expect("a list").iter();
        all.filter(|one| one["destination"] == name.as_str())
            .count()
    };
    assert_eq!(bound(&listed), 2);
    done(&["bindings", "delete", "amq.topic", &name, "a.#"]);
    done(&["queues", "delete", &name]);
    let (code, errors) = failed(&["queues", "show", &name]);
    assert_eq!(code, 1);
    assert!(errors.contains("Not Found"), "{errors}");
}

#[test]
fn users_vhosts_and_what_they_may_do_are_set() {
    let (user, vhost) = (unique("cli-user"), unique("cli-vhost"));
    done(&["vhosts", "add", &vhost, "--description", "a text"]);
    done(&["users", "add", &user, "secret", "--tags", "management"]);
    done(&["permissions", "set", "-p", &vhost, &user, "", "^a", ".*"]);
    let listed = done(&["permissions", "list", "-p", &vhost]);
    assert!(
        listed
            .lines()
            .any(|line| line.starts_with(&user) && line.contains("^a")),
        "{listed}"
    );
    done(&[
        "policies",
        "set",
        "-p",
        &vhost,
        "p",
        "^q",
        r#"{"expires": 1000}"#,
        "--priority",
        "2",
    ]);
    let policy = api().get(&format!("/policies/{vhost}/p"));
    assert_eq!(
        (&policy["priority"], &policy["definition"]),
        (&json!(2), &json!({"expires": 1000}))
    );
    done(&["vhost-limits", "set", "-p", &vhost, "max-queues", "3"]);
    done(&["user-limits", "set", &user, "max-channels", "3"]);
    assert_eq!(
        api().get(&format!("/users/{user}"))["limits"],
        json!({"max-channels": 3})
    );
    done(&["users", "delete", &user]);
    done(&["vhosts", "delete", &vhost]);
    assert_eq!(api().try_get(&format!("/vhosts/{vhost}")).0, 404);
}

/// What it prints as JSON.
#[track_caller]
fn told(words: &[&str]) -> Value {
    serde_json::from_str(&done(words)).expect("JSON")
}

#[test]
fn one_thing_of_each_kind_is_shown() {
    let (user, vhost) = (unique("cli-user"), unique("cli-vhost"));
    assert_eq!(done(&["whoami"]), "name   tags\nguest  administrator\n");
    assert_eq!(
        told(&["feature-flags", "list", "--json"])[0]["state"],
        "enabled"
    );
    done(&["vhosts", "add", &vhost, "--description", "a text"]);
    assert_eq!(told(&["vhosts", "show", &vhost])["description"], "a text");
    done(&["users", "add", &user, "secret", "--tags", "management"]);
    assert_eq!(
        told(&["users", "show", &user])["tags"],
        json!(["management"])
    );
    done(&["permissions", "set", "-p", &vhost, &user, "", "^a", ".*"]);
    let shown = told(&["permissions", "show", "-p", &vhost, &user]);
    assert_eq!(shown["write"], "^a");
    for policies in ["policies", "operator-policies"] {
        let definition = r#"{"max-length": 7}"#;
        done(&[policies, "set", "-p", &vhost, "p", "^q", definition]);
        let shown = told(&[policies, "show", "-p", &vhost, "p"]);
        assert_eq!(shown["definition"], json!({"max-length": 7}));
    }
    let value = r#"{"uri": "amqp://"}"#;
    let parameter = ["federation-upstream", "up"];
    done(
        &[
            &["parameters", "set", "-p", &vhost][..],
            &parameter,
            &[value],
        ]
        .concat(),
    );
    let shown = told(&[&["parameters", "show", "-p", &vhost][..], &parameter].concat());
    assert_eq!(shown["value"], json!({"uri": "amqp://"}));
    done(&["global-parameters", "set", &user, "[1]"]);
    assert_eq!(
        told(&["global-parameters", "show", &user])["value"],
        json!([1])
    );
    done(&["global-parameters", "clear", &user]);
    assert_eq!(failed(&["global-parameters", "show", &user]).0, 1);

    let login = Login {
        response: format!("\0{user}\0secret").into_bytes(),
        vhost: vhost.clone(),
        ..Login::default()
    };
    let _channel = Connection::open_at(broker::own().amqp, &login).channel(1);
    let all = told(&["channels", "list", "--json"]);
    let mut all = all.as_array().expect("a list").iter();
    let own = all.find(|one| one["user"] == user.as_str()).expect("ours");
    let name = own["name"].as_str().expect("a name");
    let of = own["connection_details"]["name"].as_str().expect("a name");
    assert_eq!(told(&["channels", "show", name])["name"], name);
    assert_eq!(told(&["connections", "show", of])["name"], of);
    done(&["users", "delete", &user]);
    done(&["vhosts", "delete", &vhost]);
}

#[test]
fn definitions_of_a_vhost_go_into_another() {
    let [from, to] = [unique("cli-vhost"), unique("cli-vhost")];
    done(&["vhosts", "add", &from]);
    done(&["vhosts", "add", &to]);
    done(&["queues", "declare", "-p", &from, "moved"]);
    let exported = done(&["definitions", "export", "-p", &from, "--of-vhost"]);
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(exported.as_bytes()).expect("a file of ours");
    let path = file.path().to_str().expect("a plain path");
    done(&["definitions", "import", "-p", &to, "--of-vhost", path]);
    assert_eq!(
        told(&["queues", "show", "-p", &to, "moved"])["vhost"],
        to.as_str()
    );
    done(&["vhosts", "delete", &from]);
    done(&["vhosts", "delete", &to]);
}

#[test]
fn who_reads_only_the_beginning_of_what_is_printed_gets_no_error() {
    // Longer than a pipe holds.
    let vhost = unique("cli-vhost");
    done(&["vhosts", "add", &vhost]);
    for number in 0..50 {
        let path = format!("/queues/{vhost}/{}", "q".repeat(200) + &number.to_string());
        assert_eq!(api().put(&path, &json!({})).0, 201);
    }
    let mut listing = Command::new(broker::binary())
        .args(["queues", "list", "--json", "-p", &vhost])
        .env(
            "LEVERET_MANAGEMENT_URL",
            format!("http://guest:guest@{}", broker::own().management),
        )
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(listing.stdout.take());
    assert!(listing.wait().expect("our own child").success());
    done(&["vhosts", "delete", &vhost]);
}

#[test]
fn definitions_go_from_one_broker_to_another() {
    let first = Broker::start(&broker::binary(), &[]);
    let second = Broker::start(&broker::binary(), &[]);
    assert_eq!(
        Http::guest(first.management)
            .put("/vhosts/moved", &json!({}))
            .0,
        201
    );
    let exported = leveret(&first, &["definitions", "export"]);
    assert!(exported.status.success());
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&exported.stdout).expect("a file of ours");
    let path = file.path().to_str().expect("a plain path");
    assert!(
        leveret(&second, &["definitions", "import", path])
            .status
            .success()
    );
    assert_eq!(
        Http::guest(second.management).get("/vhosts/moved")["name"],
        "moved"
    );
}
