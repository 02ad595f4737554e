//! Users, tags, permissions, topic permissions, limits: who gets in, what each may do, and that changes reach live connections.

use amq_protocol::protocol::{basic, channel, connection, queue};
use amq_protocol::types::FieldTable;
use leveret_tests::broker;
use leveret_tests::client::{Connection, Login};
use leveret_tests::http::Http;
use serde_json::json;

use super::{api, unique};

/// A user with a password `p`, these tags, and these three patterns in `/`.
fn user(tags: &str, permission: Option<[&str; 3]>) -> String {
    let (api, name) = (api(), unique("user"));
    let put = api.put(
        &format!("/users/{name}"),
        &json!({"password": "p", "tags": tags}),
    );
    assert_eq!(put.0, 201);
    if let Some([configure, write, read]) = permission {
        let patterns = json!({"configure": configure, "write": write, "read": read});
        assert_eq!(
            api.put(&format!("/permissions/%2F/{name}"), &patterns).0,
            201
        );
    }
    name
}

fn login(user: &str, vhost: &str) -> Login {
    Login {
        response: format!("\0{user}\0p").into_bytes(),
        vhost: vhost.to_owned(),
        ..Login::default()
    }
}

fn connect(user: &str) -> Connection {
    Connection::open_at(broker::own().amqp, &login(user, "/"))
}

fn as_user(user: &str) -> Http {
    Http::new(broker::own().management, user, "p")
}

fn declare(name: &str) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    }
}

#[test]
fn a_login_that_fails_is_401_and_asks_for_another_one() {
    let name = user("administrator", None);
    let wrong = Http::new(broker::own().management, &name, "wrong");
    let refused = json!({"error": "not_authorized", "reason": "Login failed"});
    assert_eq!(wrong.try_get("/overview"), (401, refused));
    assert_eq!(as_user(&name).try_get("/overview").0, 200);
}

#[test]
fn tags_say_what_a_user_sees_and_changes() {
    let nobody = as_user(&user("", Some([".*"; 3])));
    assert_eq!(nobody.try_get("/whoami").0, 401);

    let mine = user("management", Some([".*"; 3]));
    let management = as_user(&mine);
    assert_eq!(management.get("/whoami")["name"], mine.as_str());
    assert_eq!(management.try_get("/users").0, 401);
    assert_eq!(management.try_get("/nodes").0, 401);
    let policy = json!({"pattern": "^nothing$", "definition": {"expires": 1000}});
    let path = format!("/policies/%2F/{}", unique("policy"));
    assert_eq!(management.put(&path, &policy).0, 401);

    // Parameters may have secrets in them.
    for secret in [
        "/parameters",
        "/global-parameters",
        "/definitions",
        "/definitions/%2F",
    ] {
        assert_eq!(management.try_get(secret).0, 401, "{secret}");
    }
    let document = json!({"queues": []});
    assert_eq!(management.post("/definitions/%2F", &document).status, 401);

    let policymaker = as_user(&user("policymaker", Some([".*"; 3])));
    assert_eq!(policymaker.try_get("/parameters").0, 200);
    assert_eq!(policymaker.post("/definitions/%2F", &document).status, 401);
    assert_eq!(policymaker.put(&path, &policy).0, 201);
    assert_eq!(policymaker.delete(&path), 204);
    assert_eq!(policymaker.put("/vhosts/never", &json!({})).0, 401);
    let operator = path.replace("policies", "operator-policies");
    assert_eq!(policymaker.put(&operator, &policy).0, 401);

    let monitor = as_user(&user("monitoring", None));
    assert_eq!(monitor.try_get("/nodes").0, 200);
    assert_eq!(monitor.put(&path, &policy).0, 401);
}

#[test]
fn connections_are_closed_by_their_own_users_and_administrators() {
    let name = user("management", Some([".*"; 3]));
    let connection = connect(&name);
    connection.channel(1).sync();
    let path = format!("/connections/username/{name}");
    let monitor = as_user(&user("monitoring", None));
    let listed = monitor.get(&path);
    let own = listed[0]["name"].as_str().expect("it is open");
    let one = own.replace(' ', "%20").replace('>', "%3E");
    assert_eq!(monitor.delete(&format!("/connections/{one}")), 401);
    assert_eq!(monitor.delete(&path), 401);
    assert_eq!(as_user(&name).delete(&path), 204);
    connection.expect_close(320, "CONNECTION_FORCED - Closed via management plugin");
}

