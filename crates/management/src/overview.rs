//! What is told of the whole: overview, nodes, feature flags, versions.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query as UrlQuery};
use axum::response::Response;
use leveret_broker::bindings::ExchangeKind;
use leveret_broker::connections::ConnectionFacts;
use leveret_broker::figures::{ShardFigures, TrafficFigures};
use leveret_broker::vhost::Vhost;
use leveret_message::name::Name;
use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::figure::{self, Figure, Figures};
use crate::parameters::name_of_cluster;
use crate::queues::object;
use crate::rates::{Key, Rates};
use crate::refusal::Refusal;
use crate::{Api, ask, connections, list, vhosts};

/// Feature flags of RabbitMQ that tools ask for, and that what they stand for is there.
const FEATURE_FLAGS: [&str; 8] = [
    "classic_queue_type_delivery_support",
    "direct_exchange_routing_v2",
    "feature_flags_v2",
    "quorum_queue",
    "stream_queue",
    "tracking_records_in_ets",
    "user_limits",
    "virtual_host_metadata",
];

/// `GET /overview`.
pub(crate) async fn overview(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    let node = &caller.api.node;
    let ranges = query.ranges()?;
    let seer = (!caller.is_monitor()).then(|| caller.user.name.clone());
    let (figures, objects) = look(&caller.api, seer.as_ref())
        .await
        .ok_or_else(Refusal::not_found)?;
    let rated = Rates::of_one(&caller.api, Key::Whole(seer), figures, &ranges);
    let mut described = object(json!({
        "management_version": node.rabbitmq_version,
        "rabbitmq_version": node.rabbitmq_version,
        "product_name": node.product,
        "product_version": node.product_version,
        "erlang_version": "none",
        "erlang_full_version": "none",
        "rates_mode": "detailed",
        "sample_retention_policies": {
            "global": [600, 3600, 28800, 86400],
            "basic": [600],
            "detailed": [600],
        },
        "exchange_types": exchange_types(),
        "cluster_name": name_of_cluster(&caller),
        "cluster_tags": {},
        "node_tags": {},
        "default_queue_type": "classic",
        "disable_stats": false,
        "enable_queue_totals": true,
        "is_op_policy_updating_enabled": true,
        "require_definition_json_extension": false,
        "statistics_db_event_queue": 0,
        "message_stats": rated
            .stats(&[figure::PUBLISHED, figure::DELIVERED])
            .unwrap_or_else(|| json!({})),
        "object_totals": objects,
    }));
    for (key, figures) in [
        ("churn_rates", figure::CHURN),
        ("queue_totals", figure::LENGTHS),
    ] {
        let mut of = Map::new();
        rated.put(&mut of, figures);
        described.insert(key.to_owned(), of.into());
    }
    if caller.is_monitor() {
        described.extend(object(json!({
            "node": node.name,
            "listeners": listeners(&caller),
            "contexts": contexts(&caller),
        })));
    }
    Ok(query.one(Value::Object(described)))
}

/// What all that a user may see tells together, and how many things of each kind there are. Without a user, of everything; none for a user who
/// is gone.
async fn look(api: &Arc<Api>, seer: Option<&Name>) -> Option<(Figures, Value)> {
    let broker = &api.broker;
    let mut vhosts = broker.all_vhosts();
    let all = broker.connections.traffic();
    let (mut traffic, mut connections) = (all, broker.connections.count() as u64);
    if let Some(user) = seer {
        broker.users.user(user)?;
        vhosts.retain(|vhost| broker.users.permissions(user, &vhost.name).is_some());
        (traffic, connections) = of_vhosts(api, &vhosts);
    }
    let queues: Vec<_> = vhosts.iter().flat_map(|vhost| vhost.queues()).collect();
    let (mut sum, shards) = ask::sum_and_shards(broker, &queues).await;
    if seer.is_none() {
        shards.iter().for_each(|shard| sum.counts += shard.ended);
    }
    let exchanges: usize = vhosts.iter().map(|vhost| vhost.exchanges_count()).sum();
    let objects = json!({
        "channels": traffic.channels,
        "connections": connections,
        "consumers": sum.consumers,
        "exchanges": exchanges,
        "queues": queues.len(),
    });
    let figures = with_churn(vhosts::together(&sum, &traffic), api, &all, &shards);
    Some((figures, objects))
}

/// What connections in these vhosts have read, written and done, and how many are open.
fn of_vhosts(api: &Api, vhosts: &[Arc<Vhost>]) -> (TrafficFigures, u64) {
    let all = api.broker.connections.traffic_by_vhost();
    let mut traffic = TrafficFigures::default();
    for vhost in vhosts {
        traffic += all.get(&vhost.name).copied().unwrap_or_default();
    }
    let is_in = |facts: &&ConnectionFacts| {
        let name = connections::vhost_of(facts);
        vhosts.iter().any(|vhost| name == Some(&*vhost.name))
    };
    let open = api.broker.connections.all();
    (traffic, open.iter().filter(is_in).count() as u64)
}

/// Adds what began and ended, in all vhosts.
fn with_churn(
    figures: Figures,
    api: &Api,
    traffic: &TrafficFigures,
    shards: &[ShardFigures],
) -> Figures {
    let connections = &api.broker.connections;
    let (created, open) = (connections.created(), connections.count() as u64);
    figures
        .with(Figure::ConnectionCreated, created)
        .with(Figure::ConnectionClosed, created.saturating_sub(open))
        .with(Figure::ChannelCreated, traffic.channels_opened)
        .with(
            Figure::ChannelClosed,
            traffic.channels_opened.saturating_sub(traffic.channels),
        )
        .with(Figure::QueueDeclared, traffic.queues_declared)
        .with(
            Figure::QueueCreated,
            shards.iter().map(|shard| shard.created).sum(),
        )
        .with(
            Figure::QueueDeleted,
            shards.iter().map(|shard| shard.deleted).sum(),
        )
}

