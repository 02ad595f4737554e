//! When events are told, and what bounds them; what they say is tested over a socket.

use super::*;
use crate::command::Shards;
use crate::doubles;
use crate::ids::ConnectionId;
use crate::queue_handle::QueueDeclaration;
use crate::vhost::Vhost;
use crate::vhost::door::Binding;

/// Events that are switched on in a vhost of their own, and a queue there.
fn on() -> (Arc<Vhost>, Events) {
    let vhost = doubles::vhost("/", &Shards::new(1));
    let events = Events::default();
    events.switch_on(On {
        events: vhost.provide_exchange(EVENT_EXCHANGE),
        log: vhost.provide_exchange(LOG_EXCHANGE),
        node: "leveret@test".into(),
        clock: || Duration::from_millis(1_700_000_000_123),
    });
    let queue = QueueDeclaration {
        name: Name::new("q").unwrap(),
        durable: false,
        owner: None,
        auto_delete: false,
        arguments: Table::default(),
    };
    vhost.declare_queue(ConnectionId(1), queue, false).unwrap();
    (vhost, events)
}

fn listen(vhost: &Vhost, source: &str) {
    let binding = Binding {
        source,
        binding_key: b"#",
        arguments: TableRef::default(),
    };
    vhost.bind_queue(ConnectionId(1), "q", binding).unwrap();
}

fn told(events: &Events) -> Vec<Told> {
    let mut told = Vec::new();
    events.told.take(&mut told);
    told.iter().for_each(|told| events.let_go(told));
    told
}

#[test]
fn nothing_is_told_where_nobody_listens() {
    let nobody = |_: &mut TableWriter, _: &On| panic!("nobody listens");
    Events::default().tell("queue.created", nobody);
    let (vhost, events) = on();
    events.tell("queue.created", nobody);
    events.tell_log("info", "text/plain", b"line".to_vec());
    assert!(!events.takes_log());
    listen(&vhost, LOG_EXCHANGE);
    events.tell("queue.created", nobody);
    assert!(told(&events).is_empty());
}

#[test]
fn an_event_is_a_message_with_headers() {
    let (vhost, events) = on();
    listen(&vhost, EVENT_EXCHANGE);
    let user = Name::new("anna").unwrap();
    acting_as(&user, || events.queue_deleted(&vhost.queue("q").unwrap()));
    events.queue_deleted(&vhost.queue("q").unwrap());
    let told = told(&events);
    for (event, actor) in told.iter().zip([Some(Value::LongStr(b"anna")), None]) {
        assert_eq!(event.routing_key, "queue.deleted");
        let properties = leveret_message::properties::Properties::parse(&event.properties);
        let properties = properties.unwrap();
        assert_eq!(properties.timestamp(), Some(1_700_000_000));
        let headers = properties.headers().unwrap();
        assert_eq!(headers.find("name"), Some(Value::LongStr(b"q")));
        let millis = Value::Long(1_700_000_000_123);
        assert_eq!(headers.find("timestamp_in_ms"), Some(millis));
        assert_eq!(headers.find("user_who_performed_action"), actor);
    }
    assert_eq!(told.len(), 2);
}

#[test]
fn what_waits_is_bounded_and_what_is_dropped_is_counted() {
    let (vhost, events) = on();
    listen(&vhost, LOG_EXCHANGE);
    let line = || vec![b'x'; WAITING_BYTES_MAX / 8];
    for _ in 0..20 {
        events.tell_log("info", "text/plain", line());
    }
    assert_eq!(
        events.dropped(),
        13,
        "seven found room, with what they take beside"
    );
    assert_eq!(told(&events).len(), 7);
    events.tell_log("info", "text/plain", line());
    assert_eq!((told(&events).len(), events.dropped()), (1, 13));
    assert_eq!(events.waiting_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn exchanges_of_the_broker_come_and_go_with_the_configuration() {
    let (vhost, _) = on();
    listen(&vhost, EVENT_EXCHANGE);
    let there = vhost.exchange(EVENT_EXCHANGE).unwrap();
    assert!(there.internal && there.durable);
    let again = vhost.provide_exchange(EVENT_EXCHANGE).unwrap();
    assert!(Arc::ptr_eq(&there, &again));
    vhost.withdraw_exchange(EVENT_EXCHANGE);
    assert!(vhost.find_exchange(EVENT_EXCHANGE).is_none());
    vhost.withdraw_exchange(EVENT_EXCHANGE);
}
