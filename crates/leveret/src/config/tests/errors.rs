//! Errors: each names where the mistake was written.

use clap::Parser;

use super::load_with;
use crate::arguments::Arguments;

/// A file, and how the error for it begins.
const FILES: &[(&str, &str)] = &[
    // Keys that are not known, at every depth.
    ("\nvhost = []", "test.toml:2: vhost: unknown field `vhost`"),
    (
        "[limits]\n\nframe_maxx = 1",
        "test.toml:3: limits.frame_maxx: unknown field",
    ),
    (
        "limits = { frame_maxx = 1 }",
        "test.toml:1: limits.frame_maxx: unknown field",
    ),
    ("[limit]\na = 1", "test.toml:1: limit: unknown field"),
    (
        "[[users]]\nname='a'\n[[users]]\nname='b'\npass='x'",
        "test.toml:5: users[1].pass: unknown",
    ),
    (
        "[[users]]\nname='a'\n[[users.permissions]]\nvhost='/'\nreed=''",
        "test.toml:5: users[0].permissions[0].reed: unknown field",
    ),
    // Values of another type, or none of those there are.
    (
        "[limits]\nframe_max = 'big'",
        "test.toml:2: limits.frame_max: invalid type: string",
    ),
    (
        "[limits]\nframe_max = -1",
        "test.toml:2: limits.frame_max: invalid value",
    ),
    (
        "[limits]\nchannel_max = 65536",
        "test.toml:2: limits.channel_max: invalid value",
    ),
    (
        "[log]\nformat = 'xml'",
        "test.toml:2: log.format: unknown variant `xml`, expected `human`",
    ),
    (
        "[log]\n\n\nlevel = 3",
        "test.toml:4: log.level: invalid type: integer `3`",
    ),
    (
        "[listeners]\namqp = [\n  '127.0.0.1:5672',\n  'localhost:5672',\n]",
        "test.toml:2: listeners.amqp: `localhost:5672` is not an address; write IP:PORT",
    ),
    (
        "[[users]]\ntags = []",
        "test.toml:1: users[0]: missing field `name`",
    ),
    (
        "[[users]]\nname='a'\n[[users.permissions]]\nvhost='/'",
        "test.toml:3: users[0].permissions[0]: missing field `configure`",
    ),
    // Values that make no sense.
    (
        "[limits]\nframe_max = 100",
        "test.toml:2: limits.frame_max: 100 is not within 4096 and",
    ),
    (
        "[limits]\nmax_message_size = 100000000\nunfinished_content_bytes_max = 1",
        "test.toml:3: limits.unfinished_content_bytes_max: 1 is not within 100000000 and",
    ),
    (
        "[limits]\nmax_message_size = 100000000",
        "test.toml:1: limits.unfinished_content_bytes_max: 67108864 is not within 100000000",
    ),
    (
        "[log]\nlevel = 'loud'",
        "test.toml:2: log.level: `loud` is not a level; levels are off,",
    ),
    (
        "[log]\nlevel = 'info,=debug'",
        "test.toml:2: log.level: `=debug` names no part",
    ),
    (
        "[compat]\nversion = '4'",
        "test.toml:2: compat.version: a version is three numbers",
    ),
    (
        "[listeners]\namqp = []",
        "test.toml:2: listeners.amqp: at least one address",
    ),
    (
        "[listeners]\nmanagement = [\n'unix:/a']",
        "test.toml:3: listeners.management[0]: HTTP is served on IP addresses only",
    ),
    (
        "vhosts = ['/', '']",
        "test.toml:1: vhosts[1]: a name has 1 to 255 bytes",
    ),
    (
        "vhosts = ['/',\n'/']",
        "test.toml:2: vhosts[1]: vhost `/` is there twice",
    ),
    (
        "[[users]]\nname='a'\n[[users]]\nname='a'",
        "test.toml:4: users[1].name: user `a` is there twice",
    ),
    (
        "[[users]]\nname='a'\npassword='b'\npassword_hash='c'",
        "test.toml:4: users[0].password_hash: there is a password as well",
    ),
    (
        "[[users]]\nname='a'\npassword_hash='?'",
        "test.toml:3: users[0].password_hash: the password hash is not base64",
    ),
    (
        "[[users]]\nname='a'\n[[users.permissions]]\nvhost='b'\nconfigure=''\nwrite=''\nread=''",
        "test.toml:4: users[0].permissions[0].vhost: there is no vhost `b`",
    ),
    (
        "[[users]]\nname='a'\n[[users.permissions]]\nvhost='/'\nconfigure=''\nwrite='('\nread=''",
        "test.toml:6: users[0].permissions[0].write: ",
    ),
    // Text that is not TOML.
    (
        "[limits]\nframe_max = 1 2",
        "test.toml:2: limits.frame_max: ",
    ),
    (
        "[limits]\nheartbeat = 1\nheartbeat = 2",
        "test.toml:3: limits.heartbeat: duplicate key",
    ),
    ("\nvhosts = [", "test.toml:2: vhosts: "),
    ("what is this", "test.toml:1: "),
];

/// The error for a file, without the folder it is in.
fn file_error(text: &str) -> String {
    let error = load_with(Some(text), &[], &[]).unwrap_err().to_string();
    let at = error
        .find("test.toml")
        .unwrap_or_else(|| panic!("{error} names no file"));
    error[at..].to_owned()
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load_with(None, &[("LEVERET_CONFIG", "/nowhere/a.toml")], &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("/nowhere/a.toml: "),
        "{error}"
    );
}

#[test]
fn errors_of_a_file_name_line_and_key() {
    for (text, expected) in FILES {
        let error = file_error(text);
        assert!(
            error.starts_with(expected),
            "{text}\n got: {error}\nwant: {expected}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn errors_of_the_environment_name_the_variable() {
    let cases = [
        (
            "LEVERET_LIMITS_FRAME_MAX",
            "big",
            "`big` is not a whole number",
        ),
        (
            "LEVERET_LIMITS_CHANNEL_MAX",
            "70000",
            "invalid value: integer `70000`",
        ),
        ("LEVERET_LIMITS_FRAME_MAX", "1", "1 is not within 4096 and"),
        ("LEVERET_LOG_FORMAT", "xml", "unknown variant `xml`"),
        ("LEVERET_AMQP_LISTEN", "5672", "`5672` is not an address"),
        ("LEVERET_LOG_LEVEL", "loud", "`loud` is not a level"),
    ];
    for (variable, value, reason) in cases {
        let error = load_with(None, &[(variable, value)], &[])
            .unwrap_err()
            .to_string();
        let expected = format!("environment variable {variable}: {reason}");
        assert!(error.starts_with(&expected), "got {error}, want {expected}");
    }
    let long = "x".repeat(256);
    for variable in ["RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_VHOST"] {
        let error = load_with(None, &[(variable, &long)], &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("environment variable {variable}: ")),
            "{error}"
        );
    }
}

#[test]
fn flags_that_make_no_sense_are_errors() {
    for flags in [
        ["--amqp-listen", "localhost:5672"],
        ["--management-listen", "15672"],
        ["--log-format", "xml"],
        ["--frame-max", "1"],
    ] {
        let arguments = ["leveret"].into_iter().chain(flags);
        let error = Arguments::try_parse_from(arguments)
            .unwrap_err()
            .to_string();
        assert!(error.contains(flags[0]), "{error}");
    }
    let error = load_with(None, &[], &["--log-level", "loud"])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("log.level: `loud` is not a level"),
        "{error}"
    );
}
