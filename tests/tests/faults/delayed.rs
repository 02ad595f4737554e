//! The broker is killed with signal 9 while it releases, moves or cancels messages that an exchange holds back: each is released once or was cancelled.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use amq_protocol::protocol::{BasicProperties, basic, exchange, queue};
use amq_protocol::types::AMQPValue;
use leveret_tests::client::{Channel, table, text};
use leveret_tests::http::Http;
use leveret_tests::node::{Node, Running};
use ureq::Agent;

/// A durable exchange that delays messages, and a queue that it leads to.
fn declare(channel: &Channel) {
    channel.call(exchange::Declare {
        exchange: "later".into(),
        kind: "x-delayed-message".into(),
        durable: true,
        arguments: table([("x-delayed-type", text("fanout"))]),
        ..Default::default()
    });
    channel.call(queue::Declare {
        queue: "target".into(),
        durable: true,
        ..Default::default()
    });
    channel.bind("target", "later", "");
}

fn delayed(ms: u32) -> BasicProperties {
    let headers = table([("x-delay", AMQPValue::LongUInt(ms))]);
    BasicProperties::default()
        .with_headers(headers)
        .with_delivery_mode(2)
}

/// Publishes so many messages with their numbers, and waits until they are confirmed.
fn publish(channel: &Channel, count: u32, properties: impl Fn(u32) -> BasicProperties, len: usize) {
    channel.confirm_select();
    for number in 0..count {
        let body = format!("{number:<len$}");
        channel.publish_with("later", "", properties(number), &body);
    }
    // Each confirm is of all up to it.
    while channel.expect::<basic::Ack>().delivery_tag < u64::from(count) {}
}

/// The numbers of the messages that wait, with their ids.
fn listed(broker: &Running) -> Vec<(String, String)> {
    let api = Http::guest(broker.management());
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/leveret/exchanges/%2F/later/delayed?count=1000{after}");
        let page = api.get(&path);
        let page = page.as_array().expect("a list");
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let Some(last) = page.last() else {
            return all;
        };
        after = format!("&after={}", text(&last["id"]));
        let ids = page.iter();
        all.extend(ids.map(|one| (text(&one["properties"]["message_id"]), text(&one["id"]))));
    }
}

/// Asks for something to be deleted; nothing where the broker has gone.
fn delete(broker: std::net::SocketAddr, path: &str) -> Option<u16> {
    let config = Agent::config_builder().http_status_as_error(false);
    let agent: Agent = config.max_idle_connections(0).build().into();
    let url = format!("http://guest:guest@{broker}/api/leveret/exchanges/%2F/later/delayed{path}");
    let answer = agent
        .delete(&url)
        .header("authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=");
    Some(answer.call().ok()?.status().as_u16())
}

#[test]
fn a_restart_does_not_make_them_early_or_late() {
    let node = Node::new();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel);
    channel.confirm_select();
    let mut dues = Vec::new();
    for number in 0..12 {
        let delay = 6_000 + 130 * number;
        dues.push(Instant::now() + Duration::from_millis(delay));
        channel.publish_with("later", "", delayed(delay as u32), &number.to_string());
        channel.expect::<basic::Ack>();
    }
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.consume_no_ack("target");
    let mut late: Vec<Duration> = (dues.iter().enumerate())
        .map(|(number, due)| {
            let delivery = channel.deliver();
            let now = Instant::now();
            assert_eq!(delivery.text(), number.to_string());
            // Times are milliseconds: it may be one too early, and the clock of the start another one.
            assert!(now + Duration::from_millis(3) >= *due, "it came too early");
            now.saturating_duration_since(*due)
        })
        .collect();
    // The machine may have other things to do now and then.
    late.sort_unstable();
    assert!(late[0] <= Duration::from_millis(12), "{late:?}");
}