#[test]
fn vhosts_that_one_may_not_enter_are_not_seen() {
    let (vhost, outsider) = (unique("vhost"), user("management", Some([".*"; 3])));
    assert_eq!(api().put(&format!("/vhosts/{vhost}"), &json!({})).0, 201);
    let seen = as_user(&outsider).get("/vhosts");
    let names: Vec<_> = seen
        .as_array()
        .unwrap()
        .iter()
        .map(|v| &v["name"])
        .collect();
    assert!(
        names.contains(&&json!("/")) && !names.contains(&&json!(vhost)),
        "{names:?}"
    );
    assert_eq!(
        as_user(&outsider).try_get(&format!("/queues/{vhost}")).0,
        401
    );
    assert_eq!(api().delete(&format!("/vhosts/{vhost}")), 204);
}

#[test]
fn what_is_done_over_http_needs_the_permissions_of_a_client() {
    let reader = as_user(&user("management", Some(["", "", ".*"])));
    let queue = format!("/queues/%2F/{}", unique("queue"));
    assert_eq!(reader.put(&queue, &json!({})).0, 401);
    assert_eq!(api().put(&queue, &json!({})).0, 201);
    assert_eq!(reader.delete(&queue), 401);
    let message = json!({
        "properties": {}, "routing_key": "x", "payload": "", "payload_encoding": "string",
    });
    let refused = reader.post("/exchanges/%2F/amq.direct/publish", &message);
    // Not 401: as in RabbitMQ.
    assert_eq!(refused.status, 400);
    let reason = refused.body["reason"].as_str().expect("a text");
    assert!(
        reason.starts_with("403 ACCESS_REFUSED - write access to"),
        "{reason}"
    );
    assert_eq!(reader.delete(&format!("{queue}/contents")), 204);
    assert_eq!(api().delete(&queue), 204);
}

#[test]
fn a_change_of_permissions_reaches_live_connections() {
    let name = user("", Some([".*"; 3]));
    let connection = connect(&name);
    let queue = unique("queue");
    let channel = connection.channel(1);
    channel.call(declare(&queue));
    channel.confirm_select();
    channel.publish("", &queue, "one");
    channel.confirms(1);

    let path = format!("/permissions/%2F/{name}");
    let patterns = json!({"configure": ".*", "write": "", "read": ".*"});
    assert_eq!(api().put(&path, &patterns).0, 204);
    // The route was remembered, and is not any more.
    channel.publish("", &queue, "two");
    let refused = format!(
        "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user '{name}'"
    );
    channel.expect_close(403, &refused);
    channel.reopen();
    assert_eq!(channel.ready(&queue), 1);

    assert_eq!(api().delete(&path), 204);
    let refused = format!(
        "ACCESS_REFUSED - read access to queue '{queue}' in vhost '/' refused for user '{name}'"
    );
    let get = basic::Get {
        queue: queue.as_str().into(),
        no_ack: true,
    };
    channel.fails(get, 403, &refused);
    assert_eq!(api().try_get(&path).0, 404);
}

#[test]
fn topic_permissions_are_checked_for_publishing_and_binding() {
    let name = user("", Some([".*"; 3]));
    let connection = connect(&name);
    let channel = connection.channel(1);
    let (queue, exchange) = (channel.queue(), channel.exchange("topic"));
    channel.publish(&exchange, "other.a", "");
    channel.sync();
    let path = format!("/topic-permissions/%2F/{name}");
    let patterns = json!({"exchange": exchange, "write": "^{username}\\.", "read": "^public\\."});
    assert_eq!(api().put(&path, &patterns).0, 201);
    assert_eq!(api().put(&path, &patterns).0, 204);
    assert_eq!(api().get(&path)[0]["write"], "^{username}\\.");

    channel.bind(&queue, &exchange, "public.#");
    channel.publish(&exchange, &format!("{name}.a"), "");
    channel.sync();
    channel.publish(&exchange, "other.a", "");
    let refused = format!(
        "ACCESS_REFUSED - write access to topic 'other.a' in exchange '{exchange}' in vhost '/' refused for user '{name}'"
    );
    channel.expect_close(403, &refused);
    channel.reopen();
    let bind = queue::Bind {
        queue: queue.as_str().into(),
        exchange: exchange.as_str().into(),
        routing_key: "secret.#".into(),
        nowait: false,
        arguments: FieldTable::default(),
    };
    let refused = format!(
        "ACCESS_REFUSED - read access to topic 'secret.#' in exchange '{exchange}' in vhost '/' refused for user '{name}'"
    );
    channel.fails(bind, 403, &refused);

    assert_eq!(api().delete(&format!("{path}/{exchange}")), 204);
    channel.reopen();
    channel.publish(&exchange, "other.a", "");
    channel.bind(&queue, &exchange, "secret.#");
    assert_eq!(api().try_get(&path).0, 404);
}

