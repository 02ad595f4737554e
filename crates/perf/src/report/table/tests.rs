//! How figures and lines look.

use super::{Rows, grouped};

#[test]
fn thousands_are_told_apart() {
    let written = [0.0, 999.4, 1000.0, 12_345_678.0].map(grouped);
    assert_eq!(written, ["0", "999", "1,000", "12,345,678"]);
}

#[test]
fn columns_stand_below_each_other() {
    let mut rows = Rows::default();
    rows.add(["µs".to_owned(), "p50".to_owned()]);
    rows.add(["latency".to_owned(), "12,000".to_owned()]);
    assert_eq!(rows.to_string(), "µs          p50\nlatency  12,000\n");
}
