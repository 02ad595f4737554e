//! What the user of a connection may do: looked up when it opens and when it is told of a change, checked for each method.

use std::sync::Arc;

use leveret_broker::bindings::ExchangeKind;
use leveret_broker::error::{Error, Kind};
use leveret_broker::exchange::Exchange;
use leveret_broker::users::{Access, Permission};

use super::Core;

impl Core {
    /// Checks a permission. The default exchange goes by the name `amq.default`.
    ///
    /// **Errors**: [`Error::AccessRefused`] (403).
    pub(crate) fn check(&self, access: Access, kind: Kind, name: &str) -> Result<(), Error> {
        if self.permission.allows(access, name) {
            return Ok(());
        }
        let name = if kind == Kind::Exchange && name.is_empty() {
            "amq.default"
        } else {
            name
        };
        let resource = self.vhost.named(kind, name);
        Err(Error::AccessRefused {
            access,
            resource,
            user: self.user.name.clone(),
        })
    }

    /// Checks what the user may do with a topic, where the exchange is of that type.
    ///
    /// **Errors**: [`Error::TopicRefused`] (403).
    pub(crate) fn check_topic(
        &self,
        access: Access,
        exchange: &Exchange,
        routing_key: &[u8],
    ) -> Result<(), Error> {
        let is_restricted = exchange.kind == ExchangeKind::Topic && !self.topics.is_empty();
        if !is_restricted || self.topics.allows(access, &exchange.name, routing_key) {
            return Ok(());
        }
        Err(Error::TopicRefused {
            access,
            routing_key: String::from_utf8_lossy(routing_key).into_owned(),
            exchange: exchange.name.clone(),
            vhost: self.vhost.name.clone(),
            user: self.user.name.clone(),
        })
    }

    /// Checks what the user may do with the topic of a binding, where its source is there.
    pub(crate) fn check_binding_topic(&self, source: &str, key: &[u8]) -> Result<(), Error> {
        match self.vhost.find_exchange(source) {
            Some(source) if !self.topics.is_empty() => self.check_topic(Access::Read, &source, key),
            _ => Ok(()),
        }
    }

    /// What the user may do was changed: looks again. One that may not enter the vhost any more may do nothing.
    pub(crate) fn access_changed(&mut self) {
        let users = self.broker.users.snapshot();
        let (user, vhost) = (&self.user.name, &self.vhost.name);
        let permission = users.permission(user, vhost).cloned();
        self.permission = permission.unwrap_or_else(|| Arc::new(Permission::nothing()));
        self.topics = users.topics_of(user, vhost);
        if let Some(user) = users.user(user) {
            self.user = Arc::clone(user);
        }
        self.publisher.forget();
    }

    /// Checks that the user may do anything at all with it, as passive declarations ask.
    ///
    /// **Errors**: [`Error::AccessRefused`] (403), which names configure.
    pub(crate) fn check_any(&self, kind: Kind, name: &str) -> Result<(), Error> {
        let others = [Access::Write, Access::Read];
        if others
            .iter()
            .any(|access| self.permission.allows(*access, name))
        {
            return Ok(());
        }
        self.check(Access::Configure, kind, name)
    }
}
