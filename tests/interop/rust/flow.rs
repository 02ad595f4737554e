//! The flow of `tests/tests/interop/flow.rs`, with lapin: `flow-lapin AMQP AMQPS CA_FILE`.
//!
//! It is a binary of the tests, so that it goes through the flow as the programs of other languages do.
#![allow(
    clippy::print_stdout,
    reason = "what it wants done it asks for on standard output"
)]

use std::fmt::Debug;
use std::future::Future;
use std::io::stdin;
use std::time::{Duration, Instant};
use std::{env, fs};

use futures_lite::{Stream, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
    BasicQosOptions, BasicRejectOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::runtime::default_runtime;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, Event,
    ExchangeKind, Result,
};

const WAIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [plain, encrypted, authority] = arguments.as_slice() else {
        panic!("usage: flow-lapin AMQP AMQPS CA_FILE");
    };
    let connection = connect(plain).await?;
    let channel = connection.create_channel().await?;
    declare_bind_confirm_return(&channel).await?;
    prefetch_reject_cancel(&channel).await?;
    cancelled_by_the_broker(&channel).await?;
    let connection = kill(plain, &channel).await?;
    block(&connection).await?;
    close(connection).await?;
    over_tls(encrypted, authority).await?;
    println!("ok flow");
    Ok(())
}

/// Has something done to the broker.
fn ask(wanted: &str) {
    println!("do {wanted}");
    let mut answer = String::new();
    stdin()
        .read_line(&mut answer)
        .expect("standard input is open");
    assert_eq!(answer, "done\n", "{wanted}");
}

async fn connect(uri: &str) -> Result<Connection> {
    Connection::connect(uri, ConnectionProperties::default()).await
}

async fn close(connection: Connection) -> Result<()> {
    connection.close(200, "OK".into()).await
}

async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(WAIT, coming).await;
    came.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Publishes a persistent message and waits for its confirm.
async fn publish(channel: &Channel, to: (&str, &str), body: &[u8]) -> Result<Confirmation> {
    let options = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let (exchange, key) = to;
    let confirm = channel
        .basic_publish(exchange.into(), key.into(), options, body, persistent)
        .await?;
    soon("a confirm", confirm).await
}

async fn declare_bind_confirm_return(channel: &Channel) -> Result<()> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let (topic, none) = (ExchangeKind::Topic, FieldTable::default());
    channel
        .exchange_declare("flow".into(), topic, durable, none)
        .await?;
    let (durable, none) = (QueueDeclareOptions::durable(), FieldTable::default());
    channel.queue_declare("flow".into(), durable, none).await?;
    let (flow, options, none) = (
        "flow".into(),
        QueueBindOptions::default(),
        Default::default(),
    );
    channel
        .queue_bind("flow".into(), flow, "a.#".into(), options, none)
        .await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    for number in 0..10 {
        let body = number.to_string();
        let confirmed = publish(channel, ("flow", "a.b"), body.as_bytes()).await?;
        assert_eq!(confirmed, Confirmation::Ack(None));
    }
    let confirmed = publish(channel, ("flow", "nowhere"), b"x").await?;
    let Confirmation::Ack(Some(returned)) = confirmed else {
        panic!("an unroutable message was not returned: {confirmed:?}");
    };
    assert_eq!(returned.reply_code, 312);
    Ok(())
}

async fn prefetch_reject_cancel(channel: &Channel) -> Result<()> {
    channel.basic_qos(2, BasicQosOptions::default()).await?;
    let mut consumer = consume(channel, "flow", "tag").await?;
    let first = delivery(&mut consumer).await?;
    let second = delivery(&mut consumer).await?;
    assert_eq!(
        (first.data.as_slice(), second.data.as_slice()),
        (&b"0"[..], &b"1"[..])
    );
    ready(channel).await?;
    let third = tokio::time::timeout(Duration::ZERO, consumer.next()).await;
    assert!(third.is_err(), "beyond the prefetch: {third:?}");

    first.reject(BasicRejectOptions { requeue: true }).await?;
    let again = delivery(&mut consumer).await?;
    assert_eq!(
        (again.data.as_slice(), again.redelivered),
        (&b"0"[..], true)
    );
    channel
        .basic_cancel("tag".into(), BasicCancelOptions::default())
        .await?;
    second.ack(BasicAckOptions::default()).await?;
    again.ack(BasicAckOptions::default()).await?;
    assert_eq!(ready(channel).await?, 8, "messages left");
    Ok(())
}

