//! The Java client, as the distribution packages it: `tests/interop/java/Flow.java`.

use std::process::Command;

use super::{flow, folder, program};

/// The client and what it logs with.
const JARS: &str = "/usr/share/java/amqp-client.jar:/usr/share/java/slf4j-api.jar";

#[test]
fn whole_flow() {
    if program::are_here("Java", &["java"])
        && program::is_there("Java", "/usr/share/java/amqp-client.jar")
    {
        let script = folder("java").join("Flow.java");
        flow::run(Command::new("java").args(["-cp", JARS]).arg(script));
    }
}
