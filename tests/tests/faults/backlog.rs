//! More messages than memory may hold, in queues of three kinds.

use std::thread;
use std::time::{Duration, Instant};

use amq_protocol::protocol::queue;
use leveret_tests::load::{Consumer, Plan, Publisher};
use leveret_tests::node::{Node, Running};

/// Of memory for queued messages.
const BUDGET: u64 = 1 << 20;

/// So many messages are in each queue.
const COUNT: u64 = 300_000;

/// Of transient messages and of those that live through a kill: 30 MB.
const SMALL: usize = 100;

/// So long that the log does not keep all of them, and they are paged out: 210 MB.
const LARGE: usize = 700;

/// What a data folder may keep for later when it has no messages: the log's own file, and six that are made ahead or kept to be used again, of 16 MiB.
const EMPTY_FOLDER_MAX: u64 = 120 << 20;

/// What the process may have beside the budget: itself, its threads, buffers of connections and what the log gathers.
const MEMORY_MAX: u64 = 64 << 20;

fn declare(broker: &Running, queue: &str, durable: bool) {
    broker.connect().channel(1).call(queue::Declare {
        queue: queue.into(),
        durable,
        ..Default::default()
    });
}

fn fill(broker: &Running, queue: &str, delivery_mode: u8, body_len: usize) {
    let plan = Plan {
        body_len,
        window: 5_000,
        delivery_mode,
        ..Plan::new(u32::from(delivery_mode), queue)
    };
    Publisher::open(&broker.connect(), plan).publish_all(COUNT);
}

/// Takes all of a queue in order.
fn drain(broker: &Running, queue: &str, publisher: u32) {
    let connection = broker.connect();
    let mut consumer = Consumer::open(&connection, queue, 1_000);
    for number in 1..=COUNT {
        let taken = consumer.take().expect("the broker runs");
        let message = taken.message;
        assert_eq!((message.publisher, message.number), (publisher, number));
        if number.is_multiple_of(500) || number == COUNT {
            consumer.ack_upto(taken.tag);
        }
    }
    let ready = connection.channel(1).ready(queue);
    assert_eq!(ready, 0, "more than was published is in {queue}");
    connection.close();
}

fn node() -> Node {
    Node::new().configured(&format!("[limits]\nqueued_bytes_budget = {BUDGET}\n"))
}

#[test]
fn persistent_messages_beyond_memory_come_back_in_order_and_the_folder_shrinks() {
    let node = node();
    let broker = node.start();
    declare(&broker, "persistent", true);
    fill(&broker, "persistent", 2, LARGE);
    let full = node.bytes_on_disk();
    assert!(full > EMPTY_FOLDER_MAX + (64 << 20), "it had {full} bytes");
    drain(&broker, "persistent", 2);
    is_small(&broker);
    shrinks_below(&node, EMPTY_FOLDER_MAX);
}

#[test]
fn persistent_messages_beyond_memory_come_back_after_a_kill() {
    let node = node();
    let broker = node.start();
    declare(&broker, "persistent", true);
    fill(&broker, "persistent", 2, SMALL);
    broker.kill();
    let broker = node.start();
    drain(&broker, "persistent", 2);
    is_small(&broker);
}

#[test]
fn transient_messages_beyond_memory_come_back_in_order_and_the_folder_shrinks() {
    for durable in [true, false] {
        let node = node();
        let broker = node.start();
        declare(&broker, "transient", durable);
        let empty = node.bytes_on_disk();
        fill(&broker, "transient", 1, SMALL);
        let full = node.bytes_on_disk();
        assert!(full > empty + COUNT * SMALL as u64, "it had {full} bytes");
        drain(&broker, "transient", 1);
        is_small(&broker);
        shrinks_below(&node, empty + (8 << 20));
    }
}

fn shrinks_below(node: &Node, bytes: u64) {
    let end = Instant::now() + Duration::from_secs(20);
    while node.bytes_on_disk() > bytes {
        assert!(
            Instant::now() < end,
            "the folder has {} bytes",
            node.bytes_on_disk()
        );
        thread::sleep(Duration::from_millis(50));
    }
}

fn is_small(broker: &Running) {
    let peak = broker.peak_memory();
    assert!(peak < BUDGET + MEMORY_MAX, "it had {peak} bytes of memory");
}

/// As long as a body may be.
const LARGEST: usize = 16 << 20;

#[test]
fn the_largest_bodies_take_the_memory_of_a_few_for_each_connection() {
    let broker = node().start();
    let publishers = 4;
    declare(&broker, "large", true);
    thread::scope(|scope| {
        for publisher in 1..=publishers {
            let broker = &broker;
            scope.spawn(move || {
                let plan = Plan {
                    body_len: LARGEST,
                    window: 4,
                    ..Plan::new(publisher, "large")
                };
                Publisher::open(&broker.connect(), plan).publish_all(5);
            });
        }
    });
    let connection = broker.connect();
    let mut consumer = Consumer::open(&connection, "large", 4);
    for _ in 0..publishers * 5 {
        let taken = consumer.take().expect("the broker runs");
        consumer.ack_upto(taken.tag);
    }
    let (peak, of_each) = (broker.peak_memory(), 4 * LARGEST as u64);
    let most = MEMORY_MAX + u64::from(publishers + 1) * of_each;
    assert!(peak < most, "it had {peak} bytes of memory");
}
