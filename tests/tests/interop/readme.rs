//! README's examples: what a reader copies is what runs here.
//!
//! The Rust one is also a binary of this crate, `interop/rust/example.rs`; both texts must be the
//! same, below the binary's own first lines. The Python one is taken from README and runs beside
//! pika's scenarios. Both name the broker's default address, in whose place they are given that of
//! the broker under test.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{program, uri};

const RUST_EXAMPLE: &str = include_str!("../../interop/rust/example.rs");

#[test]
fn rust_example_is_the_one_of_readme() {
    let start = RUST_EXAMPLE.find("\nuse ");
    let start = start.expect("the example begins with imports");
    let example = RUST_EXAMPLE[start..].trim();
    assert_eq!(block("rust").trim(), example, "README's and interop/rust's");
}

#[test]
fn rust_example_runs() {
    let mut example = Command::new(env!("CARGO_BIN_EXE_readme-example"));
    let printed = program::run(example.env("AMQP_URL", uri()));
    assert_eq!(printed, "confirmed: true\nreceived: hello\n");
}

/// The first fenced block of a language in README. Panics if there is none.
pub(super) fn block(language: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("README.md");
    let text = fs::read_to_string(readme).expect("README.md is there");
    let block = text.split_once(&format!("\n```{language}\n"));
    let block = block.and_then(|(_, rest)| rest.split_once("\n```"));
    let (block, _) = block.expect("README has an example in the language");
    format!("{block}\n")
}

/// The example with the broker under test in the place of the one it names.
///
/// Panics if it does not name one.
pub(super) fn with_address(example: &str, uri: &str) -> String {
    let start = example
        .find("amqp://")
        .expect("the example names a broker by its URI");
    let length = example[start..]
        .find(['"', '\''])
        .expect("the URI is quoted");
    format!("{}{uri}{}", &example[..start], &example[start + length..])
}
