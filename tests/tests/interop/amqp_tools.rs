//! Debian's amqp-tools, which are rabbitmq-c's: `tests/interop/amqp-tools/interop.sh`.

use std::process::Command;

use super::{folder, program};

#[test]
fn all_scenarios() {
    if program::are_here("amqp-tools", &["amqp-publish", "amqp-consume", "timeout"]) {
        let script = folder("amqp-tools").join("interop.sh");
        program::run_scenarios(Command::new("sh").arg(script), "delete_queue");
    }
}
