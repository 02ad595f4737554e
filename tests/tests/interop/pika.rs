//! pika, the client for Python: `tests/interop/python/interop.py`, and README's example.
//!
//! Both run in an environment under the target folder that holds the pika of `requirements.txt`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{folder, program, readme, uri};

#[test]
fn all_scenarios() {
    if let Some(python) = python() {
        let script = folder("python").join("interop.py");
        program::run_scenarios(Command::new(python).arg(script), "connection_close");
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

/// The interpreter that has pika; made by the first test that asks. None if there is no Python.
fn python() -> Option<&'static PathBuf> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(installed).as_ref()
}

fn installed() -> Option<PathBuf> {
    if !program::are_here("pika", &["python3"]) {
        return None;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("it is target/tmp");
    let environment = target.join("interop/python");
    let python = environment.join("bin/python");
    let list = folder("python").join("requirements.txt");
    if !program::is_installed(&environment, &list) {
        let new = ["-m", "venv", "--clear"];
        program::run(Command::new("python3").args(new).arg(&environment));
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ];
        program::run(Command::new(&python).args(install).arg(&list));
        program::stamp(&environment, &list);
    }
    Some(python)
}
