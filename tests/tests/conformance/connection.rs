//! Class `connection`: protocol header, start, tune, open, close.

use std::thread;
use std::time::{Duration, Instant};

use amq_protocol::protocol::{basic, channel, connection, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use leveret_tests::client::{
    Channel, Connection, Frame, Kind, Login, Method, PROTOCOL_HEADER, table, text, unique,
};

#[test]
fn any_other_protocol_header_is_answered_with_ours_and_a_closed_socket() {
    let headers: [&[u8]; 5] = [
        b"AMQP\x00\x00\x0a\x00",
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x00\x00\x09\x02",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ];
    for header in headers {
        let connection = Connection::raw();
        connection.send_bytes(header);
        assert_eq!(connection.read_to_end(), PROTOCOL_HEADER, "{header:?}");
    }
}

#[test]
fn a_client_that_says_nothing_is_dropped_after_ten_seconds() {
    let since = Instant::now();
    let silent_at_once = thread::spawn(|| Connection::raw().read_to_end());
    let silent_after_start = Connection::raw();
    silent_after_start.send_bytes(&PROTOCOL_HEADER);
    silent_after_start.expect::<connection::Start>(0);
    silent_after_start.expect_socket_closed();
    silent_at_once
        .join()
        .expect("the other client is dropped too");
    let waited = since.elapsed();
    assert!(waited > Duration::from_secs(9), "dropped after {waited:?}");
    assert!(waited < Duration::from_secs(15), "dropped after {waited:?}");
}

fn start() -> connection::Start {
    let connection = Connection::raw();
    connection.send_bytes(&PROTOCOL_HEADER);
    connection.expect(0)
}

#[test]
fn start_names_version_mechanisms_and_locale() {
    let start = start();
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    let mechanisms = start.mechanisms.to_string();
    for wanted in ["PLAIN", "AMQPLAIN"] {
        assert!(
            mechanisms.split(' ').any(|m| m == wanted),
            "{wanted} in {mechanisms:?}"
        );
    }
    assert_eq!(start.locales.as_bytes(), b"en_US");
}

#[test]
fn mechanisms_stand_between_single_spaces_and_external_needs_a_certificate() {
    let mechanisms = start().mechanisms.to_string();
    let names: Vec<&str> = mechanisms.split(' ').collect();
    for name in &names {
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "-_".contains(c);
        assert!(
            !name.is_empty() && name.chars().all(is_name),
            "{mechanisms:?}"
        );
        let times = names.iter().filter(|other| *other == name).count();
        assert_eq!(times, 1, "{mechanisms:?}");
    }
    assert!(!names.contains(&"EXTERNAL"), "{mechanisms:?}");
}

#[test]
fn start_carries_product_platform_and_a_version_of_three_numbers() {
    let properties = start().server_properties;
    let field = |name: &str| match properties.inner().get(name) {
        Some(AMQPValue::LongString(value)) => value.to_string(),
        other => panic!("{name} is {other:?}"),
    };
    assert!(!field("product").is_empty());
    assert!(!field("platform").is_empty());
    let version = field("version");
    let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
    assert_eq!(numbers.len(), 3, "{version}");
    assert!(numbers.iter().all(Result::is_ok), "{version}");
}

#[test]
fn start_announces_all_nine_capabilities() {
    let properties = start().server_properties;
    let Some(AMQPValue::FieldTable(capabilities)) = properties.inner().get("capabilities") else {
        panic!("no capabilities in {properties:?}");
    };
    let wanted = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ];
    for name in wanted {
        assert_eq!(
            capabilities.inner().get(name),
            Some(&AMQPValue::Boolean(true)),
            "{name}"
        );
    }
}

#[test]
fn tune_offers_2047_channels_frames_of_131072_and_a_heartbeat_of_60() {
    let connection = Connection::started(&Login::default());
    let tune: connection::Tune = connection.expect(0);
    assert_eq!(
        (tune.channel_max, tune.frame_max, tune.heartbeat),
        (2047, 131_072, 60)
    );
}

#[test]
fn tune_ok_outside_the_offer_is_refused() {
    let refused = [
        (
            2047,
            131_073,
            "frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (
            2047,
            4095,
            "frame_max = 4095 is lower than the minimum allowed value (4096)",
        ),
        (
            2048,
            131_072,
            "channel_max = 2048 is higher than the maximum allowed value (2047)",
        ),
    ];
    for (channel_max, frame_max, reason) in refused {
        let login = Login {
            channel_max,
            frame_max,
            ..Login::default()
        };
        let connection = Connection::tuned(&login);
        connection.expect_close(530, &format!("NOT_ALLOWED - negotiated {reason}"));
    }
}

#[test]
fn tune_ok_without_a_limit_is_refused_where_the_broker_has_one() {
    let refused = [
        (
            2047,
            0,
            "frame_max = 0 (no limit) is higher than the maximum allowed value (131072)",
        ),
        (
            0,
            131_072,
            "channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
        ),
    ];
    for (channel_max, frame_max, reason) in refused {
        let login = Login {
            channel_max,
            frame_max,
            ..Login::default()
        };
        let connection = Connection::tuned(&login);
        connection.expect_close(530, &format!("NOT_ALLOWED - negotiated {reason}"));
    }
}

#[test]
fn tune_ok_may_lower_every_limit() {
    let login = Login {
        channel_max: 1,
        frame_max: 4096,
        heartbeat_secs: 7,
        ..Login::default()
    };
    let connection = Connection::open_as(&login);
    connection.channel(1).queue();
    connection.close();
}

#[test]
fn the_heartbeat_of_the_client_may_be_longer_than_the_offer() {
    let login = Login {
        heartbeat_secs: 600,
        ..Login::default()
    };
    Connection::open_as(&login).channel(1).sync();
}

#[test]
fn the_whole_handshake_may_be_sent_at_once() {
    let connection = Connection::raw();
    let login = Login::default();
    let start_ok = connection::StartOk {
        client_properties: login.client_properties,
        mechanism: "PLAIN".into(),
        response: login.response.into(),
        locale: "en_US".into(),
    };
    let tune_ok = connection::TuneOk {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 0,
    };
    let open = connection::Open {
        virtual_host: "/".into(),
    };
    let mut bytes = PROTOCOL_HEADER.to_vec();
    bytes.extend(Frame::method(0, &start_ok.into_class()).encode());
    bytes.extend(Frame::method(0, &tune_ok.into_class()).encode());
    bytes.extend(Frame::method(0, &open.into_class()).encode());
    bytes.extend(Frame::method(1, &channel::Open {}.into_class()).encode());
    connection.send_bytes(&bytes);
    connection.expect::<connection::Start>(0);
    connection.expect::<connection::Tune>(0);
    connection.expect::<connection::OpenOk>(0);
    connection.expect::<channel::OpenOk>(1);
}

#[test]
fn client_properties_may_hold_every_field_type() {
    let mut login = Login::default();
    let nested = table([("deep", text("value")), ("none", AMQPValue::Void)]);
    let properties = [
        ("bool", AMQPValue::Boolean(true)),
        ("byte", AMQPValue::ShortShortInt(-1)),
        ("long", AMQPValue::LongLongInt(i64::MIN)),
        ("double", AMQPValue::Double(0.5)),
        ("time", AMQPValue::Timestamp(1)),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
        ("nested", nested.into()),
        ("connection_name", text("a name")),
    ];
    for (name, value) in properties {
        login.client_properties.insert(name.into(), value);
    }
    Connection::open_as(&login).channel(1).sync();
}

#[test]
fn client_properties_may_be_empty() {
    let login = Login {
        client_properties: FieldTable::default(),
        ..Login::default()
    };
    Connection::open_as(&login).channel(1).sync();
}

#[test]
fn an_unknown_vhost_is_not_allowed() {
    for vhost in ["nowhere", ""] {
        let connection = Connection::tuned(&Login::default());
        connection.send(
            0,
            connection::Open {
                virtual_host: vhost.into(),
            },
        );
        let text = format!("NOT_ALLOWED - vhost {vhost} not found");
        connection.expect_close_for(530, &text, Some((10, 40)));
    }
}

#[test]
fn close_is_answered() {
    Connection::open().close();
}

#[test]
fn close_is_answered_each_time_until_the_client_closes_the_socket() {
    let connection = Connection::open();
    let close = connection::Close {
        reply_code: 200,
        ..Default::default()
    };
    let close = Frame::method(0, &close.into_class()).encode();
    let open = Frame::method(1, &channel::Open {}.into_class()).encode();
    connection.send_bytes(&[&close[..], &close, &open, &close].concat());
    for _ in 0..3 {
        connection.expect::<connection::CloseOk>(0);
    }
    connection.finish_sending();
    connection.expect_socket_closed();
    assert_eq!(connection.waiting_on(1), 0);
}

#[test]
fn close_is_answered_while_publishes_are_in_flight_and_loses_none() {
    let watcher = Connection::open().channel(1);
    let queue = unique("inflight");
    let declare = queue::Declare {
        queue: queue.as_str().into(),
        durable: true,
        ..Default::default()
    };
    watcher.call(declare);
    let connection = Connection::open();
    let channel = connection.channel(1);
    for _ in 0..500 {
        channel.publish("", &queue, "in flight");
    }
    connection.close();
    watcher.await_ready(&queue, 500);
    watcher.call(queue::Delete {
        queue: queue.as_str().into(),
        ..Default::default()
    });
}

#[test]
fn close_is_answered_while_consumers_are_busy() {
    let connection = Connection::open();
    let channel = connection.channel(1);
    let queue = channel.queue();
    channel.fill(&queue, &["waiting"; 200]);
    channel.consume(&queue);
    connection.close();
}

#[test]
fn exclusive_queues_are_gone_before_close_is_answered() {
    let other = Connection::open().channel(1);
    for _ in 0..10 {
        let connection = Connection::open();
        let queue = unique("exclusive");
        let declare = || queue::Declare {
            queue: queue.as_str().into(),
            exclusive: true,
            ..Default::default()
        };
        connection.channel(1).call(declare());
        connection.close();
        other.call(declare());
    }
}

/// A frame that ends its connection, and that needs no channel.
fn unexpected_frame() -> Frame {
    Frame::new(Kind::Heartbeat, 1, [])
}

#[test]
fn a_close_that_crosses_the_brokers_close_is_answered() {
    let connection = Connection::open();
    connection.send_frame(&unexpected_frame());
    connection.send(
        0,
        connection::Close {
            reply_code: 200,
            ..Default::default()
        },
    );
    let close: connection::Close = connection.expect(0);
    assert_eq!(close.reply_code, 505);
    connection.expect::<connection::CloseOk>(0);
    connection.send(0, connection::CloseOk {});
    connection.expect_socket_closed();
}

#[test]
fn after_the_brokers_close_everything_but_close_ok_is_dropped() {
    let connection = Connection::open();
    connection.channel(1);
    let exchange = unique("dropped");
    connection.send_frame(&unexpected_frame());
    connection.send(
        1,
        exchange::Declare {
            exchange: exchange.as_str().into(),
            kind: "direct".into(),
            ..Default::default()
        },
    );
    let close: connection::Close = connection.expect(0);
    assert_eq!(close.reply_code, 505);
    connection.send(0, connection::CloseOk {});
    connection.expect_socket_closed();
    let declare = exchange::Declare {
        exchange: exchange.as_str().into(),
        passive: true,
        ..Default::default()
    };
    let text = format!("NOT_FOUND - no exchange '{exchange}' in vhost '/'");
    Connection::open().channel(1).fails(declare, 404, &text);
}

#[test]
fn a_channel_beyond_channel_max_is_not_allowed() {
    let login = Login {
        channel_max: 2,
        ..Login::default()
    };
    let connection = Connection::open_as(&login);
    connection.channel(1);
    connection.channel(2);
    let text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated \
                channel_max (2)";
    connection.send(3, channel::Open {});
    connection.expect_close(530, text);
}

#[test]
fn a_channel_number_above_channel_max_is_not_allowed_though_few_are_open() {
    let login = Login {
        channel_max: 2,
        ..Login::default()
    };
    let connection = Connection::open_as(&login);
    connection.channel(1);
    connection.send(3, channel::Open {});
    let close: connection::Close = connection.expect_first();
    assert_eq!(close.reply_code, 530);
}

#[test]
fn every_channel_up_to_channel_max_can_be_used() {
    let connection = Connection::open();
    for number in 1..=2047 {
        connection.send(number, channel::Open {});
    }
    for number in 1..=2047 {
        connection.expect::<channel::OpenOk>(number);
    }
    Channel::unopened(connection.clone(), 2047).sync();
    connection.close();
}

#[test]
fn a_method_of_another_class_on_channel_0_is_refused() {
    let connection = Connection::open();
    connection.send(0, basic::Qos::default());
    let text = "CHANNEL_ERROR - unexpected method in connection state running";
    connection.expect_close(504, text);
}

#[test]
fn open_is_refused_once_the_connection_is_open() {
    let connection = Connection::open();
    connection.send(
        0,
        connection::Open {
            virtual_host: "/".into(),
        },
    );
    let text = "CHANNEL_ERROR - unexpected method in connection state running";
    connection.expect_close(504, text);
}

#[test]
fn a_new_secret_is_taken() {
    let connection = Connection::open();
    connection.call(connection::UpdateSecret {
        new_secret: "guest".into(),
        reason: "the old one has expired".into(),
    });
    connection.channel(1).sync();
}
