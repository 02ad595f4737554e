//! Which queues get a message: exchange types, exchange bindings, alternates, CC and BCC.

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::{exchange, queue};
use amq_protocol::types::{AMQPValue, FieldArray, FieldTable};
use leveret_tests::client::{Channel, Connection, array, table, text, unique};

fn channel() -> Channel {
    Connection::open().channel(1)
}

fn headers(headers: FieldTable) -> AMQPProperties {
    AMQPProperties::default().with_headers(headers)
}

/// Publishes, and says how many copies came to the queue, which is empty again then.
#[track_caller]
fn copies(channel: &Channel, queue: &str, exchange: &str, key: &str, headers: FieldTable) -> u32 {
    let publish = basic::Publish {
        exchange: exchange.into(),
        routing_key: key.into(),
        ..Default::default()
    };
    channel.publish_content(publish, &self::headers(headers), b"routed");
    channel.publish("", queue, "last");
    let mut copies = 0;
    loop {
        if let Some(message) = channel.get_with(queue, true) {
            if message.text() == "last" {
                return copies;
            }
            copies += 1;
        }
    }
}

#[track_caller]
fn routed(channel: &Channel, queue: &str, exchange: &str, key: &str) -> bool {
    copies(channel, queue, exchange, key, FieldTable::default()) == 1
}

#[test]
fn the_default_exchange_reaches_each_queue_by_its_name() {
    let channel = channel();
    let (queue, other) = (channel.queue(), channel.queue());
    assert!(routed(&channel, &queue, "", &queue));
    assert!(!routed(&channel, &queue, "", &other));
}

#[test]
fn direct_compares_the_whole_routing_key() {
    let channel = channel();
    let (exchange, queue) = (channel.exchange("direct"), channel.queue());
    channel.bind(&queue, &exchange, "a.b");
    for (key, matches) in [
        ("a.b", true),
        ("a", false),
        ("a.b.", false),
        ("A.B", false),
        ("", false),
    ] {
        assert_eq!(routed(&channel, &queue, &exchange, key), matches, "{key:?}");
    }
}

#[test]
fn fanout_ignores_the_routing_key() {
    let channel = channel();
    let (exchange, queue) = (channel.exchange("fanout"), channel.queue());
    channel.bind(&queue, &exchange, "ignored");
    assert!(routed(&channel, &queue, &exchange, "anything"));
    assert!(routed(&channel, &queue, &exchange, ""));
}

#[test]
fn topic_matches_word_by_word() {
    let channel = channel();
    let cases: [(&str, &[&str], &[&str]); 12] = [
        ("a.b", &["a.b"], &["a", "a.b.c", "ab", ""]),
        ("*", &["a", "b"], &["", "a.b", "."]),
        ("a.*", &["a.b", "a."], &["a", "a.b.c"]),
        ("*.b", &["a.b", ".b"], &["b", "a.b.c"]),
        ("a.*.c", &["a.b.c", "a..c"], &["a.c", "a.b.b.c"]),
        ("#", &["", "a", "a.b", "..."], &[]),
        ("a.#", &["a", "a.b", "a.b.c", "a."], &["", "ab", "b.a"]),
        ("#.z", &["z", "a.z", "a.b.z", ".z"], &["", "z.a", "az"]),
        (
            "a.#.z",
            &["a.z", "a.b.z", "a.b.c.z", "a..z"],
            &["a", "z", "a.b", "a.z.b"],
        ),
        (
            "#.a.#",
            &["a", "a.b", "b.a", "b.a.c", "a.a"],
            &["", "b", "b.c"],
        ),
        ("*.#", &["a", "a.b", "."], &[""]),
        ("", &[""], &["a", "."]),
    ];
    for (binding_key, matching, others) in cases {
        let (exchange, queue) = (channel.exchange("topic"), channel.queue());
        channel.bind(&queue, &exchange, binding_key);
        for key in matching {
            assert!(
                routed(&channel, &queue, &exchange, key),
                "{key:?} matches {binding_key:?}"
            );
        }
        for key in others {
            assert!(
                !routed(&channel, &queue, &exchange, key),
                "{key:?} not {binding_key:?}"
            );
        }
    }
}

#[test]
fn topic_delivers_one_copy_though_several_keys_match() {
    let channel = channel();
    let (exchange, queue) = (channel.exchange("topic"), channel.queue());
    for key in ["a.b", "a.*", "#", "a.#", "*.b"] {
        channel.bind(&queue, &exchange, key);
    }
    assert!(routed(&channel, &queue, &exchange, "a.b"));
}

