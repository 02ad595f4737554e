//! Exchanges that pick one destination for a message: what of the message decides, and which routes may be remembered.

use super::*;

/// A vhost with an exchange `x` and four queues bound to it.
fn bound(kind: ExchangeKind, arguments: &[(&str, &str)]) -> Arc<Vhost> {
    let vhost = vhost();
    let mut writer = TableWriter::new();
    for (name, value) in arguments {
        writer.put(name, *value);
    }
    let declaration = ExchangeDeclaration {
        name: Name::new("x").unwrap(),
        kind,
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: writer.finish(),
    };
    vhost.declare_exchange(declaration).unwrap();
    for name in ["a", "b", "c", "d"] {
        queue(&vhost, name);
        let key = if kind == ExchangeKind::LocalRandom {
            ""
        } else {
            "1"
        };
        bind(&vhost, "x", key, name);
    }
    vhost
}

/// To which queue a message goes; the route may be remembered where that is so for all of its key.
fn picked(vhost: &Vhost, keys: &[&[u8]], properties: &[u8], chance: u64) -> (String, bool) {
    let message = Routed {
        properties: Properties::parse(properties).unwrap(),
        chance,
        ..routed(keys)
    };
    let reached = route(vhost, &vhost.exchange("x").unwrap(), &message);
    let [queue] = &reached.queues[..] else {
        panic!("{} queues", reached.queues.len());
    };
    (queue.name().to_string(), reached.fleeting)
}

/// To how many queues messages go that differ as told.
fn reach(message: impl Fn(u64) -> String) -> usize {
    let names = (0..100).map(message);
    names.collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn a_hash_of_the_routing_key_is_remembered() {
    for kind in [ExchangeKind::ConsistentHash, ExchangeKind::ModulusHash] {
        let vhost = bound(kind, &[]);
        let to = |n: u64, chance| picked(&vhost, &[n.to_string().as_bytes()], &[0, 0], chance);
        assert_eq!(reach(|n| to(n, n).0), 4);
        assert_eq!(to(1, 1), to(1, 2));
        assert!(!to(1, 1).1);
    }
}

#[test]
fn further_keys_count_in_a_modulus_hash_only() {
    let to = |kind, n: u64| {
        let vhost = bound(kind, &[]);
        picked(&vhost, &[b"k", n.to_string().as_bytes()], &[0, 0], 0).0
    };
    assert_eq!(reach(|n| to(ExchangeKind::ConsistentHash, n)), 1);
    assert_eq!(reach(|n| to(ExchangeKind::ModulusHash, n)), 4);
}

#[test]
fn a_header_decides_where_the_exchange_says_so() {
    let vhost = bound(ExchangeKind::ConsistentHash, &[("hash-header", "user")]);
    let to = |key: &str, user: Option<Value<'_>>| {
        let mut headers = TableWriter::new();
        if let Some(user) = user {
            headers.put("user", user);
        }
        let headers = headers.finish();
        let properties = PropertiesWriter {
            headers: Some(headers.view()),
            ..Default::default()
        };
        let properties = properties.to_bytes().unwrap();
        picked(&vhost, &[key.as_bytes()], &properties, 0)
    };
    assert_eq!(reach(|n| to("k", Some(Value::Long(n as i64))).0), 4);
    assert_eq!(reach(|n| to(&n.to_string(), Some(Value::Long(1))).0), 1);
    assert_eq!(reach(|n| to(&n.to_string(), None).0), 1);
    assert_eq!(to("k", Some(Value::Long(7))), to("k", Some(Value::Byte(7))));
    assert!(to("k", None).1);
}

#[test]
fn a_property_decides_where_the_exchange_says_so() {
    let to = |property: &str, n: u64| {
        let vhost = bound(ExchangeKind::ConsistentHash, &[("hash-property", property)]);
        let text = n.to_string();
        let mut properties = PropertiesWriter::default();
        match property {
            "message_id" => properties.message_id = Some(text.as_bytes()),
            "correlation_id" => properties.correlation_id = Some(text.as_bytes()),
            _ => properties.timestamp = Some(n),
        }
        let properties = properties.to_bytes().unwrap();
        picked(&vhost, &[b"k"], &properties, 0)
    };
    for property in ["message_id", "correlation_id", "timestamp"] {
        assert_eq!(reach(|n| to(property, n).0), 4, "{property}");
        assert_eq!(to(property, 7), to(property, 7));
        assert!(to(property, 7).1);
    }
}

#[test]
fn chance_decides_where_nothing_else_does() {
    for kind in [ExchangeKind::Random, ExchangeKind::LocalRandom] {
        let vhost = bound(kind, &[]);
        let mut chances = pick::Chances::new(1);
        let numbers: Vec<u64> = (0..100).map(|_| chances.draw()).collect();
        let to = |n: u64| picked(&vhost, &[b"k"], &[0, 0], numbers[n as usize]);
        assert_eq!(reach(|n| to(n).0), 4);
        assert!(to(0).1);
    }
}

#[test]
fn an_alternate_gets_what_an_exchange_without_bindings_cannot_pick_for() {
    let vhost = vhost();
    exchange(&vhost, "x", ExchangeKind::Random, Some("amq.fanout"));
    queue(&vhost, "q");
    bind(&vhost, "amq.fanout", "", "q");
    assert_eq!(picked(&vhost, &[b"k"], &[0, 0], 0).0, "q");
}
