//! Class `exchange`: declaring, equivalence, deleting, auto-delete, internal, exchange bindings.

use amq_protocol::protocol::{exchange, queue};
use amq_protocol::types::FieldTable;
use leveret_tests::client::{Channel, Connection, Method, table, text, unique};

fn channel() -> Channel {
    Connection::open().channel(1)
}

fn declare(name: &str, kind: &str) -> exchange::Declare {
    exchange::Declare {
        exchange: name.into(),
        kind: kind.into(),
        ..Default::default()
    }
}

fn passive(name: &str) -> exchange::Declare {
    exchange::Declare {
        exchange: name.into(),
        passive: true,
        ..Default::default()
    }
}

fn delete(name: &str) -> exchange::Delete {
    exchange::Delete {
        exchange: name.into(),
        ..Default::default()
    }
}

fn bind(destination: &str, source: &str, key: &str) -> exchange::Bind {
    exchange::Bind {
        destination: destination.into(),
        source: source.into(),
        routing_key: key.into(),
        ..Default::default()
    }
}

fn unbind(destination: &str, source: &str, key: &str) -> exchange::Unbind {
    exchange::Unbind {
        destination: destination.into(),
        source: source.into(),
        routing_key: key.into(),
        ..Default::default()
    }
}

fn no_exchange(name: &str) -> String {
    format!("NOT_FOUND - no exchange '{name}' in vhost '/'")
}

const DEFAULT_EXCHANGE: &str = "ACCESS_REFUSED - operation not permitted on the default exchange";

#[test]
fn each_vhost_has_the_standard_exchanges() {
    let channel = channel();
    let standard = [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ];
    for (name, kind) in standard {
        channel.call(passive(name));
        channel.call(exchange::Declare {
            durable: true,
            ..declare(name, kind)
        });
    }
}

#[test]
fn an_equal_redeclaration_is_answered() {
    let channel = channel();
    for kind in ["direct", "fanout", "topic", "headers"] {
        let name = unique(kind);
        for _ in 0..2 {
            let declare = declare(&name, kind);
            channel.call(exchange::Declare {
                durable: true,
                auto_delete: true,
                ..declare
            });
        }
        channel.call(delete(&name));
    }
}

#[test]
fn an_unequal_redeclaration_is_refused() {
    let channel = channel();
    let name = unique("x");
    let base = || declare(&name, "direct");
    channel.call(base());
    let unequal = [
        (declare(&name, "fanout"), "type", "fanout", "direct"),
        (
            exchange::Declare {
                durable: true,
                ..base()
            },
            "durable",
            "true",
            "false",
        ),
        (
            exchange::Declare {
                auto_delete: true,
                ..base()
            },
            "auto_delete",
            "true",
            "false",
        ),
        (
            exchange::Declare {
                internal: true,
                ..base()
            },
            "internal",
            "true",
            "false",
        ),
    ];
    for (declare, argument, received, current) in unequal {
        let text = format!(
            "PRECONDITION_FAILED - inequivalent arg '{argument}' for exchange '{name}' in vhost \
             '/': received '{received}' but current is '{current}'"
        );
        channel.fails(declare, 406, &text);
        channel.reopen();
    }
    channel.call(delete(&name));
}

#[test]
fn the_alternate_exchange_counts_in_a_redeclaration() {
    let channel = channel();
    let name = unique("x");
    let with = |arguments: FieldTable| exchange::Declare {
        arguments,
        ..declare(&name, "direct")
    };
    channel.call(with(table([("alternate-exchange", text("a"))])));
    let head = format!(
        "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange '{name}' in \
         vhost '/': received "
    );
    let other = with(table([("alternate-exchange", text("b"))]));
    let current = "but current is the value 'a' of type 'longstr'";
    channel.fails(other, 406, &format!("{head}'b' but current is 'a'"));
    channel.reopen();
    channel.fails(
        with(FieldTable::default()),
        406,
        &format!("{head}none {current}"),
    );
    channel.reopen();
    channel.call(delete(&name));
}

#[test]
fn unknown_arguments_never_count() {
    let channel = channel();
    let name = unique("x");
    for arguments in [
        table([("x-mine", 1.into())]),
        table([("x-other", text("2"))]),
    ] {
        channel.call(exchange::Declare {
            arguments,
            ..declare(&name, "direct")
        });
    }
    channel.call(delete(&name));
}

#[test]
fn an_unknown_type_is_refused() {
    let text = "PRECONDITION_FAILED - unknown exchange type 'x-nonsense'";
    channel().fails(declare(&unique("x"), "x-nonsense"), 406, text);
}

#[test]
fn reserved_names_cannot_be_declared() {
    let channel = channel();
    for name in ["amq.", "amq.mine", "amq.gen-x"] {
        let text =
            format!("ACCESS_REFUSED - exchange name '{name}' contains reserved prefix 'amq.*'");
        channel.fails(declare(name, "direct"), 403, &text);
        channel.reopen();
    }
}

