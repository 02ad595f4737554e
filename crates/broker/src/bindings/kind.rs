//! The types of exchanges: what clients call them, and what they are for.

/// The type of an exchange: how it routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// To the bindings whose key equals the routing key.
    Direct,
    /// To all bindings.
    Fanout,
    /// To the bindings whose pattern of words matches the routing key.
    Topic,
    /// To the bindings whose arguments match the headers.
    Headers,
    /// To one destination, which a hash of the message picks; binding keys are weights.
    ConsistentHash,
    /// To one binding, which a hash of the routing key picks by its remainder.
    ModulusHash,
    /// To any one binding.
    Random,
    /// To any one binding on the same node; here there is no other.
    LocalRandom,
    /// To all bindings; a new one gets the last messages.
    RecentHistory,
    /// To all bindings, what was not there before.
    Deduplication,
    /// As another type does, which an argument names; messages may be held back before.
    Delayed,
}

impl ExchangeKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Direct,
        Self::Fanout,
        Self::Headers,
        Self::Topic,
        Self::ConsistentHash,
        Self::Delayed,
        Self::LocalRandom,
        Self::Deduplication,
        Self::ModulusHash,
        Self::Random,
        Self::RecentHistory,
    ];

    /// The kind that `exchange.declare` calls by this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name in `exchange.declare`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
            Self::ModulusHash => "x-modulus-hash",
            Self::Random => "x-random",
            Self::LocalRandom => "x-local-random",
            Self::RecentHistory => "x-recent-history",
            Self::Deduplication => "x-message-deduplication",
            Self::Delayed => "x-delayed-message",
        }
    }

    /// What RabbitMQ's management API says of it.
    pub fn description(self) -> &'static str {
        match self {
            Self::Direct => "AMQP direct exchange, as per the AMQP specification",
            Self::Fanout => "AMQP fanout exchange, as per the AMQP specification",
            Self::Topic => "AMQP topic exchange, as per the AMQP specification",
            Self::Headers => "AMQP headers exchange, as per the AMQP specification",
            Self::ConsistentHash => "Consistent Hashing Exchange",
            Self::ModulusHash => "Modulus Hashing Exchange",
            Self::Random => "Randomly picks a binding (queue) to route via (to).",
            Self::LocalRandom => "Picks one random local binding (queue) to route via (to).",
            Self::RecentHistory => "Recent History Exchange.",
            Self::Deduplication => "Message Deduplication Exchange.",
            Self::Delayed => "Delayed Message Exchange.",
        }
    }

    /// Whether a message goes to a single destination, which [`Bindings::pick`](super::Bindings::pick) tells.
    pub fn picks_one(self) -> bool {
        matches!(
            self,
            Self::ConsistentHash | Self::ModulusHash | Self::Random | Self::LocalRandom
        )
    }
}
