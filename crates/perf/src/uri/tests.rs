//! URIs whole and in parts.

use super::{Uri, UriError};

fn read(text: &str) -> Uri {
    text.parse().expect("a URI")
}

#[test]
fn every_part_is_read() {
    let uri = Uri {
        host: "mq.example".to_owned(),
        port: 5673,
        user: "a@b".to_owned(),
        password: "s:/".to_owned(),
        vhost: "a/b".to_owned(),
    };
    assert_eq!(read("amqp://a%40b:s%3a%2F@mq.example:5673/a%2fb"), uri);
}

#[test]
fn what_is_left_out_is_the_default() {
    assert_eq!(read("amqp://"), Uri::default());
    assert_eq!(read("amqp:///"), Uri::default());
    assert_eq!(read("amqp://127.0.0.1/%2f?heartbeat=1"), Uri::default());
    assert_eq!(read("amqp://[::1]").host, "::1");
    assert_eq!(read("amqp://[::1]:1/v").port, 1);
    assert_eq!(read("amqp://anna@host").user, "anna");
}

#[test]
fn what_is_none_is_told() {
    let refused = |text: &str| text.parse::<Uri>().expect_err("no URI");
    assert_eq!(refused("amqps://host"), UriError::Scheme);
    assert_eq!(refused("amqp://host:70000"), UriError::Port);
    assert_eq!(refused("amqp://host/%2"), UriError::Escape);
    assert_eq!(refused("amqp://host/%zz"), UriError::Escape);
    assert_eq!(refused("amqp://host/%ff"), UriError::Escape);
    let long = format!("amqp://host/{}", "v".repeat(256));
    assert_eq!(refused(&long), UriError::Vhost);
}
