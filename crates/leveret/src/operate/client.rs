//! A client of the management API.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use thiserror::Error;
use ureq::Agent;
use ureq::http::Request;

use super::Failure;
use super::requests::Ask;
use crate::arguments::Flags;
use crate::config::ListenAddress;
use crate::{health, load};

/// No request takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// An answer is not read further than this: definitions may be long.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// Names the broker where no `--url` does.
pub(super) const URL_VARIABLE: &str = "LEVERET_MANAGEMENT_URL";

/// Why there is no good answer.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    #[error("{0} is not like http://USER:PASSWORD@HOST:PORT")]
    Url(String),
    #[error("no management listener is configured, so there is no address to ask; give --url")]
    NoAddress,
    #[error("no answer from {address}: {error}")]
    NoAnswer { address: String, error: String },
    /// The broker refused, with a status and a reason.
    #[error("{reason}")]
    Refused { status: u16, reason: String },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    /// `HOST:PORT`.
    address: String,
    authorization: String,
}

impl Client {
    /// A client of the broker that a URL names; without one, the environment's, or `guest` at the configured management listener.
    pub(super) fn of(flags: &Flags, url: Option<&str>) -> Result<Self, Failure> {
        let url = url
            .map(str::to_owned)
            .or_else(|| std::env::var(URL_VARIABLE).ok());
        let (login, address) = match url {
            Some(url) => split(&url).ok_or(ClientError::Url(url))?,
            None => ("guest:guest".to_owned(), configured(flags)?),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(DEADLINE))
            .build();
        Ok(Self {
            agent: config.into(),
            address,
            authorization: format!("Basic {}", BASE64.encode(login)),
        })
    }

    /// As somebody else.
    pub(super) fn with_login(&self, user: &str, password: &str) -> Self {
        Self {
            agent: self.agent.clone(),
            address: self.address.clone(),
            authorization: format!("Basic {}", BASE64.encode(format!("{user}:{password}"))),
        }
    }

    /// Asks. The answer is null where there is no body.
    ///
    /// **Errors**: no answer, or a status that is none of success.
    pub(super) fn request(&self, ask: &Ask) -> Result<Value, ClientError> {
        let no_answer = |error: &dyn std::fmt::Display| ClientError::NoAnswer {
            address: self.address.clone(),
            error: error.to_string(),
        };
        let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder()
            .method(&ask.method)
            .uri(format!("http://{}/api{}", self.address, ask.path))
            .header("authorization", &self.authorization);
        if let Some(reason) = &ask.reason {
            request = request.header("x-reason", reason);
        }
        let request = request.body(body).map_err(|error| no_answer(&error))?;
        let mut answer = self.agent.run(request).map_err(|error| no_answer(&error))?;
        let text = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string();
        let text = text.map_err(|error| no_answer(&error))?;
        let body: Value = match text.as_str() {
            "" => Value::Null,
            json => serde_json::from_str(json).unwrap_or_else(|_| json.into()),
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(body);
        }
        let reason = body.get("reason").and_then(Value::as_str);
        Err(ClientError::Refused {
            status: status.as_u16(),
            reason: reason.unwrap_or_else(|| status.as_str()).to_owned(),
        })
    }
}

/// `USER:PASSWORD` and `HOST:PORT` of a URL; `guest` where it names nobody.
fn split(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://")?.trim_end_matches('/');
    let (login, address) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
    let is_good = login.contains(':') && !address.is_empty() && !address.contains('/');
    is_good.then(|| (login.to_owned(), address.to_owned()))
}

fn configured(flags: &Flags) -> Result<String, Failure> {
    let config = load(flags)?.config;
    let address = config
        .listeners
        .management
        .iter()
        .find_map(|address| match address {
            ListenAddress::Tcp(address) => Some(health::reachable(*address).to_string()),
            ListenAddress::Unix(_) => None,
        });
    Ok(address.ok_or(ClientError::NoAddress)?)
}
