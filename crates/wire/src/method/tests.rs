//! Every method there and back through amq-protocol's encoder, and what no method is.

use amq_protocol::protocol::{self as spec, AMQPClass};
use amq_protocol::types::{AMQPValue, FieldTable, LongString};
use leveret_message::{Table, TableWriter};
use proptest::prelude::*;

use super::*;
use crate::decoder::Decoder;
use crate::encode;
use crate::frame::Frame;

/// What the fields of all methods are filled from.
#[derive(Debug)]
struct Pool {
    names: [String; 3],
    long: Vec<u8>,
    bits: [bool; 5],
    short: u16,
    int: u32,
    tag: u64,
    table: Table,
    field_table: FieldTable,
}

fn any_pool() -> impl Strategy<Value = Pool> {
    let names = [".{0,60}", ".{0,60}", ".{0,60}"];
    let long = proptest::collection::vec(any::<u8>(), 0..100);
    let entries = proptest::collection::btree_map("[a-z-]{0,20}", any::<i64>(), 0..4);
    (
        names,
        long,
        any::<[bool; 5]>(),
        any::<(u16, u32, u64)>(),
        entries,
    )
        .prop_map(|(names, long, bits, (short, int, tag), entries)| {
            let mut writer = TableWriter::new();
            let mut field_table = FieldTable::default();
            for (key, number) in &entries {
                writer.put(key, *number);
                field_table.insert(key.as_str().into(), AMQPValue::LongLongInt(*number));
            }
            Pool {
                names,
                long,
                bits,
                short,
                int,
                tag,
                table: writer.finish(),
                field_table,
            }
        })
}

/// Checks that a method of amq-protocol is read as `wanted`, and that any cut or appended octet is
/// an error.
fn check(class: AMQPClass, wanted: Method<'_>) {
    let ids = (class.get_amqp_class_id(), class.get_amqp_method_id());
    let mut out = Vec::new();
    encode::method(&mut out, 7, class);
    let (consumed, frame) = Decoder::new().next(&out).unwrap().unwrap();
    assert_eq!(consumed, out.len());
    let Frame::Method {
        channel: 7,
        class_id,
        method_id,
        arguments,
    } = frame
    else {
        panic!("{frame:?}");
    };
    assert_eq!((class_id, method_id), ids);
    assert_eq!(decode(class_id, method_id, arguments), Ok(wanted));
    for len in 0..arguments.len() {
        let cut = &arguments[..len];
        assert_eq!(
            decode(class_id, method_id, cut),
            Err(MethodError::Syntax),
            "{ids:?} {len}"
        );
    }
    let longer = [arguments, &[0]].concat();
    assert_eq!(
        decode(class_id, method_id, &longer),
        Err(MethodError::Syntax),
        "{ids:?}"
    );
}

fn connection_methods(pool: &Pool) {
    use spec::connection::{AMQPMethod as Sent, *};
    let send = AMQPClass::Connection;
    let [a, b, _] = &pool.names;
    let response = LongString::from(pool.long.clone());
    check(
        send(Sent::StartOk(StartOk {
            client_properties: pool.field_table.clone(),
            mechanism: a.as_str().into(),
            response: response.clone(),
            locale: b.as_str().into(),
        })),
        Method::Connection(connection::Method::StartOk(connection::StartOk {
            client_properties: pool.table.view(),
            mechanism: a,
            response: &pool.long,
            locale: b,
        })),
    );
    check(
        send(Sent::SecureOk(SecureOk { response })),
        Method::Connection(connection::Method::SecureOk(connection::SecureOk {
            response: &pool.long,
        })),
    );
}

