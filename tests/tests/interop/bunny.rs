//! bunny, the client for Ruby, as the distribution packages it: `tests/interop/ruby/flow.rb`.

use std::process::Command;

use super::{flow, folder, program};

#[test]
fn whole_flow() {
    let package = "/usr/share/doc/ruby-bunny";
    if program::are_here("bunny", &["ruby"]) && program::is_there("bunny", package) {
        flow::run(Command::new("ruby").arg(folder("ruby").join("flow.rb")));
    }
}
