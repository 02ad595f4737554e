//! Logging in: mechanisms, refusals, and how a refusal is told.

use amq_protocol::protocol::connection;
use amq_protocol::types::FieldTable;
use leveret_tests::client::{Connection, Login, table};

const REFUSED: &str = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
                       For details see the broker logfile.";

fn login(mechanism: &str, response: &[u8]) -> Login {
    Login {
        mechanism: mechanism.to_owned(),
        response: response.to_vec(),
        ..Login::default()
    }
}

/// A client that says nothing about itself.
fn without_capabilities(login: Login) -> Login {
    Login {
        client_properties: FieldTable::default(),
        ..login
    }
}

#[test]
fn plain_logs_in() {
    Connection::open_as(&login("PLAIN", b"\0guest\0guest"))
        .channel(1)
        .sync();
}

#[test]
fn amqplain_logs_in() {
    let response = b"\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest";
    Connection::open_as(&login("AMQPLAIN", response))
        .channel(1)
        .sync();
}

#[test]
fn amqplain_takes_its_fields_in_any_order() {
    let response = b"\x08PASSWORDS\x00\x00\x00\x05guest\x05LOGINS\x00\x00\x00\x05guest";
    Connection::open_as(&login("AMQPLAIN", response))
        .channel(1)
        .sync();
}

#[test]
fn a_failed_login_is_told_to_a_client_that_wants_to_know() {
    let responses: [&[u8]; 4] = [
        b"\0guest\0wrong",
        b"\0nobody\0guest",
        b"\0guest\0",
        b"\0\0guest",
    ];
    for response in responses {
        let connection = Connection::started(&login("PLAIN", response));
        connection.expect_close(403, REFUSED);
    }
}

#[test]
fn a_failed_amqplain_login_names_the_mechanism() {
    let response = b"\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05wrong";
    let connection = Connection::started(&login("AMQPLAIN", response));
    connection.expect_close(403, &REFUSED.replace("PLAIN", "AMQPLAIN"));
}

#[test]
fn a_failed_login_is_only_a_closed_socket_to_other_clients() {
    let refused = without_capabilities(login("PLAIN", b"\0guest\0wrong"));
    Connection::started(&refused).expect_socket_closed();

    let capabilities = table([("authentication_failure_close", false.into())]);
    let client_properties = table([("capabilities", capabilities.into())]);
    let refused = Login {
        client_properties,
        ..refused
    };
    Connection::started(&refused).expect_socket_closed();
}

#[test]
fn an_unknown_mechanism_is_refused() {
    for mechanism in ["EXTERNAL", "NONSENSE", ""] {
        let connection = Connection::started(&login(mechanism, b""));
        let text = format!("COMMAND_INVALID - unknown authentication mechanism '{mechanism}'");
        connection.expect_close(503, &text);
    }
}

#[test]
fn a_malformed_response_lets_nobody_in() {
    let malformed: [(&str, &[u8]); 7] = [
        ("PLAIN", b""),
        ("PLAIN", b"guest"),
        ("PLAIN", b"\0guest"),
        ("AMQPLAIN", b""),
        ("AMQPLAIN", b"\x05LOGINS\x00\x00\x00\x05guest"),
        ("AMQPLAIN", b"\x05LOGINS\xff\xff\xff\xffguest"),
        (
            "AMQPLAIN",
            b"\x05LOGINI\x00\x00\x00\x05\x08PASSWORDI\x00\x00\x00\x05",
        ),
    ];
    for (mechanism, response) in malformed {
        let connection = Connection::started(&login(mechanism, response));
        if let Some(frame) = connection.next_on(0) {
            let close: [u8; 4] = [0, 10, 0, 50];
            assert!(
                frame.payload.starts_with(&close),
                "{mechanism} {response:?}: {frame:?}"
            );
            connection.send(0, connection::CloseOk {});
            connection.expect_socket_closed();
        }
    }
}

#[test]
fn other_connections_work_while_logins_fail() {
    let waiting: Vec<Connection> = (0..5)
        .map(|_| Connection::started(&login("PLAIN", b"\0guest\0wrong")))
        .collect();
    Connection::open().channel(1).sync();
    for connection in waiting {
        connection.expect_close(403, REFUSED);
    }
}