#[test]
fn passive_declare_finds_what_exists_whatever_else_it_says() {
    let channel = channel();
    let name = channel.exchange("topic");
    channel.call(exchange::Declare {
        kind: "fanout".into(),
        durable: true,
        ..passive(&name)
    });
}

#[test]
fn passive_declare_of_a_missing_exchange_is_not_found() {
    let channel = channel();
    for name in [unique("missing"), "amq.missing".to_owned()] {
        channel.fails(passive(&name), 404, &no_exchange(&name));
        channel.reopen();
    }
}

#[test]
fn declare_without_waiting_is_not_answered() {
    let channel = channel();
    let name = unique("x");
    channel.send(exchange::Declare {
        nowait: true,
        ..declare(&name, "direct")
    });
    channel.call(passive(&name));
    channel.send(exchange::Delete {
        nowait: true,
        ..delete(&name)
    });
    channel.fails(passive(&name), 404, &no_exchange(&name));
}

#[test]
fn declare_without_waiting_still_raises_errors() {
    let channel = channel();
    let name = unique("missing");
    let declare = exchange::Declare {
        nowait: true,
        ..passive(&name)
    };
    channel.fails(declare, 404, &no_exchange(&name));
}

#[test]
fn the_default_exchange_cannot_be_touched() {
    let channel = channel();
    let queue = channel.queue();
    let refused = [
        declare("", "direct").into_class(),
        delete("").into_class(),
        bind("amq.direct", "", "k").into_class(),
        bind("", "amq.direct", "k").into_class(),
        unbind("amq.direct", "", "k").into_class(),
        queue::Bind {
            queue: queue.as_str().into(),
            routing_key: "k".into(),
            ..Default::default()
        }
        .into_class(),
        queue::Unbind {
            queue: queue.as_str().into(),
            routing_key: "k".into(),
            ..Default::default()
        }
        .into_class(),
    ];
    for method in refused {
        channel.fails_class(&method, 403, DEFAULT_EXCHANGE);
        channel.reopen();
    }
}

#[test]
fn a_system_exchange_cannot_be_deleted() {
    let channel = channel();
    for name in ["amq.direct", "amq.topic"] {
        let text = format!(
            "ACCESS_REFUSED - deletion of system exchange '{name}' in vhost '/' not allowed"
        );
        channel.fails(delete(name), 403, &text);
        channel.reopen();
    }
}

#[test]
fn delete_of_what_is_not_there_succeeds() {
    channel().call(delete(&unique("missing")));
}

#[test]
fn delete_if_unused_refuses_while_bindings_from_it_exist() {
    let channel = channel();
    let (name, queue) = (unique("x"), channel.queue());
    channel.call(declare(&name, "direct"));
    channel.bind(&queue, &name, "k");
    let if_unused = || exchange::Delete {
        if_unused: true,
        ..delete(&name)
    };
    let text = format!("PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use");
    channel.fails(if_unused(), 406, &text);
    channel.reopen();
    channel.publish(&name, "k", "still bound");
    channel.await_ready(&queue, 1);
    channel.call(queue::Unbind {
        queue: queue.as_str().into(),
        exchange: name.as_str().into(),
        routing_key: "k".into(),
        ..Default::default()
    });
    channel.call(if_unused());
    channel.fails(passive(&name), 404, &no_exchange(&name));
}

