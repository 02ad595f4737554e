//! Permissions: three patterns, one for each kind of access, matched against names of queues and exchanges.
//!
//! RabbitMQ's rules: a pattern is a regular expression that may match anywhere in the name, an empty one matches only an empty name. Two
//! differences: look-around and back-references are refused, since matching takes linear time here, and a pattern that compiles
//! to more than 1 MiB is refused.

use std::fmt;

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// Bytes that one compiled pattern, and as much again that its cache, may take.
const COMPILED_MAX: usize = 1 << 20;

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Declaring and deleting.
    Configure,
    /// Publishing to an exchange, binding a queue.
    Write,
    /// Consuming and getting from a queue, binding from an exchange.
    Read,
}

impl Access {
    /// The word in `write access to queue 'q' in vhost '/' refused for user 'u'`; also what it prints as.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A permission's pattern that is not a regular expression, or too large a one.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("the {access} pattern '{pattern}' cannot be used: {source}")]
pub struct PatternError {
    /// Which of the three.
    pub access: Access,
    /// Its text.
    pub pattern: Box<str>,
    /// What is wrong with it.
    pub source: regex::Error,
}

#[derive(Clone, Debug)]
enum Matcher {
    Everything,
    /// Only the empty text. No resource has an empty name, but a routing key may be empty.
    Empty,
    Nothing,
    Regex(Regex),
}

/// A pattern: its text and what it matches.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) text: Box<str>,
    matcher: Matcher,
}

impl Pattern {
    pub(super) fn new(access: Access, text: &str) -> Result<Self, PatternError> {
        let matcher = match text {
            // The two that nearly everyone uses need no program.
            ".*" => Matcher::Everything,
            "" | "^$" => Matcher::Empty,
            _ => RegexBuilder::new(text)
                .size_limit(COMPILED_MAX)
                .dfa_size_limit(COMPILED_MAX)
                .build()
                .map(Matcher::Regex)
                .map_err(|source| PatternError {
                    access,
                    pattern: text.into(),
                    source,
                })?,
        };
        Ok(Self {
            text: text.into(),
            matcher,
        })
    }

    /// One that matches nothing, whatever its text.
    pub(super) fn nothing(text: &str) -> Self {
        Self {
            text: text.into(),
            matcher: Matcher::Nothing,
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Everything => true,
            Matcher::Empty => name.is_empty(),
            Matcher::Nothing => false,
            Matcher::Regex(regex) => regex.is_match(name),
        }
    }
}

/// What a user may do in a vhost.
#[derive(Clone, Debug)]
pub struct Permission {
    configure: Pattern,
    write: Pattern,
    read: Pattern,
}

impl Permission {
    /// Compiles the three patterns.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Self, PatternError> {
        Ok(Self {
            configure: Pattern::new(Access::Configure, configure)?,
            write: Pattern::new(Access::Write, write)?,
            read: Pattern::new(Access::Read, read)?,
        })
    }

    /// Nothing at all.
    pub fn nothing() -> Self {
        Self {
            configure: Pattern::nothing(""),
            write: Pattern::nothing(""),
            read: Pattern::nothing(""),
        }
    }

    /// The text of a pattern, as it was given.
    pub fn pattern(&self, access: Access) -> &str {
        &self.of(access).text
    }

    /// Whether `access` to the queue or exchange of that name is allowed; the default exchange `""` goes by the name `amq.default`.
    ///
    /// A refusal is 403 ACCESS_REFUSED. **Cost**: one search of the name, linear in its length; nothing at all for `.*`.
    pub fn allows(&self, access: Access, resource_name: &str) -> bool {
        let name = if resource_name.is_empty() {
            "amq.default"
        } else {
            resource_name
        };
        self.of(access).matches(name)
    }

    fn of(&self, access: Access) -> &Pattern {
        match access {
            Access::Configure => &self.configure,
            Access::Write => &self.write,
            Access::Read => &self.read,
        }
    }
}
