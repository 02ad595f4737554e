//! What is answered to which path.
//!
//! Here are the routes, and the limit on a request's body. Not here: sockets, header limits and times, which `serve` sets.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, Request};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use leveret_broker::policies::Sort;
use tower::ServiceExt;

use crate::actor::name_actor;
use crate::caller::Caller;
use crate::refusal::{Missing, Refusal};
use crate::{
    Api, bindings, channels, connections, consumers, definitions, delayed, exchanges, health,
    limits, list, listening, messages, moving, offsets, overview, parameters, permissions,
    policies, queues, users, vhosts,
};

#[cfg(test)]
mod tests;

/// The longest body of a request, in bytes; RabbitMQ's `management.http.max_body_size`. Longer: 413.
pub(crate) const BODY_BYTES_MAX: usize = 10_000_000;

type Routes = Router<Arc<Api>>;

/// All routes, with the body limit around them. A slash at the end of a path means nothing.
pub(crate) fn routes(api: Arc<Api>) -> Router {
    let inner = Router::new()
        .route("/health", get(health::health))
        .nest("/api", self::api())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(refuse_announced_body))
        .layer(middleware::from_fn(name_what_is_missing))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), name_actor))
        .with_state(api);
    Router::new().fallback(move |mut request: Request| {
        let inner = inner.clone();
        async move {
            if let Some(shorter) = without_last_slash(request.uri()) {
                *request.uri_mut() = shorter;
            }
            inner.oneshot(request).await
        }
    })
}

fn without_last_slash(uri: &Uri) -> Option<Uri> {
    let path = uri
        .path()
        .strip_suffix('/')
        .filter(|path| !path.is_empty())?;
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    format!("{path}{query}").parse().ok()
}

fn api() -> Routes {
    Router::new()
        .merge(whole())
        .merge(checks())
        .merge(topology())
        .merge(clients())
        .merge(access())
        .merge(settings())
}

fn whole() -> Routes {
    Router::new()
        .route("/overview", get(overview::overview))
        .route("/whoami", get(users::whoami))
        .route("/nodes", get(overview::nodes))
        .route("/nodes/{node}", get(overview::node))
        .route("/extensions", get(overview::none))
        .route("/feature-flags", get(overview::feature_flags))
        .route(
            "/feature-flags/{name}/enable",
            put(overview::enable_feature_flag),
        )
        .route("/deprecated-features", get(overview::none))
        .route("/deprecated-features/used", get(overview::none))
        .route("/version", get(overview::version))
        .route(
            "/definitions",
            get(definitions::all).post(definitions::import),
        )
        .route(
            "/all-configuration",
            get(definitions::all).post(definitions::import),
        )
        .route(
            "/definitions/{vhost}",
            get(definitions::of_vhost).post(definitions::import_vhost),
        )
        .route("/rebalance/queues", post(health::rebalance))
        .route(
            "/leveret/alarms/{resource}",
            put(health::force_alarm).delete(health::force_alarm),
        )
        .route(
            "/leveret/listeners/suspended",
            put(listening::suspend).delete(listening::suspend),
        )
}

fn checks() -> Routes {
    let checks = Router::new()
        .route("/alarms", get(health::alarms))
        .route("/local-alarms", get(health::alarms))
        .route(
            "/certificate-expiration/{within}/{unit}",
            get(health::certificates),
        )
        .route("/port-listener/{port}", get(health::port))
        .route("/protocol-listener/{protocols}", get(health::protocol))
        .route("/virtual-hosts", get(health::always))
        .route("/metadata-store/initialized", get(health::always))
        .route("/metadata-store/initialized/with-data", get(health::always))
        .route(
            "/quorum-queues-without-elected-leaders/all-vhosts",
            get(health::always),
        )
        .route(
            "/quorum-queues-without-elected-leaders/vhost/{vhost}",
            get(health::always),
        )
        .route(
            "/quorum-queues-without-elected-leaders/pattern/{pattern}",
            get(health::always),
        )
        .route(
            "/quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}",
            get(health::always),
        )
        .route(
            "/quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}",
            get(health::always),
        )
        .route("/node-is-quorum-critical", get(health::alone))
        .route("/node-is-mirror-sync-critical", get(health::alone))
        .route("/reached-target-cluster-size", get(health::always))
        .route("/is-in-service", get(health::always))
        .route("/below-node-connection-limit", get(health::always))
        .route("/ready-to-serve-clients", get(health::ready));
    Router::new()
        .nest("/health/checks", checks)
        .route("/aliveness-test/{vhost}", get(health::alive))
        .route("/healthchecks/node", get(health::always))
        .route("/healthchecks/node/{node}", get(health::always))
}

