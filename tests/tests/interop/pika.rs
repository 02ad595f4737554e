//! pika, the client for Python: `tests/interop/python/interop.py`, the flow, and README's example.

use std::fs;
use std::process::Command;

use super::python::python;
use super::{flow, folder, program, readme, uri};

#[test]
fn all_scenarios() {
    if let Some(python) = python() {
        let script = folder("python").join("interop.py");
        program::run_scenarios(Command::new(python).arg(script), "connection_close");
    }
}

#[test]
fn whole_flow() {
    if let Some(python) = python() {
        flow::run(Command::new(python).arg(folder("python").join("flow_pika.py")));
    }
}

#[test]
fn readme_example() {
    let example = readme::with_address(&readme::block("python"), &uri());
    let Some(python) = python() else {
        return;
    };
    let script = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(script.path(), example).expect("our own file");
    let printed = program::run(Command::new(python).arg(script.path()));
    assert_eq!(printed, "confirmed\nreceived: hello\n");
}
