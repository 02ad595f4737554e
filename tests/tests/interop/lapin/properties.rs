//! Properties and header tables come out as they went in, every type of field included.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable};

use super::{
    NO_ACK, close, confirming, connect, consume, exclusive_queue, publish_with, scenario, take,
};

/// A header of every type that a field may have, at the ends of its range.
fn headers() -> FieldTable {
    let mut nested = FieldTable::default();
    nested.insert(
        "deeper".into(),
        AMQPValue::FieldTable(FieldTable::default()),
    );
    nested.insert(
        "bytes".into(),
        AMQPValue::ByteArray(ByteArray::from(&[1][..])),
    );
    let array = vec![
        AMQPValue::LongString("one".into()),
        AMQPValue::Void,
        AMQPValue::FieldArray(FieldArray::default()),
        AMQPValue::FieldTable(nested.clone()),
    ];
    let values = [
        AMQPValue::Boolean(true),
        AMQPValue::Boolean(false),
        AMQPValue::ShortShortInt(i8::MIN),
        AMQPValue::ShortShortUInt(u8::MAX),
        AMQPValue::ShortInt(i16::MIN),
        AMQPValue::ShortUInt(u16::MAX),
        AMQPValue::LongInt(i32::MIN),
        AMQPValue::LongUInt(u32::MAX),
        AMQPValue::LongLongInt(i64::MIN),
        AMQPValue::Float(-1.5),
        AMQPValue::Double(0.1),
        AMQPValue::DecimalValue(DecimalValue {
            scale: 3,
            value: 12_345,
        }),
        AMQPValue::LongString("h\u{e9}llo \u{732b}".into()),
        AMQPValue::LongString("".into()),
        AMQPValue::LongString(vec![0, 255, 128].into()),
        AMQPValue::Timestamp(1_614_834_367),
        AMQPValue::ByteArray(ByteArray::from(&[0, 255, 128][..])),
        AMQPValue::Void,
        AMQPValue::FieldArray(array.into()),
        AMQPValue::FieldTable(nested),
    ];
    let mut table = FieldTable::default();
    for (place, value) in values.into_iter().enumerate() {
        table.insert(format!("{place} {:?}", value.get_type()).into(), value);
    }
    table
}

#[test]
fn all_of_them() {
    let all = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers())
        .with_delivery_mode(2)
        .with_priority(7)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_expiration("60000".into())
        .with_message_id("message".into())
        .with_timestamp(1_614_834_367)
        .with_type("type".into())
        .with_user_id("guest".into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into());
    let none = BasicProperties::default();
    let empty_table = BasicProperties::default().with_headers(FieldTable::default());
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        let mut consumer = consume(&channel, &queue, NO_ACK).await?;
        for properties in [&all, &none, &empty_table] {
            let sent = publish_with(&channel, &queue, b"x", properties.clone()).await?;
            assert!(sent.is_ack());
            assert_eq!(&take(&mut consumer, 1).await?[0].properties, properties);
        }
        close(connection).await
    });
}