fn limits_and_ends_of_connections(pool: &Pool) {
    use spec::connection::{AMQPMethod as Sent, *};
    let send = AMQPClass::Connection;
    let [a, ..] = &pool.names;
    let secret = LongString::from(pool.long.clone());
    let (channel_max, frame_max, heartbeat) = (pool.short, pool.int, !pool.short);
    check(
        send(Sent::TuneOk(TuneOk {
            channel_max,
            frame_max,
            heartbeat,
        })),
        Method::Connection(connection::Method::TuneOk(connection::TuneOk {
            channel_max,
            frame_max,
            heartbeat,
        })),
    );
    check(
        send(Sent::Open(Open {
            virtual_host: a.as_str().into(),
        })),
        Method::Connection(connection::Method::Open(connection::Open {
            virtual_host: a,
        })),
    );
    let (reply_code, class_id, method_id) = (pool.short, !pool.short, 7);
    check(
        send(Sent::Close(Close {
            reply_code,
            reply_text: a.as_str().into(),
            class_id,
            method_id,
        })),
        Method::Connection(connection::Method::Close(connection::Close {
            reply_code,
            reply_text: a,
            class_id,
            method_id,
        })),
    );
    check(
        send(Sent::CloseOk(CloseOk {})),
        Method::Connection(connection::Method::CloseOk(connection::CloseOk)),
    );
    check(
        send(Sent::UpdateSecret(UpdateSecret {
            new_secret: secret,
            reason: a.as_str().into(),
        })),
        Method::Connection(connection::Method::UpdateSecret(connection::UpdateSecret {
            new_secret: &pool.long,
            reason: a,
        })),
    );
}

fn channel_and_access_methods(pool: &Pool) {
    use spec::channel::{AMQPMethod as Sent, *};
    let send = AMQPClass::Channel;
    let [a, ..] = &pool.names;
    let [active, exclusive, passive, write, read] = pool.bits;
    check(
        send(Sent::Open(Open {})),
        Method::Channel(channel::Method::Open(channel::Open)),
    );
    check(
        send(Sent::Flow(Flow { active })),
        Method::Channel(channel::Method::Flow(channel::Flow { active })),
    );
    check(
        send(Sent::FlowOk(FlowOk { active })),
        Method::Channel(channel::Method::FlowOk(channel::FlowOk { active })),
    );
    let (reply_code, class_id, method_id) = (pool.short, !pool.short, 7);
    check(
        send(Sent::Close(Close {
            reply_code,
            reply_text: a.as_str().into(),
            class_id,
            method_id,
        })),
        Method::Channel(channel::Method::Close(channel::Close {
            reply_code,
            reply_text: a,
            class_id,
            method_id,
        })),
    );
    check(
        send(Sent::CloseOk(CloseOk {})),
        Method::Channel(channel::Method::CloseOk(channel::CloseOk)),
    );
    let realm = a.as_str().into();
    check(
        AMQPClass::Access(spec::access::AMQPMethod::Request(spec::access::Request {
            realm,
            exclusive,
            passive,
            active,
            write,
            read,
        })),
        Method::Access(access::Method::Request(access::Request {
            realm: a,
            exclusive,
            passive,
            active,
            write,
            read,
        })),
    );
}

fn exchange_methods(pool: &Pool) {
    use spec::exchange::{AMQPMethod as Sent, *};
    let send = AMQPClass::Exchange;
    let [a, b, _] = &pool.names;
    let [passive, durable, auto_delete, internal, nowait] = pool.bits;
    let (arguments, table) = (pool.table.view(), || pool.field_table.clone());
    check(
        send(Sent::Declare(Declare {
            exchange: a.as_str().into(),
            kind: b.as_str().into(),
            passive,
            durable,
            auto_delete,
            internal,
            nowait,
            arguments: table(),
        })),
        Method::Exchange(exchange::Method::Declare(exchange::Declare {
            exchange: a,
            kind: b,
            passive,
            durable,
            auto_delete,
            internal,
            nowait,
            arguments,
        })),
    );
    let if_unused = passive;
    check(
        send(Sent::Delete(Delete {
            exchange: a.as_str().into(),
            if_unused,
            nowait,
        })),
        Method::Exchange(exchange::Method::Delete(exchange::Delete {
            exchange: a,
            if_unused,
            nowait,
        })),
    );
}

