//! The method decoder on any arguments: the first two octets are class and method.
//!
//! Run: `cargo +nightly fuzz run --fuzz-dir tests/fuzz methods`.

#![no_main]

use leveret_wire::method::{self, MethodError, basic};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [class, method_id, arguments @ ..] = input else {
        return;
    };
    let (class_id, method_id) = (u16::from(*class), u16::from(*method_id));
    if let Ok(method) = method::decode(class_id, method_id, arguments) {
        let _ = format!("{method:?}");
        // The arguments are the method's to the last octet.
        let longer = [arguments, &[0]].concat();
        assert_eq!(
            method::decode(class_id, method_id, &longer),
            Err(MethodError::Syntax)
        );
    }
    if let Ok(publish) = basic::Publish::decode(arguments) {
        assert_eq!(publish.exchange_and_key.len() + 3, arguments.len());
    }
});
