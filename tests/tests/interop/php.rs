//! php-amqplib, as the distribution packages it: `tests/interop/php/flow.php`.

use std::process::Command;

use super::{flow, folder, program};

#[test]
fn whole_flow() {
    let client = "/usr/share/php/PhpAmqpLib/autoload.php";
    if program::are_here("php-amqplib", &["php"]) && program::is_there("php-amqplib", client) {
        flow::run(Command::new("php").arg(folder("php").join("flow.php")));
    }
}