#[test]
fn topic_stops_matching_after_unbind() {
    let channel = channel();
    let (exchange, queue) = (channel.exchange("topic"), channel.queue());
    channel.bind(&queue, &exchange, "stays");
    channel.bind(&queue, &exchange, "a.#");
    channel.bind(&queue, &exchange, "a.b");
    channel.call(queue::Unbind {
        queue: queue.as_str().into(),
        exchange: exchange.as_str().into(),
        routing_key: "a.#".into(),
        ..Default::default()
    });
    assert!(routed(&channel, &queue, &exchange, "a.b"));
    assert!(!routed(&channel, &queue, &exchange, "a.c"));
}

/// Binds a new queue to a new headers exchange, and checks which messages reach it.
fn check_headers(binding: FieldTable, matching: &[FieldTable], others: &[FieldTable]) {
    let channel = channel();
    let (exchange, queue) = (channel.exchange("headers"), channel.queue());
    channel.bind_with(&queue, &exchange, "ignored", binding.clone());
    for (tables, count) in [(matching, 1), (others, 0)] {
        for message in tables {
            let copies = copies(&channel, &queue, &exchange, "", message.clone());
            assert_eq!(copies, count, "{message:?} for {binding:?}");
        }
    }
}

#[test]
fn headers_match_all_wants_every_header() {
    for binding in [
        table([
            ("x-match", text("all")),
            ("a", 1.into()),
            ("b", text("two")),
        ]),
        table([("a", 1.into()), ("b", text("two"))]),
    ] {
        check_headers(
            binding,
            &[
                table([("a", 1.into()), ("b", text("two"))]),
                table([("a", 1.into()), ("b", text("two")), ("c", 3.into())]),
            ],
            &[
                table([("a", 1.into())]),
                table([("a", 2.into()), ("b", text("two"))]),
                table([("a", 1.into()), ("B", text("two"))]),
                table([]),
            ],
        );
    }
}

#[test]
fn headers_match_any_wants_one_header() {
    check_headers(
        table([
            ("x-match", text("any")),
            ("a", 1.into()),
            ("b", text("two")),
        ]),
        &[
            table([("a", 1.into())]),
            table([("b", text("two")), ("a", 7.into())]),
        ],
        &[
            table([("a", 2.into()), ("b", text("three"))]),
            table([("c", 1.into())]),
            table([]),
        ],
    );
}

#[test]
fn headers_that_begin_with_x_are_no_criteria() {
    check_headers(
        table([("x-match", text("all")), ("x-a", 1.into()), ("b", 2.into())]),
        &[table([("b", 2.into())])],
        &[table([("x-a", 1.into())])],
    );
    check_headers(
        table([("x-match", text("any")), ("x-a", 1.into()), ("b", 2.into())]),
        &[table([("b", 2.into())])],
        &[table([("x-a", 1.into())])],
    );
}

#[test]
fn headers_that_begin_with_x_are_criteria_with_x() {
    check_headers(
        table([
            ("x-match", text("all-with-x")),
            ("x-a", 1.into()),
            ("b", 2.into()),
        ]),
        &[table([("x-a", 1.into()), ("b", 2.into())])],
        &[table([("b", 2.into())]), table([("x-a", 1.into())])],
    );
    check_headers(
        table([
            ("x-match", text("any-with-x")),
            ("x-a", 1.into()),
            ("b", 2.into()),
        ]),
        &[table([("x-a", 1.into())]), table([("b", 2.into())])],
        &[table([("x-a", 2.into())])],
    );
}

#[test]
fn a_void_header_asks_for_presence_only() {
    check_headers(
        table([("x-match", text("all")), ("a", AMQPValue::Void)]),
        &[
            table([("a", 1.into())]),
            table([("a", text("any"))]),
            table([("a", AMQPValue::Void)]),
        ],
        &[table([("b", 1.into())])],
    );
}

#[test]
fn headers_without_criteria_match_everything_for_all_and_nothing_for_any() {
    let messages = [table([]), table([("a", 1.into())])];
    check_headers(table([("x-match", text("all"))]), &messages, &[]);
    check_headers(table([]), &messages, &[]);
    check_headers(table([("x-match", text("any"))]), &[], &messages);
}

#[test]
fn headers_compare_by_value_and_not_by_width() {
    let with = |value: AMQPValue| table([("a", value)]);
    check_headers(
        with(AMQPValue::LongInt(1)),
        &[
            with(AMQPValue::LongLongInt(1)),
            with(AMQPValue::ShortShortInt(1)),
        ],
        &[
            with(text("1")),
            with(true.into()),
            with(AMQPValue::LongInt(-1)),
        ],
    );
}

