//! Python with the clients of `tests/interop/python/requirements.txt`, in an environment under the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{folder, program};

/// The interpreter that has them; made by the first test that asks. None if there is no Python.
pub(super) fn python() -> Option<&'static PathBuf> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(installed).as_ref()
}

fn installed() -> Option<PathBuf> {
    if !program::are_here("Python", &["python3"]) {
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
