//! What can go wrong in the broker, in the words of the domain. The texts are RabbitMQ's explanations, letter for letter, because clients match on
//! them; reply codes belong to the protocols (`amqp/src/exception.rs` maps every variant).

use std::fmt;

use leveret_message::name::Name;

use crate::users::Access;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A queue.
    Queue,
    /// An exchange.
    Exchange,
}

/// A named thing in a vhost; prints as `queue 'q' in vhost '/'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// Its vhost's name.
    pub vhost: Name,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Queue => "queue",
            Kind::Exchange => "exchange",
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}' in vhost '{}'", self.kind, self.name, self.vhost)
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such queue or exchange.
    #[error("no {0}")]
    NotFound(Resource),
    /// There is no such vhost.
    #[error("vhost {0} not found")]
    VhostNotFound(Name),
    /// A redeclaration differs from what is there; `detail` is the sentence from "received" on.
    #[error("inequivalent arg '{argument}' for {resource}: {detail}")]
    Inequivalent {
        /// What was declared again.
        resource: Resource,
        /// The property or argument that differs.
        argument: String,
        /// What was received, and what is there.
        detail: String,
    },
    /// An argument of a queue, an exchange, a binding or a consumer cannot be taken; the text is whole.
    #[error("{0}")]
    Unacceptable(String),
    /// The exchange type is not known here.
    #[error("unknown exchange type '{0}'")]
    UnknownExchangeType(String),
    /// The queue belongs to another connection.
    #[error(
        "cannot obtain exclusive access to locked {0}. It could be originally declared on another connection or the exclusive \
         property value does not match that of the original declaration."
    )]
    Locked(Resource),
    /// `basic.get` from a quorum queue with a single active consumer: it would go past that.
    #[error(
        "cannot obtain access to locked {0}. basic.get operations are not supported by quorum queues with single active consumer"
    )]
    SingleActive(Resource),
    /// Names that begin with `amq.` are the broker's.
    #[error("{} name '{}' contains reserved prefix 'amq.*'", .0.kind, .0.name)]
    ReservedName(Resource),
    /// The default exchange cannot be declared, deleted, bound or unbound.
    #[error("operation not permitted on the default exchange")]
    DefaultExchange,
    /// Predeclared exchanges cannot be deleted.
    #[error("deletion of system {0} not allowed")]
    SystemExchange(Resource),
    /// Internal exchanges take messages only from other exchanges.
    #[error("cannot publish to internal {0}")]
    InternalExchange(Resource),
    /// A consumer has the queue for itself, or asks for it while others are there.
    #[error("{0} in exclusive use")]
    ExclusiveUse(Resource),
    /// `if-unused` was asked for, and it is in use.
    #[error("{0} in use")]
    InUse(Resource),
    /// `if-empty` was asked for, and it is not.
    #[error("{0} not empty")]
    NotEmpty(Resource),
    /// The user's permissions do not allow it.
    #[error("{access} access to {resource} refused for user '{user}'")]
    AccessRefused {
        /// What was asked for.
        access: Access,
        /// On what.
        resource: Resource,
        /// By whom.
        user: Name,
    },
    /// The user has no permissions in the vhost.
    #[error("access to vhost '{vhost}' refused for user '{user}'")]
    VhostRefused {
        /// Which vhost.
        vhost: Name,
        /// Which user.
        user: Name,
    },
    /// The user's permissions do not allow it for this routing key.
    #[error(
        "{access} access to topic '{routing_key}' in exchange '{exchange}' in vhost '{vhost}' refused for user '{user}'"
    )]
    TopicRefused {
        /// What was asked for.
        access: Access,
        /// Which topic.
        routing_key: String,
        /// Of which exchange.
        exchange: Name,
        /// Where.
        vhost: Name,
        /// By whom.
        user: Name,
    },
    /// The vhost has as many connections as it may.
    #[error(
        "access to vhost '{vhost}' refused for user '{user}': connection limit ({max}) is reached"
    )]
    VhostConnections {
        /// Which vhost.
        vhost: Name,
        /// Which user.
        user: Name,
        /// How many it may have.
        max: u64,
    },
    /// The user has as many connections as it may.
    #[error("connection refused for user '{user}': user connection limit ({max}) is reached")]
    UserConnections {
        /// Which user.
        user: Name,
        /// How many it may have.
        max: u64,
    },
    /// The user has as many channels as it may.
    #[error(
        "number of channels opened for user '{user}' has reached the maximum allowed user limit of ({max})"
    )]
    UserChannels {
        /// Which user.
        user: Name,
        /// How many it may have.
        max: u64,
    },
    /// The vhost has as many queues as it may.
    #[error("cannot declare queue '{}': queue limit in vhost '{}' ({max}) is reached", .queue.name, .queue.vhost)]
    VhostQueues {
        /// What was declared.
        queue: Resource,
        /// How many there may be.
        max: u64,
    },
    /// The broker cannot do it now: it is stopping, or its log has failed.
    #[error("the broker is shutting down")]
    Unavailable,
}
