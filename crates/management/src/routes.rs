//! What is answered to which path.
//!
//! Here are the routes, the JSON error bodies in RabbitMQ's form, and the limit on a request's body. Not here: sockets,
//! header limits and times, which `serve` sets.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;

#[cfg(test)]
mod tests;

/// The longest body of a request, in bytes; RabbitMQ's `management.http.max_body_size`. Longer: 413.
pub(crate) const BODY_BYTES_MAX: usize = 10_000_000;

/// All routes, with the body limit around them.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/health", get(health))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(refuse_announced_body))
}

/// Says that the daemon runs and its runtime answers. It asks nothing of the broker and needs no login.
async fn health() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "Object Not Found", "Not Found")
}

async fn method_not_allowed() -> Response {
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "Method Not Allowed",
    )
}

/// Refuses a body whose announced length is over the limit before a byte of it is read.
///
/// `DefaultBodyLimit` alone counts only what a handler reads.
async fn refuse_announced_body(request: Request, next: Next) -> Response {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "bad_request",
            "Request body is too large",
        );
    }
    next.run(request).await
}

/// An error body as RabbitMQ's management API writes it.
fn error(status: StatusCode, error: &str, reason: &str) -> Response {
    (status, Json(json!({"error": error, "reason": reason}))).into_response()
}
