//! The HTTP side of the broker.
//!
//! Two parts: `routes` answers requests and knows no socket; `serve` owns the sockets and bounds what a client can
//! make the server hold. Now there is one route, the health answer that container platforms and load balancers ask
//! for. What is answered without a login must tell nothing about the broker's contents.

mod routes;
mod serve;

pub use serve::serve;
