//! Users: who may log in, and what each may do in which vhost.
//!
//! A [`UserDirectory`] is an immutable snapshot; [`Users`] holds the current one and swaps it whole, so that a reader never sees half of a
//! change. Passwords and patterns have their own files. Who writes changes down, and tells connections of them, is the broker's door for operators
//! (`broker/src/operator.rs`).
//!
//! Invariant: what [`Users::authenticate`] answers, and about how long it takes, does not tell an unknown name from a wrong password.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use leveret_message::name::Name;
use parking_lot::{RwLock, RwLockUpgradableReadGuard};
use thiserror::Error;

mod password;
mod permission;
#[cfg(test)]
mod tests;
mod topic;

pub use password::{HashAlgorithm, PasswordHash, PasswordHashError};
pub use permission::{Access, PatternError, Permission};
pub use topic::{TopicPermission, TopicPermissions};

/// Stands in for the hash of a user that does not exist or has no password.
static NOBODY: LazyLock<PasswordHash> = LazyLock::new(|| PasswordHash::new(b"nobody"));

/// A user: a name to log in with, tags, and perhaps a password.
#[derive(Clone, Debug)]
pub struct User {
    /// The name, unique in the broker.
    pub name: Name,
    /// Tags such as `administrator`, `monitoring` or `impersonator`; unknown ones are kept.
    pub tags: Box<[Box<str>]>,
    /// What a password is checked against; without it the user cannot log in with a password.
    pub password: Option<PasswordHash>,
    /// How much it may open at a time.
    pub limits: UserLimits,
}

/// How much a user may open at a time; none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// Connections.
    pub max_connections: Option<u64>,
    /// Channels, of all its connections together.
    pub max_channels: Option<u64>,
    /// Messages that all its connections together may publish in a second.
    pub max_publish_rate: Option<u64>,
}

impl User {
    /// Whether the user carries `tag`.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|t| **t == *tag)
    }
}

/// Why a login was refused, in the words of RabbitMQ's log.
///
/// Only for the log: the client gets 403 ACCESS_REFUSED with a text that tells neither apart.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no such user, it has no password, or the password is another one.
    #[error("user '{user}' - invalid credentials")]
    InvalidCredentials {
        /// The name that was given.
        user: Box<str>,
    },
    /// The password is right, but this user may only connect from this machine.
    #[error("user '{user}' can only connect via localhost")]
    LoopbackOnly {
        /// The name that was given.
        user: Box<str>,
    },
}

/// One state of all users, their permissions, and the set of loopback users.
#[derive(Clone, Debug)]
pub struct UserDirectory {
    users: HashMap<Name, Arc<User>>,
    /// By user, then by vhost.
    permissions: HashMap<Name, HashMap<Name, Arc<Permission>>>,
    /// By user, then by vhost and exchange.
    topics: HashMap<Name, HashMap<(Name, Name), Arc<TopicPermission>>>,
    loopback_users: HashSet<Box<str>>,
}

impl Default for UserDirectory {
    /// No users; `guest`, should it be added, may connect from loopback only.
    fn default() -> Self {
        Self {
            users: HashMap::new(),
            permissions: HashMap::new(),
            topics: HashMap::new(),
            loopback_users: HashSet::from(["guest".into()]),
        }
    }
}

impl UserDirectory {
    /// Removes everyone and everything; who may connect from loopback only stays.
    pub fn clear(&mut self) {
        self.users.clear();
        self.permissions.clear();
        self.topics.clear();
    }

    /// Adds a user, or replaces the one of the same name; its permissions stay.
    pub fn put_user(&mut self, user: User) {
        self.users.insert(user.name.clone(), Arc::new(user));
    }

    /// Removes a user with all its permissions; tells whether there was one.
    pub fn remove_user(&mut self, name: &str) -> bool {
        self.permissions.remove(name);
        self.topics.remove(name);
        self.users.remove(name).is_some()
    }

    /// Gives `user` access to `vhost`, replacing the permission it had there.
    ///
    /// Neither has to exist: a permission takes effect when both do.
    pub fn put_permission(&mut self, user: Name, vhost: Name, permission: Permission) {
        self.permissions
            .entry(user)
            .or_default()
            .insert(vhost, Arc::new(permission));
    }

    /// Takes the access to `vhost` away; tells whether there was any.
    pub fn remove_permission(&mut self, user: &str, vhost: &str) -> bool {
        self.permissions
            .get_mut(user)
            .is_some_and(|vhosts| vhosts.remove(vhost).is_some())
    }

    /// Restricts what `user` may do with the topics of an exchange, replacing what was there.
    pub fn put_topic_permission(
        &mut self,
        user: Name,
        (vhost, exchange): (Name, Name),
        permission: TopicPermission,
    ) {
        self.topics
            .entry(user)
            .or_default()
            .insert((vhost, exchange), Arc::new(permission));
    }

