//! Parameters and global parameters: what is told of them; setting and removing.

use axum::Json;
use axum::extract::{Path, Query as UrlQuery};
use axum::http::StatusCode;
use axum::response::Response;
use leveret_broker::parameters::ParameterKey;
use serde_json::{Value, json};

use crate::body::Body;
use crate::caller::Caller;
use crate::permissions::status;
use crate::queues::named;
use crate::refusal::Refusal;
use crate::{ask, list};

/// The global parameter that names the cluster.
pub(crate) const CLUSTER_NAME: &str = "cluster_name";

/// `GET /parameters`.
pub(crate) async fn all(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    query.answer(found(&caller, |_| true)?)
}

/// `GET /parameters/{component}`.
pub(crate) async fn of_component(
    caller: Caller,
    Path(component): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    query.answer(found(&caller, |key| *key.component == *component)?)
}

/// `GET /parameters/{component}/{vhost}`.
pub(crate) async fn of_vhost(
    caller: Caller,
    Path((component, vhost)): Path<(String, String)>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    caller.vhost(&vhost)?;
    let wanted = |key: &ParameterKey| *key.component == *component && *key.vhost == *vhost;
    query.answer(found(&caller, wanted)?)
}

/// Component, vhost, name.
type Place = (String, String, String);

fn key((component, vhost, name): &Place) -> Result<ParameterKey, Refusal> {
    Ok(ParameterKey {
        component: named(component)?,
        vhost: named(vhost)?,
        name: named(name)?,
    })
}

/// `GET /parameters/{component}/{vhost}/{name}`.
pub(crate) async fn one(
    caller: Caller,
    Path(place): Path<Place>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let key = key(&place)?;
    let found = found(&caller, |there| *there == key)?.pop();
    Ok(query.one(found.ok_or_else(Refusal::not_found)?))
}

/// `PUT` there: 201, or 204 where there was one.
pub(crate) async fn put(
    caller: Caller,
    Path(place): Path<Place>,
    Body(new): Body<Value>,
) -> Result<StatusCode, Refusal> {
    caller.policies_of(&place.1)?;
    let value = new.get("value").cloned();
    let value = value.ok_or_else(|| Refusal::key_missing("value"))?;
    let broker = &caller.api.broker;
    let is_new = broker.put_parameter(key(&place)?, value)?;
    ask::kept(broker).await;
    Ok(status(is_new))
}

/// `DELETE` there: 204.
pub(crate) async fn delete(
    caller: Caller,
    Path(place): Path<Place>,
) -> Result<StatusCode, Refusal> {
    caller.policies_of(&place.1)?;
    let broker = &caller.api.broker;
    if !broker.delete_parameter(&key(&place)?)? {
        return Err(Refusal::not_found());
    }
    ask::kept(broker).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Parameters as definitions have them. What is in them may be secret: only who may change them sees them.
///
/// **Errors**: 401.
pub(crate) fn found(
    caller: &Caller,
    wanted: impl Fn(&ParameterKey) -> bool,
) -> Result<Vec<Value>, Refusal> {
    caller.must_make_policies()?;
    let vhosts = caller.vhosts(None)?;
    let is_visible = |key: &ParameterKey| vhosts.iter().any(|vhost| vhost.name == key.vhost);
    let mut parameters = caller.api.broker.parameters().by_key;
    for vhost in &vhosts {
        let value = vhost.limits.value();
        if !value.is_empty() {
            let place = (
                "vhost-limits".to_owned(),
                vhost.name.to_string(),
                "limits".to_owned(),
            );
            parameters.insert(key(&place)?, Value::Object(value));
        }
    }
    let found = parameters
        .iter()
        .filter(|(key, _)| is_visible(key) && wanted(key));
    let described = found.map(|(key, value)| {
        json!({
            "vhost": &*key.vhost,
            "component": &*key.component,
            "name": &*key.name,
            "value": value,
        })
    });
    Ok(described.collect())
}

/// `GET /global-parameters`.
pub(crate) async fn all_global(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    caller.must_make_policies()?;
    query.answer(global(&caller))
}

/// Global parameters as definitions have them.
pub(crate) fn global(caller: &Caller) -> Vec<Value> {
    let parameters = caller.api.broker.parameters().global;
    let described = parameters.iter();
    described
        .map(|(name, value)| json!({"name": &**name, "value": value}))
        .collect()
}

/// `GET /global-parameters/{name}`.
pub(crate) async fn one_global(
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    caller.must_make_policies()?;
    let value = caller.api.broker.parameters().global.remove(name.as_str());
    let value = value.ok_or_else(Refusal::not_found)?;
    Ok(Json(json!({"name": name, "value": value})))
}

/// `PUT` there: 201, or 204 where there was one.
pub(crate) async fn put_global(
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<Value>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let value = new.get("value").cloned();
    let value = value.ok_or_else(|| Refusal::key_missing("value"))?;
    let broker = &caller.api.broker;
    let is_new = broker.put_global_parameter(&named(&name)?, value);
    ask::kept(broker).await;
    Ok(status(is_new))
}

/// `DELETE` there: 204.
pub(crate) async fn delete_global(
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let broker = &caller.api.broker;
    if !broker.delete_global_parameter(&name) {
        return Err(Refusal::not_found());
    }
    ask::kept(broker).await;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /cluster-name`.
pub(crate) async fn cluster_name(caller: Caller) -> Json<Value> {
    Json(json!({"name": name_of_cluster(&caller)}))
}

/// The name that operators gave, else the node's.
pub(crate) fn name_of_cluster(caller: &Caller) -> String {
    let given = caller.api.broker.parameters().global.remove(CLUSTER_NAME);
    let given = given.as_ref().and_then(Value::as_str);
    given.unwrap_or(&caller.api.node.name).to_owned()
}

/// `PUT /cluster-name`: 204.
pub(crate) async fn put_cluster_name(
    caller: Caller,
    Body(new): Body<Value>,
) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let name = new.get("name").filter(|name| name.is_string()).cloned();
    let name = name.ok_or_else(|| Refusal::key_missing("name"))?;
    let broker = &caller.api.broker;
    broker.put_global_parameter(&named(CLUSTER_NAME)?, name);
    ask::kept(broker).await;
    Ok(StatusCode::NO_CONTENT)
}
