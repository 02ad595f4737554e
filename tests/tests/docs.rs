//! The examples of the pages under `deploy/docs`: what they say happens, happens.
//!
//! In a block marked `console` a line that begins with `$ ` is a command for a shell, and the lines behind it are what it prints: all of it, to both
//! outputs. The blocks of a page are run one after the other, against a new broker of the page's own, in a folder that is empty at first; a block marked `toml` is the
//! broker's configuration. `UPDATE_DOCS=1` writes what is printed into the page.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use leveret_tests::broker::binary;
use leveret_tests::node::{Node, Running};

const UPDATE: &str = "UPDATE_DOCS";

fn page(name: &str) -> PathBuf {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/docs");
    docs.join(name)
}

/// What is in the blocks of that mark.
fn blocks(text: &str, mark: &str) -> String {
    let mut found = String::new();
    let mut is_in = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_in = !is_in && line == format!("```{mark}");
        } else if is_in {
            found.push_str(line);
            found.push('\n');
        }
    }
    found
}

/// What a command prints.
fn printed(command: &str, broker: &Running, folder: &Path) -> String {
    let binary = binary();
    let programs = binary.parent().expect("it is in a folder").to_owned();
    let known = env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(programs).chain(env::split_paths(&known));
    let output = Command::new("sh")
        .args(["-c", &format!("{command} 2>&1")])
        .env(
            "PATH",
            env::join_paths(paths).expect("paths without colons"),
        )
        .env(
            "LEVERET_MANAGEMENT_URL",
            format!("http://guest:guest@{}", broker.management()),
        )
        .env("LEVERET_PERF_URI", format!("amqp://{}", broker.amqp))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    let text = String::from_utf8_lossy(&output.stdout);
    // What stands between columns stands there for the eye; pages have no blanks at the end of a line.
    text.lines().fold(String::new(), |mut lines, line| {
        let _ = writeln!(lines, "{}", line.trim_end());
        lines
    })
}

/// The page as it would be if it told what its commands print.
fn told(text: &str) -> String {
    let configuration = blocks(text, "toml");
    let node = Node::new().managed().configured(&configuration);
    let (broker, folder) = (node.start(), tempfile::tempdir().expect("a folder"));
    let mut told = String::new();
    let (mut is_console, mut is_printed) = (false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            is_console = !is_console && line == "```console";
            is_printed = false;
        }
        let command = line.strip_prefix("$ ").filter(|_| is_console);
        if !is_printed || command.is_some() {
            told.push_str(line);
            told.push('\n');
        }
        if let Some(command) = command {
            told.push_str(&printed(command, &broker, folder.path()));
            is_printed = true;
        }
    }
    told
}

/// How often a page is tried: what a broker does behind a command's back may be late once.
const TRIES: usize = 3;

fn check(name: &str) {
    let text = fs::read_to_string(page(name)).expect("the page is there");
    let mut told = self::told(&text);
    for _ in 1..TRIES {
        if told != text && env::var_os(UPDATE).is_none() {
            told = self::told(&text);
        }
    }
    if env::var_os(UPDATE).is_some() {
        fs::write(page(name), &told).expect("the page can be written");
    } else {
        assert_eq!(text, told, "{name}; {UPDATE}=1 mends it");
    }
}

#[test]
fn deduplication() {
    check("deduplication.md");
}

#[test]
fn exchanges() {
    check("exchanges.md");
}

#[test]
fn perf() {
    check("perf.md");
}

#[test]
fn queues() {
    check("queues.md");
}

#[test]
fn streams() {
    check("streams.md");
}
