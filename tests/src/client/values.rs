//! Short ways to write field values, and names that no other test uses.

use std::collections::BTreeMap;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use amq_protocol::types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString};

/// Makes a field table; `amq-protocol` sorts it by name.
pub fn table<const N: usize>(fields: [(&str, AMQPValue); N]) -> FieldTable {
    let fields = fields.map(|(name, value)| (ShortString::from(name), value));
    BTreeMap::from(fields).into()
}

/// Makes a long string value.
pub fn text(value: &str) -> AMQPValue {
    LongString::from(value).into()
}

/// Makes an array of long strings.
pub fn array(values: &[&str]) -> AMQPValue {
    let values: Vec<AMQPValue> = values.iter().map(|v| text(v)).collect();
    FieldArray::from(values).into()
}

/// Seconds since 1970, once a new one has begun.
pub fn next_second() -> u64 {
    let now = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.expect("a time after 1970").as_secs()
    };
    let first = now();
    while now() == first {
        std::thread::yield_now();
    }
    now()
}

/// Makes a name that ends with `suffix` and that no other test or run uses.
pub fn unique(suffix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("t{}.{}.{n}.{suffix}", now.as_millis(), process::id())
}
