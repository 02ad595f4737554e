//! Whose doing a change is, for those who hear of it in events: the caller's, from the first to the last step of its request.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use leveret_broker::events::acting_as;
use leveret_message::name::Name;

use crate::Api;
use crate::caller::credentials;

/// Carries a request out in the name of who the caller says it is. Whether that is true is seen to before anything is changed.
pub(crate) async fn name_actor(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    let header = request.headers().get(AUTHORIZATION);
    let header = header.filter(|_| api.broker.events.is_on());
    let claimed = header.and_then(|header| credentials(header.as_bytes()));
    let Some(actor) = claimed.and_then(|(name, _)| Name::new(&name).ok()) else {
        return next.run(request).await;
    };
    let mut answer = pin!(next.run(request));
    poll_fn(|context| acting_as(&actor, || answer.as_mut().poll(context))).await
}
