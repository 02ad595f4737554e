//! Debian's amqp-tools, which are rabbitmq-c's: `tests/interop/amqp-tools/interop.sh`, and the flow as far as they can express it.

use std::process::Command;

use super::{flow, folder, program};

#[test]
fn all_scenarios() {
    if are_here() {
        let script = folder("amqp-tools").join("interop.sh");
        program::run_scenarios(Command::new("sh").arg(script), "delete_queue");
    }
}

#[test]
fn whole_flow() {
    if are_here() {
        flow::run(Command::new("sh").arg(folder("amqp-tools").join("flow.sh")));
    }
}

fn are_here() -> bool {
    program::are_here("amqp-tools", &["amqp-publish", "amqp-consume", "timeout"])
}
