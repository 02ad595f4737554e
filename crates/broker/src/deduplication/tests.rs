//! Keys of values, as they stand in data folders.

use leveret_message::table::Value;

use super::*;

/// Keys are in data folders.
#[test]
fn keys_stay_what_they_are() {
    let key = Key::of_value(Value::LongStr(b"order.1"));
    assert_eq!(
        format!("{:032x}", key.0),
        "68e169938ce3636d90e27d6a1310317c"
    );
    assert_eq!(Key::read(&key.to_bytes()), Some(key));
    assert_eq!(Key::read(&[0; 15]), None);
}

#[test]
fn a_value_is_the_same_in_every_width_and_no_other() {
    let same = [
        (Value::Byte(7), Value::Long(7)),
        (Value::UnsignedInt(7), Value::Short(7)),
        (Value::Float(0.5), Value::Double(0.5)),
        (Value::LongStr(b"7"), Value::Binary(b"7")),
    ];
    for (one, other) in same {
        assert_eq!(Key::of_value(one), Key::of_value(other));
    }
    let others = [
        Value::Long(1),
        Value::LongStr(b"1"),
        Value::Double(1.0),
        Value::Bool(true),
        Value::Timestamp(1),
        Value::Decimal { scale: 0, value: 1 },
        Value::Void,
        Value::LongStr(b""),
    ];
    let keys: std::collections::BTreeSet<Key> = others.into_iter().map(Key::of_value).collect();
    assert_eq!(keys.len(), others.len());
}
