//! The management API of two brokers, side by side: requests that both are asked, and how their answers differ.
//!
//! The requests are a script (`script`); answers are compared by status, reason, keys, types and values (`compare`). Differences that are meant are
//! listed, with reasons, in `management-differences.toml` (`listed`).

mod compare;
mod listed;
mod play;
mod script;

pub use compare::{Difference, Kind, compare};
pub use listed::Accepted;
pub use play::{Side, play};
pub use script::{Step, steps};

#[cfg(test)]
mod tests;
