//! Field tables as peers send them, good and hostile.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A value that owns its parts, so that whole tables can be generated.
#[derive(Debug, Clone)]
enum Owned {
    Plain(Value<'static>),
    LongStr(Vec<u8>),
    Binary(Vec<u8>),
    Table(Vec<(String, Owned)>),
    Array(Vec<Owned>),
}

fn any_value() -> impl Strategy<Value = Owned> {
    let plain = prop_oneof![
        any::<u64>().prop_map(Value::Timestamp),
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::Byte),
        any::<u8>().prop_map(Value::UnsignedByte),
        any::<i16>().prop_map(Value::Short),
        any::<u16>().prop_map(Value::UnsignedShort),
        any::<i32>().prop_map(Value::SignedInt),
        any::<u32>().prop_map(Value::UnsignedInt),
        any::<i64>().prop_map(Value::Long),
        any::<f32>().prop_map(Value::Float),
        any::<f64>().prop_map(Value::Double),
        any::<(u8, i32)>().prop_map(|(scale, value)| Value::Decimal { scale, value }),
        Just(Value::Void),
    ]
    .prop_map(Owned::Plain);
    let leaf = prop_oneof![
        4 => plain,
        1 => vec(any::<u8>(), 0..40).prop_map(Owned::LongStr),
        1 => vec(any::<u8>(), 0..40).prop_map(Owned::Binary),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            vec((".{0,12}", inner.clone()), 0..5).prop_map(Owned::Table),
            vec(inner, 0..5).prop_map(Owned::Array),
        ]
    })
}

fn any_entries() -> impl Strategy<Value = Vec<(String, Owned)>> {
    vec((".{0,20}", any_value()), 0..6)
}

fn write_table(writer: &mut TableWriter, entries: &[(String, Owned)]) {
    for (key, value) in entries {
        match value {
            Owned::Plain(value) => writer.put(key, *value),
            Owned::LongStr(bytes) => writer.put(key, Value::LongStr(bytes)),
            Owned::Binary(bytes) => writer.put(key, Value::Binary(bytes)),
            Owned::Table(inner) => writer.put_table(key, |writer| write_table(writer, inner)),
            Owned::Array(inner) => writer.put_array(key, |writer| write_array(writer, inner)),
        };
    }
}

fn write_array(writer: &mut ArrayWriter, values: &[Owned]) {
    for value in values {
        match value {
            Owned::Plain(value) => writer.push(*value),
            Owned::LongStr(bytes) => writer.push(Value::LongStr(bytes)),
            Owned::Binary(bytes) => writer.push(Value::Binary(bytes)),
            Owned::Table(inner) => writer.push_table(|writer| write_table(writer, inner)),
            Owned::Array(inner) => writer.push_array(|writer| write_array(writer, inner)),
        };
    }
}

fn same_table(table: TableRef<'_>, entries: &[(String, Owned)]) -> bool {
    table.iter().count() == entries.len()
        && table
            .iter()
            .zip(entries)
            .all(|((key, value), (wanted, owned))| key == wanted && same_value(&value, owned))
}

fn same_value(value: &Value<'_>, owned: &Owned) -> bool {
    match (value, owned) {
        // Bits, so that a float that is not a number is the same, too.
        (Value::Float(ours), Owned::Plain(Value::Float(theirs))) => {
            ours.to_bits() == theirs.to_bits()
        }
        (Value::Double(ours), Owned::Plain(Value::Double(theirs))) => {
            ours.to_bits() == theirs.to_bits()
        }
        (value, Owned::Plain(plain)) => value == plain,
        (Value::LongStr(bytes), Owned::LongStr(owned)) => *bytes == owned.as_slice(),
        (Value::Binary(bytes), Owned::Binary(owned)) => *bytes == owned.as_slice(),
        (Value::Table(table), Owned::Table(entries)) => same_table(*table, entries),
        (Value::Array(array), Owned::Array(values)) => {
            array.iter().count() == values.len()
                && array
                    .iter()
                    .zip(values)
                    .all(|(value, owned)| same_value(&value, owned))
        }
        _ => false,
    }
}

