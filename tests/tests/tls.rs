//! AMQP and the management API over TLS, logins by certificate, certificates that change, connections through proxies.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use amq_protocol::protocol::{basic, connection};
use leveret_tests::address::HeldAddress;
use leveret_tests::broker::{self, Broker};
use leveret_tests::client::{Connection, Login};
use leveret_tests::http::Http;
use leveret_tests::tls::{Authority, bridge};
use serde_json::json;

/// Nothing that is waited for takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// The host that the broker's certificate is for.
const HOST: &str = "broker.example";

/// A broker with TLS, and where it speaks that.
struct Encrypted {
    authority: Authority,
    broker: Broker,
    amqps: HeldAddress,
    https: HeldAddress,
    /// Keeps the configuration.
    _config: tempfile::NamedTempFile,
}

impl Encrypted {
    /// With more lines in the section `[tls]`.
    fn start(tls: &str) -> Self {
        let authority = Authority::new();
        let shown = authority.issue(HOST);
        let (amqps, https) = (HeldAddress::new(), HeldAddress::new());
        let config = tempfile::NamedTempFile::with_suffix(".toml").expect("a temporary file");
        let text = format!(
            "listeners.amqps = [\"{}\"]\nlisteners.management_tls = [\"{}\"]\n[tls]\ncert_file = {:?}\nkey_file = {:?}\n\
             ca_file = {:?}\n{tls}\n",
            *amqps,
            *https,
            shown.certificate,
            shown.key,
            authority.file(),
        );
        fs::write(config.path(), text).expect("a file of ours");
        let path = config.path().to_str().expect("a plain path");
        Self {
            broker: Broker::start(&broker::binary(), &["--config", path]),
            authority,
            amqps,
            https,
            _config: config,
        }
    }

    /// Where a client without TLS reaches it, showing a certificate of that name if there is one.
    fn reached_as(&self, name: Option<&str>) -> SocketAddr {
        let shown = name.map(|name| self.authority.issue(name));
        bridge(*self.amqps, HOST, self.authority.client(shown.as_ref()))
    }

    /// The management API over TLS, as [`Encrypted::reached_as`].
    fn https_as(&self, name: Option<&str>) -> SocketAddr {
        let shown = name.map(|name| self.authority.issue(name));
        bridge(*self.https, HOST, self.authority.client(shown.as_ref()))
    }

    /// Replaces the broker's certificate by one of another authority, which is returned.
    fn replace_certificate(&self) -> Authority {
        let other = Authority::new();
        let shown = other.issue(HOST);
        let old = self.authority.issue("unused");
        let place = old.certificate.with_file_name(format!("{HOST}.pem"));
        fs::copy(shown.key, place.with_extension("key")).expect("a file of ours");
        fs::copy(shown.certificate, &place).expect("a file of ours");
        other
    }

    fn api(&self) -> Http {
        Http::guest(self.broker.management)
    }
}

fn external() -> Login {
    Login {
        mechanism: "EXTERNAL".to_owned(),
        response: Vec::new(),
        ..Login::default()
    }
}

#[test]
fn messages_of_any_size_go_through_and_the_connection_is_told_as_encrypted() {
    let encrypted = Encrypted::start("");
    let connection = Connection::open_at(encrypted.reached_as(None), &Login::default());
    let channel = connection.channel(1);
    let queue = channel.queue();
    channel.consume_no_ack(&queue);
    for size in [0, 1, 16_384, 1 << 20, 5 << 20] {
        let body = "x".repeat(size);
        channel.publish("", &queue, &body);
        let delivered = channel.deliver();
        assert_eq!(delivered.text().len(), size);
        assert_eq!(delivered.text(), body);
    }
    let told = &encrypted.api().get("/connections")[0];
    assert_eq!(
        (&told["ssl"], &told["ssl_protocol"]),
        (&json!(true), &json!("tlsv1.3"))
    );
    assert_eq!(told["auth_mechanism"], "PLAIN");
    let listeners = &encrypted.api().get("/overview")["listeners"];
    let mut listeners = listeners.as_array().expect("a list").iter();
    let found = listeners
        .find(|one| one["protocol"] == "amqp/ssl")
        .expect("it is told");
    assert_eq!(found["port"], encrypted.amqps.port());
    let expiration = |within: &str| {
        let check = format!("/health/checks/certificate-expiration/{within}/years");
        encrypted.api().try_get(&check).0
    };
    assert_eq!((expiration("1"), expiration("100000")), (200, 503));
}

