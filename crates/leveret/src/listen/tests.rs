//! Binding: what can share a port, what is taken, what is left behind.

use super::*;

fn listeners(amqp: &[&str]) -> Listeners {
    let amqp = amqp
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    Listeners {
        amqp,
        amqps: Vec::new(),
        proxy_protocol: false,
        management: Vec::new(),
        management_tls: Vec::new(),
    }
}

fn port_of(bound: &Bound) -> u16 {
    match bound.amqp[0].address().unwrap() {
        ListenAddress::Tcp(address) => address.port(),
        ListenAddress::Unix(path) => panic!("{} has no port", path.display()),
    }
}

#[tokio::test]
async fn ipv4_and_ipv6_share_a_port() {
    let first = bind_plain(&listeners(&["0.0.0.0:0"])).unwrap();
    let port = port_of(&first);
    drop(first);
    let both = bind_plain(&listeners(&[
        &format!("0.0.0.0:{port}"),
        &format!("[::]:{port}"),
    ]))
    .unwrap();
    assert!(!both.amqp.is_empty());
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let first = bind_plain(&listeners(&["127.0.0.1:0"])).unwrap();
    let taken = format!("127.0.0.1:{}", port_of(&first));
    let error = bind_plain(&listeners(&[&taken])).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot listen on {taken}: ")),
        "{error}"
    );
}

#[test]
fn only_the_twin_of_ipv4_may_be_left_out() {
    let all = listeners(&["0.0.0.0:5672", "[::]:5672", "[::]:5673", "[::1]:5672"]).amqp;
    let spare: Vec<bool> = all.iter().map(|address| is_spare(address, &all)).collect();
    assert_eq!(spare, [false, true, false, false]);
}

#[tokio::test]
async fn a_unix_socket_goes_with_its_listener_and_a_stale_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("amqp.sock");
    let address = format!("unix:{}", path.display());
    // A listener of the standard library leaves its file behind, as a killed broker does.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());

    let bound = bind_plain(&listeners(&[&address])).unwrap();
    let error = bind_plain(&listeners(&[&address])).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot listen on {address}: ")),
        "{error}"
    );
    drop(bound);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "kept").unwrap();
    assert!(bind_plain(&listeners(&[&format!("unix:{}", path.display())])).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
}

fn bind_plain(listeners: &Listeners) -> Result<Bound, ListenError> {
    bind(listeners, &Encryption::default(), Duration::from_secs(1))
}