/// Reads everything in a table and writes it again.
fn rewrite(table: TableRef<'_>) -> Vec<u8> {
    let mut writer = TableWriter::new();
    for (key, value) in table.iter() {
        match value {
            Value::Table(inner) => {
                let inner = TableRef::parse(inner.as_bytes()).expect("was checked with the outer");
                let _ = rewrite(inner);
                writer.put(key, inner)
            }
            value => writer.put(key, value),
        };
    }
    writer.view().as_bytes().to_vec()
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in any_entries()) {
        let mut writer = TableWriter::new();
        write_table(&mut writer, &entries);
        let table = writer.finish();
        let parsed = TableRef::parse(table.view().as_bytes()).unwrap();
        prop_assert!(same_table(parsed, &entries));
        prop_assert_eq!(parsed.to_owned(), table);
    }

    #[test]
    fn no_beginning_of_a_table_is_read_beyond_its_end(entries in any_entries()) {
        let mut writer = TableWriter::new();
        write_table(&mut writer, &entries);
        let table = writer.finish();
        let bytes = table.view().as_bytes();
        let mut ends = 0;
        for len in 0..bytes.len() {
            match TableRef::parse(&bytes[..len]) {
                Ok(shorter) => {
                    prop_assert_eq!(shorter.iter().count(), ends);
                    ends += 1;
                }
                Err(error) => prop_assert_eq!(error, TableError::Truncated),
            }
        }
        // One valid beginning between each two entries.
        prop_assert_eq!(ends, entries.len());
    }

    #[test]
    fn random_bytes_are_an_error_or_read_to_the_end(
        bytes in vec(
            prop_oneof![any::<u8>(), 0_u8..4, proptest::sample::select(b"StbBsuIidflLTDFAxV".to_vec())],
            0..120,
        )
    ) {
        if let Ok(table) = TableRef::parse(&bytes) {
            let _ = format!("{table:?}");
            prop_assert_eq!(rewrite(table).len(), bytes.len());
        }
    }
}

/// `depth` tables and arrays inside each other, the outermost table counted; `letter` chooses by
/// depth.
fn nested(depth: usize, letter: impl Fn(usize) -> u8) -> Vec<u8> {
    let mut inner: Vec<u8> = Vec::new();
    for level in (1..=depth).rev() {
        let mut outer = Vec::new();
        if level == 1 || letter(level) == b'F' {
            outer.push(0);
        }
        if level < depth {
            outer.push(letter(level + 1));
            outer.extend_from_slice(&(inner.len() as u32).to_be_bytes());
            outer.extend_from_slice(&inner);
        } else {
            outer.push(b'V');
        }
        inner = outer;
    }
    inner
}

#[test]
fn nests_to_32_and_no_deeper() {
    for letter in [
        |_| b'F',
        |_| b'A',
        |level| if level % 2 == 0 { b'A' } else { b'F' },
    ] {
        assert_eq!(
            TableRef::parse(&nested(MAX_DEPTH, letter)).map(|_| ()),
            Ok(())
        );
        for depth in [MAX_DEPTH + 1, 1_500] {
            assert_eq!(
                TableRef::parse(&nested(depth, letter)),
                Err(TableError::TooDeep)
            );
        }
    }
}

#[test]
fn unfinished_arrays_do_not_exhaust_the_stack() {
    // The shape that breaks recursive parsers: each array claims all that follows.
    let mut bytes = vec![0];
    for left in (0..1_500_u32).rev() {
        bytes.push(b'A');
        bytes.extend_from_slice(&(left * 5).to_be_bytes());
    }
    assert_eq!(TableRef::parse(&bytes), Err(TableError::TooDeep));
}

#[test]
fn claims_of_giant_lengths_are_truncated_tables() {
    for letter in b"SxFA" {
        for len in [1_u32, 5, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let mut bytes = vec![1, b'k', *letter];
            bytes.extend_from_slice(&len.to_be_bytes());
            assert_eq!(
                TableRef::parse(&bytes),
                Err(TableError::Truncated),
                "{letter} {len}"
            );
        }
    }
    assert_eq!(TableRef::parse(&[255, b'k']), Err(TableError::Truncated));
}

/// A value on the wire, as it is read, its type and its text in RabbitMQ's words.
type FieldType<'a> = (&'a [u8], Value<'a>, &'a str, &'a str);

