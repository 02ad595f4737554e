//! The server over real sockets: bounds on heads, keep-alive, stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use leveret_broker::backing::Backing;
use leveret_broker::broker::{Broker, BrokerSettings};
use leveret_broker::shard::task::shard_task;
use leveret_broker::users::{PasswordHash, User, UserDirectory, UserLimits, Users};
use leveret_message::name::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{Api, Node, Readings};

/// A broker without queues, whose only user is `guest`.
fn api() -> Arc<Api> {
    let mut users = UserDirectory::default();
    users.put_user(User {
        name: Name::new("guest").unwrap(),
        tags: ["administrator".into()].into(),
        password: Some(PasswordHash::new(b"guest")),
        limits: UserLimits::default(),
    });
    let settings = BrokerSettings {
        node: "leveret@test".to_owned(),
        vhosts: vec![Name::new("/").unwrap()],
        os_vhosts: Vec::new(),
        users: Users::new(users),
        queued_bytes_budget: usize::MAX,
        queued_bytes_max: usize::MAX,
        consumer_timeout: None,
    };
    let (broker, shards) = Broker::new(settings, Backing::memory(1)).unwrap();
    for shard in shards {
        tokio::spawn(shard_task(shard, broker.shards.clone()));
    }
    let node = Node {
        name: "leveret@test".to_owned(),
        product: "Leveret".to_owned(),
        product_version: "1".to_owned(),
        rabbitmq_version: "4.0.0".to_owned(),
        data_dir: "nowhere".to_owned(),
        memory_max: 1,
        disk_free_min: 1,
        descriptors_max: 1,
        cores: 1,
        since: Instant::now(),
        listeners: Vec::new(),
        wishes: tokio::sync::mpsc::channel(1).0,
        measure: Box::new(Readings::default),
    };
    Arc::new(Api::new(broker, node))
}

/// A server on a port of its own.
pub(crate) struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(super::serve(listener, None, api(), async move {
            let _ = stopped.await;
        }));
        Server {
            address,
            stop,
            task,
        }
    }
}

/// Sends `request`, and everything that came back until the server closed.
pub(crate) async fn exchange(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses an unread request may reset the connection after its answer.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn head_over_the_limit_is_431() {
    let server = Server::start().await;
    let long = "x".repeat(super::HEAD_BYTES_MAX);
    let answer = exchange(
        &server,
        &format!("GET /health HTTP/1.1\r\nhost: a\r\nlong: {long}\r\n\r\n"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn too_many_headers_are_431() {
    let server = Server::start().await;
    let many = "a: b\r\n".repeat(101);
    let answer = exchange(&server, &format!("GET /health HTTP/1.1\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn bytes_that_are_no_request_end_their_connection_only() {
    let server = Server::start().await;
    let answer = exchange(&server, "AMQP\0\0\u{9}\u{1}").await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = exchange(&server, "GET /health HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_the_port() {
    let server = Server::start().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    let refused = TcpStream::connect(server.address).await;
    assert!(refused.is_err(), "the port is still open");
}
