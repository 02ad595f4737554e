//! Tables of arguments and the texts they give. The texts were given by RabbitMQ 3.10.8; where a later one or none at all is meant, it says so.

use leveret_message::table::{Table, TableWriter};

use super::*;
use crate::arguments::{Filter, Offset};
use crate::bindings::ExchangeKind;

const QUEUE: &str = "queue 'q' in vhost '/'";

/// Builds a table of one entry, or of several.
macro_rules! table {
    ($($name:expr => $value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "an empty table is not written to")]
        let mut writer = TableWriter::new();
        $(writer.put($name, $value);)*
        writer.finish()
    }};
}

fn int(value: i64) -> Value<'static> {
    Value::Long(value)
}

fn text(value: &str) -> Value<'_> {
    Value::LongStr(value.as_bytes())
}

fn array_of(fill: impl FnOnce(&mut leveret_message::table::ArrayWriter)) -> Table {
    let mut writer = TableWriter::new();
    writer.put_array("array", fill);
    writer.finish()
}

fn queue(arguments: &Table) -> std::result::Result<QueueSettings, String> {
    QueueSettings::parse(arguments.view()).map_err(|error| error.explanation(QUEUE))
}

/// What stands behind `invalid arg 'NAME' for queue 'q' in vhost '/': `, or the whole text if it is another one.
fn refusal(name: &str, value: Value<'_>) -> Option<String> {
    let explanation = queue(&table! { name => value }).err()?;
    let before = format!("invalid arg '{name}' for {QUEUE}: ");
    Some(
        explanation
            .strip_prefix(&before)
            .unwrap_or(&explanation)
            .to_owned(),
    )
}