/// What is sampled of the whole.
pub(crate) async fn figures(api: &Arc<Api>, seer: Option<&Name>) -> Option<Figures> {
    look(api, seer).await.map(|(figures, _)| figures)
}

/// What is sampled of the node.
pub(crate) async fn figures_of_node(api: &Arc<Api>) -> Figures {
    let readings = (api.node.measure)();
    let figures = Figures::default()
        .with(Figure::Memory, readings.memory.unwrap_or_default())
        .with(
            Figure::Descriptors,
            readings.descriptors.unwrap_or_default(),
        )
        .with(Figure::DiskFree, readings.disk_free.unwrap_or_default());
    let traffic = api.broker.connections.traffic();
    with_churn(figures, api, &traffic, &ask::shards(&api.broker).await)
}

fn exchange_types() -> Vec<Value> {
    let described = ExchangeKind::ALL.iter().map(
        |kind| json!({"name": kind.name(), "description": kind.description(), "enabled": true}),
    );
    described.collect()
}

fn listeners(caller: &Caller) -> Vec<Value> {
    let node = &caller.api.node;
    node.listeners
        .iter()
        .map(|listener| listener.to_json(&node.name))
        .collect()
}

fn contexts(caller: &Caller) -> Vec<Value> {
    let node = &caller.api.node;
    let http = node
        .listeners
        .iter()
        .filter(|listener| listener.protocol.starts_with("http"));
    let described = http.map(|listener| {
        json!({
            "node": node.name,
            "description": "Management API",
            "path": "/",
            "ip": listener.ip,
            "port": listener.port.to_string(),
            "ssl_opts": [],
        })
    });
    described.collect()
}

/// `GET /nodes`.
pub(crate) async fn nodes(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    caller.must_monitor()?;
    query.answer(vec![describe(&caller, &query).await?])
}

/// `GET /nodes/{name}`.
pub(crate) async fn node(
    caller: Caller,
    Path(name): Path<String>,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    caller.must_monitor()?;
    if name != caller.api.node.name {
        return Err(Refusal::not_found());
    }
    Ok(query.one(describe(&caller, &query).await?))
}

async fn describe(caller: &Caller, query: &list::Query) -> Result<Value, Refusal> {
    let figures = figures_of_node(&caller.api).await;
    let rated = Rates::of_one(&caller.api, Key::Node, figures, &query.ranges()?);
    let mut described = object(describe_node(caller));
    rated.put(&mut described, figure::NODE);
    rated.put(&mut described, figure::CHURN);
    Ok(Value::Object(described))
}

fn describe_node(caller: &Caller) -> Value {
    let node = &caller.api.node;
    let alarms = caller.api.broker.alarms();
    json!({
        "name": node.name,
        "type": "disc",
        "running": true,
        "being_drained": false,
        "partitions": [],
        "os_pid": std::process::id().to_string(),
        "uptime": node.since.elapsed().as_millis() as u64,
        "processors": node.cores,
        "run_queue": 0,
        "proc_used": 0,
        "proc_total": 0,
        "fd_total": node.descriptors_max,
        "sockets_used": 0,
        "sockets_total": 0,
        "mem_limit": node.memory_max,
        "mem_alarm": alarms.memory,
        "mem_calculation_strategy": "rss",
        "disk_free_limit": node.disk_free_min,
        "disk_free_alarm": alarms.disk,
        "rates_mode": "detailed",
        "enabled_plugins": [],
        "exchange_types": exchange_types(),
        "auth_mechanisms": [
            {"name": "PLAIN", "description": "SASL PLAIN authentication mechanism", "enabled": true},
            {"name": "AMQPLAIN", "description": "QPid AMQPLAIN mechanism", "enabled": true},
        ],
        "applications": [],
        "contexts": contexts(caller),
        "listeners": listeners(caller),
        "log_files": [],
        "config_files": [],
        "db_dir": node.data_dir,
        "net_ticktime": 60,
        "cluster_links": [],
        "metrics_gc_queue_length": {},
        "rabbitmq_version": node.rabbitmq_version,
        "erlang_version": "none",
    })
}

/// `GET /feature-flags`.
pub(crate) async fn feature_flags(
    caller: Caller,
    UrlQuery(query): UrlQuery<list::Query>,
) -> Result<Response, Refusal> {
    drop(caller);
    let described = FEATURE_FLAGS.iter().map(|name| {
        json!({
            "name": name,
            "state": "enabled",
            "stability": "required",
            "desc": "",
            "doc_url": "",
            "provided_by": "rabbit",
        })
    });
    query.answer(described.collect())
}

/// `PUT /feature-flags/{name}/enable`: 204, for all are.
pub(crate) async fn enable_feature_flag(
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::http::StatusCode, Refusal> {
    caller.must_administrate()?;
    if !FEATURE_FLAGS.contains(&name.as_str()) && name != "all" {
        return Err(Refusal::bad_request("unsupported_feature_flag"));
    }
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// `GET /deprecated-features`, `/extensions`: there are none.
pub(crate) async fn none(caller: Caller) -> Json<Value> {
    drop(caller);
    Json(json!([]))
}

/// `GET /version`.
pub(crate) async fn version(caller: Caller) -> String {
    caller.api.node.rabbitmq_version.clone()
}