#[test]
fn delete_takes_the_bindings_along() {
    let channel = channel();
    let (name, queue) = (unique("x"), channel.queue());
    channel.call(declare(&name, "fanout"));
    channel.bind(&queue, &name, "");
    channel.call(delete(&name));
    channel.call(declare(&name, "fanout"));
    channel.publish_mandatory(&name, "", "unbound");
    channel.content::<amq_protocol::protocol::basic::Return>();
    channel.call(delete(&name));
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let channel = channel();
    let (name, queue) = (channel.exchange("direct"), channel.queue());
    let unbind = |key: &str| queue::Unbind {
        queue: queue.as_str().into(),
        exchange: name.as_str().into(),
        routing_key: key.into(),
        ..Default::default()
    };
    channel.call(passive(&name));
    channel.bind(&queue, &name, "one");
    channel.bind(&queue, &name, "two");
    channel.call(unbind("one"));
    channel.call(passive(&name));
    channel.call(unbind("two"));
    channel.fails(passive(&name), 404, &no_exchange(&name));
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_queue() {
    let channel = channel();
    let (name, queue) = (channel.exchange("fanout"), channel.queue());
    channel.bind(&queue, &name, "");
    channel.call(queue::Delete {
        queue: queue.as_str().into(),
        ..Default::default()
    });
    channel.fails(passive(&name), 404, &no_exchange(&name));
}

#[test]
fn auto_delete_goes_up_a_chain_of_exchanges() {
    let channel = channel();
    let (top, middle) = (channel.exchange("fanout"), channel.exchange("fanout"));
    let queue = channel.queue();
    channel.call(bind(&middle, &top, ""));
    channel.bind(&queue, &middle, "");
    channel.call(queue::Delete {
        queue: queue.as_str().into(),
        ..Default::default()
    });
    for name in [middle, top] {
        channel.fails(passive(&name), 404, &no_exchange(&name));
        channel.reopen();
    }
}

#[test]
fn bindings_to_an_auto_delete_exchange_do_not_keep_it() {
    let channel = channel();
    let (name, source, queue) = (
        channel.exchange("fanout"),
        channel.exchange("fanout"),
        channel.queue(),
    );
    channel.bind(&queue, &name, "");
    channel.call(bind(&name, &source, ""));
    channel.call(queue::Unbind {
        queue: queue.as_str().into(),
        exchange: name.as_str().into(),
        ..Default::default()
    });
    channel.fails(passive(&name), 404, &no_exchange(&name));
}

#[test]
fn an_internal_exchange_cannot_be_published_to() {
    let channel = channel();
    let (name, source, queue) = (
        unique("internal"),
        channel.exchange("fanout"),
        channel.queue(),
    );
    let internal = exchange::Declare {
        internal: true,
        auto_delete: true,
        ..declare(&name, "fanout")
    };
    channel.call(internal);
    channel.bind(&queue, &name, "");
    channel.call(bind(&name, &source, ""));
    channel.publish(&source, "", "through a binding");
    channel.await_ready(&queue, 1);
    channel.publish(&name, "", "refused");
    let text =
        format!("ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'");
    channel.expect_close_for(403, &text, Some((60, 40)));
}

#[test]
fn exchange_bind_needs_both_ends() {
    let channel = channel();
    let (name, missing) = (channel.exchange("fanout"), unique("missing"));
    channel.fails(bind(&missing, &name, ""), 404, &no_exchange(&missing));
    channel.reopen();
    channel.fails(bind(&name, &missing, ""), 404, &no_exchange(&missing));
}

#[test]
fn exchange_unbind_of_what_is_not_there_succeeds() {
    let channel = channel();
    let (a, b) = (channel.exchange("fanout"), channel.exchange("fanout"));
    channel.call(unbind(&a, &b, "never bound"));
}

#[test]
fn exchange_unbind_of_missing_exchanges_succeeds() {
    let channel = channel();
    let exchange = channel.exchange("fanout");
    channel.call(unbind(&exchange, &unique("missing"), ""));
    channel.call(unbind(&unique("missing"), &exchange, ""));
}

/// A direct exchange, and one to be bound to it, which leads to a queue.
fn source_and_target(channel: &Channel) -> (String, String, String) {
    let (source, target, queue) = (
        unique("source"),
        channel.exchange("fanout"),
        channel.queue(),
    );
    channel.call(declare(&source, "direct"));
    channel.bind(&queue, &target, "");
    (source, target, queue)
}

#[test]
fn exchange_bind_and_unbind_without_waiting_are_not_answered() {
    let channel = channel();
    let (source, target, queue) = source_and_target(&channel);
    channel.send(exchange::Bind {
        nowait: true,
        ..bind(&target, &source, "k")
    });
    channel.publish(&source, "k", "bound");
    channel.await_ready(&queue, 1);
    channel.send(exchange::Unbind {
        nowait: true,
        ..unbind(&target, &source, "k")
    });
    channel.publish_mandatory(&source, "k", "unbound");
    channel.content::<amq_protocol::protocol::basic::Return>();
    channel.call(delete(&source));
}

#[test]
fn a_binding_between_exchanges_is_known_by_its_key_and_arguments() {
    let channel = channel();
    let (source, target, queue) = source_and_target(&channel);
    let with = |n: i32| table([("n", n.into())]);
    for n in [1, 2, 2] {
        channel.call(exchange::Bind {
            arguments: with(n),
            ..bind(&target, &source, "k")
        });
    }
    // Each of these is another binding, or none.
    channel.call(unbind(&target, &source, "k"));
    channel.call(exchange::Unbind {
        arguments: with(1),
        ..unbind(&target, &source, "other")
    });
    channel.call(exchange::Unbind {
        arguments: with(1),
        ..unbind(&target, &source, "k")
    });
    channel.publish(&source, "k", "by the second");
    channel.await_ready(&queue, 1);
    channel.call(exchange::Unbind {
        arguments: with(2),
        ..unbind(&target, &source, "k")
    });
    channel.publish_mandatory(&source, "k", "by none");
    channel.content::<amq_protocol::protocol::basic::Return>();
    channel.call(delete(&source));
}

#[test]
fn exchange_unbind_ends_the_binding() {
    let channel = channel();
    let (source, target, queue) = source_and_target(&channel);
    channel.call(bind(&target, &source, "k"));
    channel.publish(&source, "k", "bound");
    channel.await_ready(&queue, 1);
    channel.call(unbind(&target, &source, "k"));
    channel.publish_mandatory(&source, "k", "unbound");
    channel.content::<amq_protocol::protocol::basic::Return>();
    channel.call(delete(&source));
}
