//! The power goes while clients publish: what the disk had not flushed is there in part or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use amq_protocol::protocol::queue;
use leveret_tests::client::{Connection, Login};
use leveret_tests::disk::Machine;
use leveret_tests::disk::power::Refuses;
use leveret_tests::ledger::{Ledger, Published};
use leveret_tests::load::{Event, Plan, Publisher, messages, take_all};
use leveret_tests::node::Node;
use rustix::fs::OFlags;

const DISK: u64 = 256 << 20;
const QUEUE: &str = "kept";

/// How long is published before the power goes.
const LOAD: Duration = Duration::from_secs(2);

/// A block of the filesystem, and what direct writes must begin and end with.
const BLOCK: usize = 4096;

const RECORDS: usize = 32;

/// Not a test of the broker but of the disk: what was synced survives every cut, and what was only written does not.
#[test]
fn the_disk_keeps_what_was_synced_and_loses_some_of_what_was_not() {
    if !super::can_mount() {
        return;
    }
    let machine = Machine::new(64 << 20).expect("a disk");
    let synced = blank(&machine.folder().join("synced"));
    let direct = blank(&machine.folder().join("direct"));
    for record in 0..RECORDS {
        let flushes = machine.disk().flushes();
        synced
            .write_all_at(&[record as u8 + 1; BLOCK], (record * BLOCK) as u64)
            .and_then(|()| synced.sync_data())
            .expect("the disk works");
        assert!(machine.disk().flushes() > flushes, "a sync flushes");
    }
    // These go past the page cache to the disk, which nobody asks to flush.
    let blocks = vec![0xff; BLOCK * (RECORDS + 1)];
    let aligned = blocks.as_ptr().align_offset(BLOCK);
    for record in 0..RECORDS {
        direct
            .write_all_at(&blocks[aligned..aligned + BLOCK], (record * BLOCK) as u64)
            .expect("the disk works");
    }
    assert!(machine.disk().unflushed_sectors() >= RECORDS * BLOCK / 512);
    machine.disk().refuse(Refuses::Everything);
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..4 {
        let after = machine.after_cut(seed).expect("an image that mounts");
        let read = fs::read(after.folder().join("synced")).expect("the file");
        for (record, bytes) in read.chunks(BLOCK).enumerate() {
            let right = bytes.iter().all(|byte| *byte == record as u8 + 1);
            assert!(right, "record {record} was synced, and is lost");
        }
        let read = fs::read(after.folder().join("direct")).expect("the file");
        lost += read.chunks(512).filter(|part| part.contains(&0)).count();
        kept += read.chunks(512).filter(|part| !part.contains(&0)).count();
    }
    assert!(lost > 0 && kept > 0, "{lost} sectors lost, {kept} kept");
}

/// A file of zeros for all records, synced, that is written past the page cache.
fn blank(path: &Path) -> File {
    let mut file = File::create(path).expect("the disk works");
    file.write_all(&vec![0; RECORDS * BLOCK])
        .and_then(|()| file.sync_all())
        .expect("the disk works");
    let direct = path.ends_with("direct");
    let flags = if direct {
        OFlags::DIRECT
    } else {
        OFlags::empty()
    };
    File::options()
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .expect("the disk works")
}

#[test]
fn what_was_confirmed_is_there_after_a_power_cut() {
    if !super::can_mount() {
        return;
    }
    for seed in 1..=3 {
        cut_under_load(seed);
    }
}

fn cut_under_load(seed: u64) {
    let machine = Machine::new(DISK).expect("a disk");
    let node = Node::on(&machine.folder().join("data"));
    let broker = node.start();
    broker.connect().channel(1).call(queue::Declare {
        queue: QUEUE.into(),
        durable: true,
        ..Default::default()
    });
    let (done, is_done) = mpsc::channel();
    let publishers = [0, 1].map(|n| {
        let (address, done) = (broker.amqp, done.clone());
        thread::spawn(move || {
            let connection = Connection::open_at(address, &Login::default());
            publish(
                &mut Publisher::open(&connection, Plan::new(n, QUEUE)),
                &done,
            )
        })
    });
    is_done.recv().expect("the publishers run");
    machine.disk().refuse(Refuses::EverythingFromTheNextFlush);
    // The broker ends without its disk, and must confirm nothing meanwhile.
    let ended = broker.await_end();
    assert_eq!(ended.code, Some(70), "{}", ended.errors);
    assert!(
        machine.disk().unflushed_sectors() > 0,
        "nothing is at stake"
    );
    let mut ledger = Ledger::default();
    for publisher in publishers {
        ledger.published(publisher.join().expect("the publisher saw nothing wrong"));
    }
    assert!(ledger.confirmed() > 0);

    let after = machine.after_cut(seed).expect("an image that mounts");
    let node = Node::on(&after.folder().join("data"));
    let broker = node.start();
    let connection = broker.connect();
    let taken = take_all(&connection, QUEUE);
    ledger.check(&messages(&taken));
    assert!(taken.iter().all(|taken| taken.redelivered));
    // It goes on from there, and what is confirmed then is there after the next start.
    Publisher::open(&broker.connect(), Plan::new(7, QUEUE)).publish_all(100);
    connection.close();
    broker.kill();
    let again = take_all(&node.start().connect(), QUEUE);
    assert_eq!(again.len(), taken.len() + 100);
}

/// Tells when it has published for long enough, and goes on until the broker is gone.
fn publish(publisher: &mut Publisher, done: &mpsc::Sender<()>) -> Published {
    let end = Instant::now() + LOAD;
    loop {
        match publisher.go_on() {
            Event::Confirmed(_) if Instant::now() >= end => {
                // Nobody waits any more once the other publisher has told.
                let _ = done.send(());
            }
            Event::Confirmed(_) => {}
            Event::Closed => return publisher.published().clone(),
            other => panic!("a publisher heard {other:?}"),
        }
    }
}
