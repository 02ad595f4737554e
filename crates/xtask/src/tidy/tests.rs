//! Tests of the rules: each holds for what is right and finds what is wrong.
//!
//! Texts that the rules would find in this very file are put together at run time.

use std::path::PathBuf;

use super::*;
use crate::workspace::Member;

const TABLE: &str = "\
Allowed:

| crate | may use |
|---|---|
| message | - |
| amqp | wire, message |
| wire | message |
| tests | everything |

Three things.";

fn member(folder: &str, uses: &[&str]) -> Member {
    Member {
        folder: folder.to_owned(),
        manifest: PathBuf::from(format!("crates/{folder}/Cargo.toml")),
        uses: uses.iter().map(|used| (*used).to_owned()).collect(),
    }
}

fn members() -> Vec<Member> {
    vec![
        member("message", &[]),
        member("amqp", &["wire", "message"]),
        member("wire", &[]),
        member("tests", &["amqp", "wire"]),
    ]
}

#[track_caller]
fn finds(findings: &[String], word: &str) {
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].contains(word), "{findings:?}");
}

#[test]
fn arrows_are_those_of_the_table() {
    assert_eq!(crates::arrows(TABLE, &members()), Findings::new());

    let mut upward = members();
    upward[2] = member("wire", &["amqp"]);
    finds(&crates::arrows(TABLE, &upward), "`wire` may not use `amqp`");

    let mut unknown = members();
    unknown.push(member("mqtt", &[]));
    finds(&crates::arrows(TABLE, &unknown), "crate `mqtt` has no row");

    finds(
        &crates::arrows(TABLE, &members()[..3]),
        "`tests`, which is no crate",
    );
    finds(&crates::arrows("no table", &members()), "is not there");
}

#[test]
fn lints_come_from_the_workspace() {
    let inherits = |manifest: &str| crates::lints_are_inherited("amqp", manifest);
    assert_eq!(inherits("[lints]\nworkspace = true\n"), Findings::new());
    finds(&inherits("[package]\nname = \"x\"\n"), "crate `amqp`");
    finds(
        &inherits("[lints.rust]\nunsafe_code = \"allow\"\n"),
        "crate `amqp`",
    );
    finds(&inherits("[lints]\nworkspace = false\n"), "crate `amqp`");
}

#[test]
fn async_stands_in_shell_files_only() {
    let waits = "async fn f() {}";
    for path in [
        "crates/amqp/src/serve.rs",
        "crates/broker/src/shard/task.rs",
        "crates/amqp/src/serve/tests.rs",
        "crates/amqp/tests/all.rs",
        "crates/leveret/src/listen.rs",
        "tests/src/client.rs",
    ] {
        assert_eq!(
            shells::no_async_elsewhere(&Source::new(path, waits)),
            Findings::new()
        );
    }
    for path in [
        "crates/amqp/src/channel.rs",
        "crates/xtask/src/x.rs",
        "crates/wire/src/tests.rs",
    ] {
        finds(
            &shells::no_async_elsewhere(&Source::new(path, waits)),
            ":1: `async`",
        );
    }
    let source = |code: &str| Source::new("crates/broker/src/queue.rs", code);
    finds(
        &shells::no_async_elsewhere(&source("\nf().await;")),
        ":2: `.await`",
    );
    finds(
        &shells::no_async_elsewhere(&source("tokio::spawn(f);")),
        "`tokio::spawn`",
    );
    assert_eq!(
        shells::no_async_elsewhere(&source("// no async\n\".await\"")),
        Findings::new()
    );
}

#[test]
fn the_clock_is_read_in_shell_files_only() {
    let reads = "let now = std::time::Instant::now();";
    for path in [
        "crates/amqp/src/serve.rs",
        "crates/wire/src/a/tests.rs",
        "crates/xtask/src/x.rs",
    ] {
        assert_eq!(
            shells::no_clock_elsewhere(&Source::new(path, reads)),
            Findings::new()
        );
    }
    let source = |code: &str| Source::new("crates/broker/src/queue.rs", code);
    finds(
        &shells::no_clock_elsewhere(&source(reads)),
        "queue.rs:1: `Instant::now`",
    );
    finds(
        &shells::no_clock_elsewhere(&source("SystemTime::now()")),
        "SystemTime::now",
    );
    finds(
        &shells::no_clock_elsewhere(&source("start.elapsed()")),
        "elapsed",
    );
    assert_eq!(
        shells::no_clock_elsewhere(&source("now: Instant")),
        Findings::new()
    );
}

#[test]
fn a_file_begins_by_saying_what_lives_in_it() {
    let source = |text: &str| Source::new("crates/broker/src/queue.rs", text);
    assert_eq!(words::header(&source("//! Queues.\n")), Findings::new());
    finds(&words::header(&source("// Queues.\n")), "queue.rs:1");
    finds(
        &words::header(&source("use a;\n//! Queues.\n")),
        "queue.rs:1",
    );
    finds(&words::header(&source("")), "queue.rs:1");
}

