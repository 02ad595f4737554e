//! That something cannot be done: an HTTP status and RabbitMQ's body for it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use leveret_broker::error::Error;
use leveret_broker::operator::OperatorError;
use serde_json::json;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) reason: String,
}

impl Refusal {
    /// 400.
    pub(crate) fn bad_request(reason: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error: "bad_request",
            reason: reason.into(),
        }
    }

    /// 404.
    pub(crate) fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            error: "Object Not Found",
            reason: "Not Found".to_owned(),
        }
    }

    /// 401, with the question for a name and a password.
    pub(crate) fn not_authorised(reason: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            error: "not_authorised",
            reason: reason.into(),
        }
    }

    /// 503.
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "unavailable",
            reason: reason.into(),
        }
    }
}

/// Marks answers that tell of something missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.error, "reason": self.reason}));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::NOT_FOUND {
            response.extensions_mut().insert(Missing);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Basic realm=\"RabbitMQ Management\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}

/// As RabbitMQ tells what a queue, an exchange or a binding is refused for. Who asks about something that is not there, or deletes it, is answered
/// otherwise: see `routes`.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NotFound(_) => Self::missing(text),
            Error::VhostNotFound(_) => Self::missing("vhost_not_found"),
            Error::VhostRefused { .. } => {
                Self::not_authorised("User not authorised to access virtual host")
            }
            Error::Unavailable => Self::unavailable(text),
            _ if reply(&error).0 == 403 => Self::not_authorised("Access refused."),
            _ => Self::bad_request(text),
        }
    }
}

impl Refusal {
    /// 404, for what a body needs and is not there.
    fn missing(reason: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            error: "not_found",
            reason: reason.into(),
        }
    }

    /// 400, for a body without a key that it needs.
    pub(crate) fn key_missing(key: &str) -> Self {
        Self::bad_request(format!("[{{key_missing,{key}}}]"))
    }

    /// As RabbitMQ tells what a get of messages is refused for: with the name of AMQP's reply code.
    pub(crate) fn of_get(error: Error) -> Self {
        let text = format!("{} - {error}", reply(&error).1);
        match reply(&error).0 {
            404 => Self::missing(text),
            403 => Self::not_authorised(text),
            _ => Self::from(error),
        }
    }

    /// As RabbitMQ tells what a publish is refused for: 400, with AMQP's reply code and its name.
    pub(crate) fn of_publish(error: Error) -> Self {
        let (code, name) = reply(&error);
        match error {
            Error::VhostNotFound(_) | Error::VhostRefused { .. } | Error::Unavailable => {
                Self::from(error)
            }
            _ => Self::bad_request(format!("{code} {name} - {error}")),
        }
    }
}

/// The reply code that a client over AMQP gets.
fn reply(error: &Error) -> (u16, &'static str) {
    match error {
        Error::NotFound(_) | Error::VhostNotFound(_) => (404, "NOT_FOUND"),
        Error::Locked(_) | Error::SingleActive(_) => (405, "RESOURCE_LOCKED"),
        Error::ReservedName(_)
        | Error::DefaultExchange
        | Error::SystemExchange(_)
        | Error::InternalExchange(_)
        | Error::ExclusiveUse(_)
        | Error::AccessRefused { .. }
        | Error::TopicRefused { .. }
        | Error::VhostRefused { .. } => (403, "ACCESS_REFUSED"),
        Error::VhostConnections { .. }
        | Error::UserConnections { .. }
        | Error::UserChannels { .. } => (530, "NOT_ALLOWED"),
        Error::Unavailable => (541, "INTERNAL_ERROR"),
        Error::Inequivalent { .. }
        | Error::Unacceptable(_)
        | Error::UnknownExchangeType(_)
        | Error::InUse(_)
        | Error::NotEmpty(_)
        | Error::VhostQueues { .. } => (406, "PRECONDITION_FAILED"),
    }
}

impl From<OperatorError> for Refusal {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::NoSuchUser(_) | OperatorError::NoSuchVhost(_) => Self::not_found(),
            OperatorError::Invalid(_) => Self::bad_request(error.to_string()),
            OperatorError::Protected(_) => Self {
                status: StatusCode::PRECONDITION_FAILED,
                error: "precondition_failed",
                reason: error.to_string(),
            },
        }
    }
}
