//! Definitions as bytes and back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn any_bytes_can_be_read_or_refused(key in vec(any::<u8>(), 0..40), value in vec(any::<u8>(), 0..40)) {
        let result = read(&key, &value);
        prop_assert!(value.first() == Some(&VERSION) || result.is_err());
    }
}
