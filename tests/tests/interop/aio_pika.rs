//! aio-pika, the client for Python's asyncio: `tests/interop/python/flow_aio_pika.py`.

use std::process::Command;

use super::python::python;
use super::{flow, folder};

#[test]
fn whole_flow() {
    if let Some(python) = python() {
        flow::run(Command::new(python).arg(folder("python").join("flow_aio_pika.py")));
    }
}
