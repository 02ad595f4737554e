//! @cloudamqp/amqp-client, another client for Node: `tests/interop/node/flow_cloudamqp.js`.

use std::process::Command;

use super::amqplib::modules;
use super::{flow, folder};

#[test]
fn whole_flow() {
    if modules() {
        flow::run(Command::new("node").arg(folder("node").join("flow_cloudamqp.js")));
    }
}
