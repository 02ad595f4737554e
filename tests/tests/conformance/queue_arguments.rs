//! The `x-` arguments of a queue: which values are refused, and which count in a redeclaration.
//! What the arguments do is tested where the behaviour lives.

use amq_protocol::protocol::queue;
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{Channel, Connection, table, text, unique};

fn channel() -> Channel {
    Connection::open().channel(1)
}

fn declare(name: &str, arguments: FieldTable) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        exclusive: true,
        arguments,
        ..Default::default()
    }
}

/// Declares a queue with one argument, which must be refused for this reason.
#[track_caller]
fn refused(argument: &str, value: AMQPValue, reason: &str) {
    let name = unique("q");
    let text = format!(
        "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/': {reason}"
    );
    channel().fails(declare(&name, table([(argument, value)])), 406, &text);
}

#[test]
fn every_known_argument_is_accepted() {
    let channel = channel();
    let known: [(&str, AMQPValue); 12] = [
        ("x-expires", 60_000.into()),
        ("x-message-ttl", 0.into()),
        ("x-dead-letter-exchange", text("")),
        ("x-max-length", 0.into()),
        ("x-max-length-bytes", 1_i64.into()),
        ("x-overflow", text("drop-head")),
        ("x-overflow", text("reject-publish")),
        ("x-overflow", text("reject-publish-dlx")),
        ("x-max-priority", 255.into()),
        ("x-queue-mode", text("lazy")),
        ("x-queue-type", text("classic")),
        ("x-single-active-consumer", true.into()),
    ];
    for (argument, value) in known {
        channel.queue_with(table([(argument, value)]));
    }
}

#[test]
fn every_integer_type_is_a_number() {
    let channel = channel();
    let values: [AMQPValue; 7] = [
        100_i8.into(),
        100_u8.into(),
        100_i16.into(),
        100_u16.into(),
        100_i32.into(),
        100_u32.into(),
        100_i64.into(),
    ];
    for value in values {
        channel.queue_with(table([("x-message-ttl", value)]));
    }
}

#[test]
fn a_number_that_is_negative_is_refused() {
    for argument in [
        "x-message-ttl",
        "x-max-length",
        "x-max-length-bytes",
        "x-expires",
    ] {
        refused(argument, (-1).into(), "{value_negative,-1}");
    }
}

#[test]
fn an_expiry_of_zero_is_refused() {
    refused("x-expires", 0.into(), "{value_zero,0}");
}