#[test]
fn what_was_cancelled_is_gone_and_nothing_else_is() {
    const COUNT: u32 = 3_000;
    const CLIENTS: usize = 4;
    let node = Node::new().managed();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel);
    let in_minutes =
        |number: u32| delayed(600_000 + number).with_message_id(number.to_string().into());
    publish(&channel, COUNT, in_minutes, 10);
    let all = listed(&broker);
    assert_eq!(all.len(), COUNT as usize);
    let (done, heard) = mpsc::channel();
    let begun = Arc::new(Barrier::new(CLIENTS));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (address, done, begun) = (broker.management(), done.clone(), Arc::clone(&begun));
            let mine: Vec<_> = all.iter().skip(client).step_by(CLIENTS).cloned().collect();
            thread::spawn(move || {
                begun.wait();
                let (mut cancelled, mut asked) = (Vec::new(), None);
                for (number, id) in mine {
                    match delete(address, &format!("/{id}")) {
                        Some(status) => assert_eq!(status, 204),
                        None => {
                            asked = Some(number);
                            break;
                        }
                    }
                    cancelled.push(number);
                    // Nobody counts any more once the broker is killed.
                    let _ = done.send(());
                }
                (cancelled, asked)
            })
        })
        .collect();
    for _ in 0..200 {
        heard.recv().expect("the clients run");
    }
    broker.kill();
    let heard: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().expect("as it should be"))
        .collect();
    let broker = node.start();
    let left: Vec<String> = listed(&broker)
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    let mut missing: Vec<String> = all.iter().map(|(number, _)| number.clone()).collect();
    missing.retain(|number| !left.contains(number));
    for (cancelled, _) in &heard {
        assert!(cancelled.iter().all(|number| missing.contains(number)));
    }
    // What was asked and not answered is either.
    missing.retain(|number| {
        let answered = heard
            .iter()
            .any(|(cancelled, _)| cancelled.contains(number));
        !answered
            && !heard
                .iter()
                .any(|(_, asked)| asked.as_ref() == Some(number))
    });
    assert_eq!(missing, Vec::<String>::new());
    let cancelled: usize = heard.iter().map(|(cancelled, _)| cancelled.len()).sum();
    assert!((200..COUNT as usize).contains(&cancelled));
}

#[test]
fn a_cancel_of_many_that_is_cut_off_takes_no_other() {
    const COUNT: u32 = 20_000;
    let node = Node::new().managed();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel);
    let odd_and_even = |number: u32| {
        let id = (number % 2).to_string();
        delayed(600_000 + number).with_message_id(id.into())
    };
    publish(&channel, COUNT, odd_and_even, 1_000);
    let waiting = |broker: &Running| {
        let api = Http::guest(broker.management());
        let told = api.get("/queues/%2F/amq.delayed.later");
        told["messages"].as_u64().expect("a number") as u32
    };
    let client = thread::spawn({
        let address = broker.management();
        move || delete(address, "?message_id=1")
    });
    // Some stretches are cancelled, and others are not.
    while waiting(&broker) == COUNT {}
    broker.kill();
    let answered = client.join().expect("as it should be");
    let broker = node.start();
    let left = listed(&broker);
    let of = |id: &str| left.iter().filter(|(of, _)| of == id).count() as u32;
    assert_eq!(of("0"), COUNT / 2);
    assert!(answered.is_none() || of("1") == 0);
    assert_eq!(delete(broker.management(), "?message_id=1"), Some(200));
    assert_eq!(waiting(&broker), COUNT / 2);
}

#[test]
fn what_does_not_fit_into_memory_comes_once_and_in_order_after_a_kill() {
    const COUNT: u32 = 6_000;
    const LEN: usize = 15_000;
    let node = Node::new().managed();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    declare(&channel);
    // They are due almost together, and have more than the 64 MiB that an exchange has in memory.
    let began = Instant::now();
    let together = |number: u32| {
        let left = Duration::from_secs(25).saturating_sub(began.elapsed());
        delayed(left.as_millis() as u32).with_message_id(number.to_string().into())
    };
    publish(&channel, COUNT, together, LEN);
    let expected: Vec<String> = listed(&broker)
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(expected.len(), COUNT as usize);
    // Nothing is to be seen before that.
    thread::sleep(Duration::from_secs(24).saturating_sub(began.elapsed()));
    channel.await_counts("target", |counts| counts.message_count > 0);
    broker.kill();
    let broker = node.start();
    let channel = broker.connect().channel(1);
    channel.qos(1_000, false);
    channel.consume("target");
    let released: Vec<String> = (0..COUNT)
        .map(|_| {
            let delivery = channel.deliver();
            channel.ack(delivery.method.delivery_tag);
            delivery.text().trim().to_owned()
        })
        .collect();
    assert!(
        released == expected,
        "they come in another order, or not all"
    );
    assert_eq!(channel.ready("target"), 0);
    assert_eq!(listed(&broker), []);
    assert!(broker.peak_memory() < 300 << 20);
}
