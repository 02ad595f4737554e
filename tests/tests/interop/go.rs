//! The Go client, as the distribution packages it: `tests/interop/go/flow.go`.

use std::path::Path;
use std::process::Command;

use super::{flow, folder, program};

/// Where the distribution keeps Go's packages.
const GOPATH: &str = "/usr/share/gocode";

#[test]
fn whole_flow() {
    let client = format!("{GOPATH}/src/github.com/rabbitmq/amqp091-go");
    if !program::are_here("Go", &["go"]) || !program::is_there("Go", &client) {
        return;
    }
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flow-go");
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache");
    program::run(
        Command::new("go")
            .args(["build", "-o"])
            .args([&built, &folder("go").join("flow.go")])
            .env("GOPATH", GOPATH)
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            .env("GOCACHE", cache),
    );
    flow::run(&mut Command::new(built));
}
