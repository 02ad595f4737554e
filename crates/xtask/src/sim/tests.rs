//! What the words behind `sim` mean.

use super::Options;

#[test]
fn words_in_any_order() {
    let options = Options::parse(&["--steps", "20", "--seeds", "3"]);
    let expected = Options {
        first: 1,
        seeds: 3,
        steps: 20,
    };
    assert_eq!(options, Some(expected));
}

#[test]
fn what_makes_no_sense() {
    let senseless: [&[&str]; 5] = [
        &[],
        &["--seeds"],
        &["--seeds", "0"],
        &["--seeds", "many"],
        &["--seeds", "3", "--fast", "1"],
    ];
    for words in senseless {
        assert_eq!(Options::parse(words), None, "{words:?}");
    }
}
