//! Transactions.

use lapin::options::{BasicAckOptions, BasicGetOptions};

use super::{close, connect, counts, drain, exclusive_queue, publish, scenario};

#[test]
fn a_message_is_moved_by_a_commit_and_not_by_a_rollback() {
    scenario(async {
        let connection = connect().await?;
        let (channel, other) = (
            connection.create_channel().await?,
            connection.create_channel().await?,
        );
        let (from, to) = (
            exclusive_queue(&other).await?,
            exclusive_queue(&other).await?,
        );
        publish(&other, &from, b"moved").await?;
        counts(&other, &from).await?;
        channel.tx_select().await?;
        let got = channel
            .basic_get(from.clone(), BasicGetOptions::default())
            .await?
            .expect("a message");
        for commits in [false, true] {
            publish(&channel, &to, b"moved").await?;
            channel
                .basic_ack(got.delivery.delivery_tag, BasicAckOptions::default())
                .await?;
            match commits {
                false => channel.tx_rollback().await?,
                true => channel.tx_commit().await?,
            }
            assert_eq!(counts(&other, &to).await?.0, u32::from(commits));
        }
        channel.close(200, "OK".into()).await?;
        assert_eq!(drain(&other, &from).await?, Vec::<Vec<u8>>::new());
        assert_eq!(drain(&other, &to).await?, [b"moved"]);
        close(connection).await
    });
}
