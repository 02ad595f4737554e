//! Data folders that a broker must not take: damaged ones, and one that another broker has.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use amq_protocol::protocol::queue;
use leveret_tests::ledger::Message;
use leveret_tests::load::{Consumer, Plan, Publisher, take_all};
use leveret_tests::node::Node;

const QUEUE: &str = "kept";

/// A node whose broker was killed or stopped after 100 messages were confirmed.
fn node_with_messages(is_stopped: bool) -> Node {
    let node = Node::new();
    let broker = node.start();
    let connection = broker.connect();
    connection.channel(2).call(queue::Declare {
        queue: QUEUE.into(),
        durable: true,
        ..Default::default()
    });
    let mut publisher = Publisher::open(&connection, Plan::new(1, QUEUE));
    publisher.publish_all(99);
    // Its batch says that those before it are durable: only then is damage to them known from a write that was cut off.
    publisher.publish_all(1);
    connection.close();
    if is_stopped {
        broker.stop();
    } else {
        broker.kill();
    }
    node
}

/// Flips a bit in the body of a message in the log. The file, the place, and what the file had.
fn damage_message(node: &Node, number: u64) -> (PathBuf, usize, Vec<u8>) {
    let files = fs::read_dir(node.data_dir().join("wal")).expect("the log's folder");
    let path = files.map(|entry| entry.expect("a file").path());
    let path = path.min().expect("the log has a file");
    let bytes = fs::read(&path).expect("a file of the log");
    let publisher = 1;
    let body = Message { publisher, number }.body(200);
    let at = bytes.windows(body.len()).position(|part| part == body);
    let at = at.expect("the log has the message") + 100;
    let file = fs::OpenOptions::new().write(true).open(&path);
    file.and_then(|file| file.write_all_at(&[bytes[at] ^ 4], at as u64))
        .expect("our own file");
    (path, at, bytes)
}

#[test]
fn one_wrong_bit_in_a_confirmed_message_is_told_and_stops_the_start() {
    let node = node_with_messages(false);
    let (path, at, bytes) = damage_message(&node, 50);

    let ended = node.start_to_end();

    assert_eq!(ended.code, Some(1), "{}", ended.errors);
    let name = path.file_name().expect("it has a name").to_string_lossy();
    for words in [
        &*node.data_dir().to_string_lossy(),
        "confirmed data is damaged",
        &format!("wal/{name}"),
        "a batch that was confirmed is damaged",
        "Put back a copy of the data folder",
    ] {
        assert!(ended.errors.contains(words), "{words}: {}", ended.errors);
    }
    let range = damaged_range(&ended.errors);
    assert!(range.0 <= at as u64, "{at}: {}", ended.errors);
    let after = fs::read(&path).expect("a file of the log");
    assert_eq!(after[at], bytes[at] ^ 4, "it was left as it is");
    assert_eq!(after[..at], bytes[..at], "it was left as it is");
    assert_eq!(after[at + 1..], bytes[at + 1..], "it was left as it is");

    let file = fs::OpenOptions::new().write(true).open(&path);
    file.and_then(|file| file.write_all_at(&[bytes[at]], at as u64))
        .expect("our own file");
    let taken = take_all(&node.start().connect(), QUEUE);
    assert_eq!(taken.len(), 100, "with the right bit all is there again");
}

/// From which byte of the file on it is damaged, as the broker says.
fn damaged_range(errors: &str) -> (u64, &str) {
    let words = "from byte ";
    let from = errors.find(words).expect("it names the byte");
    let rest = &errors[from + words.len()..];
    let (number, rest) = rest.split_once(' ').expect("it goes on");
    (number.parse().expect("a number"), rest)
}

/// After a stop the log is not read again, up to the checkpoint: damage in it is met by whoever reads the message.
#[test]
fn one_wrong_bit_in_a_message_that_is_read_later_is_told_and_no_wrong_message_comes() {
    let node = node_with_messages(true);
    let (path, ..) = damage_message(&node, 50);
    let broker = node.start();
    let connection = broker.connect();
    let mut consumer = Consumer::open(&connection, QUEUE, 0);
    let ready = connection.channel(1).ready(QUEUE);
    // The last one was in a batch of its own, which is whole.
    let mut taken = Vec::new();
    while taken.last() != Some(&100) {
        let next = consumer.take().expect("the broker runs");
        taken.push(next.message.number);
    }
    assert!(
        !taken.contains(&50) && taken.is_sorted(),
        "{taken:?}, {ready}"
    );
    let name = path.file_name().expect("it has a name").to_string_lossy();
    let errors = broker.errors();
    for words in ["ERROR", &format!("wal/{name}")] {
        assert!(errors.contains(words), "{words}: {errors}");
    }
}

#[test]
fn a_folder_without_its_version_is_told_and_stops_the_start() {
    let node = node_with_messages(true);
    fs::remove_file(node.data_dir().join("VERSION")).expect("a data folder has it");
    let ended = node.start_to_end();
    assert_eq!(ended.code, Some(1), "{}", ended.errors);
    assert!(ended.errors.contains("no file VERSION"), "{}", ended.errors);
}

#[test]
fn a_second_broker_on_a_folder_does_not_start_and_disturbs_nothing() {
    let node = node_with_messages(true);
    let broker = node.start();
    let ended = node.start_to_end();
    assert_eq!(ended.code, Some(1), "{}", ended.errors);
    let words = "the data folder is in use by another process";
    assert!(ended.errors.contains(words), "{}", ended.errors);
    assert!(
        ended.errors.contains(&*node.data_dir().to_string_lossy()),
        "{}",
        ended.errors
    );
    let taken = take_all(&broker.connect(), QUEUE);
    assert_eq!(taken.len(), 100);
    drop(broker);
    assert_eq!(take_all(&node.start().connect(), QUEUE).len(), 100);
}
