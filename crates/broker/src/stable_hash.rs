//! Hashes that are the same on every machine, in every version and after every restart: what an exchange makes of a message's key decides which
//! queue gets it, and clients rely on that it stays the same one.
//!
//! Not keyed, so that whoever knows this file can choose keys that collide: they would all go to one queue, which a client can have simply by using
//! one key.

use leveret_message::table::Value;

/// The golden ratio's binary digits: no number comes from here by chance.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads every bit of a number over all bits of another one, and no two numbers to the same: the last steps of splitmix64.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The hash of some bytes, beginning from that of what came before them.
///
/// **Cost**: two multiplications for each eight bytes.
pub(crate) fn bytes(before: u64, bytes: &[u8]) -> u64 {
    let start = mix(before.wrapping_add(STEP) ^ bytes.len() as u64);
    bytes.chunks(8).fold(start, |hash, chunk| {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        mix(hash.wrapping_add(STEP) ^ u64::from_le_bytes(word))
    })
}

/// The hash of a field's value. Integers are the same whatever their width; a string is not the same as a number.
pub(crate) fn value(value: Value<'_>) -> u64 {
    let number = |tag, number: u64| bytes(tag, &number.to_le_bytes());
    if let Some(integer) = value.as_integer() {
        return number(1, integer as u64);
    }
    match value {
        Value::LongStr(text) | Value::Binary(text) => bytes(2, text),
        Value::Timestamp(seconds) => number(3, seconds),
        Value::Float(float) => number(4, f64::from(float).to_bits()),
        Value::Double(float) => number(4, float.to_bits()),
        Value::Bool(flag) => number(5, flag.into()),
        Value::Decimal { scale, value } => number(u64::from(scale) << 8 | 6, value as u64),
        Value::Table(table) => bytes(7, table.as_bytes()),
        Value::Array(array) => bytes(8, array.as_bytes()),
        // `as_integer` has had the integers.
        _ => number(9, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data folders and clients out there rely on these numbers.
    #[test]
    fn hashes_stay_what_they_are() {
        assert_eq!(bytes(0, b""), 0xe220_a839_7b1d_cdaf);
        assert_eq!(bytes(0, b"order.1"), 0x92ff_88a3_fac6_c49f);
        assert_eq!(
            bytes(0, b"a key of more than eight bytes"),
            0x0fee_a1ba_2fa5_d644
        );
        assert_eq!(value(Value::LongStr(b"order.1")), 0xa67c_fbf5_fae2_0235);
        assert_eq!(value(Value::Long(-1)), 0xbd00_557e_ebd6_0fc7);
    }

    #[test]
    fn integers_of_all_widths_are_one_and_strings_are_others() {
        assert_eq!(value(Value::Byte(7)), value(Value::Long(7)));
        assert_ne!(value(Value::Long(7)), value(Value::LongStr(b"7")));
        assert_ne!(value(Value::Void), value(Value::LongStr(b"")));
        assert_ne!(bytes(0, b"a\0"), bytes(0, b"a"));
    }
}
