//! Messages that `x-delayed-message` exchanges hold back: listed by the time at which they are due, and cancelled.

use std::thread;

use amq_protocol::protocol::{BasicProperties, basic};
use amq_protocol::types::AMQPValue;
use leveret_tests::broker;
use leveret_tests::client::{Channel, Connection, Login, table};
use leveret_tests::http::Http;
use serde_json::{Value, json};

use super::cli::done;
use super::{api, unique};

/// An exchange that delays messages, and a queue that it leads to.
struct Stage {
    api: Http,
    channel: Channel,
    exchange: String,
    queue: String,
}

impl Stage {
    fn new() -> Self {
        let api = api();
        let exchange = unique("delaying");
        let declaration = json!({
            "type": "x-delayed-message",
            "arguments": {"x-delayed-type": "fanout"},
        });
        let path = format!("/exchanges/%2F/{exchange}");
        assert_eq!(api.put(&path, &declaration).0, 201);
        let channel = Connection::open_at(broker::own().amqp, &Login::default()).channel(1);
        let queue = channel.queue();
        channel.bind(&queue, &exchange, "");
        channel.confirm_select();
        Self {
            api,
            channel,
            exchange,
            queue,
        }
    }

    fn publish(&self, delay_ms: u32, key: &str, id: &str, body: &str) {
        let headers = table([("x-delay", AMQPValue::LongUInt(delay_ms))]);
        let properties = BasicProperties::default()
            .with_headers(headers)
            .with_message_id(id.into());
        self.channel
            .publish_with(&self.exchange, key, properties, body);
        self.channel.expect::<basic::Ack>();
    }

    fn path(&self) -> String {
        format!("/leveret/exchanges/%2F/{}/delayed", self.exchange)
    }

    fn list(&self, query: &str) -> Vec<Value> {
        let listed = self.api.get(&format!("{}?{query}", self.path()));
        listed.as_array().expect("a list").clone()
    }

    fn ids(&self, query: &str) -> Vec<String> {
        let listed = self.list(query).into_iter();
        listed
            .map(|one| {
                one["properties"]["message_id"]
                    .as_str()
                    .expect("a text")
                    .to_owned()
            })
            .collect()
    }

    fn cancel(&self, query: &str) -> Value {
        let path = format!("{}?{query}", self.path());
        let method = ureq::http::Method::DELETE;
        let answer = self.api.request(&method, &path, None);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["cancelled"].clone()
    }
}

#[test]
fn they_are_listed_by_the_time_at_which_they_are_due() {
    let stage = Stage::new();
    // Each is in another bucket: they are a second, a minute, an hour and days wide.
    let delays = [300_000_000, 40_000, 7_000_000, 100_000, 40_000];
    for (delay, id) in delays.into_iter().zip(["a", "b", "c", "d", "e"]) {
        stage.publish(delay, "key", id, "a body");
    }
    assert_eq!(stage.ids(""), ["b", "e", "d", "c", "a"]);
    let listed = stage.list("");
    let dues: Vec<u64> = listed
        .iter()
        .map(|one| one["due"].as_u64().expect("a number"))
        .collect();
    assert!(dues.is_sorted());
    let first = &listed[0];
    assert_eq!(first["exchange"], stage.exchange);
    assert_eq!(first["routing_key"], "key");
    assert_eq!(first["payload_bytes"], 6);
    assert_eq!(first["properties"]["headers"], json!({"x-delay": 40_000}));
    assert!(first.get("payload").is_none());
    let with_payload = stage.list("encoding=base64&count=1&truncate=1");
    assert_eq!(with_payload[0]["payload"], "YQ==");
    assert_eq!(with_payload[0]["payload_encoding"], "base64");
    let one = stage.api.get(&format!(
        "{}/{}",
        stage.path(),
        first["id"].as_str().expect("a text")
    ));
    assert_eq!(
        (&one["payload"], &one["payload_encoding"]),
        (&json!("a body"), &json!("string"))
    );
    assert_eq!(one["id"], first["id"]);
}

#[test]
fn pages_follow_each_other_and_have_each_once() {
    let stage = Stage::new();
    for number in 0..25 {
        // Several are due in the same second, and the order in which they came is another.
        stage.publish(100_000 + number % 5 * 7, "key", &number.to_string(), "");
    }
    let all = stage.ids("count=1000");
    assert_eq!(all.len(), 25);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = stage.list(&format!("count=4{after}"));
        let Some(last) = page.last() else {
            break;
        };
        assert!(page.len() <= 4);
        after = format!("&after={}", last["id"].as_str().expect("a text"));
        let ids = page
            .iter()
            .map(|one| one["properties"]["message_id"].as_str().expect("a text"));
        seen.extend(ids.map(str::to_owned));
    }
    assert_eq!(seen, all);
}

