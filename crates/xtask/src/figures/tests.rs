//! Tests of the ratchet file.

use super::*;

fn some() -> Figures {
    let cost = Cost {
        instructions: 1234.5,
        allocations: 0.125,
    };
    Figures {
        longest_file: 500,
        longest_function: 70,
        workloads: BTreeMap::from([("no-ack".to_owned(), cost)]),
    }
}

#[test]
fn what_is_written_is_what_is_read() {
    assert_eq!(Figures::parse(&some().render()), Ok(some()));
    let empty = Figures::default();
    assert_eq!(Figures::parse(&empty.render()), Ok(empty));
}

#[test]
fn a_figure_that_nobody_reads_is_an_error() {
    for (text, word) in [
        ("[shortest]\nfile = 1\n", "shortest"),
        ("[longest]\nfile = 1\nfunction = 1\nline = 1\n", "line"),
        (
            "[message.no-ack]\ninstructions = 1.0\nallocations = 1.0\nbytes = 1.0\n",
            "bytes",
        ),
        ("[longest]\nfile = 1\n", "function"),
        ("[longest]\nfile = -1\nfunction = 1\n", "file"),
        (
            "[message.no-ack]\ninstructions = -1.0\nallocations = 1.0\n",
            "instructions",
        ),
        ("message = 1\n", "message"),
    ] {
        let error = Figures::parse(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn the_file_of_this_repository_is_as_it_would_be_written() {
    let root = crate::workspace::Workspace::load().unwrap().root;
    let text = std::fs::read_to_string(root.join(PATH)).unwrap();
    assert_eq!(Figures::load(&root).unwrap().render(), text);
}
