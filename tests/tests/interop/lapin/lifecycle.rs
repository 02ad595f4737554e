//! Queues, channels and connections that end, and what the client is told.

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, ErrorKind};

use super::{close, confirming, connect, drain, exclusive_queue, fresh, publish, scenario};

/// Expects that a passive declare closes the channel with 404, and returns the text of it.
async fn not_found(channel: &Channel, queue: &ShortString) -> String {
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let declared = channel
        .queue_declare(queue.clone(), options, FieldTable::default())
        .await;
    let error = declared.expect_err("404, for the queue is not there");
    let ErrorKind::ProtocolError(error) = error.kind() else {
        panic!("expected a protocol error, got {error}");
    };
    assert_eq!(*error.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND));
    error.get_message().to_string()
}

#[test]
fn passive_declare_of_a_missing_queue() {
    scenario(async {
        let connection = connect().await?;
        let channel = connection.create_channel().await?;
        let missing = fresh(&channel, "missing").await?;
        let wanted = format!("NOT_FOUND - no queue '{missing}' in vhost '/'");
        assert_eq!(not_found(&channel, &missing).await, wanted);
        assert!(!channel.status().connected());
        let another = connection.create_channel().await?;
        exclusive_queue(&another).await?;
        close(connection).await
    });
}

#[test]
fn purge_and_delete() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        for body in [b"a", b"b", b"c"] {
            publish(&channel, &queue, body).await?;
        }
        assert_eq!(
            channel
                .queue_purge(queue.clone(), QueuePurgeOptions::default())
                .await?,
            3
        );
        publish(&channel, &queue, b"d").await?;
        assert_eq!(
            channel
                .queue_delete(queue, QueueDeleteOptions::default())
                .await?,
            1
        );
        close(connection).await
    });
}

#[test]
fn durable_queue_outlives_its_connection() {
    scenario(async {
        let first = connect().await?;
        let channel = confirming(&first).await?;
        let name = fresh(&channel, "durable").await?;
        let durable = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .queue_declare(name.clone(), durable, FieldTable::default())
            .await?;
        publish(&channel, &name, b"kept").await?;
        close(first).await?;
        let second = connect().await?;
        let channel = second.create_channel().await?;
        assert_eq!(drain(&channel, &name).await?, [b"kept"]);
        assert_eq!(
            channel
                .queue_delete(name, QueueDeleteOptions::default())
                .await?,
            0
        );
        close(second).await
    });
}

#[test]
fn connection_close() {
    scenario(async {
        let observing = connect().await?;
        let observer = observing.create_channel().await?;
        let connection = connect().await?;
        let channel = connection.create_channel().await?;
        let queue = exclusive_queue(&channel).await?;
        connection.close(200, "OK".into()).await?;
        assert!(!connection.status().connected());
        // Exclusive queues are gone before close-ok.
        assert!(
            not_found(&observer, &queue)
                .await
                .starts_with("NOT_FOUND - no queue ")
        );
        close(observing).await
    });
}