#[test]
fn a_header_that_is_a_float_equals_no_integer() {
    let with = |value: AMQPValue| table([("a", value)]);
    check_headers(
        with(AMQPValue::Double(1.0)),
        &[with(AMQPValue::Double(1.0))],
        &[with(AMQPValue::LongInt(1)), with(AMQPValue::Double(1.5))],
    );
}

#[test]
fn an_unknown_x_match_is_refused() {
    let channel = channel();
    let (exchange, queue) = (channel.exchange("headers"), channel.queue());
    let bind = queue::Bind {
        queue: queue.as_str().into(),
        exchange: exchange.as_str().into(),
        arguments: table([("x-match", text("some"))]),
        ..Default::default()
    };
    let text = "PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; expected all, any, \
                all-with-x, or any-with-x";
    channel.fails(bind, 406, text);
}

#[test]
fn a_queue_gets_one_copy_though_several_bindings_lead_to_it() {
    let channel = channel();
    let (exchange, via, queue) = (
        channel.exchange("direct"),
        channel.exchange("fanout"),
        channel.queue(),
    );
    channel.bind(&queue, &exchange, "k");
    channel.bind_with(&queue, &exchange, "k", table([("n", 2.into())]));
    channel.bind(&queue, &via, "");
    bind_exchange(&channel, &via, &exchange, "k");
    assert!(routed(&channel, &queue, &exchange, "k"));
}

fn bind_exchange(channel: &Channel, destination: &str, source: &str, key: &str) {
    channel.call(exchange::Bind {
        destination: destination.into(),
        source: source.into(),
        routing_key: key.into(),
        ..Default::default()
    });
}

#[test]
fn exchange_bindings_keep_the_routing_key() {
    let channel = channel();
    let (source, target, queue) = (
        channel.exchange("fanout"),
        channel.exchange("topic"),
        channel.queue(),
    );
    bind_exchange(&channel, &target, &source, "");
    channel.bind(&queue, &target, "a.*");
    assert!(routed(&channel, &queue, &source, "a.b"));
    assert!(!routed(&channel, &queue, &source, "b.a"));
}

#[test]
fn a_loop_of_exchanges_ends() {
    let channel = channel();
    let (a, b, queue) = (
        channel.exchange("fanout"),
        channel.exchange("fanout"),
        channel.queue(),
    );
    bind_exchange(&channel, &a, &b, "");
    bind_exchange(&channel, &b, &a, "");
    bind_exchange(&channel, &a, &a, "");
    channel.bind(&queue, &b, "");
    assert!(routed(&channel, &queue, &a, "round"));
    channel.call(exchange::Delete {
        exchange: a.as_str().into(),
        ..Default::default()
    });
}

fn declare_with_alternate(channel: &Channel, name: &str, alternate: &str) {
    channel.call(exchange::Declare {
        exchange: name.into(),
        kind: "direct".into(),
        auto_delete: true,
        arguments: table([("alternate-exchange", text(alternate))]),
        ..Default::default()
    });
}

#[test]
fn the_alternate_exchange_gets_what_no_binding_takes() {
    let channel = channel();
    let (alternate, queue, own) = (channel.exchange("fanout"), channel.queue(), channel.queue());
    let name = unique("with-alternate");
    declare_with_alternate(&channel, &name, &alternate);
    channel.bind(&own, &name, "taken");
    channel.bind(&queue, &alternate, "");
    assert!(routed(&channel, &queue, &name, "not taken"));
    assert!(!routed(&channel, &queue, &name, "taken"));
}

#[test]
fn a_loop_of_alternate_exchanges_ends() {
    let channel = channel();
    let (a, b) = (unique("a"), unique("b"));
    declare_with_alternate(&channel, &a, &b);
    declare_with_alternate(&channel, &b, &a);
    channel.publish_mandatory(&a, "nowhere", "round");
    channel.content::<basic::Return>();
    for name in [a, b] {
        channel.call(exchange::Delete {
            exchange: name.as_str().into(),
            ..Default::default()
        });
    }
}

#[test]
fn a_loop_of_bindings_and_alternate_exchanges_ends() {
    let channel = channel();
    let (a, b, queue) = (unique("a"), channel.exchange("fanout"), channel.queue());
    declare_with_alternate(&channel, &a, &b);
    bind_exchange(&channel, &a, &b, "");
    channel.bind(&queue, &b, "");
    assert!(routed(&channel, &queue, &a, "round"));
    assert!(routed(&channel, &queue, &b, "round"));
    channel.call(exchange::Delete {
        exchange: a.as_str().into(),
        ..Default::default()
    });
}

#[test]
fn a_missing_alternate_exchange_is_passed_over() {
    let channel = channel();
    let name = unique("x");
    declare_with_alternate(&channel, &name, &unique("missing"));
    channel.publish_mandatory(&name, "nowhere", "lost");
    channel.content::<basic::Return>();
    channel.call(exchange::Delete {
        exchange: name.as_str().into(),
        ..Default::default()
    });
}

