//! Tests of taking Rust text apart.

use super::*;

fn split(text: &str) -> Source {
    Source::new("crates/amqp/src/serve.rs", text)
}

#[test]
fn comments_are_no_code_and_code_is_no_comment() {
    let source = split("let a = 1; // await\n/* one /* two */ three */ let b = 2;\n//! doc\n");
    assert_eq!(
        source.code.trim_end(),
        "let a = 1;         \n                          let b = 2;"
    );
    assert!(
        lines_with(&source.comments, "await") == [1]
            && lines_with(&source.comments, "three") == [2]
    );
    assert!(lines_with(&source.comments, "let").is_empty());
}

#[test]
fn what_stands_in_strings_and_characters_is_neither() {
    for text in [
        r#"f("async // \" {");"#,
        r###"f(r#"async " // {"#);"###,
        r###"f(br##"async "# // {"##);"###,
        r#"f('{', '\'', b'"', '\u{7b}', "async");"#,
        "f(\"line\n async {\");",
    ] {
        let source = split(text);
        assert!(
            source.code.starts_with("f(") && source.code.ends_with(");"),
            "{text}"
        );
        assert!(
            !source.code.contains('{') && !source.code.contains("async"),
            "{text}"
        );
        assert_eq!(source.comments.trim(), "", "{text}");
    }
}

#[test]
fn lifetimes_and_raw_names_stay_code() {
    let source = split("fn f<'a>(r#type: &'a str) -> char { 'x' }");
    assert_eq!(source.code, "fn f<'a>(r#type: &'a str) -> char { ' ' }");
}

#[test]
fn functions_are_measured_from_their_name_to_their_brace() {
    let source = split(concat!(
        "trait T {\n    fn declared(&self, a: [u8; 2]);\n}\n",
        "type F = fn(u8) -> u8;\n",
        "fn short() {}\n",
        "pub fn long<'a>(\n    a: &'a [u8; 4],\n) -> u8\n{\n    if a[0] == b'}' { 1 } else { 2 }\n}\n",
    ));
    let found: Vec<_> = source
        .functions()
        .into_iter()
        .map(|it| (it.name, it.line, it.lines))
        .collect();
    assert_eq!(
        found,
        [("short".to_owned(), 5, 1), ("long".to_owned(), 6, 6)]
    );
}

#[test]
fn a_phrase_stands_alone_or_not_at_all() {
    assert_eq!(
        lines_with("async\nasyncs\nan async fn\nmy_async", "async"),
        [1, 3]
    );
    assert_eq!(
        lines_with("a.await\nb.awaiting\nc .await?", ".await"),
        [1, 3]
    );
    assert_eq!(
        lines_with("Instant::now()\nMyInstant::now()", "Instant::now"),
        [1]
    );
}

#[test]
fn a_path_tells_its_crate_and_whether_it_is_a_test() {
    let path = |path: &str| Source::new(path, "");
    assert_eq!(path("crates/amqp/src/a.rs").crate_folder(), "amqp");
    assert_eq!(path("tests/src/lib.rs").crate_folder(), "tests");
    assert!(path("crates/amqp/src/serve/tests.rs").is_test());
    assert!(path("crates/amqp/tests/scripts.rs").is_test());
    assert!(!path("crates/amqp/src/contests.rs").is_test());
}

#[test]
fn text_that_ends_in_the_middle_is_taken_as_it_is() {
    for text in [
        "\"open", "/* open", "'\\", "'", "r#\"open", "fn f() {", "}", "\"\\",
    ] {
        let source = split(text);
        assert_eq!(source.code.chars().count(), text.chars().count(), "{text}");
        assert!(source.functions().is_empty(), "{text}");
    }
}