fn topology() -> Routes {
    let binding = get(bindings::one).delete(bindings::delete);
    Router::new()
        .route("/queues", get(queues::all))
        .route("/queues/detailed", get(queues::all))
        .route("/queues/{vhost}", get(queues::all))
        .route(
            "/queues/{vhost}/{name}",
            get(queues::one).put(queues::put).delete(queues::delete),
        )
        .route("/queues/{vhost}/{name}/bindings", get(bindings::of_queue))
        .route("/queues/{vhost}/{name}/contents", delete(queues::purge))
        .route("/queues/{vhost}/{name}/actions", post(queues::act))
        .route("/queues/{vhost}/{name}/get", post(messages::get))
        .route("/leveret/queues/{vhost}/{name}/messages", get(moving::peek))
        .route("/leveret/queues/{vhost}/{name}/move", post(moving::move_to))
        .route(
            "/leveret/queues/{vhost}/{name}/redrive",
            post(moving::redrive),
        )
        .route("/leveret/streams/{vhost}/{name}/offsets", get(offsets::all))
        .route(
            "/leveret/streams/{vhost}/{name}/offsets/{reader}",
            delete(offsets::forget),
        )
        .route("/exchanges", get(exchanges::all))
        .route("/exchanges/{vhost}", get(exchanges::all))
        .route(
            "/exchanges/{vhost}/{name}",
            get(exchanges::one)
                .put(exchanges::put)
                .delete(exchanges::delete),
        )
        .route("/exchanges/{vhost}/{name}/publish", post(messages::publish))
        .route(
            "/leveret/exchanges/{vhost}/{name}/delayed",
            get(delayed::list).delete(delayed::cancel_all),
        )
        .route(
            "/leveret/exchanges/{vhost}/{name}/delayed/{id}",
            get(delayed::one).delete(delayed::cancel),
        )
        .route(
            "/exchanges/{vhost}/{name}/bindings/{end}",
            get(bindings::of_exchange),
        )
        .route("/bindings", get(bindings::all))
        .route("/bindings/{vhost}", get(bindings::all))
        .route(
            "/bindings/{vhost}/e/{source}/{kind}/{destination}",
            get(bindings::between).post(bindings::post),
        )
        .route(
            "/bindings/{vhost}/e/{source}/{kind}/{destination}/{key}",
            binding,
        )
}

fn clients() -> Routes {
    Router::new()
        .route("/connections", get(connections::all))
        .route(
            "/connections/username/{user}",
            get(connections::of_user).delete(connections::close_of_user),
        )
        .route(
            "/connections/{name}",
            get(connections::one).delete(connections::close),
        )
        .route("/connections/{name}/channels", get(channels::of_connection))
        .route("/channels", get(channels::all))
        .route("/channels/{name}", get(channels::one))
        .route("/consumers", get(consumers::all))
        .route("/consumers/{vhost}", get(consumers::all))
}

