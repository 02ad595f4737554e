//! What the tests of this crate stand on: a broker to talk to and a client to talk with.
//!
//! The client is written for tests: it sends any bytes in any order, shows every frame that comes
//! back, and never waits without a deadline. It shares no code with the broker, only the method
//! types of `amq-protocol`, so that a mistake in the broker's codec cannot hide in both.
//! Failed expectations panic: all of this runs inside tests.

pub mod address;
pub mod alone;
pub mod broker;
pub mod chart;
pub mod client;
pub mod differences;
pub mod disk;
pub mod http;
pub mod ledger;
pub mod load;
pub mod node;
pub mod rabbitmq;
pub mod relay;
pub mod side_by_side;
pub mod tls;
