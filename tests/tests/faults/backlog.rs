//! More messages than memory may hold, in queues of three kinds.

use std::thread;
use std::time::{Duration, Instant};

use amq_protocol::protocol::queue;
use leveret_tests::load::{Consumer, Plan, Publisher};
use leveret_tests::node::{Node, Running};

/// Of memory for queued messages.
const BUDGET: u64 = 1 << 20;

/// Of bodies of 100 bytes: 30 MB.
const COUNT: u64 = 300_000;

/// What the process may have beside the budget: itself, its threads, buffers of connections and what the log gathers.
const MEMORY_MAX: u64 = 64 << 20;

fn declare(broker: &Running, queue: &str, durable: bool) {
    broker.connect().channel(1).call(queue::Declare {
        queue: queue.into(),
        durable,
        ..Default::default()
    });
}

fn fill(broker: &Running, plan: Plan) {
    let plan = Plan {
        body_len: 100,
        window: 5_000,
        ..plan
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
    fill(&broker, Plan::new(1, "persistent"));
    drain_and_shrink(&node, &broker, "persistent", 1);
}

#[test]
fn persistent_messages_beyond_memory_come_back_after_a_kill() {
    let node = node();
    let broker = node.start();
    declare(&broker, "persistent", true);
    fill(&broker, Plan::new(1, "persistent"));
    broker.kill();
    let broker = node.start();
    drain(&broker, "persistent", 1);
    is_small(&broker);
}

#[test]
fn transient_messages_beyond_memory_come_back_in_order_and_the_folder_shrinks() {
    for durable in [true, false] {
        let node = node();
        let broker = node.start();
        declare(&broker, "transient", durable);
        let mut plan = Plan::new(2, "transient");
        plan.delivery_mode = 1;
        fill(&broker, plan);
        drain_and_shrink(&node, &broker, "transient", 2);
    }
}

fn drain_and_shrink(node: &Node, broker: &Running, queue: &str, publisher: u32) {
    let full = node.bytes_on_disk();
    assert!(full > COUNT * 100, "the folder had {full} bytes");
    drain(broker, queue, publisher);
    is_small(broker);
    let end = Instant::now() + Duration::from_secs(20);
    while node.bytes_on_disk() > full / 2 {
        assert!(
            Instant::now() < end,
            "the folder had {full} bytes, and has {} now",
            node.bytes_on_disk()
        );
        thread::sleep(Duration::from_millis(50));
    }
}

fn is_small(broker: &Running) {
    let peak = broker.peak_memory();
    assert!(peak < BUDGET + MEMORY_MAX, "it had {peak} bytes of memory");
}
