//! Tests of reading what cargo and git say.

use super::*;

const METADATA: &str = r#"{
  "workspace_root": "/src/hare", "target_directory": "/src/hare/target",
  "packages": [
    {"name": "leveret-amqp", "manifest_path": "/src/hare/crates/amqp/Cargo.toml", "dependencies": [
      {"name": "leveret-wire", "kind": null, "path": "/src/hare/crates/wire"},
      {"name": "leveret-store", "kind": "build", "path": "/src/hare/crates/store"},
      {"name": "leveret", "kind": "dev", "path": "/src/hare/crates/leveret"},
      {"name": "tokio", "kind": null}
    ]}
  ]
}"#;

#[test]
fn members_are_known_by_their_folders_and_what_they_are_built_from() {
    let workspace = Workspace::parse(METADATA).unwrap();
    assert_eq!(workspace.root, Path::new("/src/hare"));
    assert_eq!(workspace.target, Path::new("/src/hare/target"));
    let amqp = &workspace.members[0];
    assert_eq!(amqp.folder, "amqp");
    assert_eq!(amqp.uses, ["wire", "store"]);
}

#[test]
fn an_answer_that_is_no_metadata_is_an_error() {
    assert!(Workspace::parse("error: no manifest").is_err());
    assert!(Workspace::parse("{}").is_err());
}

#[test]
fn the_files_of_this_repository_include_this_one_and_nothing_that_was_built() {
    let files = Workspace::load().unwrap().files().unwrap();
    assert!(
        files
            .iter()
            .any(|file| file == "crates/xtask/src/workspace/tests.rs")
    );
    assert!(!files.iter().any(|file| file.starts_with("target/")));
}