fn access() -> Routes {
    Router::new()
        .route("/vhosts", get(vhosts::all))
        .route(
            "/vhosts/{vhost}",
            get(vhosts::one).put(vhosts::put).delete(vhosts::delete),
        )
        .route("/vhosts/{vhost}/permissions", get(permissions::of_vhost))
        .route(
            "/vhosts/{vhost}/topic-permissions",
            get(permissions::topics_of_vhost),
        )
        .route("/vhosts/{vhost}/connections", get(connections::of_vhost))
        .route("/vhosts/{vhost}/channels", get(channels::of_vhost))
        .route(
            "/vhosts/{vhost}/deletion/protection",
            post(vhosts::protect).delete(vhosts::protect),
        )
        .route("/users", get(users::all))
        .route(
            "/users/without-permissions",
            get(users::without_permissions),
        )
        .route("/users/bulk-delete", post(users::delete_several))
        .route(
            "/users/{user}",
            get(users::one).put(users::put).delete(users::delete),
        )
        .route("/users/{user}/permissions", get(permissions::of_user))
        .route(
            "/users/{user}/topic-permissions",
            get(permissions::topics_of_user),
        )
        .route("/permissions", get(permissions::all))
        .route(
            "/permissions/{vhost}/{user}",
            get(permissions::one)
                .put(permissions::put)
                .delete(permissions::delete),
        )
        .route("/topic-permissions", get(permissions::all_topics))
        .route(
            "/topic-permissions/{vhost}/{user}",
            get(permissions::topics_of_both)
                .put(permissions::put_topics)
                .delete(permissions::delete_topics),
        )
        .route(
            "/topic-permissions/{vhost}/{user}/{exchange}",
            delete(permissions::delete_topic),
        )
        .route("/auth/hash_password/{password}", get(users::hash))
}

fn settings() -> Routes {
    Router::new()
        .merge(policies_of(Sort::User, "/policies"))
        .merge(policies_of(Sort::Operator, "/operator-policies"))
        .route("/parameters", get(parameters::all))
        .route("/parameters/{component}", get(parameters::of_component))
        .route("/parameters/{component}/{vhost}", get(parameters::of_vhost))
        .route(
            "/parameters/{component}/{vhost}/{name}",
            get(parameters::one)
                .put(parameters::put)
                .delete(parameters::delete),
        )
        .route("/global-parameters", get(parameters::all_global))
        .route(
            "/global-parameters/{name}",
            get(parameters::one_global)
                .put(parameters::put_global)
                .delete(parameters::delete_global),
        )
        .route(
            "/cluster-name",
            get(parameters::cluster_name).put(parameters::put_cluster_name),
        )
        .route("/vhost-limits", get(limits::of_vhosts))
        .route("/vhost-limits/{vhost}", get(limits::of_vhosts))
        .route(
            "/vhost-limits/{vhost}/{name}",
            put(limits::put_vhost).delete(limits::delete_vhost),
        )
        .route("/user-limits", get(limits::of_users))
        .route("/user-limits/{user}", get(limits::of_users))
        .route(
            "/user-limits/{user}/{name}",
            put(limits::put_user).delete(limits::delete_user),
        )
}

fn policies_of(sort: Sort, path: &str) -> Routes {
    let all = move |caller: Caller, vhost: Option<Path<String>>, query: Query<list::Query>| {
        policies::all(sort, caller, vhost, query.0)
    };
    let one = move |caller, path, query| policies::one(sort, caller, path, query);
    let put = move |caller, path, body| policies::put(sort, caller, path, body);
    let delete = move |caller, path| policies::delete(sort, caller, path);
    Router::new()
        .route(path, get(all))
        .route(&format!("{path}/{{vhost}}"), get(all))
        .route(
            &format!("{path}/{{vhost}}/{{name}}"),
            get(one).put(put).delete(delete),
        )
}

async fn not_found() -> Refusal {
    Refusal::not_found()
}

async fn method_not_allowed() -> Refusal {
    Refusal {
        status: StatusCode::METHOD_NOT_ALLOWED,
        error: "method_not_allowed",
        reason: "Method Not Allowed".to_owned(),
    }
}

/// Who asks about something that is not there, or deletes it, is told just that; who needs it for something else is told what is missing.
async fn name_what_is_missing(request: Request, next: Next) -> Response {
    let is_about_it = [Method::GET, Method::HEAD, Method::DELETE].contains(request.method());
    let response = next.run(request).await;
    match is_about_it && response.extensions().get::<Missing>().is_some() {
        true => Refusal::not_found().into_response(),
        false => response,
    }
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
        let refusal = Refusal {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            error: "bad_request",
            reason: "Request body is too large".to_owned(),
        };
        return refusal.into_response();
    }
    next.run(request).await
}
