//! What the log is told: which messages are in which entry, and that what is settled for good does not stay there.

use std::sync::Arc;

use leveret_message::batch::{Batch, Body};
use leveret_store::log::{GROUPS, Group, QueueId};

use super::fixture::{
    Client, Fixture, Sort, consume, consumer, delete, get, number, purge, settle,
};
use crate::command::{Command, NewConsumer, Outcome, Publish, Run};
use crate::doubles::Enqueued;
use crate::queue_handle::QueueHandle;

fn durable(fixture: &mut Fixture, name: &str) -> Arc<QueueHandle> {
    fixture.declare(name, |declaration| declaration.durable = true)
}

/// A batch of which each run goes to queues of its own.
fn publish(client: &mut Client, batch: Arc<Batch>, runs: &[(&[&QueueHandle], u32)]) -> Command {
    client.batches += 1;
    let mut first = 0;
    let runs = runs.iter().map(|(queues, count)| {
        let run = Run {
            queues: queues.iter().map(|queue| queue.id).collect(),
            first,
            count: *count,
        };
        first += count;
        run
    });
    Command::Publish(Publish {
        connection: client.id(),
        number: client.batches,
        bytes: batch.size(0, batch.len()),
        runs: runs.collect(),
        batch,
    })
}

/// A queue, the first sequence number, and the messages.
type OfTarget = (QueueId, u64, Vec<u64>);

/// The messages that an entry has, and those of each of its targets with their sequence numbers. Every body has to be in the entry.
fn contents(entry: &Enqueued) -> (Vec<u64>, Vec<OfTarget>) {
    let batch = Batch::read(entry.records.clone()).expect("whole records");
    assert_eq!(batch.starts(), entry.starts);
    let all: Vec<u64> = (0..batch.len()).map(|i| number(&batch, i)).collect();
    for message in batch.messages(0, batch.len()) {
        assert!(matches!(message.body, Body::Inline(_)));
        assert!(message.persistent);
    }
    let target = |target: &leveret_store::entry::Target| {
        let range = target.first as usize..(target.first + target.count) as usize;
        (target.queue, target.first_seq, all[range].to_vec())
    };
    (all.clone(), entry.targets.iter().map(target).collect())
}

#[test]
fn a_batch_of_one_group_is_one_entry_as_it_is() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = durable(&mut fixture, "q");
    let batch = fixture.batch(5, 8, true);
    let bytes = batch.bytes().to_vec();
    fixture.turn([publish(
        &mut client,
        batch,
        &[(&[&queue], 3), (&[&queue], 2)],
    )]);
    let entries = std::mem::take(&mut fixture.log.lock().enqueued);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].group, Group::of(queue.id));
    assert_eq!(entries[0].records, bytes);
    let targets = vec![(queue.id, 1, vec![1, 2, 3]), (queue.id, 4, vec![4, 5])];
    assert_eq!(contents(&entries[0]), (vec![1, 2, 3, 4, 5], targets));
}

#[test]
fn each_group_has_an_entry_with_its_own_messages() {
    for body_len in [8, 20_000] {
        let mut fixture = Fixture::new();
        let mut client = fixture.client();
        let [a, b, c] = ["a", "b", "c"].map(|name| durable(&mut fixture, name));
        let shared = body_len > 16 * 1024;
        let batch = fixture.mixed_batch(6, body_len, |message| Sort {
            persistent: true,
            shared: shared && message != 2,
        });
        // 1 and 2 to a and b; 3 to nobody durable; 4 to b alone; 5 and 6 to all.
        let plain = fixture.queue("plain");
        let runs: [(&[&QueueHandle], u32); 4] = [
            (&[&a, &b], 2),
            (&[&plain], 1),
            (&[&b], 1),
            (&[&a, &b, &c], 2),
        ];
        fixture.turn([publish(&mut client, batch, &runs)]);
        let entries = std::mem::take(&mut fixture.log.lock().enqueued);
        let groups: Vec<Group> = entries.iter().map(|entry| entry.group).collect();
        assert_eq!(groups, [a.id, b.id, c.id].map(Group::of));
        let of_a = vec![(a.id, 1, vec![1, 2]), (a.id, 3, vec![5, 6])];
        assert_eq!(contents(&entries[0]), (vec![1, 2, 5, 6], of_a));
        let of_b = vec![
            (b.id, 1, vec![1, 2]),
            (b.id, 3, vec![4]),
            (b.id, 4, vec![5, 6]),
        ];
        assert_eq!(contents(&entries[1]), (vec![1, 2, 4, 5, 6], of_b));
        let of_c = vec![(c.id, 1, vec![5, 6])];
        assert_eq!(contents(&entries[2]), (vec![5, 6], of_c));
        for message in 0..entries[0].starts.len() as u32 {
            let batch = Batch::read(entries[0].records.clone()).unwrap();
            assert_eq!(batch.message(message).unwrap().body.len(), body_len);
        }
    }
}

#[test]
fn queues_of_one_group_share_the_messages_of_an_entry() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let first = durable(&mut fixture, "first");
    let between = durable(&mut fixture, "between");
    // Ids are dealt to the groups in turn: one of the next queues is of the first one's group.
    let mut others = (0..GROUPS).map(|i| durable(&mut fixture, &format!("q{i}")));
    let same = others.find(|queue| Group::of(queue.id) == Group::of(first.id));
    let same = same.expect("a round leads back to the first group");
    drop(others);
    let batch = fixture.batch(3, 8, true);
    let runs: [(&[&QueueHandle], u32); 2] = [(&[&first, &between, &same], 2), (&[&same], 1)];
    fixture.turn([publish(&mut client, batch, &runs)]);
    let entries = std::mem::take(&mut fixture.log.lock().enqueued);
    assert_eq!(entries.len(), 2);
    let targets = vec![
        (first.id, 1, vec![1, 2]),
        (same.id, 1, vec![1, 2]),
        (same.id, 3, vec![3]),
    ];
    assert_eq!(contents(&entries[0]), (vec![1, 2, 3], targets));
    assert_eq!(contents(&entries[1]).0, [1, 2]);
}

