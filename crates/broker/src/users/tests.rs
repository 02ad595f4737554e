//! Logins, hashes that RabbitMQ made, patterns, and changes while others look.

use std::sync::Arc;

use super::*;

// Made by RabbitMQ 3.10.8 from the password `test12`.
const SHA256: &str = "Q2kVY3aRKm4vEKJUJLizBUocGcYt2k9586hPVDiOYGlNZLPX";
const SHA512: &str =
    "L8E0D+eRsaewPYTO56YEqBt9eG8p90PcQU1CEGsnxI9tV1CZrZqQrV1oO0oX76Uo6FK1EiuxoDZ0PauavtwgCzB8QLs=";

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn user(user: &str, password: Option<PasswordHash>) -> User {
    User {
        name: name(user),
        tags: ["monitoring".into()].into(),
        password,
        limits: UserLimits::default(),
    }
}

fn everything() -> Permission {
    Permission::new(".*", ".*", ".*").unwrap()
}

fn users() -> Users {
    let mut directory = UserDirectory::default();
    directory.put_user(user("guest", Some(PasswordHash::new(b"guest"))));
    directory.put_user(user(
        "256",
        PasswordHash::from_base64(SHA256, HashAlgorithm::Sha256).ok(),
    ));
    directory.put_user(user(
        "512",
        PasswordHash::from_base64(SHA512, HashAlgorithm::Sha512).ok(),
    ));
    directory.put_user(user("blank", Some(PasswordHash::new(b""))));
    directory.put_user(user("none", None));
    directory.put_permission(name("guest"), name("/"), everything());
    directory.put_permission(name("ghost"), name("/"), everything());
    Users::new(directory)
}

#[test]
fn logins() {
    let users = users();
    let invalid = |name| format!("user '{name}' - invalid credentials");
    #[rustfmt::skip]
    let table = [
        ("guest", "guest",  true,  Ok(())),
        ("guest", "guest",  false, Err("user 'guest' can only connect via localhost".to_owned())),
        ("guest", "Guest",  true,  Err(invalid("guest"))),
        ("guest", "Guest",  false, Err(invalid("guest"))),
        ("256",   "test12", false, Ok(())),
        ("256",   "test1",  false, Err(invalid("256"))),
        ("512",   "test12", false, Ok(())),
        ("512",   "test13", false, Err(invalid("512"))),
        ("blank", "",       true,  Err(invalid("blank"))),
        ("none",  "",       true,  Err(invalid("none"))),
        // The password behind the stand-in hash opens nothing.
        ("none",  "nobody", true,  Err(invalid("none"))),
        ("ghost", "nobody", true,  Err(invalid("ghost"))),
    ];
    for (name, password, loopback, expected) in table {
        let answer = users.authenticate(name, password.as_bytes(), loopback);
        let answer = answer
            .map(|user| assert_eq!(&*user.name, name))
            .map_err(|r| r.to_string());
        assert_eq!(
            answer, expected,
            "{name} with password '{password}', loopback {loopback}"
        );
    }
}

#[test]
fn any_user_can_be_a_loopback_user() {
    let users = users();
    users.change(|d| d.set_loopback_users(["256".into()]));
    assert!(users.authenticate("guest", b"guest", false).is_ok());
    let refusal = users.authenticate("256", b"test12", false).unwrap_err();
    assert_eq!(refusal, Refusal::LoopbackOnly { user: "256".into() });
}

#[test]
fn hashes_keep_their_text() {
    for (text, algorithm) in [
        (SHA256, HashAlgorithm::Sha256),
        (SHA512, HashAlgorithm::Sha512),
    ] {
        let hash = PasswordHash::from_base64(text, algorithm).unwrap();
        assert_eq!(hash.to_base64(), text);
        assert_eq!(
            HashAlgorithm::from_name(hash.algorithm().name()),
            Ok(algorithm)
        );
        assert!(!format!("{hash:?}").contains("digest"));
    }
    let (a, b) = (PasswordHash::new(b"same"), PasswordHash::new(b"same"));
    assert_ne!(a, b, "each hash has a salt of its own");
    assert!(a.matches(b"same") && b.matches(b"same") && !a.matches(b"Same"));
}

