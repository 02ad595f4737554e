//! amqplib, the client for Node: `tests/interop/node/interop.js`, and the flow.

use std::process::Command;
use std::sync::OnceLock;

use super::{flow, folder, program};

#[test]
fn all_scenarios() {
    if modules() {
        let script = folder("node").join("interop.js");
        program::run_scenarios(Command::new("node").arg(script), "connection_close");
    }
}

#[test]
fn whole_flow() {
    if modules() {
        flow::run(Command::new("node").arg(folder("node").join("flow_amqplib.js")));
    }
}

/// Whether there is Node; then the modules of the clients are there, too, installed by the first test that asks.
pub(super) fn modules() -> bool {
    static MODULES: OnceLock<bool> = OnceLock::new();
    *MODULES.get_or_init(installed)
}

fn installed() -> bool {
    if !program::are_here("Node", &["node", "npm"]) {
        return false;
    }
    let folder = folder("node");
    let (modules, list) = (
        folder.join("node_modules"),
        folder.join("package-lock.json"),
    );
    if !program::is_installed(&modules, &list) {
        let install = ["ci", "--no-audit", "--no-fund"];
        program::run(Command::new("npm").args(install).current_dir(&folder));
        program::stamp(&modules, &list);
    }
    true
}
