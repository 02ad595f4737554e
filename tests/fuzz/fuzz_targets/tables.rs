//! Field tables and property lists from any octets: an error, or readable to the end.
//!
//! Run: `cargo +nightly fuzz run --fuzz-dir tests/fuzz tables`.

#![no_main]

use leveret_message::{Properties, PropertiesWriter, TableRef, TableWriter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(table) = TableRef::parse(input) {
        let _ = format!("{table:?}");
        let mut writer = TableWriter::new();
        for (key, value) in table.iter() {
            let _ = value.to_string();
            let _ = value.equivalent(&value);
            writer.put(key, value);
            assert!(table.find(key).is_some());
        }
        let again = writer.finish();
        assert_eq!(again.view().as_bytes().len(), input.len());
        assert!(TableRef::parse(again.view().as_bytes()).is_ok());
    }
    if let Ok(properties) = Properties::parse(input) {
        let again = PropertiesWriter::from(properties)
            .to_bytes()
            .expect("was read");
        assert!(input.ends_with(&again[2..]));
        assert!(Properties::parse(&again).is_ok());
    }
});
