//! Users: who may log in, and what each may do in which vhost.
//!
//! A [`UserDirectory`] is an immutable snapshot; [`Users`] holds the current one and swaps it whole, so that a reader never sees half of a
//! change. Passwords and patterns have their own files. Connections cache what they looked up; telling them about a change is not done
//! here, nor are topic permissions and limits, whose place would be beside the permissions of a vhost.
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

pub use password::{HashAlgorithm, PasswordHash, PasswordHashError};
pub use permission::{Access, PatternError, Permission};

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
    loopback_users: HashSet<Box<str>>,
}

impl Default for UserDirectory {
    /// No users; `guest`, should it be added, may connect from loopback only.
    fn default() -> Self {
        Self {
            users: HashMap::new(),
            permissions: HashMap::new(),
            loopback_users: HashSet::from(["guest".into()]),
        }
    }
}

impl UserDirectory {
    /// Adds a user, or replaces the one of the same name; its permissions stay.
    pub fn put_user(&mut self, user: User) {
        self.users.insert(user.name.clone(), Arc::new(user));
    }

    /// Removes a user with all its permissions; tells whether there was one.
    pub fn remove_user(&mut self, name: &str) -> bool {
        self.permissions.remove(name);
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

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.current.read().user(name).cloned()
    }

    /// What `user` may do in `vhost`; none if it may not enter (530 NOT_ALLOWED at `connection.open`).
    pub fn permissions(&self, user: &str, vhost: &str) -> Option<Arc<Permission>> {
        self.current.read().permission(user, vhost).cloned()
    }
}
