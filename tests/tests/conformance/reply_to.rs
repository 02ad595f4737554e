//! Direct reply-to: answers without a queue for them.

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::queue;
use leveret_tests::client::{Channel, Connection, unique};

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

fn consume(tag: &str, no_ack: bool) -> basic::Consume {
    basic::Consume {
        queue: REPLY_TO.into(),
        consumer_tag: tag.into(),
        no_ack,
        ..Default::default()
    }
}

fn ask(channel: &Channel, queue: &str) {
    let properties = AMQPProperties::default()
        .with_reply_to(REPLY_TO.into())
        .with_correlation_id("7".into());
    channel.publish_with("", queue, properties, "ask");
}

/// Who asks, who answers, and under which name the answer goes.
struct Pair {
    asks: Channel,
    answers: Channel,
    name: String,
}

fn pair() -> Pair {
    let asks = Connection::open().channel(1);
    let answers = Connection::open().channel(1);
    let queue = answers.queue();
    asks.consume_with(consume("r", true));
    ask(&asks, &queue);
    answers.await_ready(&queue, 1);
    let got = answers.get(&queue).expect("it was published");
    let reply_to = got.properties.reply_to().as_ref();
    let name = reply_to.expect("it says who asks").as_str().to_owned();
    let asked = got.properties.correlation_id().as_ref();
    assert_eq!(asked.map(|id| id.as_str()), Some("7"));
    Pair {
        asks,
        answers,
        name,
    }
}

fn is_there(name: &str) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        passive: true,
        ..Default::default()
    }
}

fn not_found(name: &str) -> String {
    format!("NOT_FOUND - no queue '{name}' in vhost '/'")
}

#[test]
fn an_answer_finds_who_asked() {
    let pair = pair();
    assert!(
        pair.name.starts_with("amq.rabbitmq.reply-to."),
        "{}",
        pair.name
    );
    let there = pair.answers.call(is_there(&pair.name));
    assert_eq!((there.message_count, there.consumer_count), (0, 1));
    pair.answers.publish("", &pair.name, "answer");
    let delivery = pair.asks.deliver();
    assert_eq!(delivery.text(), "answer");
    assert_eq!(delivery.method.consumer_tag.as_str(), "r");
    assert_eq!(delivery.method.routing_key.as_str(), pair.name);
    assert!(!delivery.method.redelivered);
}

#[test]
fn answers_come_in_order() {
    let pair = pair();
    let bodies: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    bodies
        .iter()
        .for_each(|body| pair.answers.publish("", &pair.name, body));
    assert_eq!(pair.asks.deliveries(500), bodies);
}

#[test]
fn who_asks_cannot_ack() {
    let channel = Connection::open().channel(1);
    let text = "PRECONDITION_FAILED - reply consumer cannot acknowledge";
    channel.fails(consume("r", false), 406, text);
}

#[test]
fn a_channel_asks_with_one_consumer() {
    let channel = Connection::open().channel(1);
    channel.consume_with(consume("r", true));
    let text = "PRECONDITION_FAILED - reply consumer already set";
    channel.fails(consume("again", true), 406, text);
}

#[test]
fn who_asks_has_to_consume_first() {
    let channel = Connection::open().channel(1);
    let queue = channel.queue();
    ask(&channel, &queue);
    channel.expect_close(
        406,
        "PRECONDITION_FAILED - fast reply consumer does not exist",
    );
}

#[test]
fn nobody_asks_under_a_forged_name() {
    let channel = Connection::open().channel(1);
    let forged = format!("amq.rabbitmq.reply-to.{}", unique("forged"));
    channel.publish("", &forged, "lost");
    channel.fails(is_there(&forged), 404, &not_found(&forged));
}

#[test]
fn nobody_asks_any_more_once_the_consumer_is_cancelled() {
    let pair = pair();
    pair.asks.cancel("r");
    pair.answers.await_queue_gone(&pair.name);
    // A new consumer is somebody else.
    pair.asks.consume_with(consume("r", true));
    pair.answers
        .fails(is_there(&pair.name), 404, &not_found(&pair.name));
}

#[test]
fn nobody_asks_any_more_once_the_connection_is_gone() {
    let Pair {
        asks,
        answers,
        name,
    } = pair();
    drop(asks);
    answers.await_queue_gone(&name);
}
