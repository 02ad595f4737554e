//! The list of suites (`tests/suites.toml`) and of what Leveret may fail of them (`tests/suite-differences.toml`), as they are read. Both are written by hand;
//! a key that nobody knows is an error.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::results::Form;
use crate::Outcome;

const SUITES: &str = "tests/suites.toml";
const DIFFERENCES: &str = "tests/suite-differences.toml";

/// Tests that a client library ships with its source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) source: Source,
    /// Packages that its tests need besides.
    pub(crate) with: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// What a shell runs in the folder of the source.
    pub(crate) run: String,
    pub(crate) results: Form,
    /// How many of its tests pass against RabbitMQ at least.
    pub(crate) passes_min: usize,
    /// How long it may take.
    pub(crate) limit_secs: u64,
}

/// Where a suite's source comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// A source package of PyPI, `NAME==VERSION`.
    Python(String),
    /// A package of npm, `NAME@VERSION`.
    Npm(String),
    /// A crate, `NAME@VERSION`.
    Crate(String),
    /// A package of Debian, and the folder that it brings.
    Debian { package: String, folder: PathBuf },
}

/// A test that RabbitMQ passes and Leveret may fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) suite: String,
    pub(crate) test: String,
    /// Leveret passes it at times.
    pub(crate) sometimes: bool,
}

/// Reads the list of suites.
pub(crate) fn suites(root: &Path) -> Outcome<Vec<Suite>> {
    tables(root, SUITES, "suite")?
        .iter()
        .map(|table| suite(table).map_err(|error| format!("{SUITES}: {error}")))
        .collect()
}

/// Reads the list of differences.
pub(crate) fn differences(root: &Path) -> Outcome<Vec<Difference>> {
    tables(root, DIFFERENCES, "difference")?
        .iter()
        .map(|table| difference(table).map_err(|error| format!("{DIFFERENCES}: {error}")))
        .collect()
}

fn tables(root: &Path, file: &str, name: &str) -> Outcome<Vec<Table>> {
    let text = std::fs::read_to_string(root.join(file))
        .map_err(|error| format!("{file} cannot be read: {error}"))?;
    let all: Table = text.parse().map_err(|error| format!("{file}: {error}"))?;
    known(&all, &[name]).map_err(|error| format!("{file}: {error}"))?;
    let list = all.get(name).and_then(Value::as_array);
    let tables = list.into_iter().flatten().map(|value| {
        let table = value.as_table().cloned();
        table.ok_or_else(|| format!("{file}: a {name} is no table"))
    });
    tables.collect()
}

fn suite(table: &Table) -> Outcome<Suite> {
    let keys = "name python npm crate debian folder with env run results passes_min limit_secs";
    known(table, &keys.split(' ').collect::<Vec<_>>())?;
    Ok(Suite {
        name: text(table, "name")?,
        source: source(table)?,
        with: texts(table, "with")?,
        env: env(table)?,
        run: text(table, "run")?,
        results: Form::named(&text(table, "results")?)?,
        passes_min: number(table, "passes_min")?,
        limit_secs: number(table, "limit_secs")? as u64,
    })
}

fn source(table: &Table) -> Outcome<Source> {
    let kinds = ["python", "npm", "crate", "debian"];
    let mut named = kinds.iter().filter(|kind| table.contains_key(**kind));
    let (Some(kind), None) = (named.next(), named.next()) else {
        return Err(format!("a suite has one of {}", kinds.join(", ")));
    };
    let package = text(table, kind)?;
    if *kind == "crate" && table.contains_key("with") {
        return Err("cargo knows what a crate needs: it has no `with`".to_owned());
    }
    Ok(match *kind {
        "python" => Source::Python(package),
        "npm" => Source::Npm(package),
        "crate" => Source::Crate(package),
        _ => Source::Debian {
            package,
            folder: text(table, "folder")?.into(),
        },
    })
}

fn difference(table: &Table) -> Outcome<Difference> {
    known(table, &["suite", "test", "why", "sometimes"])?;
    text(table, "why")?;
    let sometimes = table.get("sometimes").and_then(Value::as_bool);
    Ok(Difference {
        suite: text(table, "suite")?,
        test: text(table, "test")?,
        sometimes: sometimes.unwrap_or_default(),
    })
}

fn env(table: &Table) -> Outcome<Vec<(String, String)>> {
    let Some(env) = table.get("env") else {
        return Ok(Vec::new());
    };
    let env = env.as_table().ok_or("env is no table")?;
    let pairs = env.keys().map(|key| Ok((key.clone(), text(env, key)?)));
    pairs.collect()
}

fn text(table: &Table, key: &str) -> Outcome<String> {
    let value = table.get(key).and_then(Value::as_str);
    value
        .map(str::to_owned)
        .ok_or_else(|| format!("{key} is no text"))
}

fn texts(table: &Table, key: &str) -> Outcome<Vec<String>> {
    let Some(list) = table.get(key) else {
        return Ok(Vec::new());
    };
    let list = list.as_array().ok_or_else(|| format!("{key} is no list"))?;
    let texts = list.iter().map(|value| {
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| format!("{key} has something that is no text"))
    });
    texts.collect()
}

fn number(table: &Table, key: &str) -> Outcome<usize> {
    let value = table.get(key).and_then(Value::as_integer);
    value
        .and_then(|value| usize::try_from(value).ok())
        .ok_or_else(|| format!("{key} is no number"))
}

fn known(table: &Table, keys: &[&str]) -> Outcome {
    match table.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(format!("nobody reads {key}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
