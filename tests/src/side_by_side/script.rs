//! The script of what both brokers are asked: a step in each line.

use ureq::http::Method;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `METHOD PATH BODY`: both are asked, and their answers are compared.
    Ask {
        /// The method.
        method: Method,
        /// The path below `/api`. `{connection}`, `{channel}`, `{node}` and `{port}` stand for what each broker calls them.
        path: String,
        /// The body, which may be no JSON.
        body: String,
    },
    /// `as USER PASSWORD`: who asks from here on.
    As(String, String),
    /// `connect`: a client connects, consumes, publishes, leaves a message unacked, gets one.
    Connect,
    /// `disconnect`: it goes.
    Disconnect,
    /// `await PATH KEY`: until both tell something under that key. RabbitMQ tells statistics late.
    Await(String, String),
}

/// The steps of a script; lines that are empty or begin with `#` are none.
///
/// # Panics
///
/// Where a line is no step.
pub fn steps(script: &str) -> Vec<Step> {
    let lines = script.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(step).collect()
}

fn step(line: &str) -> Step {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (second, third) = rest.split_once(' ').unwrap_or((rest, ""));
    match first {
        "as" => Step::As(second.to_owned(), third.to_owned()),
        "connect" => Step::Connect,
        "disconnect" => Step::Disconnect,
        "await" => Step::Await(second.to_owned(), third.to_owned()),
        "GET" | "PUT" | "POST" | "DELETE" | "HEAD" | "OPTIONS" => Step::Ask {
            method: first.parse().expect("one of these"),
            path: second.to_owned(),
            body: third.to_owned(),
        },
        _ => panic!("{line:?} is no step"),
    }
}
