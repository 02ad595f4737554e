//! Contents of all sizes, and many of them.

use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};

use super::{close, confirming, connect, consume, drain, exclusive_queue, publish, scenario, take};

/// Bytes that repeat with no period of a frame.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..size).map(next).collect()
}

#[test]
fn of_all_sizes() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        let frame = usize::try_from(connection.configuration().frame_max()).expect("it fits") - 8;
        let sizes = [
            0,
            1,
            frame - 1,
            frame,
            frame + 1,
            2 * frame,
            1 << 20,
            10 << 20,
            0,
        ];
        for size in sizes {
            assert!(publish(&channel, &queue, &noise(size)).await?.is_ack());
        }
        let mut consumer = consume(&channel, &queue, BasicConsumeOptions::default()).await?;
        for size in sizes {
            let got = take(&mut consumer, 1).await?.remove(0);
            assert_eq!(got.data.len(), size);
            assert!(
                got.data == noise(size),
                "the content of {size} bytes changed"
            );
            got.ack(BasicAckOptions::default()).await?;
        }
        close(connection).await
    });
}

#[test]
fn twenty_thousand_in_order() {
    const TOTAL: u32 = 20_000;
    scenario(async {
        let consuming = connect().await?;
        let consumer_channel = consuming.create_channel().await?;
        let queue = exclusive_queue(&consumer_channel).await?;
        let exchange = "amq.direct".into();
        let (options, none) = Default::default();
        consumer_channel
            .queue_bind(queue.clone(), exchange, queue.clone(), options, none)
            .await?;
        consumer_channel
            .basic_qos(500, BasicQosOptions::default())
            .await?;
        let mut consumer =
            consume(&consumer_channel, &queue, BasicConsumeOptions::default()).await?;
        let publishing = connect().await?;
        let publisher = publishing.create_channel().await?;
        for number in 0..TOTAL {
            let (body, properties) = (number.to_be_bytes(), BasicProperties::default());
            let (exchange, key, options) = ("amq.direct".into(), queue.clone(), Default::default());
            publisher
                .basic_publish(exchange, key, options, &body, properties)
                .await?;
        }
        for number in 0..TOTAL {
            let got = take(&mut consumer, 1).await?.remove(0);
            assert_eq!(got.data, number.to_be_bytes(), "message {number}");
            if number % 100 == 99 {
                got.ack(BasicAckOptions { multiple: true }).await?;
            }
        }
        consumer_channel.close(200, "OK".into()).await?;
        let after = consuming.create_channel().await?;
        assert!(drain(&after, &queue).await?.is_empty());
        close(publishing).await?;
        close(consuming).await
    });
}
