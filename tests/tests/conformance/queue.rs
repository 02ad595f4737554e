//! Class `queue`: declaring, equivalence, counts, binding, purging, deleting.

use amq_protocol::protocol::{basic, exchange, queue};
use leveret_tests::client::{Channel, Connection, table, unique};

fn channel() -> Channel {
    Connection::open().channel(1)
}

fn exclusive(name: &str) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        exclusive: true,
        ..Default::default()
    }
}

fn passive(name: &str) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        passive: true,
        ..Default::default()
    }
}

fn delete(name: &str) -> queue::Delete {
    queue::Delete {
        queue: name.into(),
        ..Default::default()
    }
}

fn no_queue(name: &str) -> String {
    format!("NOT_FOUND - no queue '{name}' in vhost '/'")
}

#[test]
fn declare_ok_tells_name_and_counts() {
    let channel = channel();
    let name = unique("q");
    let ok = channel.call(exclusive(&name));
    assert_eq!(
        (ok.queue.as_str(), ok.message_count, ok.consumer_count),
        (name.as_str(), 0, 0)
    );
    channel.fill(&name, &["one", "two", "three"]);
    channel.qos(1, false);
    let reader = channel.connection().channel(2);
    reader.qos(1, false);
    reader.consume(&name);
    reader.deliver();
    let ok = channel.call(exclusive(&name));
    assert_eq!(
        (ok.message_count, ok.consumer_count),
        (2, 1),
        "ready ones only"
    );
}

#[test]
fn every_combination_of_properties_can_be_declared() {
    let channel = channel();
    for bits in 0..8 {
        let name = unique("q");
        let declare = || queue::Declare {
            queue: name.as_str().into(),
            durable: bits & 1 != 0,
            exclusive: bits & 2 != 0,
            auto_delete: bits & 4 != 0,
            ..Default::default()
        };
        channel.call(declare());
        channel.call(declare());
        channel.call(delete(&name));
    }
}

#[test]
fn an_unequal_redeclaration_is_refused() {
    let channel = channel();
    let name = unique("q");
    let shared = || queue::Declare {
        queue: name.as_str().into(),
        ..Default::default()
    };
    channel.call(shared());
    let unequal = [
        (
            queue::Declare {
                durable: true,
                ..shared()
            },
            "durable",
        ),
        (
            queue::Declare {
                auto_delete: true,
                ..shared()
            },
            "auto_delete",
        ),
    ];
    for (declare, argument) in unequal {
        let text = format!(
            "PRECONDITION_FAILED - inequivalent arg '{argument}' for queue '{name}' in vhost '/': \
             received 'true' but current is 'false'"
        );
        channel.fails(declare, 406, &text);
        channel.reopen();
    }
    channel.call(delete(&name));
}

#[test]
fn durable_does_not_count_for_an_exclusive_queue() {
    let channel = channel();
    let name = unique("q");
    for durable in [true, false, true] {
        channel.call(queue::Declare {
            durable,
            ..exclusive(&name)
        });
    }
}

#[test]
fn the_exclusive_property_cannot_change() {
    let channel = channel();
    let (own, shared) = (unique("own"), unique("shared"));
    channel.call(exclusive(&own));
    channel.call(queue::Declare {
        exclusive: false,
        ..exclusive(&shared)
    });
    let locked = |name: &str| {
        let text = format!(
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost \
             '/'. It could be originally declared on another connection or the exclusive property \
             value does not match that of the original declaration."
        );
        text.chars().take(255).collect::<String>()
    };
    channel.fails(
        queue::Declare {
            exclusive: false,
            ..exclusive(&own)
        },
        405,
        &locked(&own),
    );
    channel.reopen();
    channel.fails(exclusive(&shared), 405, &locked(&shared));
    channel.reopen();
    channel.call(delete(&shared));
}

#[test]
fn passive_declare_of_a_missing_queue_is_not_found() {
    let channel = channel();
    for name in [unique("missing"), "amq.gen-missing".to_owned()] {
        channel.fails(passive(&name), 404, &no_queue(&name));
        channel.reopen();
    }
}

#[test]
fn passive_declare_compares_nothing() {
    let channel = channel();
    let name = channel.queue();
    let arguments = table([("x-max-length", 7.into())]);
    channel.call(queue::Declare {
        durable: true,
        auto_delete: true,
        arguments,
        ..passive(&name)
    });
}

#[test]
fn declare_without_waiting_is_not_answered() {
    let channel = channel();
    let name = unique("q");
    channel.send(queue::Declare {
        nowait: true,
        ..exclusive(&name)
    });
    channel.publish("", &name, "after it");
    channel.send(queue::Bind {
        queue: name.as_str().into(),
        exchange: "amq.direct".into(),
        routing_key: name.as_str().into(),
        nowait: true,
        ..Default::default()
    });
    channel.publish("amq.direct", &name, "bound");
    channel.await_ready(&name, 2);
    channel.send(queue::Purge {
        queue: name.as_str().into(),
        nowait: true,
    });
    assert_eq!(channel.ready(&name), 0);
    channel.send(queue::Delete {
        nowait: true,
        ..delete(&name)
    });
    channel.fails(passive(&name), 404, &no_queue(&name));
}

#[test]
fn declare_without_waiting_still_raises_errors() {
    let channel = channel();
    let name = unique("missing");
    channel.fails(
        queue::Declare {
            nowait: true,
            ..passive(&name)
        },
        404,
        &no_queue(&name),
    );
}

