//! Runs a suite's tests beside a broker, where neither sees any network but loopback: `tests/suites/sandbox.sh` in namespaces of its own. All that it started
//! ends with it.

use std::fs;
use std::path::{Path, PathBuf};

use super::fetch::Fetched;
use super::list::Suite;
use super::results::Results;
use crate::Outcome;
use crate::command::Line;
use crate::setup::{is_root, remove_folder};
use crate::workspace::Workspace;

const SCRIPT: &str = "tests/suites/sandbox.sh";

/// What the tests are run against.
#[derive(Clone, Debug)]
pub(crate) enum Broker {
    RabbitMq,
    /// This binary.
    Leveret(PathBuf),
}

impl Broker {
    /// What it is called.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::RabbitMq => "rabbitmq",
            Self::Leveret(_) => "leveret",
        }
    }

    /// What the script calls it.
    fn argument(&self) -> String {
        match self {
            Self::RabbitMq => "rabbitmq".to_owned(),
            Self::Leveret(binary) => binary.display().to_string(),
        }
    }
}

/// Runs a suite. What it printed is in a file beside its source, as is what the broker wrote.
pub(crate) fn run(
    suite: &Suite,
    fetched: &Fetched,
    broker: &Broker,
    workspace: &Workspace,
) -> Outcome<Results> {
    let name = broker.name();
    let scratch = fetched.home.join(format!("scratch-{name}"));
    let log = fetched.home.join(format!("{name}.log"));
    remove_folder(&scratch)?;
    fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let mut line = isolated(suite, &workspace.root, &broker.argument(), &scratch)?
        .within(&fetched.folder)
        .env(
            "XDG_CACHE_HOME",
            fetched.home.join("cache").display().to_string(),
        );
    for (name, value) in fetched.env.iter().chain(&suite.env) {
        line = line.env(name, value);
    }
    let status = line.log_to(&log)?;
    let printed = fs::read(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let results = suite.results.read(&String::from_utf8_lossy(&printed));
    if !status.success() {
        let limit = suite.limit_secs;
        println!(
            "{name}: ended with {status} (it has {limit} s), see {}",
            log.display()
        );
    }
    Ok(results)
}

/// The script, in namespaces of its own and for a limited time.
fn isolated(suite: &Suite, root: &Path, broker: &str, scratch: &Path) -> Outcome<Line> {
    let limit = suite.limit_secs.to_string();
    let (script, scratch) = (root.join(SCRIPT), scratch.display().to_string());
    let script = script.display().to_string();
    // `unshare` minds no milder signal, and what it started dies with it.
    let mut words = vec!["--signal=KILL", &limit, "unshare", "--net", "--pid"];
    words.extend(["--fork", "--kill-child", "--mount-proc"]);
    if !is_root()? {
        words.push("--map-root-user");
    }
    words.extend(["sh", &script, broker, &scratch, &suite.run]);
    Ok(Line::new("timeout", &words))
}
