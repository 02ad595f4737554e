//! Comparing, and the list of what may differ.

use serde_json::{Value, json};

use super::listed::matches;
use super::*;
use crate::http::Answer;

fn answer(status: u16, body: Value) -> Answer {
    Answer {
        status,
        body,
        location: None,
    }
}

fn differences(rabbitmq: Value, leveret: Value) -> Vec<(String, Kind)> {
    let all = compare("GET /x", &answer(200, rabbitmq), &answer(200, leveret));
    all.into_iter().map(|one| (one.at, one.kind)).collect()
}

#[test]
fn answers_differ_by_keys_types_values_and_items() {
    let theirs = json!({"a": 1, "b": {"c": "x"}, "list": [{"name": "p", "n": 1}, {"name": "q"}]});
    let ours = json!({"a": "1", "b": {"d": 1}, "list": [{"name": "q"}, {"name": "p", "n": 2}]});
    let expected = [
        ("a", Kind::Type),
        ("b.c", Kind::Missing),
        ("b.d", Kind::Extra),
        ("list[].n", Kind::Value),
    ];
    let expected = expected.map(|(at, kind)| (at.to_owned(), kind));
    assert_eq!(differences(theirs.clone(), ours), expected);
    assert_eq!(differences(theirs.clone(), theirs), []);
    let more = differences(json!(["a"]), json!(["a", "b"]));
    assert_eq!(more, [("[]".to_owned(), Kind::Extra)]);
    let status = compare("GET /x", &answer(404, json!({})), &answer(200, json!([])));
    assert_eq!(status[0].kind, Kind::Status);
    let crash = compare("GET /x", &answer(500, Value::Null), &answer(400, json!({})));
    assert_eq!(crash, []);
}

#[test]
fn the_list_takes_what_it_names_and_tells_what_is_stale() {
    let list = r#"
        rabbitmq_version = "1"
        [[difference]]
        requests = ["GET /x*"]
        at = ["a", "never"]
        kinds = ["value"]
        why = "it is so"
    "#;
    let list = Accepted::parse(list);
    let found = compare(
        "GET /x?y",
        &answer(200, json!({"a": 1})),
        &answer(200, json!({"a": 2})),
    );
    let stale = "never is listed (it is so), and nothing differs there";
    assert_eq!(list.disagreements(&found), [stale]);
    let found = compare(
        "GET /z",
        &answer(200, json!({"a": 1})),
        &answer(200, json!({"a": 2})),
    );
    assert_eq!(list.disagreements(&found).len(), 3);
}

#[test]
fn patterns_have_stars_for_anything() {
    assert!(matches("a*c", "abbc") && matches("*", "") && matches("*.rate", "x_details.rate"));
    assert!(!matches("a*c", "abcd") && !matches("a", "ab"));
}

#[test]
fn the_script_is_made_of_steps() {
    let all = steps("# a comment\n\nas anna pw\nPUT /queues/%2F/q {\"a\": 1}\nawait /q a.b\n");
    assert_eq!(all.len(), 3);
    assert_eq!(all[0], Step::As("anna".to_owned(), "pw".to_owned()));
    let Step::Ask { path, body, .. } = &all[1] else {
        panic!("{all:?}");
    };
    assert_eq!(
        (path.as_str(), body.as_str()),
        ("/queues/%2F/q", "{\"a\": 1}")
    );
}
