//! lapin, the client for Rust, in this process; and through the flow as a program, `tests/interop/rust/flow.rs`.
//!
//! One module per subject; a test is one scenario on connections of its own. This file has what
//! they share: the runtime and its deadline, and the few calls that each scenario makes. What the
//! client reports as an error ends a scenario, and so does silence.

mod bodies;
mod confirms;
mod consumers;
mod lifecycle;
mod properties;
mod routing;
mod settles;
mod transactions;

use std::future::Future;
use std::process::Command;
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use lapin::{Consumer, Result};

const SCENARIO_DEADLINE: Duration = Duration::from_secs(90);

const NO_ACK: BasicConsumeOptions = BasicConsumeOptions {
    no_local: false,
    no_ack: true,
    exclusive: false,
    nowait: false,
};

#[test]
fn whole_flow() {
    super::flow::run(&mut Command::new(env!("CARGO_BIN_EXE_flow-lapin")));
}

/// Runs a scenario to its end. Panics if the client reports an error or the deadline passes.
fn scenario(steps: impl Future<Output = Result<()>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let ended = runtime
        .expect("a runtime")
        .block_on(async { tokio::time::timeout(SCENARIO_DEADLINE, steps).await });
    ended
        .expect("the scenario ends before its deadline")
        .expect("the client reports no error");
}

async fn connect() -> Result<Connection> {
    Connection::connect(&super::uri(), ConnectionProperties::default()).await
}

/// A channel in confirm mode.
async fn confirming(connection: &Connection) -> Result<Channel> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

async fn close(connection: Connection) -> Result<()> {
    connection.close(200, "OK".into()).await
}

/// A server-named queue that goes with the connection.
async fn exclusive_queue(channel: &Channel) -> Result<ShortString> {
    let options = QueueDeclareOptions {
        exclusive: true,
        ..Default::default()
    };
    let queue = channel
        .queue_declare("".into(), options, FieldTable::default())
        .await?;
    Ok(queue.name().clone())
}

/// A name that nothing else on the broker uses: the connection's own queue names are random.
async fn fresh(channel: &Channel, kind: &str) -> Result<ShortString> {
    let random = exclusive_queue(channel).await?;
    Ok(format!("interop.lapin.{kind}.{random}").into())
}

/// Publishes to a queue and waits for the confirm, if the channel is in confirm mode.
async fn publish(channel: &Channel, queue: &ShortString, body: &[u8]) -> Result<Confirmation> {
    publish_with(channel, queue, body, BasicProperties::default()).await
}

async fn publish_with(
    channel: &Channel,
    queue: &ShortString,
    body: &[u8],
    properties: BasicProperties,
) -> Result<Confirmation> {
    let options = BasicPublishOptions::default();
    channel
        .basic_publish("".into(), queue.clone(), options, body, properties)
        .await?
        .await
}

async fn consume(
    channel: &Channel,
    queue: &ShortString,
    options: BasicConsumeOptions,
) -> Result<Consumer> {
    channel
        .basic_consume(queue.clone(), "".into(), options, FieldTable::default())
        .await
}

/// Waits for the next deliveries of a consumer.
async fn take(consumer: &mut Consumer, count: usize) -> Result<Vec<Delivery>> {
    let mut deliveries = Vec::with_capacity(count);
    while deliveries.len() < count {
        deliveries.push(
            consumer
                .next()
                .await
                .expect("the consumer is not cancelled")?,
        );
    }
    Ok(deliveries)
}

/// Takes what is ready with basic.get, without acknowledgements.
async fn drain(channel: &Channel, queue: &ShortString) -> Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    while let Some(message) = channel
        .basic_get(queue.clone(), BasicGetOptions { no_ack: true })
        .await?
    {
        bodies.push(message.delivery.data);
    }
    Ok(bodies)
}

/// Asks with a passive declare for the messages that are ready and the consumers of a queue.
///
/// RabbitMQ answers ahead of publishes and acks it still has before it: only what was confirmed, or
/// is known from deliveries, may be expected in the answer.
async fn counts(channel: &Channel, queue: &ShortString) -> Result<(u32, u32)> {
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let queue = channel
        .queue_declare(queue.clone(), options, FieldTable::default())
        .await?;
    Ok((queue.message_count(), queue.consumer_count()))
}

fn bodies_of(deliveries: &[Delivery]) -> Vec<&[u8]> {
    deliveries
        .iter()
        .map(|delivery| delivery.data.as_slice())
        .collect()
}
