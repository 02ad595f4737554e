//! The body of a request as JSON, whatever its headers call it; an empty one is an empty object, as in RabbitMQ.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::Api;
use crate::refusal::Refusal;

/// See the module.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

/// A truth value, which some tools write as a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::Bool(set) => Ok(Self(set)),
            Value::String(text) if text == "true" => Ok(Self(true)),
            Value::String(text) if text == "false" => Ok(Self(false)),
            other => Err(D::Error::custom(format!("not_boolean: {other}"))),
        }
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Refusal;

    /// **Errors**: 400 for what is no JSON, or not what is asked for.
    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Refusal> {
        let body = Bytes::from_request(request, api).await;
        let body = body.map_err(|error| Refusal::bad_request(error.to_string()))?;
        let value = match body.as_ref() {
            // Some clients send these for nothing.
            b"" | b"null" | b"undefined" => Value::Object(Map::new()),
            body => serde_json::from_slice(body).map_err(|_| Refusal::bad_request("not_json"))?,
        };
        match value {
            Value::Object(_) => serde_json::from_value(value).map(Self).map_err(unfit),
            Value::String(_) => Err(Refusal::bad_request(
                "invalid payload: the request body JSON-decoded to a string. \
                 Is the input doubly-JSON-encoded?",
            )),
            _ => Err(Refusal::bad_request("not_json")),
        }
    }
}

fn unfit(error: serde_json::Error) -> Refusal {
    let text = error.to_string();
    let missing = text.strip_prefix("missing field `");
    match missing.and_then(|rest| rest.split_once('`')) {
        Some((key, _)) => Refusal::key_missing(key),
        None => Refusal::bad_request(text),
    }
}
