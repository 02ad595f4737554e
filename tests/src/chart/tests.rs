//! What is drawn of which values.

use super::{Group, draw, grouped};

#[test]
fn the_longest_bar_of_each_group_is_full() {
    let groups = [
        Group {
            title: "a < b".to_owned(),
            values: vec![Some(1000.0), Some(250.0)],
        },
        Group {
            title: "c".to_owned(),
            values: vec![None, Some(5.0)],
        },
    ];
    let brokers = ["one".to_owned(), "two".to_owned()];
    let svg = draw("title", &brokers, &groups);
    let bars: Vec<&str> = svg
        .lines()
        .filter(|line| line.starts_with("<rect x=\"330\""))
        .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next())
        .collect();
    assert_eq!(bars, ["420.0", "105.0", "1.0", "420.0"]);
    assert!(
        svg.contains("a &lt; b") && svg.contains("not measured"),
        "{svg}"
    );
}

#[test]
fn thousands_are_told_apart() {
    assert_eq!(grouped(1_234_567.0), "1,234,567");
    assert_eq!(grouped(0.4), "0");
}
