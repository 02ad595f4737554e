//! `config/leveret.toml` held against the code, in both directions.

use toml::{Table, Value};

use super::config;
use crate::config::Config;
use crate::config::environment::table_of;

const SHIPPED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../config/leveret.toml"
));

#[test]
fn the_shipped_file_holds_the_defaults() {
    assert_eq!(config(SHIPPED, &[], &[]), Config::default());
}

/// A key may be commented out, as `#key = value`, where it excludes another one.
#[test]
fn the_shipped_file_holds_every_key_and_no_other() {
    let whole: String = SHIPPED
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|first: char| first.is_ascii_lowercase()) => key,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let in_file = paths("", &Value::Table(whole.parse::<Table>().unwrap()));
    let mut full = Config::default();
    full.users[0].password_hash = Some("of the kind that is left out of the default".to_owned());
    let in_code = paths("", &Value::Table(table_of(&full)));
    assert_eq!(in_file, in_code);
}

#[test]
fn each_key_of_the_shipped_file_has_one_comment_above_it() {
    let lines: Vec<&str> = SHIPPED.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let is_key = line.contains(" = ") && !line.starts_with("# ");
        if is_key {
            assert!(
                lines[index - 1].starts_with("# "),
                "no comment above `{line}`"
            );
        }
    }
}

/// Every key with its sections, in order.
fn paths(prefix: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Table(table) => table
            .iter()
            .flat_map(|(key, value)| paths(&format!("{prefix}.{key}"), value))
            .collect(),
        Value::Array(items) if items.iter().all(Value::is_table) => {
            items.iter().flat_map(|item| paths(prefix, item)).collect()
        }
        _ => vec![prefix.to_owned()],
    }
}
