//! Acks, nacks and rejects, and what comes back.

use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicQosOptions,
    BasicRecoverOptions, BasicRejectOptions,
};
use lapin::types::ShortString;
use lapin::{Channel, Result};

use super::{
    bodies_of, close, confirming, connect, consume, counts, drain, exclusive_queue, publish,
    scenario, take,
};

const UP_TO_HERE: BasicAckOptions = BasicAckOptions { multiple: true };

#[test]
fn manual_acks() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        for body in [b"0", b"1", b"2", b"3", b"4", b"5"] {
            publish(&channel, &queue, body).await?;
        }
        let mut consumer = consume(&channel, &queue, BasicConsumeOptions::default()).await?;
        let first = take(&mut consumer, 6).await?;
        assert_eq!(bodies_of(&first), [b"0", b"1", b"2", b"3", b"4", b"5"]);
        assert!(first.iter().all(|delivery| !delivery.redelivered));
        first[2].ack(UP_TO_HERE).await?;
        first[4].ack(BasicAckOptions::default()).await?;
        channel.close(200, "OK".into()).await?;
        // What was not acknowledged goes back to the queue with its channel, in its place.
        let second = connection.create_channel().await?;
        let mut consumer = consume(&second, &queue, BasicConsumeOptions::default()).await?;
        let back = take(&mut consumer, 2).await?;
        assert_eq!(bodies_of(&back), [b"3", b"5"]);
        assert!(back.iter().all(|delivery| delivery.redelivered));
        back[1].ack(UP_TO_HERE).await?;
        second.close(200, "OK".into()).await?;
        let third = connection.create_channel().await?;
        assert!(drain(&third, &queue).await?.is_empty());
        close(connection).await
    });
}

async fn get(channel: &Channel, queue: &ShortString) -> Result<BasicGetMessage> {
    let message = channel
        .basic_get(queue.clone(), BasicGetOptions::default())
        .await?;
    Ok(message.expect("a message is ready"))
}

#[test]
fn nack_and_reject() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        let mut got = Vec::new();
        for body in [b"a", b"b", b"c", b"d"] {
            publish(&channel, &queue, body).await?;
        }
        for left in [3, 2, 1, 0] {
            got.push(get(&channel, &queue).await?);
            assert_eq!(got.last().map(|message| message.message_count), Some(left));
        }
        assert!(got.iter().all(|message| !message.delivery.redelivered));
        got[0]
            .nack(BasicNackOptions {
                multiple: false,
                requeue: true,
            })
            .await?;
        got[1].reject(BasicRejectOptions { requeue: true }).await?;
        got[2]
            .nack(BasicNackOptions {
                multiple: false,
                requeue: false,
            })
            .await?;
        got[3].reject(BasicRejectOptions { requeue: false }).await?;
        let again = [get(&channel, &queue).await?, get(&channel, &queue).await?];
        assert_eq!([&again[0].data, &again[1].data], [b"a", b"b"]);
        assert!(again.iter().all(|message| message.delivery.redelivered));
        again[1]
            .nack(BasicNackOptions {
                multiple: true,
                requeue: false,
            })
            .await?;
        assert!(drain(&channel, &queue).await?.is_empty());
        close(connection).await
    });
}

/// lapin throws away deliveries that come between recover and recover-ok: a broker that delivers
/// again before it answers leaves the message unacknowledged and unseen. Often is the test.
#[test]
fn recover() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        publish(&channel, &queue, b"once more").await?;
        let mut consumer = consume(&channel, &queue, BasicConsumeOptions::default()).await?;
        for round in 0..100 {
            let got = take(&mut consumer, 1).await?;
            assert_eq!(got[0].redelivered, round > 0, "round {round}");
            let requeue = BasicRecoverOptions { requeue: true };
            channel.basic_recover(requeue).await?;
        }
        take(&mut consumer, 1).await?[0].ack(UP_TO_HERE).await?;
        assert!(drain(&channel, &queue).await?.is_empty());
        close(connection).await
    });
}

#[test]
fn prefetch() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        for _ in 0..30 {
            publish(&channel, &queue, b"x").await?;
        }
        channel.basic_qos(10, BasicQosOptions::default()).await?;
        let mut consumer = consume(&channel, &queue, BasicConsumeOptions::default()).await?;
        let first = take(&mut consumer, 10).await?;
        assert_eq!(
            counts(&channel, &queue).await?,
            (20, 1),
            "behind ten unacknowledged"
        );
        first[0].ack(BasicAckOptions::default()).await?;
        let next = take(&mut consumer, 1).await?;
        assert_eq!(counts(&channel, &queue).await?, (19, 1), "after one ack");
        next[0].ack(UP_TO_HERE).await?;
        let last = take(&mut consumer, 10).await?;
        assert_eq!(
            counts(&channel, &queue).await?,
            (9, 1),
            "after ten more acks"
        );
        assert_eq!(last[9].delivery_tag, 21);
        close(connection).await
    });
}
