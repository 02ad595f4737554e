//! amqplib, the client for Node: `tests/interop/node/interop.js`.

use std::process::Command;

use super::{folder, program};

#[test]
fn all_scenarios() {
    if !program::are_here("amqplib", &["node", "npm"]) {
        return;
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
    let script = folder.join("interop.js");
    program::run_scenarios(Command::new("node").arg(script), "connection_close");
}