#[test]
fn a_deleted_user_is_logged_out() {
    let name = user("", Some([".*"; 3]));
    let connection = connect(&name);
    connection.channel(1).sync();
    assert_eq!(api().delete(&format!("/users/{name}")), 204);
    connection.expect_close(
        320,
        &format!("CONNECTION_FORCED - user '{name}' is deleted"),
    );
    assert_eq!(api().delete(&format!("/users/{name}")), 404);
    Connection::started(&login(&name, "/")).expect_close(
        403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
         For details see the broker logfile.",
    );
}

#[test]
fn a_new_password_counts_at_once() {
    let name = user("", Some([".*"; 3]));
    let path = format!("/users/{name}");
    // The hash of `test12`, as RabbitMQ made it.
    let hash = "Q2kVY3aRKm4vEKJUJLizBUocGcYt2k9586hPVDiOYGlNZLPX";
    let change = json!({"password_hash": hash, "tags": ["a", "b"]});
    assert_eq!(api().put(&path, &change).0, 204);
    let told = api().get(&path);
    assert_eq!(
        (&told["password_hash"], &told["tags"]),
        (&json!(hash), &json!(["a", "b"]))
    );
    let with = |password: &str| Login {
        response: format!("\0{name}\0{password}").into_bytes(),
        ..Login::default()
    };
    Connection::open_at(broker::own().amqp, &with("test12")).close();
    let unusable = json!({"password_hash": "no base64!", "tags": ""});
    assert_eq!(api().put(&path, &unusable).0, 400);
    assert_eq!(
        api().put(&path, &json!({"password": "x"})).0,
        400,
        "tags are missing"
    );
}

#[test]
fn limits_of_users_and_vhosts_hold() {
    let name = user("", Some([".*"; 3]));
    let limit = |limit: &str, value: i64| {
        let path = format!("/user-limits/{name}/{limit}");
        assert_eq!(api().put(&path, &json!({"value": value})).0, 204);
    };
    limit("max-connections", 1);
    limit("max-channels", 1);
    assert_eq!(
        api().get(&format!("/user-limits/{name}"))[0]["value"],
        json!({"max-connections": 1, "max-channels": 1})
    );
    let connection = connect(&name);
    let refused = format!(
        "NOT_ALLOWED - connection refused for user '{name}': user connection limit (1) is reached"
    );
    let second = Connection::tuned(&login(&name, "/"));
    second.send(
        0,
        connection::Open {
            virtual_host: "/".into(),
        },
    );
    second.expect_close(530, &refused);
    connection.channel(1).sync();
    connection.send(2, channel::Open {});
    let refused = format!(
        "NOT_ALLOWED - number of channels opened for user '{name}' has reached the maximum allowed user limit of (1)"
    );
    connection.expect_close(530, &refused);

    let vhost = unique("vhost");
    assert_eq!(api().put(&format!("/vhosts/{vhost}"), &json!({})).0, 201);
    let path = format!("/vhost-limits/{vhost}/max-queues");
    assert_eq!(api().put(&path, &json!({"value": 1})).0, 204);
    let guest = Login {
        vhost: vhost.clone(),
        ..Login::default()
    };
    let connection = Connection::open_at(broker::own().amqp, &guest);
    let channel = connection.channel(1);
    channel.call(declare("first"));
    let refused = format!(
        "PRECONDITION_FAILED - cannot declare queue 'second': queue limit in vhost '{vhost}' (1) is reached"
    );
    channel.fails(declare("second"), 406, &refused);
    assert_eq!(api().delete(&path), 204);
    assert_eq!(api().get(&format!("/vhost-limits/{vhost}")), json!([]));
    assert_eq!(api().delete(&format!("/vhosts/{vhost}")), 204);
    connection.expect_close(
        320,
        &format!("CONNECTION_FORCED - vhost '{vhost}' is deleted"),
    );
}
