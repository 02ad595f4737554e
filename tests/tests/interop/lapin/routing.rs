//! Which queues a message reaches, for each type of exchange.

use std::collections::BTreeMap;

use lapin::options::{
    BasicPublishOptions, ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, ExchangeKind, Result};

use super::{close, confirming, connect, drain, exclusive_queue, fresh, publish, scenario};

/// An exchange and the queues bound to it, by the name that a test gives each binding.
struct Bound<'a> {
    channel: &'a Channel,
    exchange: ShortString,
    queues: BTreeMap<&'static str, ShortString>,
}

impl<'a> Bound<'a> {
    async fn declare(channel: &'a Channel, kind: ExchangeKind) -> Result<Self> {
        let exchange = fresh(channel, "exchange").await?;
        let options = ExchangeDeclareOptions {
            auto_delete: true,
            ..Default::default()
        };
        let none = FieldTable::default();
        channel
            .exchange_declare(exchange.clone(), kind, options, none)
            .await?;
        Ok(Self {
            channel,
            exchange,
            queues: BTreeMap::new(),
        })
    }

    async fn bind(&mut self, name: &'static str, key: &str, arguments: FieldTable) -> Result<()> {
        let queue = exclusive_queue(self.channel).await?;
        let (exchange, options) = (self.exchange.clone(), QueueBindOptions::default());
        self.channel
            .queue_bind(queue.clone(), exchange, key.into(), options, arguments)
            .await?;
        self.queues.insert(name, queue);
        Ok(())
    }

    /// Publishes once and returns the bindings that took the message, sorted by their names.
    async fn routed(&self, key: &str, headers: Option<FieldTable>) -> Result<Vec<&'static str>> {
        let properties = BasicProperties::default();
        let properties = match headers {
            Some(headers) => properties.with_headers(headers),
            None => properties,
        };
        let (exchange, options) = (self.exchange.clone(), BasicPublishOptions::default());
        let channel = self.channel;
        let sent = channel
            .basic_publish(exchange, key.into(), options, b"x", properties)
            .await?;
        assert!(sent.await?.is_ack());
        let mut reached = Vec::new();
        for (name, queue) in &self.queues {
            if !drain(channel, queue).await?.is_empty() {
                reached.push(*name);
            }
        }
        Ok(reached)
    }
}

#[test]
fn default_exchange() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let queue = exclusive_queue(&channel).await?;
        assert!(publish(&channel, &queue, b"by queue name").await?.is_ack());
        assert_eq!(drain(&channel, &queue).await?, [b"by queue name"]);
        close(connection).await
    });
}

#[test]
fn direct_exchange() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let mut bound = Bound::declare(&channel, ExchangeKind::Direct).await?;
        for key in ["red", "blue"] {
            bound.bind(key, key, FieldTable::default()).await?;
        }
        assert_eq!(bound.routed("red", None).await?, ["red"]);
        assert_eq!(bound.routed("blue", None).await?, ["blue"]);
        assert!(bound.routed("green", None).await?.is_empty());
        let (queue, exchange) = (bound.queues["red"].clone(), bound.exchange.clone());
        channel
            .queue_unbind(queue, exchange, "red".into(), FieldTable::default())
            .await?;
        assert!(bound.routed("red", None).await?.is_empty());
        close(connection).await
    });
}

#[test]
fn fanout_exchange() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let mut bound = Bound::declare(&channel, ExchangeKind::Fanout).await?;
        for name in ["one", "three", "two"] {
            bound.bind(name, "", FieldTable::default()).await?;
        }
        assert_eq!(
            bound.routed("whatever", None).await?,
            ["one", "three", "two"]
        );
        close(connection).await
    });
}

#[test]
fn topic_exchange() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let mut bound = Bound::declare(&channel, ExchangeKind::Topic).await?;
        for pattern in ["#", "#.nyse", "*", "stock.#", "stock.*", "stock.*.nyse"] {
            bound.bind(pattern, pattern, FieldTable::default()).await?;
        }
        let cases: [(&str, &[&str]); 6] = [
            (
                "stock.usd.nyse",
                &["#", "#.nyse", "stock.#", "stock.*.nyse"],
            ),
            ("stock", &["#", "*", "stock.#"]),
            ("stock.usd", &["#", "stock.#", "stock.*"]),
            ("stock.usd.x.nyse", &["#", "#.nyse", "stock.#"]),
            ("nyse", &["#", "#.nyse", "*"]),
            // RabbitMQ takes an empty key for no words, so `*` does not match it.
            ("", &["#"]),
        ];
        for (key, wanted) in cases {
            assert_eq!(bound.routed(key, None).await?, wanted, "key {key:?}");
        }
        close(connection).await
    });
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

#[test]
fn headers_exchange() {
    let text = |value: &str| AMQPValue::LongString(value.into());
    let document = |format, pages| {
        Some(table(&[
            ("format", text(format)),
            ("pages", AMQPValue::LongInt(pages)),
        ]))
    };
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let mut bound = Bound::declare(&channel, ExchangeKind::Headers).await?;
        for matching in ["all", "any"] {
            let mut wanted = document("pdf", 2).expect("just made");
            wanted.insert("x-match".into(), text(matching));
            bound.bind(matching, "", wanted).await?;
        }
        assert_eq!(bound.routed("", document("pdf", 2)).await?, ["all", "any"]);
        assert_eq!(bound.routed("", document("pdf", 3)).await?, ["any"]);
        assert!(bound.routed("", document("zip", 3)).await?.is_empty());
        assert!(bound.routed("", None).await?.is_empty());
        close(connection).await
    });
}

#[test]
fn exchange_to_exchange() {
    scenario(async {
        let connection = connect().await?;
        let channel = confirming(&connection).await?;
        let source = Bound::declare(&channel, ExchangeKind::Direct).await?;
        let mut target = Bound::declare(&channel, ExchangeKind::Fanout).await?;
        target.bind("behind", "", FieldTable::default()).await?;
        let (from, to) = (source.exchange.clone(), target.exchange.clone());
        let (options, none) = (ExchangeBindOptions::default(), FieldTable::default());
        channel
            .exchange_bind(to, from.clone(), "through".into(), options, none)
            .await?;
        let through = Bound {
            channel: &channel,
            exchange: from,
            queues: target.queues,
        };
        assert_eq!(through.routed("through", None).await?, ["behind"]);
        assert!(through.routed("past", None).await?.is_empty());
        close(connection).await
    });
}
