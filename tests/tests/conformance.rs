//! One test per rule of the protocol, named by the rule, over a socket.
//!
//! What is expected is what RabbitMQ 4 does, reply texts included; where RabbitMQ 3.10 fails a test,
//! `conformance-differences.toml` says why. The tests share one broker and run side by side: each
//! uses names of its own, and exclusive queues where the rule allows.

mod acknowledge;
mod alarm;
mod auth;
mod channel;
mod confirm;
mod connection;
mod consume;
mod content;
mod dead_letter;
mod deduplication;
mod deduplication_exchange;
mod delayed_message;
mod delayed_retry;
mod delivery_limit;
mod events;
mod exchange;
mod exchange_types;
mod firehose;
mod framing;
mod get;
mod heartbeat;
mod hostile;
mod length_limit;
mod message_group;
mod message_ttl;
mod names;
mod priority;
mod publish;
mod qos;
mod queue;
mod queue_arguments;
mod queue_lifetime;
mod quorum;
mod reply_to;
mod requeue;
mod routing;
mod single_active;
mod stream;
mod stream_offsets;
mod tx;
mod vhost;
