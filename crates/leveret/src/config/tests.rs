//! Precedence: flag, variable, file, default; and RabbitMQ's variables.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;
use toml::Value;

use super::environment::{keys, table_of, variable_of};
use super::*;
use crate::arguments::Arguments;

mod errors;
mod shipped;

/// Loads with a file of this text, these variables and these flags.
fn load_with(
    text: Option<&str>,
    variables: &[(&str, &str)],
    flags: &[&str],
) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let mut variables: Vec<(OsString, OsString)> = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    if let Some(text) = text {
        let file = folder.path().join("test.toml");
        std::fs::write(&file, text).unwrap();
        variables.push(("LEVERET_CONFIG".into(), file.into()));
    }
    let arguments =
        Arguments::try_parse_from(["leveret"].iter().chain(flags)).expect("the flags are good");
    load(&arguments.flags, &Environment::new(variables))
}

fn config(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> Config {
    load_with(Some(text), variables, flags).unwrap().config
}

#[test]
fn without_anything_there_are_defaults() {
    let loaded = load_with(None, &[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.file, None);
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(config("", &[], &[]), Config::default());
}

#[test]
fn flag_over_variable_over_file_over_default() {
    let file = "data_dir = '/file'\n[log]\nlevel = 'debug'\n[listeners]\namqp = ['127.0.0.1:1']";
    let variables = [
        ("LEVERET_DATA_DIR", "/variable"),
        ("LEVERET_LOG_LEVEL", "trace"),
        ("LEVERET_AMQP_LISTEN", "127.0.0.1:2, unix:/run/a.sock"),
    ];
    let flags = [
        "--data-dir",
        "/flag",
        "--amqp-listen",
        "127.0.0.1:3",
        "--amqp-listen",
        "[::1]:3",
    ];
    let addresses = |config: &Config| -> Vec<String> {
        config
            .listeners
            .amqp
            .iter()
            .map(ListenAddress::to_string)
            .collect()
    };

    let by_file = config(file, &[], &[]);
    assert_eq!(by_file.data_dir, Path::new("/file"));
    assert_eq!(by_file.log.level, "debug");
    assert_eq!(addresses(&by_file), ["127.0.0.1:1"]);
    assert_eq!(by_file.limits, Limits::default());

    let by_variable = config(file, &variables, &[]);
    assert_eq!(by_variable.data_dir, Path::new("/variable"));
    assert_eq!(by_variable.log.level, "trace");
    assert_eq!(addresses(&by_variable), ["127.0.0.1:2", "unix:/run/a.sock"]);

    let by_flag = config(file, &variables, &flags);
    assert_eq!(by_flag.data_dir, Path::new("/flag"));
    assert_eq!(by_flag.log.level, "trace");
    assert_eq!(addresses(&by_flag), ["127.0.0.1:3", "[::1]:3"]);
}

#[test]
fn the_config_flag_counts_more_than_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flag.toml");
    std::fs::write(&file, "vhosts = ['/', 'flag']").unwrap();
    let flags = ["--config", file.to_str().unwrap()];
    let loaded = load_with(Some("vhosts = ['/', 'variable']"), &[], &flags).unwrap();
    assert_eq!(loaded.config.vhosts, ["/", "flag"]);
    assert_eq!(loaded.file, Some(file));
}

#[test]
fn every_flag_takes_effect() {
    let flags = [
        "--data-dir=/d",
        "--amqp-listen=unix:/a",
        "--amqps-listen=127.0.0.1:8",
        "--management-listen=127.0.0.1:9",
        "--management-tls-listen=127.0.0.1:10",
        "--log-level=warn",
        "--log-format=json",
    ];
    let mut expected = Config {
        data_dir: "/d".into(),
        ..Config::default()
    };
    expected.listeners.amqp = vec![ListenAddress::Unix("/a".into())];
    expected.listeners.management = vec!["127.0.0.1:9".parse().unwrap()];
    expected.listeners.management_tls = vec!["127.0.0.1:10".parse().unwrap()];
    expected.log = Log {
        level: "warn".to_owned(),
        format: LogFormat::Json,
        ..Log::default()
    };
    expected.listeners.amqps = vec!["127.0.0.1:8".parse().unwrap()];
    expected.tls.cert_file = "/c".into();
    expected.tls.key_file = "/k".into();
    let file = "tls.cert_file = '/c'\ntls.key_file = '/k'";
    let loaded = load_with(Some(file), &[], &flags).unwrap();
    assert_eq!(loaded.config, expected);
}

#[test]
fn every_single_key_has_a_variable_that_takes_effect() {
    for (key, default) in keys() {
        let (text, value) = match key.as_str() {
            "log.level" => ("debug", Value::from("debug")),
            "log.format" => ("json", Value::from("json")),
            "compat.version" => ("4.1.0", Value::from("4.1.0")),
            "compat.live_prefetch" => ("never", Value::from("never")),
            // A vhost more, since guest needs the one there is.
            "vhosts" => ("/,a", Value::from(vec!["/", "a"])),
            "loopback_users" => ("a,b", Value::from(vec!["a", "b"])),
            "store.os_durability_vhosts" => ("/", Value::from(vec!["/"])),
            "listeners.proxy_protocol" => ("true", Value::from(true)),
            "tls.client_certificates" | "tls.management_client_certificates" => {
                ("optional", Value::from("optional"))
            }
            "tls.login_from" => ("san_dns", Value::from("san_dns")),
            "listeners.amqp"
            | "listeners.amqps"
            | "listeners.management"
            | "listeners.management_tls" => (
                "127.0.0.1:1,[::1]:1",
                Value::from(vec!["127.0.0.1:1", "[::1]:1"]),
            ),
            "limits.unfinished_content_bytes_max"
            | "limits.queued_bytes_budget"
            | "store.log_bytes"
            | "limits.transaction_bytes_max"
            | "limits.queued_bytes_max" => ("99999999", Value::from(99_999_999)),
            "limits.outbox_bytes_max" | "limits.frame_max" => ("99999", Value::from(99_999)),
            _ if default.is_integer() => ("7", Value::from(7)),
            _ if default.is_float() => ("0.5", Value::from(0.5)),
            _ if default.is_bool() => ("true", Value::from(true)),
            _ => ("text", Value::from("text")),
        };
        let mut expected = table_of(&Config::default());
        // What makes sense only with others.
        let others: &[&str] = match key.as_str() {
            "listeners.amqps" | "listeners.management_tls" => &["cert_file", "key_file"],
            "tls.client_certificates" | "tls.management_client_certificates" => &["ca_file"],
            _ => &[],
        };
        let mut variables = vec![(variable_of(&key), text)];
        for other in others {
            expected["tls"][*other] = Value::from("text");
            variables.push((variable_of(&format!("tls.{other}")), "text"));
        }
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, text)| (name.as_str(), *text))
            .collect();
        let loaded = load_with(None, &variables, &[]).unwrap();
        match key.split_once('.') {
            Some((section, key)) => {
                expected[section]
                    .as_table_mut()
                    .unwrap()
                    .insert(key.to_owned(), value);
            }
            None => {
                expected.insert(key.clone(), value);
            }
        }
        assert_eq!(table_of(&loaded.config), expected, "{}", variable_of(&key));
        assert_eq!(loaded.unknown_variables, Vec::<String>::new());
    }
}