#[test]
fn a_client_that_speaks_no_tls_is_closed() {
    let encrypted = Encrypted::start("");
    let raw = Connection::raw_at(*encrypted.amqps);
    raw.send_bytes(b"AMQP\0\0\x09\x01");
    raw.read_to_end();
    // The others go on.
    Connection::open_at(encrypted.reached_as(None), &Login::default()).close();
}

#[test]
fn a_certificate_logs_in_by_external_as_the_user_that_it_names() {
    let encrypted = Encrypted::start("client_certificates = \"optional\"");
    let put = encrypted
        .api()
        .put("/users/anna", &json!({"tags": "management"}));
    assert_eq!(put.0, 201);
    let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
    assert_eq!(
        encrypted.api().put("/permissions/%2F/anna", &everything).0,
        201
    );
    let as_anna = encrypted.reached_as(Some("anna"));
    let connection = Connection::open_at(as_anna, &external());
    connection.channel(1).sync();
    let told = &encrypted.api().get("/connections")[0];
    assert_eq!(
        (&told["user"], &told["auth_mechanism"]),
        (&json!("anna"), &json!("EXTERNAL"))
    );
    assert_eq!(told["peer_cert_subject"], "CN=anna,O=example");

    // One whose user is not there, and one that shows none.
    let refused = "ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL. \
                   For details see the broker logfile.";
    let nobody = Connection::raw_at(encrypted.reached_as(Some("nobody")));
    started(&nobody, &external()).expect_close(403, refused);
    let without = Connection::raw_at(encrypted.reached_as(None));
    let start = started(&without, &external());
    start.expect_close(
        503,
        "COMMAND_INVALID - unknown authentication mechanism 'EXTERNAL'",
    );
    Connection::open_at(encrypted.reached_as(None), &Login::default()).close();
}

/// Logs in as far as `start-ok`; the mechanisms have to be those.
fn started(raw: &Connection, login: &Login) -> Connection {
    raw.send_bytes(b"AMQP\0\0\x09\x01");
    raw.expect::<connection::Start>(0);
    let start_ok = connection::StartOk {
        client_properties: login.client_properties.clone(),
        mechanism: login.mechanism.as_str().into(),
        response: login.response.clone().into(),
        locale: "en_US".into(),
    };
    raw.send(0, start_ok);
    raw.clone()
}

#[test]
fn without_a_certificate_there_is_no_connection_where_one_is_required() {
    let encrypted = Encrypted::start("client_certificates = \"required\"");
    let without = Connection::raw_at(encrypted.reached_as(None));
    without.send_bytes(b"AMQP\0\0\x09\x01");
    without.expect_socket_closed();
    let other = Authority::new();
    let of_another = other.issue("anna");
    let client = encrypted.authority.client(Some(&of_another));
    let stranger = Connection::raw_at(bridge(*encrypted.amqps, HOST, client));
    stranger.send_bytes(b"AMQP\0\0\x09\x01");
    stranger.expect_socket_closed();
    let with = encrypted.reached_as(Some("anna"));
    Connection::open_at(with, &Login::default()).close();
}

#[test]
fn a_certificate_that_is_replaced_is_shown_to_new_connections() {
    let encrypted = Encrypted::start("");
    let before = Connection::open_at(encrypted.reached_as(None), &Login::default());
    // Clients of the old authority refuse it.
    let other = encrypted.replace_certificate();
    let reached = bridge(*encrypted.amqps, HOST, other.client(None));
    let end = Instant::now() + DEADLINE;
    loop {
        let attempt = Connection::raw_at(reached);
        attempt.send_bytes(b"AMQP\0\0\x09\x01");
        if attempt.next_frame().is_some() {
            break;
        }
        assert!(Instant::now() < end, "the new certificate is not shown");
    }
    before.channel(1).sync();
}