async fn consume(channel: &Channel, queue: &str, tag: &str) -> Result<Consumer> {
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    channel
        .basic_consume(queue.into(), tag.into(), options, none)
        .await
}

async fn delivery(consumer: &mut Consumer) -> Result<Delivery> {
    let next = soon("a delivery", consumer.next()).await;
    next.expect("the consumer is not cancelled")
}

/// A queue that the broker names and that goes with the connection.
async fn exclusive_queue(channel: &Channel) -> Result<ShortString> {
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..Default::default()
    };
    let queue = channel
        .queue_declare("".into(), exclusive, FieldTable::default())
        .await?;
    Ok(queue.name().clone())
}

/// The messages that a passive declare tells of.
async fn ready(channel: &Channel) -> Result<u32> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let queue = channel
        .queue_declare("flow".into(), passive, FieldTable::default())
        .await?;
    Ok(queue.message_count())
}

/// The client hears of `basic.cancel`: the consumer of a queue that is deleted ends.
async fn cancelled_by_the_broker(channel: &Channel) -> Result<()> {
    let gone = exclusive_queue(channel).await?;
    let mut consumer = consume(channel, gone.as_str(), "lost").await?;
    channel
        .queue_delete(gone, QueueDeleteOptions::default())
        .await?;
    let end = soon("the cancel", consumer.next()).await;
    assert!(end.is_none(), "after the queue was deleted: {end:?}");
    Ok(())
}

async fn bodies(channel: &Channel, queue: &str) -> Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    let no_ack = BasicGetOptions { no_ack: true };
    while let Some(message) = channel.basic_get(queue.into(), no_ack).await? {
        bodies.push(message.delivery.data);
    }
    Ok(bodies)
}

async fn kill(uri: &str, channel: &Channel) -> Result<Connection> {
    publish(channel, ("flow", "a.b"), b"last").await?;
    ask("kill");
    let end = Instant::now() + WAIT;
    let connection = loop {
        match connect(uri).await {
            Err(_) if Instant::now() < end => {}
            connected => break connected?,
        }
    };
    let channel = connection.create_channel().await?;
    let wanted = ["2", "3", "4", "5", "6", "7", "8", "9", "last"];
    let wanted: Vec<Vec<u8>> = wanted.map(|body| body.into()).to_vec();
    assert_eq!(bodies(&channel, "flow").await?, wanted, "after the kill");
    channel.close(200, "OK".into()).await?;
    Ok(connection)
}

async fn block(connection: &Connection) -> Result<()> {
    let mut events = connection.events_listener();
    let channel = connection.create_channel().await?;
    ask("block");
    // Its confirm would come only when the client may write again.
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    channel
        .basic_publish("".into(), "nowhere".into(), options, b"x", properties)
        .await?;
    let wanted = Event::ConnectionBlocked("low on memory".to_owned());
    told(&mut events, &wanted).await;
    ask("unblock");
    told(&mut events, &Event::ConnectionUnblocked).await;
    // A channel that is only dropped may still be closing when its connection is closed, which the client takes for an error.
    channel.close(200, "OK".into()).await
}

/// Waits for the next event that is about blocking.
async fn told(events: &mut (impl Stream<Item = Event> + Unpin), wanted: &Event) {
    let mut about = events.filter(|event| {
        matches!(
            event,
            Event::ConnectionBlocked(_) | Event::ConnectionUnblocked
        )
    });
    let event = soon("blocking", about.next()).await;
    let text = |event: &dyn Debug| format!("{event:?}");
    assert_eq!(event.as_ref().map(|event| text(event)), Some(text(wanted)));
}

async fn over_tls(uri: &str, authority: &str) -> Result<()> {
    let authority = fs::read_to_string(authority).expect("the authority's file");
    let trusts = OwnedTLSConfig {
        cert_chain: Some(authority),
        ..Default::default()
    };
    let (properties, runtime) = (ConnectionProperties::default(), default_runtime()?);
    let connection = Connection::connect_with_config(uri, properties, trusts, runtime).await?;
    let channel = connection.create_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let body = vec![b'x'; 1_000_000];
    publish(&channel, ("", queue.as_str()), &body).await?;
    assert!(
        bodies(&channel, queue.as_str()).await? == [body],
        "body over TLS"
    );
    close(connection).await
}