#[test]
fn rabbitmq_names_of_the_default_user() {
    let variables = [
        ("RABBITMQ_DEFAULT_USER", "alice"),
        ("RABBITMQ_DEFAULT_PASS", "secret"),
        ("RABBITMQ_DEFAULT_VHOST", "shop"),
    ];
    let alone = config("", &variables, &[]);
    assert_eq!(
        alone.users,
        [User::administrator("alice", "secret", "shop")]
    );
    assert_eq!(alone.vhosts, ["shop"]);

    let only_password = config("", &variables[1..2], &[]);
    assert_eq!(
        only_password.users,
        [User::administrator("guest", "secret", "/")]
    );
    assert_eq!(only_password.vhosts, ["/"]);

    let file = "vhosts = ['/', 'b']\n[[users]]\nname = 'bob'\n[[users]]\nname = 'alice'";
    let beside = config(file, &variables, &[]);
    let names: Vec<&str> = beside.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["bob", "alice"]);
    assert_eq!(
        beside.users[1],
        User::administrator("alice", "secret", "shop")
    );
    assert_eq!(beside.vhosts, ["/", "b", "shop"]);
}

#[test]
fn variables_of_no_key_are_told_and_no_error() {
    let variables = [
        ("LEVERET_SERVICE_HOST", "10.0.0.1"),
        ("LEVERETX", "1"),
        ("PATH", "/bin"),
    ];
    let loaded = load_with(None, &variables, &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.unknown_variables, ["LEVERET_SERVICE_HOST"]);
}

#[test]
fn an_empty_variable_is_none() {
    let loaded = load_with(None, &[("LEVERET_LOG_LEVEL", "")], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn passwords_stay_out_of_debug_output() {
    let shown = format!(
        "{:?}",
        config("[[users]]\nname = 'a'\npassword = 'hidden'", &[], &[])
    );
    assert!(!shown.contains("hidden"), "{shown}");
}
