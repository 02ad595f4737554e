//! Users and what they may do.

use leveret_message::name::Name;

use super::{IsNew, OperatorError};
use crate::broker::Broker;
use crate::definitions::settings as kept;
use crate::users::{Permission, TopicPermission, User};

impl Broker {
    /// Adds a user, or replaces the one of that name; permissions stay.
    pub fn put_user(&self, user: User) -> IsNew {
        let _door = self.operator.lock();
        self.keep_user(&user);
        let name = user.name.clone();
        let before = self.users.user(&name);
        self.events.user_put(before.as_deref(), &user);
        let is_new = self.users.change(|users| {
            let is_new = users.user(&user.name).is_none();
            users.put_user(user);
            is_new
        });
        self.connections
            .tell_access_changed(|open| open.user == name);
        IsNew(is_new)
    }

    pub(crate) fn keep_user(&self, user: &User) {
        self.definitions
            .define(&kept::user_key(&user.name), &kept::user_value(user));
    }

    /// Removes a user with everything it may do, and closes its connections. Returns whether there was one.
    pub fn delete_user(&self, name: &str) -> bool {
        let _door = self.operator.lock();
        let before = self.users.snapshot();
        if before.user(name).is_none() {
            return false;
        }
        self.users.change(|users| users.remove_user(name));
        self.definitions.undefine(&kept::user_key(name));
        self.events.user_deleted(name);
        for (_, vhost, _) in before.permissions().filter(|(user, ..)| ***user == *name) {
            self.definitions
                .undefine(&kept::permission_key(name, vhost));
        }
        for (_, vhost, exchange, _) in before
            .topic_permissions()
            .filter(|(user, ..)| ***user == *name)
        {
            let key = kept::topic_permission_key(name, vhost, exchange);
            self.definitions.undefine(&key);
        }
        let reason = format!("user '{name}' is deleted");
        self.connections
            .close_those(&reason, |open| *open.user == *name);
        true
    }

    /// Lets a user into a vhost, or changes what it may do there.
    ///
    /// **Errors**: [`OperatorError::NoSuchUser`], [`OperatorError::NoSuchVhost`].
    pub fn put_permission(
        &self,
        user: &Name,
        vhost: &Name,
        permission: Permission,
    ) -> Result<IsNew, OperatorError> {
        let _door = self.operator.lock();
        self.check_user_and_vhost(user, vhost)?;
        self.keep_permission(user, vhost, &permission);
        self.events.permission_created(user, vhost, &permission);
        let is_new = self.users.change(|users| {
            let is_new = users.permission(user, vhost).is_none();
            users.put_permission(user.clone(), vhost.clone(), permission);
            is_new
        });
        self.tell_of_access(user, vhost);
        Ok(IsNew(is_new))
    }

    pub(crate) fn keep_permission(&self, user: &str, vhost: &str, permission: &Permission) {
        let value = kept::permission_value(permission);
        self.definitions
            .define(&kept::permission_key(user, vhost), &value);
    }

    /// Takes a user's access to a vhost away. Its connections there stay, and may do nothing. Returns whether it had any.
    pub fn delete_permission(&self, user: &str, vhost: &str) -> bool {
        let _door = self.operator.lock();
        let had = self
            .users
            .change(|users| users.remove_permission(user, vhost));
        if had {
            self.definitions
                .undefine(&kept::permission_key(user, vhost));
            self.events.permission_deleted(user, vhost);
            self.tell_of_access(user, vhost);
        }
        had
    }

    /// Restricts a user to some topics of an exchange.
    ///
    /// **Errors**: as [`Broker::put_permission`].
    pub fn put_topic_permission(
        &self,
        user: &Name,
        (vhost, exchange): (&Name, &Name),
        permission: TopicPermission,
    ) -> Result<IsNew, OperatorError> {
        let _door = self.operator.lock();
        self.check_user_and_vhost(user, vhost)?;
        let key = kept::topic_permission_key(user, vhost, exchange);
        self.definitions
            .define(&key, &kept::topic_permission_value(&permission));
        self.events
            .topic_permission_created(user, (vhost, exchange), &permission);
        let is_new = self.users.change(|users| {
            let mut there = users.topic_permissions();
            let is_new = !there.any(|(u, v, x, _)| (u, v, x) == (user, vhost, exchange));
            drop(there);
            users.put_topic_permission(user.clone(), (vhost.clone(), exchange.clone()), permission);
            is_new
        });
        self.tell_of_access(user, vhost);
        Ok(IsNew(is_new))
    }

    /// Takes a user's restrictions in a vhost away: for one exchange, or all. Returns whether there were any.
    pub fn delete_topic_permissions(
        &self,
        user: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> bool {
        let _door = self.operator.lock();
        let removed = self
            .users
            .change(|users| users.remove_topic_permissions(user, vhost, exchange));
        for exchange in &removed {
            let key = kept::topic_permission_key(user, vhost, exchange);
            self.definitions.undefine(&key);
            self.events.topic_permission_deleted(user, vhost);
        }
        self.tell_of_access(user, vhost);
        !removed.is_empty()
    }

    fn check_user_and_vhost(&self, user: &Name, vhost: &Name) -> Result<(), OperatorError> {
        self.existing_vhost(vhost)?;
        match self.users.user(user) {
            Some(_) => Ok(()),
            None => Err(OperatorError::NoSuchUser(user.clone())),
        }
    }

    fn tell_of_access(&self, user: &str, vhost: &str) {
        self.connections
            .tell_access_changed(|open| *open.user == *user && *open.vhost == *vhost);
    }
}
