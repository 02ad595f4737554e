//! Property lists as publishers send them, good and hostile.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::table::{Table, TableWriter, Value};

/// Values for all properties; which of them are set is chosen by flags.
#[derive(Debug)]
struct Set {
    short: Vec<Option<Vec<u8>>>,
    headers: Option<Table>,
    octets: (Option<u8>, Option<u8>),
    timestamp: Option<u64>,
}

fn any_set() -> impl Strategy<Value = Set> {
    let short = vec(of(vec(any::<u8>(), 0..=255)), 10);
    let headers = of(vec(".{0,8}", 0..4).prop_map(|keys| {
        let mut writer = TableWriter::new();
        for key in &keys {
            writer.put(key, key.as_str());
        }
        writer.finish()
    }));
    (
        short,
        headers,
        any::<(Option<u8>, Option<u8>)>(),
        any::<Option<u64>>(),
    )
        .prop_map(|(short, headers, octets, timestamp)| Set {
            short,
            headers,
            octets,
            timestamp,
        })
}

impl Set {
    fn writer(&self) -> PropertiesWriter<'_> {
        let short = |index: usize| self.short[index].as_deref();
        PropertiesWriter {
            content_type: short(0),
            content_encoding: short(1),
            headers: self.headers.as_ref().map(Table::view),
            delivery_mode: self.octets.0,
            priority: self.octets.1,
            correlation_id: short(2),
            reply_to: short(3),
            expiration: short(4),
            message_id: short(5),
            timestamp: self.timestamp,
            message_type: short(6),
            user_id: short(7),
            app_id: short(8),
            cluster_id: short(9),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(set in any_set()) {
        let bytes = set.writer().to_bytes().unwrap();
        let properties = Properties::parse(&bytes).unwrap();
        prop_assert_eq!(PropertiesWriter::from(properties), set.writer());
        prop_assert_eq!(properties.as_bytes(), &bytes);
        prop_assert_eq!(properties.is_persistent(), set.octets.0 == Some(2));
    }

    #[test]
    fn a_shorter_or_longer_list_is_an_error(set in any_set(), more in any::<u8>()) {
        let mut bytes = set.writer().to_bytes().unwrap();
        for len in 0..bytes.len() {
            prop_assert_eq!(Properties::parse(&bytes[..len]), Err(PropertiesError::Truncated));
        }
        bytes.push(more);
        prop_assert_eq!(Properties::parse(&bytes), Err(PropertiesError::Trailing));
    }

    #[test]
    fn random_bytes_are_an_error_or_read_in_full(bytes in vec(prop_oneof![any::<u8>(), 0_u8..3], 0..60)) {
        if let Ok(properties) = Properties::parse(&bytes) {
            let again = PropertiesWriter::from(properties).to_bytes().unwrap();
            // Further flag words carry nothing and are not written again.
            prop_assert!(bytes.ends_with(&again[2..]));
        }
    }
}

#[test]
fn reads_the_usual_headers() {
    let nothing = Properties::parse(&[0, 0]).unwrap();
    assert_eq!(nothing, Properties::default());
    assert_eq!(nothing.delivery_mode(), None);
    let persistent = Properties::parse(&[0x10, 0, 2]).unwrap();
    assert!(persistent.is_persistent());
    assert_eq!(persistent.priority(), None);
    // What pika sends for content_type="text/plain", delivery_mode=2.
    let text = Properties::parse(b"\x90\0\x0atext/plain\x02").unwrap();
    assert_eq!(text.content_type(), Some(&b"text/plain"[..]));
    assert!(text.is_persistent());
}

#[test]
fn looks_past_the_headers() {
    let mut writer = TableWriter::new();
    writer.put("x-delay", 5000);
    let table = writer.finish();
    let fields = PropertiesWriter {
        headers: Some(table.view()),
        priority: Some(7),
        cluster_id: Some(b"c"),
        ..PropertiesWriter::default()
    };
    let bytes = fields.to_bytes().unwrap();
    let properties = Properties::parse(&bytes).unwrap();
    assert_eq!(
        properties.headers().unwrap().find("x-delay"),
        Some(Value::SignedInt(5000))
    );
    assert_eq!(properties.priority(), Some(7));
    assert_eq!(properties.cluster_id(), Some(&b"c"[..]));
    assert_eq!(properties.delivery_mode(), None);
}

#[test]
fn refuses_flags_of_no_property() {
    assert_eq!(
        Properties::parse(&[0, 2]),
        Err(PropertiesError::UnknownFlag)
    );
    assert_eq!(
        Properties::parse(&[0x10, 2, 2]),
        Err(PropertiesError::UnknownFlag)
    );
    assert_eq!(
        Properties::parse(&[0, 1, 0x80, 0]),
        Err(PropertiesError::UnknownFlag)
    );
    assert_eq!(
        Properties::parse(&[0, 1, 0, 2]),
        Err(PropertiesError::UnknownFlag)
    );
}

#[test]
fn follows_words_of_flags_to_their_end() {
    let continued = Properties::parse(&[0x10, 1, 0, 1, 0, 0, 2]).unwrap();
    assert!(continued.is_persistent());
    assert_eq!(continued.as_bytes().len(), 7);
    assert_eq!(Properties::parse(&[0, 1]), Err(PropertiesError::Truncated));
    assert_eq!(
        Properties::parse(&[0, 1, 0, 1]),
        Err(PropertiesError::Truncated)
    );
}

#[test]
fn refuses_malformed_headers() {
    let deep = [vec![0x20, 0, 0, 0, 0, 4], b"\x01kUU".to_vec()].concat();
    let error = PropertiesError::Headers(TableError::UnknownType(b'U'));
    assert_eq!(Properties::parse(&deep), Err(error));
    let giant = [0x20, 0, 0xff, 0xff, 0xff, 0xff, 0];
    assert_eq!(Properties::parse(&giant), Err(PropertiesError::Truncated));
}

#[test]
fn refuses_to_write_what_no_short_string_holds() {
    let long = [b'x'; 256];
    let fields = PropertiesWriter {
        reply_to: Some(&long),
        ..PropertiesWriter::default()
    };
    assert_eq!(fields.to_bytes(), Err(PropertiesError::TooLong));
}

proptest! {
    #[test]
    fn a_header_is_added_and_nothing_else_changes(sets in vec((any_set(), 1..3_usize), 0..4)) {
        const NAME: &str = "x-number";
        let all: Vec<Vec<u8>> = sets
            .iter()
            .flat_map(|(set, times)| std::iter::repeat_n(set.writer().to_bytes().unwrap(), *times))
            .collect();
        let mut header = AddedHeader::new(NAME);
        for (number, bytes) in (-1..).zip(&all) {
            let old = Properties::parse(bytes).unwrap();
            let mut expected = TableWriter::new();
            for (name, value) in old.headers().iter().flat_map(|headers| headers.iter()) {
                expected.put(name, value);
            }
            expected.put(NAME, Value::Long(number));
            let mut writer = PropertiesWriter::from(old);
            writer.headers = Some(expected.view());
            prop_assert_eq!(header.on(bytes, number), writer.to_bytes().unwrap());
        }
    }
}

#[test]
fn a_header_that_is_added_takes_the_place_of_others_of_its_name() {
    let mut headers = TableWriter::new();
    headers
        .put("x-number", "seven")
        .put("own", true)
        .put("x-number", 8_i64);
    let writer = PropertiesWriter {
        headers: Some(headers.view()),
        app_id: Some(b"app"),
        ..PropertiesWriter::default()
    };
    let bytes = writer.to_bytes().unwrap();
    let mut header = AddedHeader::new("x-number");
    let with = Properties::parse(header.on(&bytes, 9)).unwrap();
    let headers: Vec<_> = with.headers().unwrap().iter().collect();
    assert_eq!(
        headers,
        [("own", Value::Bool(true)), ("x-number", Value::Long(9))]
    );
    assert_eq!(with.app_id(), Some(&b"app"[..]));
}

#[test]
fn headers_are_kept_added_and_replaced() {
    let mut headers = TableWriter::new();
    headers.put("a", 1).put("b", 2).put("c", 3);
    let writer = PropertiesWriter {
        headers: Some(headers.view()),
        message_id: Some(b"id"),
        ..PropertiesWriter::default()
    };
    let bytes = writer.to_bytes().unwrap();
    let added = [("d", Value::Long(4)), ("b", Value::Long(5))];
    let properties = Properties::parse(&bytes).unwrap();
    let changed = properties.with_headers(|name| name != "c", &added).unwrap();
    let changed = Properties::parse(&changed).unwrap();
    let told: Vec<_> = changed.headers().unwrap().iter().collect();
    let expected = [
        ("a", Value::from(1)),
        ("d", Value::Long(4)),
        ("b", Value::Long(5)),
    ];
    assert_eq!(told, expected);
    assert_eq!(changed.message_id(), Some(b"id".as_slice()));
    let none = Properties::default().with_headers(|_| true, &added[..1]);
    let none = none.unwrap();
    let told = Properties::parse(&none)
        .unwrap()
        .headers()
        .unwrap()
        .find("d");
    assert_eq!(told, Some(Value::Long(4)));
}