#[test]
fn one_is_cancelled_and_the_others_are_released() {
    let stage = Stage::new();
    stage.publish(2_500, "key", "first", "stays");
    stage.publish(2_500, "key", "second", "goes");
    stage.publish(90_000, "key", "third", "is far away");
    for (id, left) in [
        ("second", ["first", "third"].as_slice()),
        ("third", &["first"]),
    ] {
        let listed = stage.list(&format!("message_id={id}"));
        let path = format!(
            "{}/{}",
            stage.path(),
            listed[0]["id"].as_str().expect("a text")
        );
        assert_eq!(stage.api.delete(&path), 204);
        assert_eq!(stage.api.delete(&path), 404);
        assert_eq!(stage.api.try_get(&path).0, 404);
        assert_eq!(stage.ids(""), left);
    }
    let listed = stage.list("");
    let path = format!(
        "{}/{}",
        stage.path(),
        listed[0]["id"].as_str().expect("a text")
    );
    stage.channel.await_ready(&stage.queue, 1);
    assert_eq!(stage.channel.take(&stage.queue), "stays");
    assert!(stage.ids("").is_empty());
    assert_eq!(stage.api.delete(&path), 404);
    assert!(stage.channel.get(&stage.queue).is_none());
}

#[test]
fn all_that_match_are_cancelled() {
    let stage = Stage::new();
    for number in 0..30 {
        let key = if number % 3 == 0 { "a b&c" } else { "other" };
        stage.publish(20_000 + number * 400, key, &format!("{}", number % 2), "");
    }
    assert_eq!(stage.cancel("routing_key=a%20b%26c"), 10);
    assert_eq!(stage.cancel("routing_key=a%20b%26c"), 0);
    assert_eq!(stage.cancel("routing_key=other&message_id=1"), 10);
    assert_eq!(stage.cancel("message_id=0"), 10);
    assert!(stage.list("").is_empty());
    let (path, method) = (stage.path(), ureq::http::Method::DELETE);
    let answer = stage.api.request(&method, &path, None);
    assert_eq!(answer.status, 400, "everything is not cancelled by mistake");
}

#[test]
fn what_is_cancelled_while_it_is_released_is_either() {
    let stage = Stage::new();
    const COUNT: u32 = 400;
    for number in 0..COUNT {
        let delay = 1_500 + number;
        let headers = table([("x-delay", AMQPValue::LongUInt(delay))]);
        let properties = BasicProperties::default().with_headers(headers);
        stage
            .channel
            .publish_with(&stage.exchange, "key", properties, &number.to_string());
    }
    stage.channel.confirms(u64::from(COUNT));
    // Cancels begin before the first is released, and some are certain to be too late.
    let cancels = thread::spawn({
        let (api, path) = (stage.api.clone(), stage.path());
        move || {
            let listed = api.get(&format!("{path}?count=1000"));
            let ids: Vec<String> = listed
                .as_array()
                .expect("a list")
                .iter()
                .map(|one| one["id"].as_str().expect("a text").to_owned())
                .collect();
            let cancel = |id: &String| api.delete(&format!("{path}/{id}"));
            ids.iter().filter(|id| cancel(id) == 204).count() as u32
        }
    });
    let cancelled = cancels.join().expect("nothing went wrong");
    stage.channel.await_ready(&stage.queue, COUNT - cancelled);
    super::until("nothing waits", || stage.list("").is_empty());
    assert_eq!(stage.channel.ready(&stage.queue), COUNT - cancelled);
    assert!(cancelled > 0);
}

#[test]
fn what_is_asked_wrongly_is_refused() {
    let stage = Stage::new();
    let path = stage.path();
    for wrong in ["?after=x", "/17", "/a-b", "?encoding=hex", "?count=x"] {
        assert_eq!(
            stage.api.try_get(&format!("{path}{wrong}")).0,
            400,
            "{wrong}"
        );
    }
    assert_eq!(stage.api.try_get(&format!("{path}/1-1")).0, 404);
    let other = stage
        .api
        .try_get("/leveret/exchanges/%2F/amq.fanout/delayed");
    assert_eq!(other.0, 400);
    let reason = "exchange 'amq.fanout' in vhost '/' does not delay messages";
    assert_eq!(other.1["reason"], reason);
    assert_eq!(
        stage
            .api
            .try_get("/leveret/exchanges/%2F/nothing/delayed")
            .0,
        404
    );
}

#[test]
fn the_program_lists_and_cancels_them() {
    let stage = Stage::new();
    stage.publish(60_000, "bills", "one", "");
    stage.publish(70_000, "bills", "two", "");
    stage.publish(80_000, "bills", "three", "a bill");
    let listed = done(&["delayed", "list", &stage.exchange, "--count", "2"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    let id = |line: &str| {
        line.split_whitespace()
            .next()
            .expect("it is there")
            .to_owned()
    };
    let listed = done(&["delayed", "list", &stage.exchange, "--after", &id(lines[2])]);
    let third = id(listed.lines().nth(1).expect("one is left"));
    let shown = done(&["delayed", "show", &stage.exchange, &third]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["payload"], "a bill");
    done(&["delayed", "cancel", &stage.exchange, &id(lines[1])]);
    assert_eq!(stage.ids(""), ["two", "three"]);
    let cancelled = done(&[
        "delayed",
        "cancel",
        &stage.exchange,
        "--routing-key",
        "bills",
    ]);
    let cancelled: Value = serde_json::from_str(&cancelled).expect("JSON");
    assert_eq!(cancelled, json!({"cancelled": 2}));
}