#[test]
fn cc_and_bcc_are_further_routing_keys() {
    let channel = channel();
    let exchange = channel.exchange("direct");
    let queues: Vec<String> = ["to", "cc1", "cc2", "bcc"]
        .iter()
        .map(|key| {
            let queue = channel.queue();
            channel.bind(&queue, &exchange, key);
            queue
        })
        .collect();
    let table = table([
        ("CC", array(&["cc1", "cc2", "to"])),
        ("BCC", array(&["bcc"])),
    ]);
    channel.publish_with(&exchange, "to", headers(table), "copied");
    for queue in &queues {
        channel.await_ready(queue, 1);
        let message = channel.get_with(queue, true).expect("a copy");
        assert_eq!(message.method.routing_key.as_str(), "to");
        let fields = message
            .properties
            .headers()
            .clone()
            .expect("headers are there");
        assert_eq!(
            fields.inner().get("CC"),
            Some(&array(&["cc1", "cc2", "to"])),
            "CC stays"
        );
        assert!(!fields.contains_key("BCC"), "BCC is removed");
    }
}

#[test]
fn a_queue_gets_one_copy_though_several_of_its_keys_are_named() {
    let channel = channel();
    let (exchange, via, queue) = (
        channel.exchange("direct"),
        channel.exchange("fanout"),
        channel.queue(),
    );
    for key in ["to", "cc", "bcc"] {
        channel.bind(&queue, &exchange, key);
    }
    bind_exchange(&channel, &via, &exchange, "cc");
    channel.bind(&queue, &via, "");
    let further = table([("CC", array(&["cc", "to"])), ("BCC", array(&["bcc", "cc"]))]);
    assert_eq!(copies(&channel, &queue, &exchange, "to", further), 1);
    // What is no text among them is passed over.
    let mixed: Vec<AMQPValue> = vec![1.into(), text("cc"), AMQPValue::Void];
    let further = table([("CC", FieldArray::from(mixed).into())]);
    assert_eq!(copies(&channel, &queue, &exchange, "nobody's", further), 1);
    let by_name = table([("CC", array(&[&queue]))]);
    assert_eq!(copies(&channel, &queue, "", &queue, by_name), 1);
}

#[test]
fn cc_and_bcc_must_be_arrays() {
    let channel = channel();
    for name in ["CC", "BCC"] {
        channel.publish_with(
            "amq.direct",
            "k",
            headers(table([(name, text("no array"))])),
            "",
        );
        let close: amq_protocol::protocol::channel::Close = channel.expect();
        assert_eq!(
            (close.reply_code, close.class_id, close.method_id),
            (406, 60, 40)
        );
        // How the name is quoted differs from version to version.
        let text = close.reply_text.as_str();
        let head = "PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,";
        assert!(text.starts_with(head) && text.contains(name), "{text}");
        channel.send(amq_protocol::protocol::channel::CloseOk {});
        channel.reopen();
    }
}

#[test]
fn a_binding_made_twice_is_one() {
    let channel = channel();
    let (exchange, queue) = (channel.exchange("direct"), channel.queue());
    channel.bind(&queue, &exchange, "stays");
    channel.bind(&queue, &exchange, "k");
    channel.bind(&queue, &exchange, "k");
    unbind(&channel, &queue, &exchange, "k", FieldTable::default());
    assert!(!routed(&channel, &queue, &exchange, "k"));
}

#[test]
fn the_arguments_belong_to_a_bindings_identity() {
    let channel = channel();
    let (exchange, queue) = (channel.exchange("direct"), channel.queue());
    channel.bind(&queue, &exchange, "stays");
    channel.bind_with(&queue, &exchange, "k", table([("n", 1.into())]));
    channel.bind_with(&queue, &exchange, "k", table([("n", 2.into())]));
    unbind(&channel, &queue, &exchange, "k", table([("n", 1.into())]));
    assert!(routed(&channel, &queue, &exchange, "k"));
    unbind(&channel, &queue, &exchange, "k", FieldTable::default());
    assert!(routed(&channel, &queue, &exchange, "k"));
    unbind(&channel, &queue, &exchange, "k", table([("n", 2.into())]));
    assert!(!routed(&channel, &queue, &exchange, "k"));
}

fn unbind(channel: &Channel, queue: &str, exchange: &str, key: &str, arguments: FieldTable) {
    channel.call(queue::Unbind {
        queue: queue.into(),
        exchange: exchange.into(),
        routing_key: key.into(),
        arguments,
    });
}