#[test]
fn a_number_of_another_type_is_refused() {
    let arguments = [
        "x-message-ttl",
        "x-max-length",
        "x-max-length-bytes",
        "x-expires",
    ];
    for argument in arguments {
        refused(argument, text("100"), r#""expected integer, got longstr""#);
        refused(
            argument,
            1.5_f64.into(),
            r#""expected integer, got double""#,
        );
        refused(argument, true.into(), r#""expected integer, got bool""#);
    }
}

#[test]
fn a_ttl_that_is_too_long_is_refused() {
    refused(
        "x-message-ttl",
        315_360_000_001_i64.into(),
        "{value_too_large,315360000001}",
    );
    refused(
        "x-expires",
        315_360_000_001_i64.into(),
        "{value_too_large,315360000001}",
    );
}

#[test]
fn a_priority_outside_0_to_255_is_refused() {
    refused("x-max-priority", 256.into(), "{max_value_exceeded,256}");
    refused("x-max-priority", (-1).into(), "{value_negative,-1}");
    refused(
        "x-max-priority",
        text("high"),
        r#""expected integer, got longstr""#,
    );
}

#[test]
fn a_text_of_another_type_is_refused() {
    let name = unique("q");
    let arguments = table([("x-dead-letter-exchange", 1.into())]);
    let text = format!(
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue \
         '{name}' in vhost '/'"
    );
    channel().fails(declare(&name, arguments), 406, &text);
    refused("x-overflow", 1.into(), "{unacceptable_type,signedint}");
}

#[test]
fn an_unknown_overflow_behaviour_is_refused() {
    refused("x-overflow", text("explode"), "invalid_overflow");
}

#[test]
fn a_dead_letter_key_without_an_exchange_is_refused() {
    refused(
        "x-dead-letter-routing-key",
        text("k"),
        "routing_key_but_no_dlx_defined",
    );
}

#[test]
fn an_unknown_queue_type_is_refused() {
    let name = unique("q");
    let declare = declare(&name, table([("x-queue-type", text("nonsense"))]));
    let channel = channel();
    channel.send(declare);
    let close: amq_protocol::protocol::channel::Close = channel.expect();
    assert_eq!(
        (close.reply_code, close.class_id, close.method_id),
        (406, 50, 10)
    );
}

/// Declares a queue, then declares it again with other arguments and expects this reason.
#[track_caller]
fn inequivalent(current: FieldTable, received: FieldTable, argument: &str, reason: &str) {
    let channel = channel();
    let name = unique("q");
    channel.call(declare(&name, current));
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg '{argument}' for queue '{name}' in vhost '/': \
         received {reason}"
    );
    channel.fails(declare(&name, received), 406, &text);
}

#[test]
fn a_known_argument_counts_in_a_redeclaration() {
    let ttl = |value: i32| table([("x-message-ttl", value.into())]);
    inequivalent(
        ttl(1000),
        ttl(2000),
        "x-message-ttl",
        "'2000' but current is '1000'",
    );
    inequivalent(
        ttl(1000),
        table([]),
        "x-message-ttl",
        "none but current is the value '1000' of type 'signedint'",
    );
    inequivalent(
        table([]),
        table([("x-dead-letter-exchange", text("dlx"))]),
        "x-dead-letter-exchange",
        "the value 'dlx' of type 'longstr' but current is none",
    );
    inequivalent(
        table([("x-max-length", 5_i64.into())]),
        table([("x-max-length", 6_i16.into())]),
        "x-max-length",
        "'6' but current is '5'",
    );
}

#[test]
fn integers_of_other_widths_are_equal() {
    let channel = channel();
    let name = unique("q");
    let values: [AMQPValue; 5] = [
        100_i32.into(),
        100_i8.into(),
        100_u16.into(),
        100_u32.into(),
        100_i64.into(),
    ];
    for value in values {
        channel.call(declare(&name, table([("x-max-length", value)])));
    }
}

#[test]
fn unknown_arguments_never_count() {
    let channel = channel();
    let name = unique("q");
    for arguments in [
        table([("x-mine", 1.into())]),
        table([]),
        table([("mine", text("2"))]),
    ] {
        channel.call(declare(&name, arguments));
    }
}

#[test]
fn the_queue_type_classic_equals_none() {
    let channel = channel();
    let name = unique("q");
    channel.call(declare(&name, table([("x-queue-type", text("classic"))])));
    channel.call(declare(&name, table([])));
}

#[test]
fn a_float_equals_no_integer() {
    let channel = channel();
    let name = unique("q");
    channel.call(declare(&name, table([("x-max-length", 100.into())])));
    let received = declare(&name, table([("x-max-length", 100.0_f64.into())]));
    channel.send(received);
    let close: amq_protocol::protocol::channel::Close = channel.expect();
    assert_eq!(
        (close.reply_code, close.class_id, close.method_id),
        (406, 50, 10)
    );
    let told = close.reply_text.as_str();
    assert!(
        told.contains("'x-max-length'") && told.contains(&name),
        "{told}"
    );
}

#[test]
fn every_argument_of_another_type_is_refused_by_its_name() {
    let wrong: [(&str, AMQPValue); 8] = [
        ("x-dead-letter-exchange", true.into()),
        ("x-dead-letter-routing-key", 1.into()),
        ("x-overflow", true.into()),
        ("x-queue-mode", 1.into()),
        ("x-queue-type", 1.into()),
        ("x-single-active-consumer", text("true")),
        ("x-max-priority", 1.5_f64.into()),
        ("x-max-length", AMQPValue::Void),
    ];
    for (argument, value) in wrong {
        let channel = channel();
        let name = unique("q");
        channel.send(declare(&name, table([(argument, value.clone())])));
        let close: amq_protocol::protocol::channel::Close = channel.expect();
        let told = close.reply_text.as_str();
        assert_eq!(
            (close.reply_code, close.class_id, close.method_id),
            (406, 50, 10),
            "{argument} {value:?}"
        );
        assert!(told.contains(argument), "{argument} {value:?}: {told}");
    }
}

#[test]
fn an_unknown_queue_mode_is_refused() {
    refused(
        "x-queue-mode",
        text("sleepy"),
        r#""unsupported queue mode 'sleepy'""#,
    );
}
