//! The door for operators: users, permissions, vhosts, policies, parameters and limits come, change and go here, one change at a time.
//!
//! Each change is written down before the next one begins, and takes effect at once: connections that it concerns hear of it before they take
//! anything more from their clients. It survives a power cut when [`Broker::when_kept`] says so; who answers an operator waits for that.

use leveret_message::name::Name;
use thiserror::Error;

use crate::broker::Broker;
use crate::error::Error as BrokerError;

mod parameters;
mod users;
mod vhosts;

/// Why an operator's change was not made. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OperatorError {
    /// There is no such user.
    #[error("user '{0}' not found")]
    NoSuchUser(Name),
    /// There is no such vhost.
    #[error("vhost '{0}' not found")]
    NoSuchVhost(Name),
    /// A value cannot be taken, in RabbitMQ's words.
    #[error("Validation failed\n\n{0}\n")]
    Invalid(String),
    /// The vhost is protected from deletion.
    #[error("Cannot delete virtual host '{0}': it is protected from deletion")]
    Protected(Name),
}

/// Whether something is new, or was there and changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsNew(pub bool);

impl Broker {
    /// Calls `then` once everything that was changed up to now survives a power cut. It must not wait.
    pub fn when_kept(&self, then: Box<dyn FnOnce() + Send>) {
        self.definitions.when_durable(self.definitions.last(), then);
    }

    fn existing_vhost(
        &self,
        name: &Name,
    ) -> Result<std::sync::Arc<crate::vhost::Vhost>, OperatorError> {
        self.vhost(name).map_err(|error| match error {
            BrokerError::VhostNotFound(name) => OperatorError::NoSuchVhost(name),
            other => OperatorError::Invalid(other.to_string()),
        })
    }
}
