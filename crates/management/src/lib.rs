//! The HTTP side of the broker: RabbitMQ's management API, as far as it means something here.
//!
//! * `routes` says what is answered to which path; `serve` owns the sockets and bounds what a client can make the server hold.
//! * `caller` says who asks and what they may see; `refusal` how it is told that something cannot be done; `list` how lists are filtered, sorted
//!   and cut into pages; `json` how field tables and properties are written; `ask` asks shards and connections.
//! * `figure` names what has rates, and `rates` keeps what it was, for as long as somebody asks.
//! * `listening` passes on that the listeners for clients are to be closed for a while.
//! * The rest has a file for each kind of thing: what is told of it, and how it is changed.
//!
//! Nothing else is kept here: what is told is asked for when somebody wants to know it, and what is changed is changed at the broker's doors. A change is
//! answered when it is kept. Paths, keys and words are RabbitMQ's: <https://www.rabbitmq.com/docs/http-api-reference>.

mod actor;
mod ask;
mod bindings;
mod body;
mod breakdowns;
mod caller;
mod channels;
mod connections;
mod consumers;
mod definitions;
mod delayed;
mod exchanges;
mod figure;
mod health;
mod idle;
mod json;
mod limits;
mod list;
mod listening;
mod messages;
mod moving;
mod node;
mod offsets;
mod overview;
mod parameters;
mod permissions;
mod policies;
mod queues;
mod rates;
mod refusal;
mod routes;
mod serve;
mod users;
mod vhosts;

pub use listening::{Wish, Wishes};
pub use node::{Listener, Node, Readings};
pub use serve::{Encrypted, Handshake, Io, serve};

use std::sync::Arc;

use leveret_broker::broker::Broker;

/// What every handler gets hold of.
#[derive(Debug)]
pub struct Api {
    /// The broker.
    pub broker: Arc<Broker>,
    /// The program around it.
    pub node: Node,
    rates: rates::Rates,
}

impl Api {
    /// For a broker, and the program around it.
    pub fn new(broker: Arc<Broker>, node: Node) -> Self {
        Self {
            broker,
            node,
            rates: rates::Rates::default(),
        }
    }
}

/// Shared by all handlers.
type Shared = axum::extract::State<Arc<Api>>;
