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

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.error, "reason": self.reason}));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Basic realm=\"RabbitMQ Management\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}

/// As over AMQP: the name of the reply code, and the text.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NotFound(_) | Error::VhostNotFound(_) => Self::not_found(),
            Error::Locked(_) => Self::bad_request(format!("RESOURCE_LOCKED - {text}")),
            Error::Inequivalent { .. }
            | Error::Unacceptable(_)
            | Error::InUse(_)
            | Error::NotEmpty(_)
            | Error::UnknownExchangeType(_)
            | Error::VhostQueues { .. } => {
                Self::bad_request(format!("PRECONDITION_FAILED - {text}"))
            }
            Error::ReservedName(_)
            | Error::DefaultExchange
            | Error::SystemExchange(_)
            | Error::InternalExchange(_)
            | Error::ExclusiveUse(_) => Self::bad_request(format!("ACCESS_REFUSED - {text}")),
            Error::AccessRefused { .. }
            | Error::TopicRefused { .. }
            | Error::VhostRefused { .. } => {
                Self::not_authorised(format!("ACCESS_REFUSED - {text}"))
            }
            Error::VhostConnections { .. }
            | Error::UserConnections { .. }
            | Error::UserChannels { .. } => Self::bad_request(format!("NOT_ALLOWED - {text}")),
            Error::Unavailable => Self::unavailable(text),
        }
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
