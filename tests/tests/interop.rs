//! Other people's clients against the broker: each publishes and consumes unchanged.
//!
//! One module per client. lapin runs in this process too; the others are programs under
//! `tests/interop` that know nothing but a URI, so that they can be pointed at any broker by hand:
//! here they are only found, given what they need, and run. Most go through one flow (`flow`) on a broker of their own. A client whose toolchain is missing is
//! left out with a line that says so, and fails where `CI=true`.
//! Nothing of the conformance suite lives here.

mod aio_pika;
mod amqp_tools;
mod amqplib;
mod bunny;
mod celery;
mod cloudamqp;
mod flow;
mod go;
mod java;
mod lapin;
mod php;
mod pika;
mod program;
mod python;
mod rabbitmqadmin;
mod readme;

use std::path::{Path, PathBuf};

use leveret_tests::broker;

/// The URI of the broker under test, with user `guest` and vhost `/`.
fn uri() -> String {
    format!("amqp://guest:guest@{}/%2f", broker::address())
}

/// The folder of a client's program.
fn folder(client: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("interop")
        .join(client)
}