fn bindings_of_exchanges(pool: &Pool) {
    use spec::exchange::{AMQPMethod as Sent, *};
    let send = AMQPClass::Exchange;
    let [a, b, c] = &pool.names;
    let [nowait, ..] = pool.bits;
    let (arguments, table) = (pool.table.view(), || pool.field_table.clone());
    let (destination, source, routing_key) = (a.as_str(), b.as_str(), c.as_bytes());
    check(
        send(Sent::Bind(Bind {
            destination: a.as_str().into(),
            source: b.as_str().into(),
            routing_key: c.as_str().into(),
            nowait,
            arguments: table(),
        })),
        Method::Exchange(exchange::Method::Bind(exchange::Bind {
            destination,
            source,
            routing_key,
            nowait,
            arguments,
        })),
    );
    check(
        send(Sent::Unbind(Unbind {
            destination: a.as_str().into(),
            source: b.as_str().into(),
            routing_key: c.as_str().into(),
            nowait,
            arguments: table(),
        })),
        Method::Exchange(exchange::Method::Unbind(exchange::Unbind {
            destination,
            source,
            routing_key,
            nowait,
            arguments,
        })),
    );
}

fn queue_methods(pool: &Pool) {
    use spec::queue::{AMQPMethod as Sent, *};
    let send = AMQPClass::Queue;
    let [a, b, c] = &pool.names;
    let [passive, durable, exclusive, auto_delete, nowait] = pool.bits;
    let (queue, exchange, routing_key) = (a.as_str(), b.as_str(), c.as_bytes());
    let (arguments, table) = (pool.table.view(), || pool.field_table.clone());
    check(
        send(Sent::Declare(Declare {
            queue: queue.into(),
            passive,
            durable,
            exclusive,
            auto_delete,
            nowait,
            arguments: table(),
        })),
        Method::Queue(queue::Method::Declare(queue::Declare {
            queue,
            passive,
            durable,
            exclusive,
            auto_delete,
            nowait,
            arguments,
        })),
    );
    check(
        send(Sent::Bind(Bind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: c.as_str().into(),
            nowait,
            arguments: table(),
        })),
        Method::Queue(queue::Method::Bind(queue::Bind {
            queue,
            exchange,
            routing_key,
            nowait,
            arguments,
        })),
    );
}

fn ends_of_queues(pool: &Pool) {
    use spec::queue::{AMQPMethod as Sent, *};
    let send = AMQPClass::Queue;
    let [queue, exchange, key] = &pool.names;
    let [if_unused, if_empty, nowait, ..] = pool.bits;
    check(
        send(Sent::Purge(Purge {
            queue: queue.as_str().into(),
            nowait,
        })),
        Method::Queue(queue::Method::Purge(queue::Purge { queue, nowait })),
    );
    check(
        send(Sent::Delete(Delete {
            queue: queue.as_str().into(),
            if_unused,
            if_empty,
            nowait,
        })),
        Method::Queue(queue::Method::Delete(queue::Delete {
            queue,
            if_unused,
            if_empty,
            nowait,
        })),
    );
    check(
        send(Sent::Unbind(Unbind {
            queue: queue.as_str().into(),
            exchange: exchange.as_str().into(),
            routing_key: key.as_str().into(),
            arguments: pool.field_table.clone(),
        })),
        Method::Queue(queue::Method::Unbind(queue::Unbind {
            queue,
            exchange,
            routing_key: key.as_bytes(),
            arguments: pool.table.view(),
        })),
    );
}