#[test]
fn names_say_something() {
    let source = |path: &str, text: &str| Source::new(path, text);
    let good = source(
        "crates/amqp/src/channel.rs",
        "struct Community; // a Manager\nlet util = 1;",
    );
    assert_eq!(words::names(&good), Findings::new());

    finds(
        &words::names(&source("crates/amqp/src/byte_utils.rs", "")),
        "`utils`",
    );
    finds(
        &words::names(&source("tests/common/client.rs", "")),
        "`common`",
    );
    finds(
        &words::names(&source("crates/amqp/src/frame/mod.rs", "")),
        "mod.rs",
    );
    let path = "crates/amqp/src/channel.rs";
    finds(
        &words::names(&source(path, "\npub struct QueueManager<T>;")),
        ":2: `manager`",
    );
    finds(
        &words::names(&source(path, "trait Helpers {}")),
        "`helpers`",
    );
    finds(&words::names(&source(path, "type Misc = u8;")), "`misc`");
}

#[test]
fn what_is_in_the_tree_is_finished() {
    let source = |text: &str| Source::new("crates/broker/src/queue.rs", text);
    let finished = source("fn todo() {} // the method\nlet text = \"FIXME\";");
    assert_eq!(words::unfinished(&finished), Findings::new());
    for unfinished in [
        "todo!()",
        "unimplemented!(\"x\")",
        "// FIXME: later",
        "/* XXX */",
        "// TODO",
    ] {
        finds(&words::unfinished(&source(unfinished)), "queue.rs:1");
    }
}

#[test]
fn lengths_are_as_the_ratchet_file_says() {
    let function = |lines: usize| format!("fn f() {{{}}}\n", "\n".repeat(lines - 1));
    let source = |path: &str, text: String| Source::new(path, text);
    let figures = |file, function| Figures {
        longest_file: file,
        longest_function: function,
        ..Figures::default()
    };
    let path = "crates/broker/src/queue.rs";

    let good = [
        source(path, function(70)),
        source("crates/broker/src/tests.rs", function(900)),
    ];
    assert_eq!(
        longest::within(&figures(FILE_GOAL, FUNCTION_GOAL), &good),
        Findings::new()
    );

    let long_function = [source(path, function(71))];
    let goals = figures(FILE_GOAL, FUNCTION_GOAL);
    finds(
        &longest::within(&goals, &long_function),
        "queue.rs:1: `f`: 71 lines",
    );
    assert_eq!(
        longest::within(&figures(FILE_GOAL, 71), &long_function),
        Findings::new()
    );
    finds(
        &longest::within(&figures(FILE_GOAL, 72), &long_function),
        "--update",
    );

    let long_file = [source(path, "//! x\n".repeat(501))];
    finds(&longest::within(&goals, &long_file), "queue.rs: 501 lines");
    let too_long = [source(path, "//! x\n".repeat(801))];
    finds(
        &longest::within(&figures(801, FUNCTION_GOAL), &too_long),
        "800 is the most",
    );
}

#[test]
fn an_update_writes_the_worst_values_or_the_goals() {
    let mut figures = Figures::default();
    let short = [Source::new("crates/broker/src/queue.rs", "fn f() {}\n")];
    longest::update(&mut figures, &short);
    assert_eq!(
        (figures.longest_file, figures.longest_function),
        (FILE_GOAL, FUNCTION_GOAL)
    );

    let text = format!("fn f() {{{}}}\n", "\n".repeat(599));
    let long = [Source::new("crates/broker/src/queue.rs", text)];
    longest::update(&mut figures, &long);
    assert_eq!((figures.longest_file, figures.longest_function), (600, 600));
    assert_eq!(longest::within(&figures, &long), Findings::new());
}

#[test]
fn the_map_names_what_is_there() {
    let exists = |path: &str| ["crates/broker/src/runs.rs", "config/leveret.toml"].contains(&path);
    let good =
        "`broker/runs.rs`, `broker/runs`, `config/leveret.toml`, `serve.rs`, `basic.ack`, `a / b`";
    assert_eq!(map::paths_exist(good, exists), Findings::new());
    finds(
        &map::paths_exist("\nsee `broker/walks.rs`", exists),
        ":2: `broker/walks.rs`",
    );
    finds(
        &map::paths_exist("see `leveret.toml`", exists),
        "`leveret.toml`",
    );
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    for folder in ["home", "work", "tmp"] {
        let line = format!("\ndata = \"/{folder}/hare/data\"");
        finds(
            &places::no_place_of_one_machine("a.toml", &line),
            &format!("a.toml:2: a path into /{folder}"),
        );
        let bare = format!("/{folder}/hare");
        finds(
            &places::no_place_of_one_machine("a.toml", &bare),
            "a.toml:1",
        );
        let inner = format!("docs/{folder}/hare /usr/{folder}/x http://host/{folder}/x /{folder}");
        assert_eq!(
            places::no_place_of_one_machine("a.toml", &inner),
            Findings::new()
        );
    }
}

#[test]
fn no_file_names_a_package_registry() {
    let line = format!("--index-url https://{}.example.org/simple", "pypi");
    finds(&places::no_registry_host("a.txt", &line), "a.txt:1");
    let good = "https://example.org/registry a registry https://docs.rs/x";
    assert_eq!(places::no_registry_host("a.txt", good), Findings::new());
}

