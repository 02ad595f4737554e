//! What the firehose costs and bounds; what its copies say is tested over a socket.

use super::*;
use crate::filling::NewBody;
use crate::limits::VhostMetadata;
use crate::publisher::firehose::Witness;

const WITNESS: Witness<'_> = Witness {
    node: "leveret@test",
    connection: "a -> b",
    channel: 1,
    user: "guest",
};

fn trace(vhost: &Vhost, tracing: bool) {
    vhost.set_metadata(VhostMetadata {
        tracing,
        ..VhostMetadata::default()
    });
}

/// Publishes as a connection does, and says how many messages went to the shards.
fn publish(fixture: &mut Fixture, body: &[u8]) -> usize {
    let key = wire_key("", "q");
    let route = fixture.route("", &["q"]);
    let message = NewMessage {
        exchange_and_key: &key,
        properties: &[0, 0],
        persistent: false,
        priority: 0,
    };
    let body = NewBody::Copied(body);
    let publisher = &mut fixture.publisher;
    publisher.trace_published(route, &[b"q"], message, &body, &WITNESS);
    let route = fixture.route("", &["q"]);
    fixture.publisher.publish((1, route), message, &body);
    let sent = fixture.hand_over();
    let batches = sent.values().flatten();
    batches.map(|publish| publish.batch.len() as usize).sum()
}

#[test]
fn routes_are_remembered_only_where_nothing_is_traced() {
    let mut fixture = Fixture::new();
    fixture.queue("q");
    for _ in 0..2 {
        fixture.route("", &["q"]);
        fixture.hand_over();
        assert!(fixture.remembers("", "q"));
        fixture.hand_over();
        trace(&fixture.vhost, true);
        assert!(!fixture.remembers("", "q"), "from the next message on");
        fixture.route("", &["q"]);
        assert!(!fixture.remembers("", "q"));
        trace(&fixture.vhost, false);
    }
}

#[test]
fn copies_are_made_where_somebody_listens_and_there_is_allowance() {
    let mut fixture = Fixture::new();
    fixture.queue("q");
    fixture.queue("copies");
    assert_eq!(publish(&mut fixture, b"one"), 1);
    fixture.bind("amq.rabbitmq.trace", "#", "copies");
    assert_eq!(publish(&mut fixture, b"two"), 2);
    assert_eq!(
        fixture.publisher.published(),
        2,
        "copies are not the client's"
    );
    publish(&mut fixture, &vec![0; ALLOWANCE]);
    assert_eq!(
        (publish(&mut fixture, b"four"), fixture.vhost.untraced()),
        (1, 1)
    );
}
