//! Each answer, asked for through the server over a socket.

use crate::serve::tests::{Server, exchange};

#[tokio::test]
async fn health_answers_ok() {
    let server = Server::start().await;
    let answer = exchange(
        &server,
        "GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("content-type: application/json\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
}

#[tokio::test]
async fn unknown_path_answers_as_rabbitmq() {
    let server = Server::start().await;
    let answer = exchange(
        &server,
        "GET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(
        answer.ends_with(r#"{"error":"Object Not Found","reason":"Not Found"}"#),
        "{answer}"
    );
}

#[tokio::test]
async fn wrong_method_is_405() {
    let server = Server::start().await;
    let answer = exchange(
        &server,
        "DELETE /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn announced_body_over_the_limit_is_413() {
    let server = Server::start().await;
    let answer = exchange(
        &server,
        "POST /nothing HTTP/1.1\r\nhost: a\r\ncontent-length: 10000001\r\n\r\n",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"),
        "{answer}"
    );
}