/// What answers to a question for the health of the broker; no HTTP where there is no handshake.
fn health(at: SocketAddr) -> String {
    let mut stream = TcpStream::connect(at).expect("it listens");
    let request = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    // A connection that is cut has no answer.
    let _ = stream.write_all(request);
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn the_management_api_is_served_over_tls() {
    let encrypted = Encrypted::start("");
    let api = Http::guest(encrypted.https_as(None));
    assert_eq!(api.put("/queues/%2F/over-tls", &json!({})).0, 201);
    let stranger = Http::new(encrypted.https_as(None), "guest", "wrong");
    assert_eq!(stranger.try_get("/whoami").0, 401);
    let told = api.get("/overview");
    let mut listeners = told["listeners"].as_array().expect("a list").iter();
    let found = listeners.find(|one| one["protocol"] == "https");
    assert_eq!(
        found.expect("it is told")["port"],
        encrypted.https.port(),
        "{told}"
    );
    let check = "/health/checks/protocol-listener/https";
    assert_eq!(api.try_get(check).0, 200);
    // Without TLS there is no answer but TLS's alert, and the others go on.
    let answer = health(*encrypted.https);
    assert!(!answer.contains("HTTP"), "{answer}");
    assert_eq!(api.try_get("/whoami").0, 200);
}

#[test]
fn the_management_api_shows_a_certificate_that_is_replaced() {
    let encrypted = Encrypted::start("");
    assert!(health(encrypted.https_as(None)).starts_with("HTTP/1.1 200 OK"));
    let other = encrypted.replace_certificate();
    let reached = bridge(*encrypted.https, HOST, other.client(None));
    let end = Instant::now() + DEADLINE;
    while !health(reached).starts_with("HTTP/1.1 200 OK") {
        assert!(Instant::now() < end, "the new certificate is not shown");
    }
}

#[test]
fn the_management_api_asks_for_certificates_only_where_it_is_told_to() {
    let of_amqp = Encrypted::start("client_certificates = \"required\"");
    assert!(health(of_amqp.https_as(None)).starts_with("HTTP/1.1 200 OK"));
    let of_both = Encrypted::start("management_client_certificates = \"required\"");
    Connection::open_at(of_both.reached_as(None), &Login::default()).close();
    assert_eq!(health(of_both.https_as(None)), "");
    // A certificate is no login.
    let api = Http::new(of_both.https_as(Some("anna")), "anna", "");
    assert_eq!(api.try_get("/whoami").0, 401);
    let api = Http::guest(of_both.https_as(Some("anna")));
    assert_eq!(api.get("/whoami")["name"], "guest");
}

#[test]
fn behind_a_proxy_the_address_that_its_header_names_counts() {
    let config = tempfile::NamedTempFile::with_suffix(".toml").expect("a temporary file");
    fs::write(config.path(), "listeners.proxy_protocol = true\n").expect("a file of ours");
    let path = config.path().to_str().expect("a plain path");
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let broker = Broker::start_behind(&broker::binary(), &["--config", path], local);
    let through = |header: &[u8]| {
        let raw = Connection::raw_at(broker.amqp);
        raw.send_bytes(header);
        raw
    };
    let near = through(b"PROXY TCP4 127.0.0.9 127.0.0.1 4711 5672\r\n");
    let near = logged_in(&near);
    let told = Http::guest(broker.management).get("/connections");
    assert_eq!(told[0]["name"], "127.0.0.9:4711 -> 127.0.0.1:5672");
    assert_eq!(
        (&told[0]["peer_host"], &told[0]["peer_port"]),
        (&json!("127.0.0.9"), &json!(4711))
    );
    near.channel(1).call(basic::Qos {
        prefetch_count: 1,
        global: false,
    });

    // guest may log in from this machine only.
    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    second.extend([192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x67, 0x16, 0x28]);
    for header in [&second[..], b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 5672\r\n"] {
        let far = through(header);
        let refused = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
                       For details see the broker logfile.";
        started(&far, &Login::default()).expect_close(403, refused);
    }
    // One that speaks for itself, as a load balancer's health check does.
    logged_in(&through(local));
    let none = through(b"AMQP\0\0\x09\x01 and then some more");
    none.expect_socket_closed();
}

/// Goes on to the open connection.
fn logged_in(raw: &Connection) -> Connection {
    let login = Login::default();
    let connection = started(raw, &login);
    connection.expect::<connection::Tune>(0);
    connection.send(
        0,
        connection::TuneOk {
            channel_max: login.channel_max,
            frame_max: login.frame_max,
            heartbeat: 0,
        },
    );
    connection.call(connection::Open {
        virtual_host: "/".into(),
    });
    connection
}

#[test]
fn anonymous_logs_in_as_the_user_that_the_operator_names() {
    let config = tempfile::NamedTempFile::with_suffix(".toml").expect("a temporary file");
    fs::write(config.path(), "anonymous_user = \"guest\"\n").expect("a file of ours");
    let path = config.path().to_str().expect("a plain path");
    let named = Broker::start(&broker::binary(), &["--config", path]);
    let anonymous = Login {
        mechanism: "ANONYMOUS".to_owned(),
        response: b"anything".to_vec(),
        ..Login::default()
    };
    let connection = Connection::open_at(named.amqp, &anonymous);
    connection.channel(1).sync();
    let told = Http::guest(named.management).get("/connections");
    assert_eq!(told[0]["auth_mechanism"], "ANONYMOUS");
    let refused = Connection::raw_at(broker::own().amqp);
    let refused = started(&refused, &anonymous);
    refused.expect_close(
        503,
        "COMMAND_INVALID - unknown authentication mechanism 'ANONYMOUS'",
    );
}