#[test]
fn only_persistent_messages_of_durable_queues_are_in_the_log() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let owner = client.id();
    let kept = durable(&mut fixture, "kept");
    let plain = fixture.queue("plain");
    let mine = fixture.declare_by(owner, "mine", |declaration| {
        declaration.durable = true;
        declaration.owner = Some(owner);
    });
    let batch = fixture.mixed_batch(6, 8, |message| Sort {
        persistent: message % 3 > 0,
        shared: false,
    });
    let to_all: [(&[&QueueHandle], u32); 1] = [(&[&kept, &plain, &mine], 6)];
    fixture.turn([publish(&mut client, batch, &to_all)]);
    let entries = std::mem::take(&mut fixture.log.lock().enqueued);
    assert_eq!(entries.len(), 1);
    let targets: Vec<_> = entries[0].targets.iter().collect();
    let targets: Vec<_> = targets
        .iter()
        .map(|t| (t.queue, t.first, t.count, t.first_seq))
        .collect();
    // The entry has only what is kept: what was the fourth message is the third there.
    assert_eq!(targets, [(kept.id, 0, 2, 1), (kept.id, 2, 2, 4)]);
    assert_eq!(entries[0].starts.len(), 4);
    assert_eq!(fixture.log.kept_count(), (4, 0));
}

#[test]
fn what_is_settled_for_good_leaves_the_log() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = durable(&mut fixture, "q");
    let publish = fixture.publish(&mut client, &[&queue], 10);
    fixture.turn([publish]);
    let mut kept = |commands: Vec<Command>| {
        fixture.turn(commands);
        fixture.log.kept_count()
    };
    assert_eq!(kept(vec![get(&client, &queue, true)]), (9, 0));
    let limited = NewConsumer {
        prefetch: 5,
        ..consumer(1)
    };
    assert_eq!(kept(vec![consume(&client, &queue, limited)]), (9, 0));
    let some = |first, count, outcome| vec![settle(&client, &queue, (first, count), outcome)];
    assert_eq!(kept(some(2, 2, Outcome::Ack)), (7, 0));
    assert_eq!(kept(some(5, 1, Outcome::Discard)), (6, 0));
    assert_eq!(kept(some(4, 1, Outcome::Return)), (6, 0));
    // 6, 4 again, and 7 to 9 are held: only 10 is ready.
    assert_eq!(kept(vec![purge(&client, &queue)]), (5, 0));
    assert_eq!(kept(some(1, 100, Outcome::Return)), (5, 0));
    let no_ack = NewConsumer {
        no_ack: true,
        priority: 1,
        ..consumer(2)
    };
    assert_eq!(kept(vec![consume(&client, &queue, no_ack)]), (5, 0));
    assert_eq!(kept(some(4, 1, Outcome::Return)), (4, 0));
    assert_eq!(kept(vec![delete(&client, &queue)]), (0, 0));
    assert_eq!(fixture.log.lock().deleted, [queue.id]);
}

#[test]
fn nothing_is_said_of_a_queue_after_its_end() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = durable(&mut fixture, "q");
    let publish = fixture.publish(&mut client, &[&queue], 5);
    fixture.turn([
        publish,
        get(&client, &queue, true),
        get(&client, &queue, false),
        settle(&client, &queue, (2, 1), Outcome::Ack),
        purge(&client, &queue),
        delete(&client, &queue),
    ]);
    fixture.turn([settle(&client, &queue, (1, 5), Outcome::Ack)]);
    assert_eq!(fixture.log.kept_count(), (0, 0));
    assert_eq!(fixture.log.lock().deleted, [queue.id]);
}

#[test]
fn an_end_writes_down_what_was_returned() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    let queue = durable(&mut fixture, "q");
    let batch = fixture.mixed_batch(8, 8, |message| Sort {
        persistent: message != 3,
        shared: false,
    });
    let publish = Fixture::publish_batch(&mut client, &[&queue], batch);
    fixture.turn([publish]);
    let gets = (0..6).map(|_| get(&client, &queue, false));
    fixture.turn(gets.collect::<Vec<_>>());
    fixture.turn([
        settle(&client, &queue, (2, 1), Outcome::Ack),
        settle(&client, &queue, (1, 5), Outcome::Return),
    ]);
    let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let done = Arc::clone(&ended);
    let set = move || done.store(true, std::sync::atomic::Ordering::SeqCst);
    // What is still held goes back with its connection first.
    let end = Command::End(crate::command::Done(Arc::new(set)));
    fixture.turn([Command::Disconnect(client.id()), end]);
    assert!(ended.load(std::sync::atomic::Ordering::SeqCst));
    let requeued = std::mem::take(&mut fixture.log.lock().requeued);
    let [(of, runs)] = &requeued[..] else {
        panic!("{requeued:?}");
    };
    let seqs: Vec<u64> = runs
        .iter()
        .flat_map(|run| run.first_seq..run.first_seq + run.count)
        .collect();
    assert_eq!((*of, seqs), (queue.id, vec![1, 4, 5, 6]));
}