#[test]
fn lock_files_do_not_say_where_from() {
    let good = "name = \"a\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    assert_eq!(
        places::cargo_lock_is_standard("Cargo.lock", good),
        Findings::new()
    );
    let other = "source = \"git+https://example.org/a\"\n";
    finds(
        &places::cargo_lock_is_standard("Cargo.lock", other),
        "Cargo.lock:1",
    );

    let lock = "{\n\"integrity\": \"sha512-x\",\n\"resolved\": \"https://example.org/a.tgz\"}";
    finds(
        &places::npm_lock_names_no_host("package-lock.json", lock),
        ":3",
    );
    assert_eq!(
        places::npm_lock_names_no_host("package-lock.json", "{}"),
        Findings::new()
    );
}

#[test]
fn every_rule_is_run() {
    let workspace = Workspace {
        root: PathBuf::from("."),
        target: PathBuf::from("target"),
        members: Vec::new(),
    };
    let bad = "fn f() { todo!() }\nstruct Helper;\nasync fn g() { Instant::now() }\n";
    let text = |path: &str, text: String| (path.to_owned(), text);
    let tree = Tree {
        workspace,
        sources: vec![Source::new("crates/broker/src/queue.rs", bad)],
        texts: vec![
            text("a.toml", format!("/{}/hare", "home")),
            text(held::PAGE, "| so | `conformance::qos::none` |".to_owned()),
            text("b.toml", format!("http://{}.example.org", "pypi")),
            text("package-lock.json", "\"resolved\": 1".to_owned()),
            text(
                "Cargo.lock",
                "source = \"git+https://example.org\"".to_owned(),
            ),
        ],
        map: "`broker/walks.rs`\n".to_owned(),
    };
    let figures = Figures {
        longest_file: 1,
        longest_function: 1,
        ..Figures::default()
    };
    let findings = check(&tree, &figures).unwrap();
    for word in [
        "the table `| crate",
        "the table `| modules",
        "`broker/walks.rs`",
        "is no test",
        "the longest file",
        "`async`",
        "`Instant::now`",
        "does not begin",
        "`Helper`",
        "`todo!`",
        "a path into",
        "the host of",
        "\"resolved\"",
        "Cargo.lock:1",
    ] {
        assert!(
            findings.iter().any(|finding| finding.contains(word)),
            "{word}: {findings:?}"
        );
    }
    assert_eq!(findings.len(), 14, "{findings:?}");
}

#[test]
fn the_lints_of_every_member_are_looked_at() {
    let mut tree = Tree::load().unwrap();
    let own = tree.workspace.root.join("rust-toolchain.toml");
    tree.workspace.members.push(Member {
        manifest: own,
        ..member("stray", &[])
    });
    let findings = check(&tree, &Figures::load(&tree.workspace.root).unwrap()).unwrap();
    assert!(
        findings
            .iter()
            .any(|finding| finding.contains("`stray` has lints of its own"))
    );
}

#[test]
fn what_is_said_to_be_held_is_held_by_tests() {
    let text = "#[test]\nfn one() {\n}\n\n#[test]\nfn two() {\n}\n\nfn three() {\n}\n";
    let text_of = |path: &str| (path == "tests/tests/conformance/qos.rs").then_some(text);
    let findings = |row: &str| {
        let page = format!("| behaviour | held by |\n|---|---|\n{row}\n");
        held::tests_exist(&page, text_of)
    };
    assert_eq!(
        findings("| `#` | `conformance::qos::{one, two}` |"),
        Findings::new()
    );
    assert_eq!(
        findings("| so | `conformance::qos::one` |"),
        Findings::new()
    );
    finds(
        &findings("| so | `conformance::qos::{one, three}` |"),
        "three",
    );
    finds(&findings("| so | `conformance::qos::four` |"), "four");
    finds(&findings("| so | `conformance::get::one` |"), "get::one");
    finds(&findings("| so | |"), "nothing holds this");
}

#[test]
fn modules_use_what_is_below() {
    let map = "\
| modules of `broker`, those above use those below | what they are |
|---|---|
| `shard` | the upper floor |
| `vhost`, `route` | below |

";
    let source = |path: &str, text: &str| Source::new(format!("crates/broker/src/{path}"), text);
    let fine = [
        source("shard/deal.rs", "use crate::vhost::Vhost;"),
        source("vhost.rs", "use crate::route::{Found, route};"),
        source("route.rs", "use crate::error::Error; // not crate::shard"),
        source("vhost/tests.rs", "use crate::shard::Shard;"),
    ];
    assert_eq!(floors::arrows_go_down(map, &fine), Findings::new());

    let upward = [source("vhost/door.rs", "\nuse crate::shard::Shard;")];
    finds(
        &floors::arrows_go_down(map, &upward),
        "vhost/door.rs:2: `vhost` may not use `shard`",
    );
    let unnamed = [source("error.rs", "use crate::route::Found;")];
    finds(&floors::arrows_go_down(map, &unnamed), "`error` may not");
    finds(&floors::arrows_go_down("", &fine), "is not there");
}
