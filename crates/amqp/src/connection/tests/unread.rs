//! What goes on while deliveries wait for a client that reads nothing.

use super::*;

const BODY: [u8; 10_000] = [7; 10_000];

/// A connection whose output has room for no delivery, and that goes on being read.
fn stalled(heartbeat: u16) -> Stage {
    let mut stage = Stage::new(heartbeat);
    while stage.connection.output().len() < OUTPUT_MAX / 2 {
        stage.publish("nowhere", true, &BODY);
    }
    stage
}

fn deliveries(stage: &mut Stage) -> usize {
    let mut output = Vec::new();
    while !stage.connection.output().is_empty() {
        stage.connection.write_to(&mut output, stage.now);
        stage.settle();
    }
    let is_delivery = |frame: &&[u8]| *frame == [0, 60, 0, 60];
    output.windows(4).filter(is_delivery).count()
}

#[test]
fn what_is_published_is_taken_and_delivered_later() {
    let mut stage = stalled(0);
    // More than the allowance, which the shard gives back behind deliveries.
    for _ in 0..150 {
        stage.publish("q", false, &BODY);
    }
    assert!(stage.connection.takes_input());
    assert_eq!(deliveries(&mut stage), 150);
}

#[test]
fn confirms_are_bounded_as_other_replies_are() {
    let mut stage = stalled(0);
    let select = confirm::AMQPMethod::Select(confirm::Select { nowait: true });
    stage.say(1, AMQPClass::Confirm(select));
    let mut published = 0;
    while stage.connection.takes_input() {
        stage.publish("q", false, b"");
        published += 1;
        assert!(published < 100_000);
    }
    assert!(stage.connection.output().len() < OUTPUT_MAX + 1000);
    assert_eq!(deliveries(&mut stage), published);
}

#[test]
fn it_can_be_asked_and_closed() {
    let mut stage = stalled(0);
    stage.publish("q", false, b"waits");
    // Fails where it does not answer.
    described::describe(&mut stage);
    let link = Arc::clone(&stage.connection.link);
    link.events.push(Event::Close("enough".to_owned()));
    stage.settle();
    assert!(stage.is_dropped_within(Duration::from_secs(10)));
}

#[test]
fn its_own_close_is_taken() {
    let mut stage = stalled(0);
    stage.publish("q", false, b"waits");
    stage.say(0, close());
    stage.await_close_ok();
    assert!(stage.is_dropped_within(Duration::from_secs(10)));
}
