//! What is told of the whole: overview, nodes, feature flags, versions.

use axum::Json;
use axum::extract::{Path, Query as UrlQuery};
use axum::response::Response;
use leveret_broker::bindings::ExchangeKind;
use leveret_broker::figures::MessageCounts;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::parameters::name_of_cluster;
use crate::queues::{message_stats, totals};
use crate::refusal::Refusal;
use crate::{ask, list};

/// Exchange types, each with what RabbitMQ says of it.
const EXCHANGE_TYPES: [(ExchangeKind, &str); 4] = [
    (
        ExchangeKind::Direct,
        "AMQP direct exchange, as per the AMQP specification",
    ),
    (
        ExchangeKind::Fanout,
        "AMQP fanout exchange, as per the AMQP specification",
    ),
    (
        ExchangeKind::Headers,
        "AMQP headers exchange, as per the AMQP specification",
    ),
    (
        ExchangeKind::Topic,
        "AMQP topic exchange, as per the AMQP specification",
    ),
];

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
pub(crate) async fn overview(caller: Caller) -> Json<Value> {
    let (broker, node) = (&caller.api.broker, &caller.api.node);
    let vhosts = broker.all_vhosts();
    let queues: Vec<_> = vhosts.iter().flat_map(|vhost| vhost.queues()).collect();
    let figures = ask::queues(broker, &queues, false).await;
    let shards = ask::shards(broker).await;
    let traffic = broker.connections.traffic();
    let mut counts = MessageCounts::default();
    figures.values().for_each(|queue| counts += queue.counts);
    shards.iter().for_each(|shard| counts += shard.ended);
    // Into queues a message may come more than once.
    counts.published = traffic.published;
    counts.confirmed = traffic.confirmed;
    counts.returned = traffic.returned;
    counts.dropped = traffic.dropped;
    let connections = broker.connections.count() as u64;
    let consumers: u64 = figures.values().map(|queue| queue.consumers).sum();
    let exchanges: usize = vhosts.iter().map(|vhost| vhost.exchanges_count()).sum();
    Json(json!({
        "management_version": node.rabbitmq_version,
        "rabbitmq_version": node.rabbitmq_version,
        "product_name": node.product,
        "product_version": node.product_version,
        "erlang_version": "none",
        "erlang_full_version": "none",
        "rates_mode": "none",
        "sample_retention_policies": {"global": [], "basic": [], "detailed": []},
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
        "node": node.name,
        "message_stats": message_stats(&counts).unwrap_or_else(|| json!({})),
        "churn_rates": {
            "connection_created": broker.connections.created(),
            "connection_closed": broker.connections.created() - connections,
            "channel_created": traffic.channels_opened,
            "channel_closed": traffic.channels_opened.saturating_sub(traffic.channels),
            "queue_declared": traffic.queues_declared,
            "queue_created": shards.iter().map(|shard| shard.created).sum::<u64>(),
            "queue_deleted": shards.iter().map(|shard| shard.deleted).sum::<u64>(),
        },
        "queue_totals": totals(figures.values()),
        "object_totals": {
            "channels": traffic.channels,
            "connections": connections,
            "consumers": consumers,
            "exchanges": exchanges,
            "queues": queues.len(),
        },
        "listeners": listeners(&caller),
        "contexts": contexts(&caller),
    }))
}

fn exchange_types() -> Vec<Value> {
    let types = EXCHANGE_TYPES.iter();
    let described = types.map(|(kind, description)| {
        json!({"name": kind.name(), "description": description, "enabled": true})
    });
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
        .filter(|listener| listener.protocol == "http");
    let described = http.map(|listener| {
        json!({
            "node": node.name,
            "description": "Management API",
            "path": "/",
            "ip": listener.ip,
            "port": listener.port,
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
    query.answer(vec![describe(&caller)])
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
    Ok(query.one(describe(&caller)))
}

fn describe(caller: &Caller) -> Value {
    let node = &caller.api.node;
    let readings = (node.measure)();
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
        "fd_used": readings.descriptors,
        "fd_total": node.descriptors_max,
        "sockets_used": 0,
        "sockets_total": 0,
        "mem_used": readings.memory,
        "mem_limit": node.memory_max,
        "mem_alarm": alarms.memory,
        "mem_calculation_strategy": "rss",
        "disk_free": readings.disk_free,
        "disk_free_limit": node.disk_free_min,
        "disk_free_alarm": alarms.disk,
        "rates_mode": "none",
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