fn basic_methods_of_consumers(pool: &Pool) {
    use spec::basic::{AMQPMethod as Sent, *};
    let send = AMQPClass::Basic;
    let [queue, consumer_tag, _] = &pool.names;
    let [no_local, no_ack, exclusive, nowait, global] = pool.bits;
    let prefetch_count = pool.short;
    check(
        send(Sent::Qos(Qos {
            prefetch_count,
            global,
        })),
        Method::Basic(basic::Method::Qos(basic::Qos {
            prefetch_size: 0,
            prefetch_count,
            global,
        })),
    );
    check(
        send(Sent::Consume(Consume {
            queue: queue.as_str().into(),
            consumer_tag: consumer_tag.as_str().into(),
            no_local,
            no_ack,
            exclusive,
            nowait,
            arguments: pool.field_table.clone(),
        })),
        Method::Basic(basic::Method::Consume(basic::Consume {
            queue,
            consumer_tag,
            no_local,
            no_ack,
            exclusive,
            nowait,
            arguments: pool.table.view(),
        })),
    );
    check(
        send(Sent::Cancel(Cancel {
            consumer_tag: consumer_tag.as_str().into(),
            nowait,
        })),
        Method::Basic(basic::Method::Cancel(basic::Cancel {
            consumer_tag,
            nowait,
        })),
    );
    check(
        send(Sent::CancelOk(CancelOk {
            consumer_tag: consumer_tag.as_str().into(),
        })),
        Method::Basic(basic::Method::CancelOk(basic::CancelOk { consumer_tag })),
    );
    check(
        send(Sent::Get(Get {
            queue: queue.as_str().into(),
            no_ack,
        })),
        Method::Basic(basic::Method::Get(basic::Get { queue, no_ack })),
    );
}

fn publishes(pool: &Pool) {
    use spec::basic::{AMQPMethod as Sent, *};
    let send = AMQPClass::Basic;
    let [exchange, key, _] = &pool.names;
    let [mandatory, immediate, ..] = pool.bits;
    let exchange_and_key = [
        &[exchange.len() as u8],
        exchange.as_bytes(),
        &[key.len() as u8],
        key.as_bytes(),
    ]
    .concat();
    check(
        send(Sent::Publish(Publish {
            exchange: exchange.as_str().into(),
            routing_key: key.as_str().into(),
            mandatory,
            immediate,
        })),
        Method::Basic(basic::Method::Publish(basic::Publish {
            exchange,
            routing_key: key.as_bytes(),
            mandatory,
            immediate,
            exchange_and_key: &exchange_and_key,
        })),
    );
}

