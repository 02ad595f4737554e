//! Session scripts: every `*.amqp` file beside this one is run against connections and shards in one thread.
//!
//! A script that does not go as written fails the test with file, line and what came instead. `UPDATE=1` in the environment rewrites the
//! broker's lines to what came: read the difference before it is committed, the texts are RabbitMQ's. Without sockets and tasks, so that every
//! run is the same.

mod frames;
mod schema;
mod script;
mod sockets;
mod value;

use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = std::fs::read_dir(folder).expect("the folder of this file");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("can be listed").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "amqp")
        })
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_script_goes_as_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let scripts = scripts();
    assert!(scripts.len() > 5, "the scripts are beside this file");
    let mut failures = Vec::new();
    for path in scripts {
        let script = std::fs::read_to_string(&path).expect("a script is text");
        let outcome = script::run(&script);
        let Some((line, what)) = outcome.first_difference else {
            continue;
        };
        if update && outcome.text != script {
            std::fs::write(&path, outcome.text).expect("a script can be rewritten");
        } else {
            failures.push(format!("{}:{line}: {what}", path.display()));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn what_differs_is_named_by_its_line() {
    let script = "# a queue\nC: queue.declare queue=q\n\
                  S: queue.declare-ok queue=q message-count=0 consumer-count=1\nC: queue.purge queue=q\n";
    let outcome = script::run(script);
    let (line, what) = outcome.first_difference.expect("there is no consumer");
    assert_eq!(line, 3);
    assert!(
        what.contains("got       S: queue.declare-ok queue=q message-count=0 consumer-count=0")
    );
    assert_eq!(
        outcome.text,
        "# a queue\nC: queue.declare queue=q\n \
         S: queue.declare-ok queue=q message-count=0 consumer-count=0\nC: queue.purge queue=q\n \
         S: queue.purge-ok message-count=0\n"
    );
    assert!(script::run(&outcome.text).first_difference.is_none());
}

#[test]
fn what_is_missing_or_cannot_be_said_is_named_too() {
    let first_line = |script: &str| {
        let difference = script::run(script).first_difference;
        difference.map(|(line, what)| (line, what.contains("nothing")))
    };
    let silent = "C: basic.ack delivery-tag=0 multiple=true\n S: closed\n";
    assert_eq!(first_line(silent), Some((2, true)));
    let unexpected = "\nC: basic.qos\n";
    assert_eq!(first_line(unexpected), Some((2, true)));
    assert_eq!(first_line("C: basic.cure\n"), Some((1, false)));
    assert_eq!(first_line("C: basic.qos cure=1\n"), Some((1, false)));
}
