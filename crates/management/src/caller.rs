//! Who asks, and what they may see and change.
//!
//! Every request under `/api` has a name and a password (HTTP Basic). What a user may do depends on tags, as in RabbitMQ: `management` sees the vhosts
//! it may enter; `policymaker` changes their policies and parameters; `monitoring` sees everything; `administrator` may do everything.
//! <https://www.rabbitmq.com/docs/management#permissions>

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use leveret_broker::error::{Error, Kind};
use leveret_broker::users::{Access, Permission, User};
use leveret_broker::vhost::Vhost;

use crate::Api;
use crate::refusal::Refusal;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From(pub(crate) IpAddr);

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) api: Arc<Api>,
    pub(crate) user: Arc<User>,
}

/// Tags that let a user use the API at all.
const TAGS: [&str; 4] = ["management", "policymaker", "monitoring", "administrator"];

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        let failed = || Refusal {
            error: "not_authorized",
            ..Refusal::not_authorised("Login failed")
        };
        let header = parts.headers.get(AUTHORIZATION).ok_or_else(failed)?;
        let (name, password) = credentials(header.as_bytes()).ok_or_else(failed)?;
        let from = parts.extensions.get::<From>();
        let is_loopback = from.is_some_and(|From(ip)| ip.is_loopback());
        let user = api
            .broker
            .users
            .authenticate(&name, password.as_bytes(), is_loopback);
        let user = user.map_err(|refusal| {
            tracing::warn!("management: login refused: {refusal}");
            failed()
        })?;
        if !TAGS.iter().any(|tag| user.has_tag(tag)) {
            return Err(Refusal::not_authorised("Not management user"));
        }
        let api = Arc::clone(api);
        Ok(Self { api, user })
    }
}

pub(crate) fn credentials(header: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(encoded.trim_ascii()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

impl Caller {
    pub(crate) fn is_administrator(&self) -> bool {
        self.user.has_tag("administrator")
    }

    pub(crate) fn is_monitor(&self) -> bool {
        self.is_administrator() || self.user.has_tag("monitoring")
    }

    fn is_policymaker(&self) -> bool {
        self.is_administrator() || self.user.has_tag("policymaker")
    }

    /// **Errors**: 401.
    pub(crate) fn must_administrate(&self) -> Result<(), Refusal> {
        let refused = || Refusal::not_authorised("Not administrator user");
        self.is_administrator().then_some(()).ok_or_else(refused)
    }

    /// **Errors**: 401.
    pub(crate) fn must_monitor(&self) -> Result<(), Refusal> {
        let refused = || Refusal::not_authorised("Not monitor user");
        self.is_monitor().then_some(()).ok_or_else(refused)
    }

    /// **Errors**: 401.
    pub(crate) fn must_make_policies(&self) -> Result<(), Refusal> {
        let refused = || Refusal::not_authorised("User not authorised to access object");
        self.is_policymaker().then_some(()).ok_or_else(refused)
    }

    /// The vhost, whose policies and parameters the caller wants to change.
    ///
    /// **Errors**: 401, 404.
    pub(crate) fn policies_of(&self, vhost: &str) -> Result<Arc<Vhost>, Refusal> {
        self.must_make_policies()?;
        self.vhost(vhost)
    }

    /// What the caller may do in a vhost, as a client of it.
    fn permission(&self, vhost: &str) -> Option<Arc<Permission>> {
        self.api.broker.users.permissions(&self.user.name, vhost)
    }

    /// The vhost, which the caller wants to see.
    ///
    /// **Errors**: 401, 404.
    pub(crate) fn vhost(&self, name: &str) -> Result<Arc<Vhost>, Refusal> {
        let vhost = self.api.broker.vhost(name)?;
        if self.is_monitor() || self.permission(name).is_some() {
            return Ok(vhost);
        }
        Err(Refusal::not_authorised(
            "User not authorised to access virtual host",
        ))
    }

    /// The vhosts that the caller may see, by name; or the one that is named.
    pub(crate) fn vhosts(&self, name: Option<&str>) -> Result<Vec<Arc<Vhost>>, Refusal> {
        if let Some(name) = name {
            return Ok(vec![self.vhost(name)?]);
        }
        let mut vhosts = self.api.broker.all_vhosts();
        vhosts.retain(|vhost| self.is_monitor() || self.permission(&vhost.name).is_some());
        Ok(vhosts)
    }

    /// Whether the caller may see a connection of a user.
    pub(crate) fn sees_connections_of(&self, user: &str) -> bool {
        self.is_monitor() || *self.user.name == *user
    }

    /// Whether the caller may close a connection of a user.
    ///
    /// **Errors**: 401.
    pub(crate) fn must_close_connections_of(&self, user: &str) -> Result<(), Refusal> {
        match *self.user.name == *user {
            true => Ok(()),
            false => self.must_administrate(),
        }
    }

    /// As [`Caller::may`], told as RabbitMQ tells it.
    ///
    /// **Errors**: 401.
    pub(crate) fn check(
        &self,
        vhost: &Vhost,
        access: Access,
        what: (Kind, &str),
    ) -> Result<(), Refusal> {
        Ok(self.may(vhost, access, what)?)
    }

    /// Whether the caller may do something as a client of the vhost; the default exchange goes by the name `amq.default`.
    ///
    /// **Errors**: [`Error::VhostRefused`], [`Error::AccessRefused`].
    pub(crate) fn may(
        &self,
        vhost: &Vhost,
        access: Access,
        (kind, name): (Kind, &str),
    ) -> Result<(), Error> {
        let user = self.user.name.clone();
        let Some(permission) = self.permission(&vhost.name) else {
            let vhost = vhost.name.clone();
            return Err(Error::VhostRefused { vhost, user });
        };
        if permission.allows(access, name) {
            return Ok(());
        }
        let resource = vhost.named(kind, if name.is_empty() { "amq.default" } else { name });
        Err(Error::AccessRefused {
            access,
            resource,
            user,
        })
    }
}