fn check_field_types(cases: &[FieldType<'_>]) {
    for (bytes, value, type_name, text) in cases {
        let entry = [b"\x01k", *bytes].concat();
        let table = TableRef::parse(&entry).unwrap();
        assert_eq!(table.find("k"), Some(*value));
        assert_eq!(table.iter().count(), 1);
        assert_eq!(value.type_name(), *type_name);
        assert_eq!(value.to_string(), *text);
    }
}

#[test]
fn reads_integers_as_rabbitmq_does() {
    check_field_types(&[
        (b"b\xff", Value::Byte(-1), "byte", "-1"),
        (b"B\xff", Value::UnsignedByte(255), "unsignedbyte", "255"),
        (b"s\xff\xfe", Value::Short(-2), "short", "-2"),
        (
            b"u\xff\xfe",
            Value::UnsignedShort(65534),
            "unsignedshort",
            "65534",
        ),
        (
            b"I\xff\xff\xff\xfd",
            Value::SignedInt(-3),
            "signedint",
            "-3",
        ),
        (
            b"i\xff\xff\xff\xfd",
            Value::UnsignedInt(4294967293),
            "unsignedint",
            "4294967293",
        ),
        (
            b"l\xff\xff\xff\xff\xff\xff\xff\xfc",
            Value::Long(-4),
            "long",
            "-4",
        ),
        (
            b"L\xff\xff\xff\xff\xff\xff\xff\xfb",
            Value::Long(-5),
            "long",
            "-5",
        ),
    ]);
}

#[test]
fn reads_every_other_field_type_of_rabbitmq() {
    let decimal = Value::Decimal {
        scale: 2,
        value: -1,
    };
    check_field_types(&[
        (b"S\0\0\0\x02hi", Value::LongStr(b"hi"), "longstr", "hi"),
        (
            b"T\0\0\0\0\0\0\0\x05",
            Value::Timestamp(5),
            "timestamp",
            "5",
        ),
        (b"t\x02", Value::Bool(true), "bool", "true"),
        (b"t\0", Value::Bool(false), "bool", "false"),
        (b"f\x3f\xc0\0\0", Value::Float(1.5), "float", "1.5"),
        (
            b"d\x3f\xf8\0\0\0\0\0\0",
            Value::Double(1.5),
            "double",
            "1.5",
        ),
        (b"D\x02\xff\xff\xff\xff", decimal, "decimal", "{2,-1}"),
        (
            b"F\0\0\0\0",
            Value::Table(TableRef::default()),
            "table",
            "{}",
        ),
        (
            b"A\0\0\0\0",
            Value::Array(ArrayRef::default()),
            "array",
            "[]",
        ),
        (b"x\0\0\0\x01\0", Value::Binary(&[0]), "binary", "\0"),
        (b"V", Value::Void, "void", "undefined"),
    ]);
    assert_eq!(
        TableRef::parse(b"\x01kU\0\0"),
        Err(TableError::UnknownType(b'U'))
    );
}

#[test]
fn keeps_order_and_repeated_keys() {
    let mut writer = TableWriter::new();
    writer.put("b", 1).put("a", 2_i64).put("b", "three");
    let table = writer.finish();
    let entries: Vec<_> = table.view().iter().collect();
    let wanted = [
        ("b", Value::SignedInt(1)),
        ("a", Value::Long(2)),
        ("b", Value::LongStr(b"three")),
    ];
    assert_eq!(entries, wanted);
    assert_eq!(table.view().find("b"), Some(Value::SignedInt(1)));
    assert_eq!(table.view().find("c"), None);
    assert_eq!(format!("{:?}", table.view().find("a")), "Some(Long(2))");
}

#[test]
fn a_key_is_utf8() {
    assert_eq!(TableRef::parse(b"\x01\xffV"), Err(TableError::Key));
    assert_eq!(TableRef::parse("\u{2}üV".as_bytes()).map(|_| ()), Ok(()));
}

#[test]
fn a_long_key_is_cut_at_a_character() {
    let mut writer = TableWriter::new();
    writer.put(&"ü".repeat(200), true);
    let table = writer.finish();
    let parsed = TableRef::parse(table.view().as_bytes()).unwrap();
    assert_eq!(parsed.iter().next().unwrap().0, "ü".repeat(127));
}

#[test]
fn integers_are_equivalent_by_value_all_else_by_type() {
    let thousand = Value::SignedInt(1000);
    assert!(thousand.equivalent(&Value::Long(1000)));
    assert!(thousand.equivalent(&Value::UnsignedShort(1000)));
    assert!(!thousand.equivalent(&Value::Long(1001)));
    for other in [
        Value::Timestamp(1000),
        Value::Double(1000.0),
        Value::LongStr(b"1000"),
        Value::Void,
    ] {
        assert!(!thousand.equivalent(&other), "{other:?}");
        assert!(other.equivalent(&other));
        assert_eq!(other.as_integer(), None);
    }
    assert!(!Value::Float(1.0).equivalent(&Value::Double(1.0)));
    assert!(!Value::LongStr(b"a").equivalent(&Value::Binary(b"a")));
}

#[test]
fn text_is_a_longstr_of_utf8() {
    assert_eq!(Value::LongStr("ü".as_bytes()).as_str(), Some("ü"));
    assert_eq!(Value::LongStr(b"\xff").as_str(), None);
    assert_eq!(Value::Binary(b"a").as_str(), None);
}

#[test]
fn an_empty_table_is_empty() {
    assert!(TableRef::parse(&[]).unwrap().is_empty());
    assert!(Table::default().is_empty());
    assert!(TableWriter::new().finish().view().is_empty());
    assert_eq!(Table::default().view().iter().count(), 0);
}
