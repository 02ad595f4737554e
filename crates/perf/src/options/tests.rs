//! Shares, arguments, and what does not go together.

use leveret_wire::types::AMQPValue;

use super::{Load, QueueArg, share, table};

#[test]
fn every_queue_has_somebody() {
    for (sharers, all) in [(1, 1), (3, 10), (4, 2), (2, 2), (1, 1000)] {
        let mut seen: Vec<u32> = (0..sharers).flat_map(|n| share(n, sharers, all)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..all).collect::<Vec<_>>(), "{sharers} of {all}");
        assert!((0..sharers).all(|n| !share(n, sharers, all).is_empty()));
    }
}

#[test]
fn arguments_have_types() {
    let args = [
        "x-max-length=10",
        "x-queue-type=quorum",
        "x-single-active-consumer=true",
        "a=b=c",
    ];
    let args: Vec<QueueArg> = args
        .iter()
        .map(|arg| arg.parse().expect("an argument"))
        .collect();
    let table = table(&args);
    let value = |name: &str| table.inner().get(name).expect("it is there").clone();
    assert_eq!(value("x-max-length"), AMQPValue::LongLongInt(10));
    assert_eq!(
        value("x-queue-type"),
        AMQPValue::LongString("quorum".into())
    );
    assert_eq!(value("x-single-active-consumer"), AMQPValue::Boolean(true));
    assert_eq!(value("a"), AMQPValue::LongString("b=c".into()));
    assert!("x".parse::<QueueArg>().is_err());
}

fn load() -> Load {
    Load {
        producers: 1,
        consumers: 1,
        queues: 1,
        size: 16,
        rate: None,
        confirm: None,
        qos: 0,
        multi_ack_every: 1,
        autoack: false,
        persistent: false,
        mandatory: false,
        queue_args: Vec::new(),
        time: None,
        pmessages: None,
        timed_one_in: 1,
    }
}

#[test]
fn what_cannot_be_is_told() {
    load().check().expect("it can be");
    let refused = |change: fn(&mut Load)| {
        let mut load = load();
        change(&mut load);
        load.check().expect_err("it cannot be").to_string()
    };
    assert!(refused(|load| (load.producers, load.consumers) = (0, 0)).contains("nothing to do"));
    assert!(refused(|load| (load.qos, load.multi_ack_every) = (10, 11)).contains("--qos"));
    assert!(refused(|load| load.size = usize::MAX).contains("128 MiB"));
    assert!(refused(|load| load.rate = Some(0)).contains("--rate"));
}
