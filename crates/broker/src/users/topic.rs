//! Topic permissions: what a user may publish to the topics of an exchange, and bind to, by pattern of the routing key.
//!
//! Where there is none for a user, a vhost and an exchange, every topic is allowed. In a pattern `{username}` and `{vhost}` stand for the
//! client's own: <https://www.rabbitmq.com/docs/access-control#topic-authorisation>.

use leveret_message::name::Name;
use rustc_hash::FxHashMap;

use super::permission::{Access, Pattern, PatternError};

/// What a user may do with the topics of an exchange: two patterns, in which variables stand for a client's own.
#[derive(Clone, Debug)]
pub struct TopicPermission {
    write: Box<str>,
    read: Box<str>,
}

impl TopicPermission {
    /// **Errors**: a pattern that is none, whoever the client is.
    pub fn new(write: &str, read: &str) -> Result<Self, PatternError> {
        for (access, text) in [(Access::Write, write), (Access::Read, read)] {
            Pattern::new(access, &with_names(text, "user", "vhost"))?;
        }
        Ok(Self {
            write: write.into(),
            read: read.into(),
        })
    }

    /// The text of a pattern, as it was given. There is none for configure.
    pub fn pattern(&self, access: Access) -> &str {
        match access {
            Access::Configure => "",
            Access::Write => &self.write,
            Access::Read => &self.read,
        }
    }

    /// What it says for a client of `user` in `vhost`. Where a name makes a pattern unusable, that one allows nothing.
    pub(super) fn of(&self, user: &str, vhost: &str) -> OwnTopics {
        let of = |access| {
            let text = with_names(self.pattern(access), user, vhost);
            Pattern::new(access, &text).unwrap_or_else(|_| Pattern::nothing(&text))
        };
        OwnTopics {
            write: of(Access::Write),
            read: of(Access::Read),
        }
    }
}

fn with_names(pattern: &str, user: &str, vhost: &str) -> String {
    pattern
        .replace("{username}", user)
        .replace("{vhost}", vhost)
}

/// What one client may do with the topics of an exchange.
#[derive(Clone, Debug)]
pub(super) struct OwnTopics {
    write: Pattern,
    read: Pattern,
}

/// What a client may do with topics in its vhost.
#[derive(Clone, Debug, Default)]
pub struct TopicPermissions {
    by_exchange: FxHashMap<Name, OwnTopics>,
}

impl TopicPermissions {
    pub(super) fn new(own: impl Iterator<Item = (Name, OwnTopics)>) -> Self {
        Self {
            by_exchange: own.collect(),
        }
    }

    /// Whether nothing is restricted.
    pub fn is_empty(&self) -> bool {
        self.by_exchange.is_empty()
    }

    /// Whether `access` to a topic of an exchange is allowed. A refusal is 403 ACCESS_REFUSED.
    pub fn allows(&self, access: Access, exchange: &str, routing_key: &[u8]) -> bool {
        let Some(own) = self.by_exchange.get(exchange) else {
            return true;
        };
        let pattern = match access {
            Access::Configure => return true,
            Access::Write => &own.write,
            Access::Read => &own.read,
        };
        pattern.matches(&String::from_utf8_lossy(routing_key))
    }
}
