//! Alarms: who is told, who has to wait, and until when (<https://www.rabbitmq.com/docs/connection-blocked>).

use std::time::{Duration, Instant};

use amq_protocol::protocol::connection::{Blocked, Unblocked};
use leveret_tests::alone::Alone;
use leveret_tests::client::{Channel, Connection, Frame, Kind, Login};

/// A client that hears of alarms.
fn connect(alone: &Alone) -> Connection {
    Connection::open_at(alone.amqp(), &Login::hearing_of_alarms())
}

/// Publishes during an alarm, and waits until the connection is told for this reason.
#[track_caller]
fn is_blocked(channel: &Channel, queue: &str, body: &str, reason: &str) {
    channel.publish("", queue, body);
    let blocked: Blocked = channel.connection().expect(0);
    assert_eq!(blocked.reason.as_str(), reason);
}

/// Expects that the connection was told of no alarm, and that it is answered.
#[track_caller]
fn hears_of_nothing(channel: &Channel) {
    channel.sync();
    assert_eq!(channel.connection().waiting_on(0), 0);
}

#[test]
fn only_who_publishes_during_an_alarm_is_blocked() {
    let alone = Alone::take();
    let (publisher, published, consumer) = (connect(&alone), connect(&alone), connect(&alone));
    let (publisher, published) = (publisher.channel(1), published.channel(1));
    let reader = consumer.channel(1);
    let queue = reader.queue();
    published.publish("", &queue, "before");
    reader.await_ready(&queue, 1);
    let alarm = alone.raise("memory");
    is_blocked(&publisher, &queue, "during", "low on memory");
    hears_of_nothing(&published);
    hears_of_nothing(&reader);
    // Who has published before but not since goes on, as who connects now.
    let newcomer = connect(&alone).channel(1);
    newcomer.queue();
    hears_of_nothing(&newcomer);
    drop(alarm);
    publisher.connection().expect::<Unblocked>(0);
    hears_of_nothing(&published);
}

#[test]
fn consumers_go_on_during_an_alarm() {
    let alone = Alone::take();
    let publisher = connect(&alone).channel(1);
    let reader = connect(&alone).channel(1);
    let queue = reader.queue();
    reader.fill(&queue, &["one", "two", "three"]);
    reader.qos(1, false);
    let alarm = alone.raise("disk");
    is_blocked(&publisher, &queue, "four", "low on disk");
    reader.consume(&queue);
    for body in ["one", "two", "three"] {
        let delivery = reader.deliver();
        assert_eq!(delivery.text(), body);
        reader.ack(delivery.method.delivery_tag);
    }
    // What has come when it ends is taken then, at the latest.
    publisher.publish("", &queue, "five");
    drop(alarm);
    publisher.connection().expect::<Unblocked>(0);
    for body in ["four", "five"] {
        let delivery = reader.deliver();
        assert_eq!(delivery.text(), body);
        reader.ack(delivery.method.delivery_tag);
    }
}

#[test]
fn who_is_blocked_is_not_read_from_until_the_last_alarm_is_over() {
    let alone = Alone::take();
    let publisher = connect(&alone).channel(1);
    let queue = publisher.queue();
    let memory = alone.raise("memory");
    is_blocked(&publisher, &queue, "one", "low on memory");
    let disk = alone.raise("disk");
    drop(memory);
    // Told again or not: nothing says that it may go on, and a question has no answer yet.
    let other = connect(&alone).channel(1);
    is_blocked(&other, &queue, "two", "low on disk");
    publisher.send(amq_protocol::protocol::basic::Qos::default());
    drop(disk);
    loop {
        use amq_protocol::protocol::{AMQPClass, connection::AMQPMethod};
        let told = publisher.connection().next_frame().expect("an answer");
        match told.as_method() {
            AMQPClass::Connection(AMQPMethod::Blocked(_)) => {}
            AMQPClass::Connection(AMQPMethod::Unblocked(_)) => break,
            other => panic!("answered during an alarm: {other:?}"),
        }
    }
    publisher.expect::<amq_protocol::protocol::basic::QosOk>();
    other.connection().expect::<Unblocked>(0);
}

#[test]
fn clients_that_do_not_know_of_alarms_are_not_told() {
    let alone = Alone::take();
    let publisher = Connection::open_at(alone.amqp(), &Login::default()).channel(1);
    let clock = connect(&alone).channel(1);
    let queue = publisher.queue();
    let alarm = alone.raise("memory");
    publisher.publish("", &queue, "one");
    is_blocked(&clock, "nowhere", "one", "low on memory");
    drop(alarm);
    clock.connection().expect::<Unblocked>(0);
    publisher.await_ready(&queue, 1);
    hears_of_nothing(&publisher);
}

#[test]
fn who_is_blocked_is_sent_heartbeats_and_need_not_be_heard() {
    let alone = Alone::take();
    let beating = |login: Login| Login {
        heartbeat_secs: 1,
        ..login
    };
    let blocked = beating(Login::hearing_of_alarms());
    let publisher = Connection::open_at(alone.amqp(), &blocked).channel(1);
    let queue = publisher.queue();
    let _alarm = alone.raise("memory");
    is_blocked(&publisher, &queue, "one", "low on memory");
    let since = Instant::now();
    // Nothing is sent, for far longer than a silent client is kept otherwise.
    while since.elapsed() < Duration::from_secs(5) {
        let frame = publisher.connection().next_frame();
        let heartbeat = Frame::new(Kind::Heartbeat, 0, []);
        assert_eq!(frame, Some(heartbeat), "it is not let go");
    }
}