#[test]
fn bind_needs_both_ends() {
    let channel = channel();
    let (name, missing) = (channel.queue(), unique("missing"));
    let bind = |queue: &str, exchange: &str| queue::Bind {
        queue: queue.into(),
        exchange: exchange.into(),
        routing_key: "k".into(),
        ..Default::default()
    };
    channel.fails(bind(&missing, "amq.direct"), 404, &no_queue(&missing));
    channel.reopen();
    let no_exchange = format!("NOT_FOUND - no exchange '{missing}' in vhost '/'");
    channel.fails(bind(&name, &missing), 404, &no_exchange);
}

fn unbind(queue: &str, exchange: &str) -> queue::Unbind {
    queue::Unbind {
        queue: queue.into(),
        exchange: exchange.into(),
        routing_key: "never bound".into(),
        ..Default::default()
    }
}

#[test]
fn unbind_of_what_is_not_bound_succeeds() {
    let channel = channel();
    let name = channel.queue();
    channel.call(unbind(&name, "amq.direct"));
}

#[test]
fn unbind_from_a_missing_exchange_succeeds() {
    let channel = channel();
    let name = channel.queue();
    channel.call(unbind(&name, &unique("missing")));
}

#[test]
fn unbind_of_a_missing_queue_succeeds() {
    channel().call(unbind(&unique("missing"), "amq.direct"));
}

#[test]
fn purge_tells_how_many_ready_messages_it_removed() {
    let channel = channel();
    let name = channel.queue();
    channel.fill(&name, &["unacked", "ready", "ready"]);
    let unacked = channel.get(&name).expect("the first");
    let purge = || queue::Purge {
        queue: name.as_str().into(),
        nowait: false,
    };
    assert_eq!(channel.call(purge()).message_count, 2);
    assert_eq!(channel.call(purge()).message_count, 0);
    channel.send(basic::Reject {
        delivery_tag: unacked.method.delivery_tag,
        requeue: true,
    });
    channel.await_ready(&name, 1);
}

#[test]
fn purge_leaves_what_is_unacked_and_that_comes_back_with_the_close() {
    let channel = channel();
    let name = channel.queue();
    let reader = channel.connection().channel(2);
    channel.fill(&name, &["got", "delivered", "ready"]);
    reader.get(&name).expect("the first");
    reader.qos(1, false);
    reader.consume(&name);
    reader.deliver();
    let purge = queue::Purge {
        queue: name.as_str().into(),
        nowait: false,
    };
    assert_eq!(channel.call(purge).message_count, 1);
    assert_eq!(channel.ready(&name), 0);
    reader.close();
    channel.await_ready(&name, 2);
    assert_eq!(
        (channel.take(&name), channel.take(&name)),
        ("got".into(), "delivered".into())
    );
}

#[test]
fn purge_of_a_missing_queue_is_not_found() {
    let name = unique("missing");
    let purge = queue::Purge {
        queue: name.as_str().into(),
        nowait: false,
    };
    channel().fails(purge, 404, &no_queue(&name));
}

#[test]
fn delete_tells_how_many_ready_messages_it_removed() {
    let channel = channel();
    let name = channel.queue();
    channel.fill(&name, &["one", "two"]);
    assert_eq!(channel.call(delete(&name)).message_count, 2);
    channel.fails(passive(&name), 404, &no_queue(&name));
}

#[test]
fn delete_of_a_missing_queue_succeeds() {
    assert_eq!(channel().call(delete(&unique("missing"))).message_count, 0);
}

#[test]
fn delete_if_unused_refuses_while_there_are_consumers() {
    let channel = channel();
    let name = channel.queue();
    let tag = channel.consume(&name);
    let if_unused = || queue::Delete {
        if_unused: true,
        ..delete(&name)
    };
    let other = channel.connection().channel(2);
    let text = format!("PRECONDITION_FAILED - queue '{name}' in vhost '/' in use");
    other.fails(if_unused(), 406, &text);
    channel.publish("", &name, "still consuming");
    channel.deliver();
    channel.cancel(&tag);
    channel.call(if_unused());
}

#[test]
fn delete_if_empty_refuses_while_messages_are_ready() {
    let channel = channel();
    let name = channel.queue();
    channel.fill(&name, &["ready"]);
    let if_empty = || queue::Delete {
        if_empty: true,
        ..delete(&name)
    };
    let text = format!("PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty");
    channel.fails(if_empty(), 406, &text);
    channel.reopen();
    assert_eq!(channel.take(&name), "ready");
    channel.call(if_empty());
}

#[test]
fn delete_takes_the_bindings_along() {
    let channel = channel();
    let (name, exchange) = (unique("q"), unique("x"));
    channel.call(exchange::Declare {
        exchange: exchange.as_str().into(),
        kind: "fanout".into(),
        ..Default::default()
    });
    channel.call(exclusive(&name));
    channel.bind(&name, &exchange, "");
    channel.call(delete(&name));
    channel.call(exclusive(&name));
    channel.publish_mandatory(&exchange, "", "unbound");
    channel.content::<basic::Return>();
    let delete = exchange::Delete {
        exchange: exchange.as_str().into(),
        if_unused: true,
        nowait: false,
    };
    channel.call(delete);
}

#[test]
fn counts_are_right_after_a_publish_on_the_same_channel() {
    let channel = channel();
    let name = channel.queue();
    for count in 1..=300 {
        channel.publish("", &name, "counted");
        assert_eq!(channel.ready(&name), count);
    }
    channel.call(queue::Purge {
        queue: name.as_str().into(),
        nowait: false,
    });
    assert_eq!(channel.ready(&name), 0);
}
