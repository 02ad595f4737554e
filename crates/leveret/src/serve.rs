//! The seam between the daemon and the broker: start it, give it connections, ask it to close them.
//!
//! Here settings of the configuration become settings of the broker and of AMQP connections. Sockets are accepted elsewhere, and
//! what a connection says is not known here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leveret_amqp::settings::{AmqpSettings, Peer};
use leveret_broker::backing::RecoverError;
use leveret_broker::broker::{Broker, BrokerSettings};
use leveret_broker::shard::task::shard_task;
use leveret_broker::users::Users;
use leveret_management::{Api, Node};
use leveret_message::name::Name;
use leveret_store::recovery::RecoveryError;
use leveret_store::store::Store;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::alarms::Watch;
use crate::config::Config;
use crate::events;
use crate::listen::Stream;
use crate::machine::Machine;
use crate::node;
use crate::storage;

/// The exit code of a program that found an error of its own: EX_SOFTWARE of sysexits.h.
const SOFTWARE: i32 = 70;

/// What clients are told when the broker stops.
const SHUTDOWN: &str = "broker forced connection closure with reason 'shutdown'";

/// The broker as the daemon sees it.
#[derive(Debug)]
pub(crate) struct Server {
    broker: Arc<Broker>,
    amqp: Arc<AmqpSettings>,
    store: Arc<Store>,
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The data folder cannot be used, or is damaged.
    #[error("{}: {error}", folder.display())]
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// What is wrong with it.
        error: RecoveryError,
    },
    /// What is in it cannot be put back.
    #[error("{}: {error}", folder.display())]
    Found {
        /// The data folder.
        folder: PathBuf,
        /// What is wrong with it.
        error: RecoverError,
    },
}

impl Server {
    /// Opens the data folder, and starts the broker and the tasks of its shards. **Waits** for the disk.
    pub(crate) fn start(config: &Config, machine: &Machine) -> Result<Server, StartError> {
        let folder = config.data_dir.clone();
        let shards = config.limits.shards(machine);
        let full = Arc::new(Notify::new());
        let log_bytes = config.store.log_bytes;
        let opened = storage::open(&folder, shards, log_bytes, Arc::clone(&full));
        let (store, backing) = opened.map_err(|error| StartError::Folder {
            folder: folder.clone(),
            error,
        })?;
        let settings = BrokerSettings {
            node: node::name(),
            os_vhosts: names(&config.store.os_durability_vhosts),
            vhosts: names(&config.vhosts),
            users: Users::new(config.user_directory()),
            queued_bytes_budget: size(config.limits.queued_bytes_budget),
            queued_bytes_max: size(config.limits.queued_bytes(machine)),
            consumer_timeout: config.limits.consumer_timeout(),
        };
        let (broker, shards) =
            Broker::new(settings, backing).map_err(|error| StartError::Found { folder, error })?;
        let store = Arc::new(store);
        tracing::info!(shards = shards.len(), "broker started");
        for shard in shards {
            tokio::spawn(watch(tokio::spawn(shard_task(
                shard,
                broker.shards.clone(),
            ))));
        }
        events::start(config, &broker);
        let watch = Watch::new(config, machine, Arc::clone(&store), full);
        tokio::spawn(watch.run(Arc::clone(&broker)));
        Ok(Server {
            broker,
            amqp: Arc::new(amqp_settings(config)),
            store,
        })
    }

    /// Ends the broker in order, when no connection is left: the next start knows what was delivered.
    pub(crate) async fn end(&self) {
        let ended = Arc::new(Semaphore::new(0));
        let done: Arc<dyn Fn() + Send + Sync> = {
            let ended = Arc::clone(&ended);
            Arc::new(move || ended.add_permits(1))
        };
        self.broker.end(&done);
        let shards = self.broker.shards.count() as u32;
        if ended.acquire_many(shards).await.is_ok() {
            self.broker.note_end();
        }
        let store = Arc::clone(&self.store);
        let closed = tokio::task::spawn_blocking(move || store.close()).await;
        if let Err(error) = closed {
            tracing::error!("the store was not closed in order: {error}");
        }
    }

    /// What the HTTP side gets hold of.
    pub(crate) fn management(&self, node: Node) -> Arc<Api> {
        let broker = Arc::clone(&self.broker);
        Arc::new(Api::new(broker, node))
    }

    /// Serves one connection until it is closed.
    pub(crate) async fn connection(&self, stream: Stream, peer: Peer) {
        let name = peer.name.clone();
        let (broker, amqp) = (Arc::clone(&self.broker), Arc::clone(&self.amqp));
        let ended = match stream {
            Stream::Tcp(stream) => leveret_amqp::serve::serve(stream, peer, broker, amqp).await,
            Stream::Tls(stream) => leveret_amqp::serve::serve(stream, peer, broker, amqp).await,
            Stream::Unix(stream) => leveret_amqp::serve::serve(stream, peer, broker, amqp).await,
        };
        match ended {
            Ok(()) => tracing::info!(peer = name, "connection closed"),
            Err(error) => tracing::warn!(peer = name, "connection lost: {error}"),
        }
    }

    /// Asks every client to close: 320 `CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'`.
    ///
    /// **Waits**: never; connections end as their clients answer.
    pub(crate) fn close_connections(&self) {
        self.broker.connections.close_all(SHUTDOWN);
    }
}

/// A shard never ends. Where one does, by a panic, its queues are in an unknown state: the program ends rather than go on without them.
async fn watch(shard: JoinHandle<()>) {
    let ended = shard.await;
    tracing::error!("a shard has ended, so the broker ends: {ended:?}");
    std::process::exit(SOFTWARE);
}

fn amqp_settings(config: &Config) -> AmqpSettings {
    let limits = &config.limits;
    AmqpSettings {
        frame_max: limits.frame_max,
        channel_max: limits.channel_max,
        heartbeat: limits.heartbeat,
        handshake_timeout: Duration::from_secs(limits.handshake_timeout_secs),
        max_message_size: limits.max_message_size,
        unfinished_content_bytes_max: limits.unfinished_content_bytes_max,
        transaction_bytes_max: size(limits.transaction_bytes_max),
        outbox_bytes_max: size(limits.outbox_bytes_max),
        consumers_per_channel_max: limits.consumers_per_channel_max as usize,
        unacked_per_channel_max: limits.unacked_per_channel_max,
        default_consumer_prefetch: limits.default_consumer_prefetch,
        live_prefetch: config.compat.live_prefetch.into(),
        anonymous_user: Some(config.anonymous_user.clone()).filter(|user| !user.is_empty()),
        product: config.compat.product.clone(),
        version: config.compat.version().to_owned(),
    }
}

fn names(names: &[String]) -> Vec<Name> {
    let names = names.iter();
    let names = names.map(|name| Name::new(name).expect("names were checked when read"));
    names.collect()
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
