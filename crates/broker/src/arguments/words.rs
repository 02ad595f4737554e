//! The words that arguments of queues choose among.

/// `x-queue-type`: what kind of queue RabbitMQ would make. Here they differ only in what is reported and in stream consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueueType {
    /// `classic`, the default.
    #[default]
    Classic,
    /// `quorum`.
    Quorum,
    /// `stream`.
    Stream,
}

impl QueueType {
    /// The type by the word for it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "classic" => Some(Self::Classic),
            "quorum" => Some(Self::Quorum),
            "stream" => Some(Self::Stream),
            _ => None,
        }
    }

    /// The word for it in `x-queue-type` and in listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }
}

/// `x-dead-letter-strategy`: whether a dead letter may be lost on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterStrategy {
    /// `at-most-once`: it leaves the queue when it is sent.
    AtMostOnce,
    /// `at-least-once`: it leaves the queue when the targets have confirmed it.
    AtLeastOnce,
}

impl DeadLetterStrategy {
    /// By the word for it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "at-most-once" => Some(Self::AtMostOnce),
            "at-least-once" => Some(Self::AtLeastOnce),
            _ => None,
        }
    }
}

/// `x-overflow`: what happens with a message too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// `drop-head`: the oldest goes, dead-lettered where the queue does that.
    DropHead,
    /// `reject-publish`: the new one is refused, with `basic.nack` where the publisher asked for confirms.
    RejectPublish,
    /// `reject-publish-dlx`: the new one is refused, and dead-lettered as well.
    RejectPublishDlx,
}

impl Overflow {
    /// By the word for it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "drop-head" => Some(Self::DropHead),
            "reject-publish" => Some(Self::RejectPublish),
            "reject-publish-dlx" => Some(Self::RejectPublishDlx),
            _ => None,
        }
    }
}

/// `x-delivery-limit`: how often a delivery may fail before the message is dropped or dead-lettered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryLimit {
    /// This many times.
    Times(u64),
    /// Any negative number.
    Unlimited,
}

impl From<i64> for DeliveryLimit {
    fn from(limit: i64) -> Self {
        u64::try_from(limit).map_or(Self::Unlimited, Self::Times)
    }
}

/// `x-delayed-retry-type`: which returned messages wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayedRetryType {
    /// `disabled`: none.
    Disabled,
    /// `all`.
    All,
    /// `failed`: those whose delivery count rose.
    Failed,
    /// `returned`: those whose delivery count did not rise.
    Returned,
}

impl DelayedRetryType {
    /// By the word for it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "disabled" => Some(Self::Disabled),
            "all" => Some(Self::All),
            "failed" => Some(Self::Failed),
            "returned" => Some(Self::Returned),
            _ => None,
        }
    }
}

/// `x-queue-leader-locator`: which node leads a new queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderLocator {
    /// `client-local`: the one the client is connected to.
    ClientLocal,
    /// `balanced`, and the older words `random` and `least-leaders`.
    Balanced,
}

impl LeaderLocator {
    /// By the word for it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "client-local" => Some(Self::ClientLocal),
            "balanced" | "random" | "least-leaders" => Some(Self::Balanced),
            _ => None,
        }
    }
}

/// `x-leveret-durability`: what a persistent message has to survive before it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// `sync`: a power cut.
    Sync,
    /// `os`: the end of the broker's process. A power cut may lose what was confirmed in the last moments.
    Os,
}

impl Durability {
    /// By the word for it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sync" => Some(Self::Sync),
            "os" => Some(Self::Os),
            _ => None,
        }
    }
}
