//! Tests of putting things in place, as far as they need no network and no root.

use std::path::PathBuf;

use super::*;

/// A folder under the target folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let target = Workspace::load().unwrap().target;
        let folder = target
            .join("xtask-tests")
            .join(format!("{name}-{}", std::process::id()));
        remove_folder(&folder).unwrap();
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = remove_folder(&self.0);
    }
}

#[test]
fn what_was_installed_from_another_list_is_installed_anew() {
    let folder = Folder::new("stamp");
    let (installed, list) = (folder.0.join("installed"), folder.0.join("list.txt"));
    assert!(
        is_stamped(&installed, &list).is_err(),
        "a list that is not there is no list"
    );

    fs::write(&list, "pika==1\n").unwrap();
    assert_eq!(is_stamped(&installed, &list), Ok(false));
    stamp(&installed, &list).unwrap();
    assert_eq!(is_stamped(&installed, &list), Ok(true));
    fs::write(&list, "pika==2\n").unwrap();
    assert_eq!(is_stamped(&installed, &list), Ok(false));
}

#[test]
fn what_is_left_out_says_why_and_which_tests_need_it() {
    let tools = PACKAGES.iter().find(|one| one.package == "amqp-tools");
    let left_out = tools.unwrap().left_out("installing it needs root");
    assert_eq!(
        left_out.reason,
        "amqp-tools: no `amqp-publish`, and installing it needs root"
    );
    assert_eq!(left_out.tests, "interop::amqp_tools");
    assert_eq!(left_out.lack, Lack::Program);
}

#[test]
fn a_folder_that_is_not_there_need_not_be_removed() {
    let folder = Folder::new("remove");
    fs::write(folder.0.join("file"), "x").unwrap();
    remove_folder(&folder.0).unwrap();
    assert!(!folder.0.exists());
    assert_eq!(remove_folder(&folder.0), Ok(()));
}
