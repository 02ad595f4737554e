//! What a name promises to maps and texts.

use std::collections::{BTreeMap, HashMap};

use super::*;

#[test]
fn holds_up_to_255_bytes() {
    assert_eq!(Name::new(&"q".repeat(255)).unwrap().len(), 255);
    assert_eq!(Name::new(&"q".repeat(256)), Err(NameTooLong(256)));
    // Bytes count, not characters.
    assert_eq!(Name::new(&"ü".repeat(128)), Err(NameTooLong(256)));
    assert_eq!(Name::default(), "");
    assert_eq!(Name::new("").unwrap(), Name::default());
}

#[test]
fn is_found_in_maps_by_str() {
    let name = Name::new("jobs").unwrap();
    let hashed = HashMap::from([(name.clone(), 1)]);
    let ordered = BTreeMap::from([(name.clone(), 2)]);
    assert_eq!(hashed.get("jobs"), Some(&1));
    assert_eq!(ordered.get("jobs"), Some(&2));
    assert!(Name::new("a").unwrap() < name);
}

#[test]
fn prints_as_the_string_it_holds() {
    let name = Name::new("o'neil \"q\"").unwrap();
    assert_eq!(format!("{name}"), "o'neil \"q\"");
    assert_eq!(format!("{name:?}"), format!("{:?}", "o'neil \"q\""));
    assert_eq!(format!("{name:>12}|"), "  o'neil \"q\"|");
}