    /// Takes restrictions in `vhost` away: that of one exchange, or all. Returns those exchanges.
    pub fn remove_topic_permissions(
        &mut self,
        user: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> Vec<Name> {
        let Some(topics) = self.topics.get_mut(user) else {
            return Vec::new();
        };
        let meant = |(v, x): &(Name, Name)| {
            **v == *vhost && exchange.is_none_or(|exchange| **x == *exchange)
        };
        let removed = topics.extract_if(|at, _| meant(at));
        removed.map(|((_, exchange), _)| exchange).collect()
    }

    /// Takes everything away that anyone may do in `vhost`.
    pub fn forget_vhost(&mut self, vhost: &str) {
        for permissions in self.permissions.values_mut() {
            permissions.remove(vhost);
        }
        for topics in self.topics.values_mut() {
            topics.retain(|(v, _), _| **v != *vhost);
        }
    }

    /// Sets which users may connect from loopback only (`loopback_users`; at first `guest`).
    pub fn set_loopback_users(&mut self, names: impl IntoIterator<Item = Box<str>>) {
        self.loopback_users = names.into_iter().collect();
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// All users, in no order.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// What `user` may do in `vhost`; none if it may not enter.
    pub fn permission(&self, user: &str, vhost: &str) -> Option<&Arc<Permission>> {
        self.users.get(user)?;
        self.permissions.get(user)?.get(vhost)
    }

    /// All permissions: user, vhost, permission; in no order.
    pub fn permissions(&self) -> impl Iterator<Item = (&Name, &Name, &Arc<Permission>)> {
        let by_user = self.permissions.iter();
        by_user.flat_map(|(user, vhosts)| vhosts.iter().map(move |(v, p)| (user, v, p)))
    }

    /// All restrictions on topics: user, vhost, exchange, what is allowed; in no order.
    pub fn topic_permissions(
        &self,
    ) -> impl Iterator<Item = (&Name, &Name, &Name, &Arc<TopicPermission>)> {
        let by_user = self.topics.iter();
        by_user.flat_map(|(user, topics)| topics.iter().map(move |((v, x), p)| (user, v, x, p)))
    }

    /// What `user` may do with topics in `vhost`, for a client of that user.
    ///
    /// **Cost**: compiles its patterns.
    pub fn topics_of(&self, user: &str, vhost: &str) -> TopicPermissions {
        let topics = self.topics.get(user).into_iter().flatten();
        let here = topics.filter(|((v, _), _)| **v == *vhost);
        TopicPermissions::new(
            here.map(|((_, exchange), permission)| (exchange.clone(), permission.of(user, vhost))),
        )
    }
}

/// The users of the broker, shared by everything that logs in or checks a permission.
#[derive(Debug, Default)]
pub struct Users {
    current: RwLock<Arc<UserDirectory>>,
}

impl Users {
    /// Starts with `directory`.
    pub fn new(directory: UserDirectory) -> Self {
        Self {
            current: RwLock::new(Arc::new(directory)),
        }
    }

    /// The present state; later changes do not show in it.
    pub fn snapshot(&self) -> Arc<UserDirectory> {
        self.current.read().clone()
    }

    /// Changes a copy of the present state, then puts it in place.
    ///
    /// **Effect**: on return every lookup sees the change. **Order**: changes run one at a time. **Waits**: for other changes; readers are
    /// kept out only while the copy is put in place.
    pub fn change<T>(&self, change: impl FnOnce(&mut UserDirectory) -> T) -> T {
        let current = self.current.upgradable_read();
        let mut next = UserDirectory::clone(&current);
        let result = change(&mut next);
        *RwLockUpgradableReadGuard::upgrade(current) = Arc::new(next);
        result
    }

    /// Checks a name and a password.
    ///
    /// An empty password is never right. **Errors**: 403 ACCESS_REFUSED at connection level, for either [`Refusal`]. **Cost**: one hash,
    /// also when there is no such user.
    pub fn authenticate(
        &self,
        name: &str,
        password: &[u8],
        peer_is_loopback: bool,
    ) -> Result<Arc<User>, Refusal> {
        let directory = self.snapshot();
        let user = directory.users.get(name);
        let hash = user.and_then(|user| user.password.as_ref());
        let matches = hash.unwrap_or(&NOBODY).matches(password);
        let user = match (user, hash) {
            (Some(user), Some(_)) if matches && !password.is_empty() => user,
            _ => return Err(Refusal::InvalidCredentials { user: name.into() }),
        };
        if !peer_is_loopback && directory.loopback_users.contains(name) {
            return Err(Refusal::LoopbackOnly { user: name.into() });
        }
        Ok(user.clone())
    }

    /// Lets somebody in whom something else than a password vouches for: a certificate, or the operator.
    ///
    /// **Errors**: as [`Users::authenticate`].
    pub fn admit(&self, name: &str, peer_is_loopback: bool) -> Result<Arc<User>, Refusal> {
        let directory = self.snapshot();
        let user = directory.users.get(name);
        let user = user.ok_or_else(|| Refusal::InvalidCredentials { user: name.into() })?;
        if !peer_is_loopback && directory.loopback_users.contains(name) {
            return Err(Refusal::LoopbackOnly { user: name.into() });
        }
        Ok(Arc::clone(user))
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.current.read().user(name).cloned()
    }

    /// What `user` may do in `vhost`; none if it may not enter (530 NOT_ALLOWED at `connection.open`).
    pub fn permissions(&self, user: &str, vhost: &str) -> Option<Arc<Permission>> {
        self.current.read().permission(user, vhost).cloned()
    }
}