fn check_refusals(table: &[(&str, Value<'_>, Option<&str>)]) {
    for (name, value, expected) in table {
        assert_eq!(
            refusal(name, *value).as_deref(),
            *expected,
            "{name}: {value:?}"
        );
    }
}

#[test]
fn numbers_of_queues() {
    #[rustfmt::skip]
    check_refusals(&[
        ("x-expires",          int(-1),                  Some("{value_negative,-1}")),
        ("x-expires",          int(0),                   Some("{value_zero,0}")),
        ("x-expires",          int(1),                   None),
        ("x-expires",          int(315_360_000_000),     None),
        ("x-expires",          int(315_360_000_001),     Some("{value_too_large,315360000001}")),
        ("x-message-ttl",      int(-1),                  Some("{value_negative,-1}")),
        ("x-message-ttl",      int(0),                   None),
        ("x-message-ttl",      int(315_360_000_000),     None),
        ("x-message-ttl",      int(315_360_000_001),     Some("{value_too_large,315360000001}")),
        ("x-message-ttl",      int(i64::MAX),            Some("{value_too_large,9223372036854775807}")),
        ("x-max-length",       int(0),                   None),
        ("x-max-length",       int(i64::MAX),            None),
        ("x-max-length",       int(i64::MIN),            Some("{value_negative,-9223372036854775808}")),
        ("x-max-length-bytes", int(-1),                  Some("{value_negative,-1}")),
        ("x-max-length-bytes", int(1 << 40),             None),
        ("x-max-priority",     int(-1),                  Some("{value_negative,-1}")),
        ("x-max-priority",     int(0),                   None),
        ("x-max-priority",     int(255),                 None),
        ("x-max-priority",     int(256),                 Some("{max_value_exceeded,256}")),
        ("x-max-priority",     int(i64::MAX),            Some("{max_value_exceeded,9223372036854775807}")),
        ("x-queue-version",    int(2),                   None),
        ("x-queue-version",    int(3),                   Some("\"unsupported queue version '3'\"")),
        ("x-queue-version",    int(0),                   Some("\"unsupported queue version '0'\"")),
        ("x-queue-version",    text("2"),                Some("\"expected integer, got longstr\"")),
        // Refused from 4.3 on.
        ("x-queue-version",    int(1),                   Some("\"unsupported queue version '1'\"")),
        ("x-quorum-initial-group-size", int(0),          Some("{value_zero,0}")),
        ("x-quorum-initial-group-size", int(3),          None),
        ("x-initial-cluster-size",      int(0),          Some("{value_zero,0}")),
        ("x-initial-cluster-size",      int(-1),         Some("{value_negative,-1}")),
        ("x-max-in-memory-length",      int(-1),         Some("{value_negative,-1}")),
        ("x-max-in-memory-bytes",       int(-1),         Some("{value_negative,-1}")),
        ("x-delivery-limit",            int(-1),         None),
        ("x-delivery-limit",            int(0),          None),
        ("x-stream-max-segment-size-bytes", int(-1),     Some("{value_negative,-1}")),
        ("x-stream-max-segment-size-bytes", int(0),      None),
        ("x-stream-max-segment-size-bytes", int(3_000_000_000), None),
        ("x-stream-max-segment-size-bytes", int(3_000_000_001), Some("Exceeded max value for x-stream-max-segment-size-bytes")),
        // From the source of 3.13; 3.10 has no such argument.
        ("x-stream-filter-size-bytes",  int(15),         Some("Invalid value for  x-stream-filter-size-bytes")),
        ("x-stream-filter-size-bytes",  int(16),         None),
        ("x-stream-filter-size-bytes",  int(255),        None),
        ("x-stream-filter-size-bytes",  int(256),        Some("Invalid value for  x-stream-filter-size-bytes")),
        // 3.10 takes anything here; later ones look at the type.
        ("x-consumer-timeout",          int(-1),         Some("{value_negative,-1}")),
        ("x-consumer-timeout",          int(i64::MAX),   None),
    ]);
}

#[test]
fn types_where_an_integer_belongs() {
    let nested = table! { "a" => 1 };
    let array = array_of(|array| {
        array.push(1);
    });
    let array = array.view().find("array").unwrap();
    #[rustfmt::skip]
    let types = [
        (Value::Byte(5), None),
        (Value::UnsignedByte(5), None),
        (Value::Short(5), None),
        (Value::UnsignedShort(5), None),
        (Value::SignedInt(5), None),
        (Value::UnsignedInt(5), None),
        (Value::Long(5), None),
        (Value::Float(5.0), Some("float")),
        (Value::Double(5.0), Some("double")),
        (Value::Timestamp(5), Some("timestamp")),
        (Value::Decimal { scale: 0, value: 5 }, Some("decimal")),
        (text("5"), Some("longstr")),
        (Value::Bool(true), Some("bool")),
        (Value::Void, Some("void")),
        (Value::Table(nested.view()), Some("table")),
        (array, Some("array")),
        (Value::Binary(b"x"), Some("binary")),
    ];
    let names = [
        "x-expires",
        "x-message-ttl",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-delivery-limit",
        "x-initial-cluster-size",
        "x-consumer-timeout",
        "x-delayed-retry-min",
    ];
    for name in names {
        for (value, actual) in types {
            let expected = actual.map(|actual| format!("\"expected integer, got {actual}\""));
            assert_eq!(refusal(name, value), expected, "{name}: {value:?}");
        }
    }
}

#[test]
fn words_and_names_of_queues() {
    let long = "x".repeat(256);
    #[rustfmt::skip]
    check_refusals(&[
        ("x-dead-letter-exchange", text(""), None),
        ("x-dead-letter-exchange", text("a\n"), None),
        ("x-dead-letter-exchange", int(1),
            Some("invalid type 'long' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'")),
        ("x-dead-letter-exchange", Value::Void,
            Some("invalid type 'void' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'")),
        ("x-dead-letter-routing-key", text(""), Some("routing_key_but_no_dlx_defined")),
        ("x-dead-letter-routing-key", Value::SignedInt(1), Some("{unacceptable_type,signedint}")),
        ("x-dead-letter-strategy", text("at-least-once"), None),
        ("x-dead-letter-strategy", text("foo"), Some("invalid_dlx_strategy")),
        ("x-dead-letter-strategy", Value::SignedInt(1), Some("{unacceptable_type,signedint}")),
        ("x-overflow", text("drop-head"), None),
        ("x-overflow", text("reject-publish-dlx"), None),
        ("x-overflow", text("foo"), Some("invalid_overflow")),
        ("x-overflow", Value::SignedInt(1), Some("{unacceptable_type,signedint}")),
        ("x-queue-mode", text("lazy"), None),
        ("x-queue-mode", text("default"), None),
        ("x-queue-mode", text("foo"), Some("\"unsupported queue mode 'foo'\"")),
        ("x-queue-mode", text("a\n"), Some("\"unsupported queue mode 'a\\n'\"")),
        ("x-queue-mode", text("\"q\""), Some("\"unsupported queue mode '\\\"q\\\"'\"")),
        ("x-queue-mode", text("\\"), Some("\"unsupported queue mode '\\\\'\"")),
        ("x-queue-mode", text("é"), Some("\"unsupported queue mode 'é'\"")),
        ("x-queue-mode", text("a\tb"), Some("\"unsupported queue mode 'a\\tb'\"")),
        ("x-queue-mode", Value::SignedInt(1), Some("{unacceptable_type,signedint}")),
        ("x-queue-type", text("classic"), None),
        ("x-queue-type", text("quorum"), None),
        ("x-queue-type", text("stream"), None),
        ("x-queue-type", text(""), Some("\"unsupported queue type ''\"")),
        ("x-queue-type", text("foo"), Some("\"unsupported queue type 'foo'\"")),
        ("x-queue-type", Value::Bool(true), Some("{unacceptable_type,bool}")),
        ("x-single-active-consumer", Value::Bool(false), None),
        ("x-single-active-consumer", text("true"), Some("{unacceptable_type,longstr}")),
        ("x-queue-leader-locator", text("balanced"), None),
        ("x-queue-leader-locator", text("least-leaders"), None),
        ("x-queue-leader-locator", text("foo"), Some("invalid_queue_locator_arg")),
        ("x-queue-leader-locator", Value::SignedInt(1), Some("{unacceptable_type,signedint}")),
        ("x-max-age", text("1h"), None),
        ("x-max-age", text("01s"), None),
        ("x-max-age", text("99999999999999999999Y"), None),
        ("x-max-age", text("0s"), Some("invalid_max_age")),
        ("x-max-age", text("1x"), Some("invalid_max_age")),
        ("x-max-age", text("1hh"), Some("invalid_max_age")),
        ("x-max-age", text("1 s"), Some("invalid_max_age")),
        ("x-max-age", Value::SignedInt(1), Some("{unacceptable_type,signedint}")),
        // RabbitMQ falls over these: 541.
        ("x-max-age", text("h"), Some("invalid_max_age")),
        ("x-max-age", text(""), Some("invalid_max_age")),
        ("x-max-age", text("5"), Some("invalid_max_age")),
        ("x-max-age", text("-1s"), Some("invalid_max_age")),
        ("x-queue-master-locator", text("foo"), None),
        // Newer than 3.10.
        ("x-name-prefix", text("tmp-"), None),
        ("x-name-prefix", text(&long[..64]), None),
        ("x-name-prefix", text(&long[..65]),
            Some("Queue name prefix 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' exceeds the 64-byte limit")),
        ("x-leveret-durability", text("sync"), None),
        ("x-leveret-durability", text("none"), Some("\"unsupported durability 'none'\"")),
        ("x-delayed-retry-type", text("failed"), None),
        ("x-delayed-retry-type", text("foo"), Some("invalid_delayed_retry_type")),
        ("x-member-placement-tag", int(1), Some("{unacceptable_type,long}")),
        // RabbitMQ takes these, and never finds such an exchange.
        ("x-dead-letter-exchange", text(&long), Some("{name_too_long,256}")),
        ("x-dead-letter-exchange", Value::LongStr(b"\xff"), Some("invalid_utf8")),
        // Nobody knows these.
        ("x-foo", Value::Void, None),
        ("alternate-exchange", Value::Void, None),
    ]);
}

#[test]
fn every_type_takes_every_argument() {
    for kind in ["classic", "quorum", "stream"] {
        let settings = queue(&table! {
            "x-queue-type" => kind,
            "x-expires" => 1000,
            "x-message-ttl" => 0,
            "x-dead-letter-exchange" => "dlx",
            "x-dead-letter-routing-key" => "key",
            "x-dead-letter-strategy" => "at-least-once",
            "x-max-length" => 5,
            "x-max-length-bytes" => 50,
            "x-overflow" => "reject-publish",
            "x-max-priority" => 10,
            "x-single-active-consumer" => true,
            "x-delivery-limit" => 7,
            "x-consumer-timeout" => 60_000,
            "x-consumer-disconnected-timeout" => 2000,
            "x-delayed-retry-type" => "all",
            "x-delayed-retry-min" => 10,
            "x-delayed-retry-max" => i64::MAX,
            "x-max-age" => "2h",
            "x-stream-max-segment-size-bytes" => 1000,
            "x-stream-filter-size-bytes" => 32,
            "x-initial-cluster-size" => 3,
            "x-queue-leader-locator" => "client-local",
            "x-member-placement-tag" => "ssd",
            "x-name-prefix" => "tmp-",
            "x-leveret-durability" => "os",
        });
        let ms = |ms| Some(Duration::from_millis(ms));
        let expected = QueueArguments {
            queue_type: QueueType::from_name(kind).unwrap(),
            name_prefix: Some("tmp-".into()),
            expires: ms(1000),
            message_ttl: ms(0),
            dead_letter: DeadLetterSettings {
                exchange: Some(Name::new("dlx").unwrap()),
                routing_key: Some(Name::new("key").unwrap()),
                strategy: Some(DeadLetterStrategy::AtLeastOnce),
            },
            length: LengthLimit {
                messages: Some(5),
                bytes: Some(50),
                overflow: Some(Overflow::RejectPublish),
            },
            max_priority: Some(10),
            single_active_consumer: true,
            delivery_limit: Some(DeliveryLimit::Times(7)),
            consumer_timeout: ms(60_000),
            consumer_disconnected_timeout: ms(2000),
            delayed_retry: DelayedRetrySettings {
                retry: Some(DelayedRetryType::All),
                min: ms(10),
                max: Some(DURATION_MAX),
            },
            stream: StreamSettings {
                max_age: ms(7_200_000),
                max_segment_size_bytes: Some(1000),
                filter_size_bytes: Some(32),
            },
            placement: PlacementSettings {
                initial_group_size: Some(3),
                leader_locator: Some(LeaderLocator::ClientLocal),
                member_tag: Some("ssd".into()),
            },
            durability: Some(Durability::Os),
            ..QueueArguments::default()
        };
        assert_eq!(**settings.as_ref().unwrap(), expected);
        assert_eq!(settings.unwrap().queue_type.as_str(), kind);
    }
}

#[test]
fn no_arguments_cost_one_pointer() {
    assert_eq!(size_of::<QueueSettings>(), size_of::<usize>());
    for arguments in [
        table! {},
        table! { "x-foo" => 1 },
        table! { "x-queue-mode" => "lazy" },
    ] {
        let settings = queue(&arguments).unwrap();
        assert_eq!(settings, QueueSettings::default());
        assert_eq!(*settings, QueueArguments::default());
    }
}

#[test]
fn the_first_refusal_counts() {
    let first = |arguments: Table| {
        QueueSettings::parse(arguments.view())
            .unwrap_err()
            .argument()
    };
    let both = table! { "x-max-length" => -1, "x-expires" => "x", "x-overflow" => 3 };
    assert_eq!(first(both), "x-expires");
    let both = table! { "x-expires" => "x", "x-queue-type" => 1 };
    assert_eq!(first(both), "x-queue-type");
    let both = table! { "x-queue-type" => 1, "x-dead-letter-exchange" => 1 };
    assert_eq!(first(both), "x-dead-letter-exchange");
    // Of a repeated name, the first.
    assert!(queue(&table! { "x-max-length" => 5, "x-max-length" => -5 }).is_ok());
    assert!(queue(&table! { "x-max-length" => -5, "x-max-length" => 5 }).is_err());
}

#[test]
fn ages() {
    #[rustfmt::skip]
    let table = [
        ("1s", 1), ("10m", 600), ("01h", 3600), ("2D", 172_800), ("1M", 2_592_000), ("1Y", 31_536_000),
        ("11Y", DURATION_MAX.as_secs()),
        ("99999999999999999999Y", DURATION_MAX.as_secs()),
    ];
    for (text, seconds) in table {
        let settings = queue(&table! { "x-max-age" => text }).unwrap();
        assert_eq!(
            settings.stream.max_age,
            Some(Duration::from_secs(seconds)),
            "{text}"
        );
    }
}

#[test]
fn delivery_limits() {
    let table = [
        (-1, DeliveryLimit::Unlimited),
        (-20, DeliveryLimit::Unlimited),
        (0, DeliveryLimit::Times(0)),
        (20, DeliveryLimit::Times(20)),
    ];
    for (number, limit) in table {
        let settings = queue(&table! { "x-delivery-limit" => number }).unwrap();
        assert_eq!(settings.delivery_limit, Some(limit));
    }
}

#[test]
fn exchanges() {
    let parse = |arguments: Table| {
        ExchangeSettings::parse(ExchangeKind::Direct, arguments.view())
            .map(|settings| settings.alternate_exchange.map(|name| name.to_string()))
            .map_err(|error| error.explanation("exchange 'x' in vhost '/'"))
    };
    let wrong = |actual: &str, argument: &str| {
        Err(format!(
            "invalid type '{actual}' for arg '{argument}' in exchange 'x' in vhost '/'"
        ))
    };
    let some = |name: &str| Ok(Some(name.to_owned()));
    #[rustfmt::skip]
    let table = [
        (table! {}, Ok(None)),
        (table! { "x-foo" => 1 }, Ok(None)),
        (table! { "alternate-exchange" => "a" }, some("a")),
        (table! { "alternate-exchange" => "" }, some("")),
        (table! { "x-alternate-exchange" => "b" }, some("b")),
        (table! { "x-alternate-exchange" => "b", "alternate-exchange" => "a" }, some("a")),
        (table! { "alternate-exchange" => 1 }, wrong("signedint", "alternate-exchange")),
        (table! { "alternate-exchange" => true }, wrong("bool", "alternate-exchange")),
        (table! { "x-alternate-exchange" => Value::Void }, wrong("void", "x-alternate-exchange")),
    ];
    for (arguments, expected) in table {
        assert_eq!(parse(arguments.clone()), expected, "{arguments:?}");
    }
}

#[test]
fn arguments_of_one_exchange_type_are_read_for_it_alone() {
    let parse = |kind, fields: &[(&str, Value<'_>)]| {
        let mut arguments = TableWriter::new();
        for (name, value) in fields {
            arguments.put(name, *value);
        }
        let settings = ExchangeSettings::parse(kind, arguments.view());
        settings.map_err(|error| error.explanation("exchange 'x' in vhost '/'"))
    };
    let text = |text: &'static str| Value::LongStr(text.as_bytes());
    let hash = |fields: &[(&str, Value<'_>)]| parse(ExchangeKind::ConsistentHash, fields);
    assert_eq!(hash(&[]).unwrap().hash_on, HashOn::RoutingKey);
    let by_header = hash(&[("hash-header", text("user"))]).unwrap();
    assert_eq!(by_header.hash_on, HashOn::Header("user".into()));
    let by_property = hash(&[("hash-property", text("message_id"))]).unwrap();
    assert_eq!(
        by_property.hash_on,
        HashOn::Property(HashProperty::MessageId)
    );
    for (fields, explanation) in [
        (
            vec![("hash-property", text("user_id"))],
            "Unsupported property: user_id",
        ),
        (
            vec![
                ("hash-property", text("user_id")),
                ("hash-header", text("")),
            ],
            "hash-header and hash-property are mutually exclusive",
        ),
    ] {
        assert_eq!(hash(&fields).unwrap_err(), explanation);
        assert!(parse(ExchangeKind::Fanout, &fields).is_ok());
    }
    let history = |value| {
        parse(
            ExchangeKind::RecentHistory,
            &[("x-recent-history-length", value)],
        )
    };
    assert_eq!(
        parse(ExchangeKind::RecentHistory, &[])
            .unwrap()
            .history_length,
        20
    );
    assert_eq!(history(Value::Byte(7)).unwrap().history_length, 7);
    for (value, term) in [
        (Value::Long(0), "0"),
        (Value::Long(-3), "-3"),
        (text("7"), "<<\"7\">>"),
    ] {
        let explanation = format!(
            "Invalid argument {term}, 'x-recent-history-length' must be a positive integer"
        );
        assert_eq!(history(value).unwrap_err(), explanation);
    }
}

#[test]
fn consumers() {
    #[rustfmt::skip]
    let table = [
        (table! {}, Ok(0)),
        (table! { "x-priority" => -3 }, Ok(-3)),
        (table! { "x-priority" => Value::UnsignedInt(u32::MAX) }, Ok(u32::MAX.into())),
        (table! { "x-priority" => "5" },
            Err("invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got longstr\"")),
        (table! { "x-priority" => Value::Void },
            Err("invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got void\"")),
        (table! { "x-cancel-on-ha-failover" => true, "x-priority" => 7 }, Ok(7)),
        (table! { "x-cancel-on-ha-failover" => 5 },
            Err("invalid arg 'x-cancel-on-ha-failover' for queue 'q' in vhost '/': {unacceptable_type,signedint}")),
        (table! { "x-foo" => 5 }, Ok(0)),
        // 3.10 takes anything here.
        (table! { "x-consumer-timeout" => "1h" },
            Err("invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/': \"expected integer, got longstr\"")),
    ];
    for (arguments, expected) in table {
        let settings = ConsumerSettings::parse(arguments.view());
        let answer = settings
            .map(|s| s.priority)
            .map_err(|error| error.explanation(QUEUE));
        assert_eq!(answer, expected.map_err(str::to_owned), "{arguments:?}");
    }
}

#[test]
fn consumers_of_streams() {
    let arguments = table! {
        "x-stream-offset" => "first",
        "x-consumer-timeout" => 5,
        "x-stream-filter" => "eu",
        "x-leveret-stream-offset-name" => "me",
        "x-streams" => 1,
    };
    let settings = ConsumerSettings::parse(arguments.view()).unwrap();
    let timeout = Some(Duration::from_millis(5));
    let filter = Some(Filter {
        values: vec!["eu".into()],
        unfiltered_too: false,
    });
    assert_eq!(
        settings,
        ConsumerSettings {
            priority: 0,
            timeout,
            offset: Offset::First,
            filter,
            offset_name: Some(Name::new("me").unwrap()),
        }
    );
    for name in ["", &"n".repeat(256)] {
        let arguments = table! { "x-leveret-stream-offset-name" => name };
        assert!(ConsumerSettings::parse(arguments.view()).is_err());
    }
    for (value, offset) in [
        (Value::Long(7), Some(Offset::At(7))),
        (Value::Timestamp(9), Some(Offset::Since(9_000))),
        (
            Value::LongStr(b"5m"),
            Some(Offset::Within(Duration::from_secs(300))),
        ),
        (Value::LongStr(b"last"), Some(Offset::Last)),
        (Value::LongStr(b"soon"), None),
        (Value::Bool(true), None),
    ] {
        let arguments = table! { "x-stream-offset" => value };
        let settings = ConsumerSettings::parse(arguments.view()).ok();
        assert_eq!(settings.map(|settings| settings.offset), offset);
    }
}

/// Declares `x-max-length` again, or whatever the tables hold, and tells what follows the name of the queue.
fn difference(declared: &Table, current: &Table) -> Option<String> {
    let found = inequivalent_queue_argument(declared.view(), current.view())?;
    Some(format!("{}: {found}", found.argument))
}

#[test]
fn equivalence_of_numbers() {
    let nested = table! { "b" => "x", "a" => Value::Decimal { scale: 1, value: 15 } };
    let escaped = table! { "a\n" => "é" };
    let arrays = array_of(|array| {
        array
            .push(1)
            .push(true)
            .push(Value::Void)
            .push("z")
            .push("")
            .push(Value::Binary(b"x"));
        array.push_array(|_| {}).push_table(|table| {
            table.put("t", Value::Timestamp(1_577_836_800));
        });
    });
    let array = arrays.view().find("array").unwrap();
    #[rustfmt::skip]
    let table = [
        (Value::Byte(5), None),
        (Value::UnsignedByte(5), None),
        (Value::Short(5), None),
        (Value::UnsignedShort(5), None),
        (Value::SignedInt(5), None),
        (Value::UnsignedInt(5), None),
        (Value::Long(5), None),
        (Value::Long(6), Some("'6'")),
        (Value::Float(5.0), Some("'5.0'")),
        (Value::Float(0.1), Some("'0.10000000149011612'")),
        (Value::Double(1.25), Some("'1.25'")),
        (Value::Double(0.1), Some("'0.1'")),
        (Value::Double(0.001), Some("'0.001'")),
        (Value::Double(1e-7), Some("'1.0e-7'")),
        (Value::Double(1e5), Some("'1.0e5'")),
        (Value::Double(1e16), Some("'1.0e16'")),
        (Value::Double(1.2e21), Some("'1.2e21'")),
        (Value::Double(123_456_789.0), Some("'123456789.0'")),
        (Value::Double(-0.0), Some("'-0.0'")),
        (text("5"), Some("'5'")),
        (text(""), Some("''")),
        (text("a\n'b"), Some("'a\n'b'")),
        (Value::Bool(true), Some("'true'")),
        (Value::Binary(b"x"), Some("'x'")),
        (Value::Void, Some("none")),
        (Value::Table(escaped.view()), Some("'[{<<\"a\\n\">>,longstr,<<\"é\">>}]'")),
        (Value::Table(nested.view()), Some("'[{<<\"b\">>,longstr,<<\"x\">>},{<<\"a\">>,decimal,{1,15}}]'")),
        (Value::Table(Default::default()), Some("'[]'")),
        (array, Some("'[{signedint,1},{bool,true},{void,undefined},{longstr,<<\"z\">>},{longstr,<<>>},\
            {binary,<<\"x\">>},{array,[]},{table,[{<<\"t\">>,timestamp,1577836800}]}]'")),
    ];
    let current = table! { "x-max-length" => int(5) };
    for (value, expected) in table {
        let declared = table! { "x-max-length" => value };
        let expected = expected.map(|it| format!("x-max-length: received {it} but current is '5'"));
        assert_eq!(difference(&declared, &current), expected, "{value:?}");
    }
}

#[test]
fn equivalence_of_queues() {
    #[rustfmt::skip]
    let table = [
        (table! {}, table! {}, None),
        (table! { "x-max-length" => int(1000) }, table! {},
            Some("x-max-length: received the value '1000' of type 'long' but current is none")),
        (table! {}, table! { "x-max-length" => 5 },
            Some("x-max-length: received none but current is the value '5' of type 'signedint'")),
        (table! {}, table! { "x-single-active-consumer" => false },
            Some("x-single-active-consumer: received none but current is the value 'false' of type 'bool'")),
        (table! { "x-overflow" => "reject-publish" }, table! { "x-overflow" => "drop-head" },
            Some("x-overflow: received 'reject-publish' but current is 'drop-head'")),
        (table! { "x-overflow" => "drop-head" }, table! {},
            Some("x-overflow: received the value 'drop-head' of type 'longstr' but current is none")),
        (table! { "x-queue-type" => "classic" }, table! {}, None),
        (table! {}, table! { "x-queue-type" => "classic" }, None),
        (table! {}, table! { "x-queue-type" => "quorum" },
            Some("x-queue-type: received none but current is the value 'quorum' of type 'longstr'")),
        (table! { "x-queue-type" => "quorum" }, table! {},
            Some("x-queue-type: received the value 'quorum' of type 'longstr' but current is none")),
        (table! { "x-queue-type" => "quorum" }, table! { "x-queue-type" => "classic" },
            Some("x-queue-type: received 'quorum' but current is 'classic'")),
        // A word that means something for the type only.
        (table! { "x-overflow" => "classic" }, table! {},
            Some("x-overflow: received the value 'classic' of type 'longstr' but current is none")),
        (table! { "x-max-age" => "1h" }, table! {},
            Some("x-max-age: received the value '1h' of type 'longstr' but current is none")),
        (table! { "x-delivery-limit" => 3 }, table! { "x-delivery-limit" => Value::Byte(3) }, None),
        // Arguments that nobody knows do not count, nor does the order.
        (table! { "x-foo" => 1 }, table! { "x-foo" => 2, "x-bar" => true }, None),
        (table! { "x-name-prefix" => "a" }, table! {}, None),
        (table! { "x-expires" => 1, "x-max-length" => 2 }, table! { "x-max-length" => 2, "x-expires" => 1 }, None),
        // The order of the differences is RabbitMQ's, not that of the table.
        (table! { "x-queue-type" => "stream", "x-max-length" => 2, "x-message-ttl" => 3 }, table! {},
            Some("x-message-ttl: received the value '3' of type 'signedint' but current is none")),
    ];
    for (declared, current, expected) in table {
        let answer = difference(&declared, &current);
        assert_eq!(answer.as_deref(), expected, "{declared:?} on {current:?}");
    }
}

#[test]
fn equivalence_of_exchanges() {
    let difference = |declared: &Table, current: &Table| {
        let found = inequivalent_exchange_argument(declared.view(), current.view())?;
        Some(format!("{}: {found}", found.argument))
    };
    let (a, b) = (
        table! { "alternate-exchange" => "a" },
        table! { "alternate-exchange" => "b" },
    );
    let (none, other) = (table! {}, table! { "x-foo" => 1, "x-max-length" => 3 });
    #[rustfmt::skip]
    let table = [
        (&a, &a, None),
        (&a, &none, Some("alternate-exchange: received the value 'a' of type 'longstr' but current is none")),
        (&none, &a, Some("alternate-exchange: received none but current is the value 'a' of type 'longstr'")),
        (&b, &a, Some("alternate-exchange: received 'b' but current is 'a'")),
        (&other, &none, None),
        (&none, &other, None),
    ];
    for (declared, current, expected) in table {
        assert_eq!(difference(declared, current).as_deref(), expected);
    }
}
