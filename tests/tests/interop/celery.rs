//! Celery, with a worker of its own: `tests/interop/python/flow_celery.py`.

use std::process::Command;

use super::python::python;
use super::{flow, folder};

#[test]
fn whole_flow() {
    if let Some(python) = python() {
        flow::run(Command::new(python).arg(folder("python").join("flow_celery.py")));
    }
}
