//! Publisher confirms and returns.

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Confirmation, Result};

use super::{close, confirming, connect, counts, drain, exclusive_queue, fresh, publish, scenario};

const MANDATORY: BasicPublishOptions = BasicPublishOptions {
    mandatory: true,
    immediate: false,
};

#[test]
fn one_by_one() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        for number in 1..=100 {
            assert_eq!(
                publish(&channel, &queue, b"x").await?,
                Confirmation::Ack(None)
            );
            assert_eq!(
                counts(&channel, &queue).await?.0,
                number,
                "ready after a confirm"
            );
        }
        close(connection).await
    });
}

#[test]
fn in_bulk() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        let mut confirms = Vec::new();
        for _ in 0..5000 {
            let (options, properties) = Default::default();
            let key = queue.clone();
            confirms.push(
                channel
                    .basic_publish("".into(), key, options, b"x", properties)
                    .await?,
            );
        }
        for confirm in confirms {
            assert_eq!(confirm.await?, Confirmation::Ack(None));
        }
        assert_eq!(
            counts(&channel, &queue).await?.0,
            5000,
            "ready after the confirms"
        );
        close(connection).await
    });
}

#[test]
fn waited_for_together() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        let nowhere = fresh(&channel, "nowhere").await?;
        for _ in 0..500 {
            for key in [&queue, &nowhere] {
                let (key, properties) = (key.clone(), BasicProperties::default());
                let sent = channel.basic_publish("".into(), key, MANDATORY, b"x", properties);
                drop(sent.await?);
            }
        }
        let returned = channel.wait_for_confirms().await?;
        assert_eq!(returned.len(), 500);
        assert!(
            returned
                .iter()
                .all(|message| message.routing_key == nowhere)
        );
        assert_eq!(counts(&channel, &queue).await?.0, 500);
        close(connection).await
    });
}

/// lapin puts a return into the confirm that follows it: had it come later, there would be none.
#[test]
fn returned_before_the_confirm() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        let nowhere = fresh(&channel, "nowhere").await?;
        let mandatory = async |key: &lapin::types::ShortString| -> Result<Confirmation> {
            let properties = BasicProperties::default().with_correlation_id("c-1".into());
            let key = key.clone();
            channel
                .basic_publish("".into(), key, MANDATORY, b"body", properties)
                .await?
                .await
        };
        assert_eq!(mandatory(&queue).await?, Confirmation::Ack(None));
        let confirm = mandatory(&nowhere).await?;
        assert!(confirm.is_ack());
        let returned = confirm.take_message().expect("returned before the confirm");
        assert_eq!(
            (returned.reply_code, returned.reply_text.as_str()),
            (312, "NO_ROUTE")
        );
        assert_eq!(
            (returned.exchange.as_str(), &returned.routing_key),
            ("", &nowhere)
        );
        assert_eq!(returned.data, b"body");
        let correlation_id = returned.properties.correlation_id().as_ref();
        assert_eq!(correlation_id.map(|id| id.as_str()), Some("c-1"));
        assert_eq!(
            publish(&channel, &nowhere, b"dropped").await?,
            Confirmation::Ack(None)
        );
        assert_eq!(drain(&channel, &queue).await?, [b"body"]);
        close(connection).await
    });
}
