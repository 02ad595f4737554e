//! What serves while the broker runs: a task for each listener, and how they are stopped.

use std::io;
use std::sync::Arc;

use leveret_management::{Api, Handshake};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Bound, accept, http_protocol};
use crate::connections::Connections;
use crate::serve::Server;

/// The tasks of all listeners.
#[derive(Debug)]
pub(crate) struct Open {
    amqp: JoinSet<()>,
    management: JoinSet<()>,
    management_stops: watch::Sender<bool>,
}

impl Open {
    /// Begins to accept on every socket, and says so in the log once for each.
    pub(crate) fn new(
        bound: Bound,
        server: &Arc<Server>,
        connections: &Connections,
        api: &Arc<Api>,
    ) -> io::Result<Open> {
        let mut open = Open {
            amqp: JoinSet::new(),
            management: JoinSet::new(),
            management_stops: watch::Sender::new(false),
        };
        for (listener, handshake) in bound.management {
            let address = listener.local_addr()?;
            let protocol = http_protocol(handshake.as_ref());
            let stops = open.management_stops.subscribe();
            open.management
                .spawn(management(listener, handshake, Arc::clone(api), stops));
            tracing::info!(protocol, %address, "listening");
        }
        for listener in bound.amqp {
            let (address, protocol) = (listener.address()?, listener.protocol());
            open.amqp
                .spawn(accept(listener, Arc::clone(server), connections.clone()));
            tracing::info!(protocol, %address, "listening");
        }
        Ok(open)
    }

    /// Stops accepting AMQP connections; on return the sockets are closed. Those that were accepted go on.
    pub(crate) async fn stop_accepting(&mut self) {
        self.amqp.shutdown().await;
    }

    /// Ends the HTTP side, once requests under way have their answers.
    pub(crate) async fn stop_management(mut self) {
        self.management_stops.send_replace(true);
        while self.management.join_next().await.is_some() {}
    }
}

async fn management(
    listener: TcpListener,
    handshake: Option<Handshake>,
    api: Arc<Api>,
    mut stops: watch::Receiver<bool>,
) {
    leveret_management::serve(listener, handshake, api, async move {
        // An error means that nobody is left to say it, which is an end too.
        let _ = stops.wait_for(|stops| *stops).await;
    })
    .await;
}
