//! Who gets a held address, and who does not.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};

use super::*;

#[test]
fn whoever_asks_for_it_may_listen_again_and_again() {
    let held = HeldAddress::new();
    for _ in 0..2 {
        // The standard library shares addresses, as brokers do.
        let listener = TcpListener::bind(*held).expect("it is held for us");
        TcpStream::connect(*held).expect("somebody listens");
        drop(listener);
        let refused = TcpStream::connect(*held).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn nobody_gets_it_by_chance() {
    let held: Vec<HeldAddress> = (0..200).map(|_| HeldAddress::new()).collect();
    let ports: HashSet<u16> = held.iter().map(|held| held.port()).collect();
    assert_eq!(ports.len(), held.len());
    let others = (0..200).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let others: Vec<TcpListener> = others.collect();
    for other in &others {
        let port = other.local_addr().expect("it is bound").port();
        assert!(!ports.contains(&port));
    }
}
