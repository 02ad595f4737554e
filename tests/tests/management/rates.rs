//! Rates and samples while something goes on, and when it has ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use leveret_tests::broker::{self, Broker};
use leveret_tests::client::{Connection, Login};
use leveret_tests::http::Http;
use serde_json::Value;

use super::until;

/// So many messages are published in a second.
const PACE: f64 = 200.0;

/// The time between two looks: who asks without a pause keeps the machine from all else.
const LOOK: Duration = Duration::from_millis(200);

/// Publishes at that pace and acknowledges what comes back, until it is told to end.
struct Pacer {
    queue: String,
    ends: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Pacer {
    fn start(broker: &Broker) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (address, end) = (broker.amqp, Arc::clone(&ends));
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            let connection = Connection::open_at(address, &Login::default());
            let channel = connection.channel(1);
            let queue = channel.queue();
            channel.bind(&queue, "amq.direct", "paced");
            channel.consume(&queue);
            sender.send(queue).expect("it is waited for");
            let since = Instant::now();
            let mut published = 0;
            while !end.load(Ordering::Relaxed) {
                let due = (since.elapsed().as_secs_f64() * PACE) as u64;
                for _ in published..due {
                    channel.publish("amq.direct", "paced", "a message");
                    let delivery = channel.deliver();
                    channel.ack(delivery.method.delivery_tag);
                }
                published = due;
                thread::sleep(Duration::from_millis(5));
            }
            // The connection stays as long as anybody may look at it.
            thread::park();
        });
        Self {
            queue: receiver.recv().expect("it has started"),
            ends,
            thread,
        }
    }

    /// Publishes no more; what there is stays.
    fn rest(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    fn end(self) {
        self.rest();
        self.thread.thread().unpark();
        self.thread.join().expect("it did what it was to do");
    }
}

fn is_near(rate: &Value, pace: f64) -> bool {
    rate.as_f64()
        .is_some_and(|rate| (pace * 0.5..pace * 1.5).contains(&rate))
}

#[test]
fn rates_follow_what_goes_on() {
    let broker = Broker::start(&broker::binary(), &[]);
    let api = Http::guest(broker.management);
    let pacer = Pacer::start(&broker);
    let queue = format!("/queues/%2F/{}", pacer.queue);
    let connection = api.get("/connections")[0]["name"].as_str().map(|name| {
        format!(
            "/connections/{}",
            name.replace(' ', "%20").replace('>', "%3E")
        )
    });
    let connection = connection.expect("it has a name");
    let lists = ["/queues", "/exchanges/%2F?name=amq.direct", "/channels"];
    let stats = [
        (
            "/overview",
            vec!["publish", "deliver", "deliver_get", "ack"],
        ),
        (&queue, vec!["publish", "deliver", "deliver_get", "ack"]),
        ("/vhosts/%2F", vec!["publish", "deliver_get"]),
        (
            "/exchanges/%2F/amq.direct",
            vec!["publish_in", "publish_out"],
        ),
    ];
    // Only what is asked about has rates: all are asked about from the beginning.
    let are_right = || {
        thread::sleep(LOOK);
        let singles = stats.iter().map(|(path, names)| {
            let told = api.get(path);
            let mut names = names.iter();
            names.all(|name| {
                is_near(
                    &told["message_stats"][format!("{name}_details")]["rate"],
                    PACE,
                )
            })
        });
        let lists = lists.iter().map(|path| {
            let told = &api.get(path)[0]["message_stats"];
            is_near(&told["publish_details"]["rate"], PACE)
                || is_near(&told["publish_in_details"]["rate"], PACE)
        });
        let bytes = api.get(&connection);
        let bytes = bytes["recv_oct_details"]["rate"].as_f64();
        // A message of 9 bytes with its frames, and an ack.
        let bytes_flow = bytes.is_some_and(|rate| (40.0 * PACE..200.0 * PACE).contains(&rate));
        let all: Vec<bool> = singles.chain(lists).chain([bytes_flow]).collect();
        all.iter().all(|is_right| *is_right)
    };
    until("all rates are near the pace", are_right);
    let details = api.get("/queues")[0]["messages_details"].clone();
    assert!(details["rate"].is_f64(), "{details}");

    pacer.rest();
    until("there are no rates any longer", || {
        thread::sleep(LOOK);
        let told = api.get("/overview");
        let rate = told["message_stats"]["publish_details"]["rate"].as_f64();
        let of_queue = api.get("/queues")[0]["message_stats"]["ack_details"]["rate"].as_f64();
        (rate, of_queue) == (Some(0.0), Some(0.0))
    });
    pacer.end();
}

#[test]
fn samples_are_told_where_they_are_asked_for() {
    let broker = Broker::start(&broker::binary(), &[]);
    let api = Http::guest(broker.management);
    let pacer = Pacer::start(&broker);
    let of_queue = format!(
        "/queues/%2F/{}?lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5",
        pacer.queue
    );
    let of_all = "/overview?lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5";
    let of_node = "/nodes?node_stats_age=60&node_stats_incr=5";
    let has_risen = |details: &Value| {
        let Some(samples) = details["samples"].as_array() else {
            return false;
        };
        let of = |sample: &Value, key: &str| sample[key].as_u64().expect("a number");
        let rises = samples.windows(2).all(|pair| {
            of(&pair[0], "sample") >= of(&pair[1], "sample")
                && of(&pair[0], "timestamp") == of(&pair[1], "timestamp") + 5000
        });
        assert!(rises, "from new to old: {details}");
        samples.len() >= 3 && is_near(&details["avg_rate"], PACE)
    };
    until("there are samples", || {
        thread::sleep(LOOK);
        let (queue, all, node) = (api.get(&of_queue), api.get(of_all), api.get(of_node));
        let lengths = &all["queue_totals"]["messages_ready_details"];
        assert!(lengths["samples"].is_array(), "{lengths}");
        let memory = node[0]["mem_used_details"]["samples"].as_array();
        assert!(queue["messages_details"]["avg"].is_f64(), "{queue}");
        has_risen(&queue["message_stats"]["publish_details"])
            && has_risen(&all["message_stats"]["publish_details"])
            && memory.is_some_and(|samples| samples.len() >= 3)
    });
    let wrong = "/overview?msg_rates_age=60000&msg_rates_incr=1";
    assert_eq!(api.try_get(wrong).0, 400);
    pacer.end();
}
