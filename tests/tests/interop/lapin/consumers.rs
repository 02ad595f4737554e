//! Consumers: cancelled by the client and by the broker, and many at once.

use futures_lite::StreamExt;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, QueueDeleteOptions};
use lapin::types::FieldTable;

use super::{
    NO_ACK, close, confirming, connect, consume, counts, exclusive_queue, publish, scenario, take,
};

#[test]
fn cancel() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        let mut consumer = consume(&channel, &queue, NO_ACK).await?;
        publish(&channel, &queue, b"before").await?;
        assert_eq!(take(&mut consumer, 1).await?[0].data, b"before");
        channel
            .basic_cancel(consumer.tag(), BasicCancelOptions::default())
            .await?;
        publish(&channel, &queue, b"after").await?;
        assert_eq!(counts(&channel, &queue).await?, (1, 0), "after the cancel");
        assert!(
            consumer.next().await.is_none(),
            "a delivery after cancel-ok"
        );
        close(connection).await
    });
}

#[test]
fn queue_delete_cancels() {
    scenario(async {
        let connection = connect().await?;
        let channel = connection.create_channel().await?;
        let queue = exclusive_queue(&channel).await?;
        let mut consumer = consume(&channel, &queue, BasicConsumeOptions::default()).await?;
        let other = connection.create_channel().await?;
        assert_eq!(
            other
                .queue_delete(queue, QueueDeleteOptions::default())
                .await?,
            0
        );
        assert!(
            consumer.next().await.is_none(),
            "basic.cancel ends the consumer"
        );
        assert!(channel.status().connected(), "the consumer's channel stays");
        exclusive_queue(&channel).await?;
        close(connection).await
    });
}

#[test]
fn own_tag() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        let tag = "a tag of our own \u{732b}";
        let none = FieldTable::default();
        let consumer = channel
            .basic_consume(queue.clone(), tag.into(), NO_ACK, none)
            .await?;
        assert_eq!(consumer.tag().as_str(), tag);
        publish(&channel, &queue, b"x").await?;
        assert_eq!(take(&mut consumer.clone(), 1).await?.len(), 1);
        close(connection).await
    });
}

#[test]
fn hundred_channels() {
    scenario(async {
        let connection = connect().await?;
        let mut channels = Vec::new();
        for _ in 0..100 {
            let channel = connection.create_channel().await?;
            let queue = exclusive_queue(&channel).await?;
            let consumer = consume(&channel, &queue, NO_ACK).await?;
            channels.push((channel, queue, consumer));
        }
        for number in 0..100 {
            let target = channels[(number + 1) % 100].1.clone();
            publish(
                &channels[number].0,
                &target,
                format!("from {number}").as_bytes(),
            )
            .await?;
        }
        for (number, (_, _, consumer)) in channels.iter_mut().enumerate() {
            let wanted = format!("from {}", (number + 99) % 100);
            assert_eq!(
                take(consumer, 1).await?[0].data,
                wanted.as_bytes(),
                "channel {number}"
            );
        }
        for (channel, _, _) in channels.iter().step_by(2) {
            channel.close(200, "OK".into()).await?;
        }
        assert_eq!(
            counts(&channels[1].0, &channels[1].1).await?,
            (0, 1),
            "neighbours closed"
        );
        let another = connection.create_channel().await?;
        exclusive_queue(&another).await?;
        close(connection).await
    });
}
