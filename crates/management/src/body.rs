//! The body of a request as JSON, whatever its headers call it; an empty one is an empty object, as in RabbitMQ.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use crate::Api;
use crate::refusal::Refusal;

/// See the module.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Refusal;

    /// **Errors**: 400 for what is no JSON, or not what is asked for.
    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Refusal> {
        let body = Bytes::from_request(request, api).await;
        let body = body.map_err(|error| Refusal::bad_request(error.to_string()))?;
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        let read = serde_json::from_slice(body);
        read.map(Self)
            .map_err(|error| Refusal::bad_request(error.to_string()))
    }
}
