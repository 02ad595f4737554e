//! Field tables and properties as JSON, and back: RabbitMQ's management API knows no field types, so that some are lost on the way.

use leveret_message::properties::{Properties, PropertiesWriter};
use leveret_message::table::{ArrayWriter, Table, TableRef, TableWriter, Value as Field};
use serde_json::{Map, Number, Value};

use crate::refusal::Refusal;

/// How deep JSON may be nested to become a field table.
const DEPTH_MAX: usize = 16;

pub(crate) fn of_table(table: TableRef<'_>) -> Value {
    let entries = table.iter();
    Value::Object(
        entries
            .map(|(key, value)| (key.to_owned(), of_field(value)))
            .collect(),
    )
}

fn of_field(field: Field<'_>) -> Value {
    match field {
        Field::LongStr(bytes) | Field::Binary(bytes) => text(bytes),
        Field::Timestamp(seconds) => seconds.into(),
        Field::Bool(value) => value.into(),
        Field::Float(value) => float(value.into()),
        Field::Double(value) => float(value),
        Field::Decimal { scale, value } => float(f64::from(value) / 10f64.powi(i32::from(scale))),
        Field::Table(table) => of_table(table),
        Field::Array(array) => array.iter().map(of_field).collect(),
        Field::Void => Value::Null,
        Field::Byte(_)
        | Field::UnsignedByte(_)
        | Field::Short(_)
        | Field::UnsignedShort(_)
        | Field::SignedInt(_)
        | Field::UnsignedInt(_)
        | Field::Long(_) => field.as_integer().into(),
    }
}

fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

pub(crate) fn text(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into()
}

/// A field table; whole numbers are signed 64-bit integers, as RabbitMQ makes them.
///
/// **Errors**: 400 for what is no object, and for what is nested too deep.
pub(crate) fn to_table(value: Option<&Value>) -> Result<Table, Refusal> {
    let mut writer = TableWriter::new();
    match value {
        None | Some(Value::Null) => {}
        // PHP writes an empty map so.
        Some(Value::Array(items)) if items.is_empty() => {}
        Some(Value::Object(map)) => put_entries(&mut writer, map, DEPTH_MAX)?,
        Some(_) => return Err(Refusal::bad_request("arguments have to be an object")),
    }
    Ok(writer.finish())
}

fn put_entries(
    to: &mut TableWriter,
    map: &Map<String, Value>,
    depth: usize,
) -> Result<(), Refusal> {
    let depth = deeper(depth)?;
    for (key, value) in map {
        if key.len() > 255 {
            return Err(Refusal::bad_request("a key is longer than 255 bytes"));
        }
        let mut put = Ok(());
        match value {
            Value::Object(map) => {
                to.put_table(key, |to| put = put_entries(to, map, depth));
            }
            Value::Array(items) => {
                to.put_array(key, |to| put = push_items(to, items, depth));
            }
            scalar => {
                to.put(key, to_field(scalar));
            }
        }
        put?;
    }
    Ok(())
}

fn push_items(to: &mut ArrayWriter, items: &[Value], depth: usize) -> Result<(), Refusal> {
    let depth = deeper(depth)?;
    for item in items {
        let mut put = Ok(());
        match item {
            Value::Object(map) => {
                to.push_table(|to| put = put_entries(to, map, depth));
            }
            Value::Array(items) => {
                to.push_array(|to| put = push_items(to, items, depth));
            }
            scalar => {
                to.push(to_field(scalar));
            }
        }
        put?;
    }
    Ok(())
}

fn deeper(depth: usize) -> Result<usize, Refusal> {
    depth
        .checked_sub(1)
        .ok_or_else(|| Refusal::bad_request("nested too deep"))
}

fn to_field(scalar: &Value) -> Field<'_> {
    match scalar {
        Value::Bool(value) => Field::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Field::Long(number),
            None => Field::Double(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Field::LongStr(text.as_bytes()),
        Value::Null | Value::Array(_) | Value::Object(_) => Field::Void,
    }
}

/// The properties that are set.
pub(crate) fn of_properties(properties: &Properties<'_>) -> Value {
    let mut map = Map::new();
    let texts = [
        ("content_type", properties.content_type()),
        ("content_encoding", properties.content_encoding()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("message_id", properties.message_id()),
        ("type", properties.message_type()),
        ("user_id", properties.user_id()),
        ("app_id", properties.app_id()),
        ("cluster_id", properties.cluster_id()),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            map.insert(key.to_owned(), text(value));
        }
    }
    let numbers = [
        ("delivery_mode", properties.delivery_mode().map(u64::from)),
        ("priority", properties.priority().map(u64::from)),
        ("timestamp", properties.timestamp()),
    ];
    for (key, value) in numbers {
        if let Some(value) = value {
            map.insert(key.to_owned(), value.into());
        }
    }
    if let Some(headers) = properties.headers() {
        map.insert("headers".to_owned(), of_table(headers));
    }
    Value::Object(map)
}

/// Properties as a content header has them.
///
/// **Errors**: 400 for a value of another type, and for texts above 255 bytes.
pub(crate) fn to_properties(value: Option<&Value>) -> Result<Vec<u8>, Refusal> {
    let of = |key: &str| {
        value
            .and_then(|value| value.get(key))
            .filter(|v| !v.is_null())
    };
    let texts = |key: &str| {
        of(key)
            .map(|value| match value {
                Value::String(text) => Ok(text.clone().into_bytes()),
                Value::Number(number) => Ok(number.to_string().into_bytes()),
                _ => Err(Refusal::bad_request(format!("{key} should be a string"))),
            })
            .transpose()
    };
    let octet = |key: &str| {
        let wrong = || Refusal::bad_request(format!("{key} should be a number from 0 to 255"));
        let number = of(key).map(|v| v.as_u64().and_then(|n| u8::try_from(n).ok()));
        number.map(|number| number.ok_or_else(wrong)).transpose()
    };
    let timestamp = of("timestamp").map(|value| {
        let wrong = || Refusal::bad_request("timestamp should be a number");
        value.as_u64().ok_or_else(wrong)
    });
    let headers = to_table(of("headers"))?;
    let [
        content_type,
        content_encoding,
        correlation_id,
        reply_to,
        expiration,
    ] = [
        "content_type",
        "content_encoding",
        "correlation_id",
        "reply_to",
        "expiration",
    ]
    .map(texts);
    let [message_id, message_type, user_id, app_id, cluster_id] =
        ["message_id", "type", "user_id", "app_id", "cluster_id"].map(texts);
    let (content_type, content_encoding) = (content_type?, content_encoding?);
    let (correlation_id, reply_to, expiration) = (correlation_id?, reply_to?, expiration?);
    let (message_id, message_type, user_id) = (message_id?, message_type?, user_id?);
    let (app_id, cluster_id) = (app_id?, cluster_id?);
    let writer = PropertiesWriter {
        content_type: content_type.as_deref(),
        content_encoding: content_encoding.as_deref(),
        headers: of("headers").is_some().then(|| headers.view()),
        delivery_mode: octet("delivery_mode")?,
        priority: octet("priority")?,
        correlation_id: correlation_id.as_deref(),
        reply_to: reply_to.as_deref(),
        expiration: expiration.as_deref(),
        message_id: message_id.as_deref(),
        timestamp: timestamp.transpose()?,
        message_type: message_type.as_deref(),
        user_id: user_id.as_deref(),
        app_id: app_id.as_deref(),
        cluster_id: cluster_id.as_deref(),
    };
    let bytes = writer.to_bytes();
    bytes.map_err(|error| Refusal::bad_request(error.to_string()))
}
