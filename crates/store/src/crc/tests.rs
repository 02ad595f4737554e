//! The checksum against its published check value and against a plain division.

use proptest::prelude::*;

use super::*;

/// The polynomial division, bit by bit.
fn slow(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            crc ^= 0x82f6_3b78 * carry;
        }
    }
    !crc
}

#[test]
fn gives_the_published_check_value() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[]), 0);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
}

proptest! {
    #[test]
    fn agrees_with_a_plain_division(bytes in prop::collection::vec(any::<u8>(), 0..2000), cut in 0..2000usize) {
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        prop_assert_eq!(crc32c(&bytes), slow(&bytes));
        prop_assert_eq!(crc32c_of(&[head, tail]), slow(&bytes));
    }
}