fn settles_and_confirms(pool: &Pool) {
    use spec::basic::{AMQPMethod as Sent, *};
    let send = AMQPClass::Basic;
    let [multiple, requeue, nowait, ..] = pool.bits;
    let delivery_tag = pool.tag;
    check(
        send(Sent::Ack(Ack {
            delivery_tag,
            multiple,
        })),
        Method::Basic(basic::Method::Ack(basic::Ack {
            delivery_tag,
            multiple,
        })),
    );
    check(
        send(Sent::Nack(Nack {
            delivery_tag,
            multiple,
            requeue,
        })),
        Method::Basic(basic::Method::Nack(basic::Nack {
            delivery_tag,
            multiple,
            requeue,
        })),
    );
    check(
        send(Sent::Reject(Reject {
            delivery_tag,
            requeue,
        })),
        Method::Basic(basic::Method::Reject(basic::Reject {
            delivery_tag,
            requeue,
        })),
    );
    check(
        send(Sent::Recover(Recover { requeue })),
        Method::Basic(basic::Method::Recover(basic::Recover { requeue })),
    );
    check(
        send(Sent::RecoverAsync(RecoverAsync { requeue })),
        Method::Basic(basic::Method::RecoverAsync(basic::RecoverAsync { requeue })),
    );
    check(
        AMQPClass::Confirm(spec::confirm::AMQPMethod::Select(spec::confirm::Select {
            nowait,
        })),
        Method::Confirm(confirm::Method::Select(confirm::Select { nowait })),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_method_there_and_back(pool in any_pool()) {
        connection_methods(&pool);
        limits_and_ends_of_connections(&pool);
        channel_and_access_methods(&pool);
        exchange_methods(&pool);
        bindings_of_exchanges(&pool);
        queue_methods(&pool);
        ends_of_queues(&pool);
        basic_methods_of_consumers(&pool);
        publishes(&pool);
        settles_and_confirms(&pool);
    }

    #[test]
    fn random_arguments_are_a_method_or_an_error(
        class in proptest::sample::select(vec![10_u16, 20, 30, 40, 50, 60, 85, 90]),
        method_id in 0_u16..130,
        arguments in proptest::collection::vec(prop_oneof![any::<u8>(), 0_u8..4], 0..64),
    ) {
        // A method must fit its arguments exactly, so a second copy never is one, unless it has
        // none.
        if let Ok(method) = decode(class, method_id, &arguments) {
            let _ = format!("{method:?}");
            let longer = [&arguments[..], &[0]].concat();
            prop_assert_eq!(decode(class, method_id, &longer), Err(MethodError::Syntax));
        }
    }
}

#[test]
fn transactions() {
    use spec::tx::{AMQPMethod as Sent, *};
    check(
        AMQPClass::Tx(Sent::Select(Select {})),
        Method::Tx(tx::Method::Select(tx::Select)),
    );
    check(
        AMQPClass::Tx(Sent::Commit(Commit {})),
        Method::Tx(tx::Method::Commit(tx::Commit)),
    );
    let rollback = Method::Tx(tx::Method::Rollback(tx::Rollback));
    check(AMQPClass::Tx(Sent::Rollback(Rollback {})), rollback);
}

#[test]
fn what_only_a_server_sends_is_unknown() {
    let from_server = [
        (10, [10, 20, 30, 41, 60, 61, 71].as_slice()),
        (20, &[11]),
        (30, &[11]),
        (40, &[11, 21, 31, 51]),
        (50, &[11, 21, 31, 41, 51]),
        (60, &[11, 21, 50, 60, 71, 72, 111]),
        (85, &[11]),
        (90, &[11, 21, 31]),
        (70, &[10]),
        (0, &[0]),
    ];
    for (class, methods) in from_server {
        for method in methods {
            assert_eq!(
                decode(class, *method, &[]),
                Err(MethodError::Unknown),
                "{class} {method}"
            );
        }
    }
    assert_eq!(MethodError::Unknown.code(), ReplyCode::CommandInvalid);
    assert_eq!(MethodError::Unknown.to_string(), "unimplemented method");
    assert_eq!(MethodError::Syntax.code(), ReplyCode::SyntaxError);
}

#[test]
fn names_are_utf8_and_routing_keys_any_bytes() {
    let publish = basic::Publish::decode(b"\0\0\x01e\x02\xff\xfe\x03").unwrap();
    assert_eq!(publish.exchange, "e");
    assert_eq!(publish.routing_key, b"\xff\xfe");
    assert_eq!(publish.exchange_and_key, b"\x01e\x02\xff\xfe");
    assert!(publish.mandatory && publish.immediate);
    assert_eq!(
        basic::Publish::decode(b"\0\0\x01\xff\x01k\0"),
        Err(MethodError::Syntax)
    );
    assert_eq!(decode(50, 30, b"\0\0\x01\xff\0"), Err(MethodError::Syntax));
}

#[test]
fn a_malformed_table_is_a_syntax_error() {
    assert!(decode(50, 10, b"\0\0\x01q\0\0\0\0\0").is_ok());
    assert_eq!(
        decode(50, 10, b"\0\0\x01q\0\0\0\0\x03\x01kU"),
        Err(MethodError::Syntax)
    );
    assert_eq!(
        decode(50, 10, b"\0\0\x01q\0\xff\xff\xff\xff"),
        Err(MethodError::Syntax)
    );
}