#[test]
fn hashes_that_are_refused() {
    let md5 = HashAlgorithm::from_name("rabbit_password_hashing_md5").unwrap_err();
    let other = HashAlgorithm::from_name("bcrypt").unwrap_err();
    let parse = |text| PasswordHash::from_base64(text, HashAlgorithm::Sha256).unwrap_err();
    #[rustfmt::skip]
    let table = [
        (md5, "MD5 password hashes are not supported: give the user a new password"),
        (other, "unknown password hashing algorithm 'bcrypt'"),
        (parse("%"), "the password hash is not base64"),
        (parse(""), "the password hash has 0 bytes, rabbit_password_hashing_sha256 has 36"),
        (parse("AAA="), "the password hash has 2 bytes, rabbit_password_hashing_sha256 has 36"),
        (parse(SHA512), "the password hash has 68 bytes, rabbit_password_hashing_sha256 has 36"),
    ];
    for (error, expected) in table {
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn patterns() {
    #[rustfmt::skip]
    let table = [
        (".*",           "q",           true),
        (".*",           "",            true),
        ("",             "q",           false),
        ("",             "",            false),
        ("^$",           "q",           false),
        ("^$",           "",            false),
        ("foo",          "a.foo.b",     true),
        ("foo",          "fo",          false),
        ("^foo",         "a.foo",       false),
        ("^foo$",        "foo",         true),
        ("^(a|b)-.*$",   "b-1",         true),
        ("^(a|b)-.*$",   "c-1",         false),
        ("^amq\\.default$", "",         true),
        ("amq.default",  "q",           false),
        ("^ä.$",         "äö",          true),
    ];
    for (pattern, name, expected) in table {
        for access in [Access::Configure, Access::Write, Access::Read] {
            let only = |a| if a == access { pattern } else { "" };
            let permission = Permission::new(
                only(Access::Configure),
                only(Access::Write),
                only(Access::Read),
            )
            .unwrap();
            assert_eq!(
                permission.allows(access, name),
                expected,
                "{pattern} on {name}"
            );
            assert_eq!(permission.pattern(access), pattern);
            let others = [Access::Configure, Access::Write, Access::Read];
            let allowed = others
                .iter()
                .filter(|a| permission.allows(**a, name))
                .count();
            assert_eq!(
                allowed,
                usize::from(expected),
                "{access:?} {pattern} on {name}"
            );
        }
    }
}

#[test]
fn patterns_that_are_refused() {
    for pattern in ["(", "(?!secret).*", r"(a)\1", "(a{1000}){1000}"] {
        let error = Permission::new(".*", pattern, ".*").unwrap_err();
        assert_eq!((error.access, &*error.pattern), (Access::Write, pattern));
        let text = error.to_string();
        assert!(text.starts_with("the write pattern '"), "{text}");
    }
}

#[test]
fn permissions_need_a_user_and_a_vhost() {
    let users = users();
    assert!(users.permissions("guest", "/").is_some());
    assert!(users.permissions("guest", "other").is_none());
    assert!(users.permissions("none", "/").is_none());
    assert!(
        users.permissions("ghost", "/").is_none(),
        "a permission of a user that is not there"
    );
    assert!(users.change(|d| d.remove_permission("guest", "/")));
    assert!(users.permissions("guest", "/").is_none());
}

#[test]
fn a_snapshot_does_not_change() {
    let users = users();
    let before = users.snapshot();
    assert!(users.change(|d| d.remove_user("guest")));
    assert!(!users.change(|d| d.remove_user("guest")));
    assert!(
        before
            .user("guest")
            .is_some_and(|u| u.has_tag("monitoring") && !u.has_tag("mon"))
    );
    assert!(before.permission("guest", "/").is_some());
    assert!(users.user("guest").is_none());
    users.change(|d| d.put_user(user("guest", None)));
    assert!(
        users.permissions("guest", "/").is_none(),
        "permissions went with the user"
    );
    assert_eq!(users.snapshot().users().count(), before.users().count());
}

#[test]
fn changes_are_not_lost() {
    let users = Arc::new(Users::default());
    std::thread::scope(|scope| {
        for t in 0..4 {
            let users = users.clone();
            scope.spawn(move || {
                for n in 0..50 {
                    users.change(|d| d.put_user(user(&format!("{t}-{n}"), None)));
                }
            });
        }
    });
    assert_eq!(users.snapshot().users().count(), 200);
}
