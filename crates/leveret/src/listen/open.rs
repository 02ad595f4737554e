//! What serves while the broker runs: a task for each listener, and how they are stopped.

use std::io;
use std::sync::Arc;

use leveret_management::{Api, Handshake, Wish};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Bound, ListenError, Listener, Wrapping, accept, http_protocol};
use crate::config::ListenAddress;
use crate::connections::Connections;
use crate::serve::Server;

/// The tasks of all listeners.
#[derive(Debug)]
pub(crate) struct Open {
    amqp: JoinSet<()>,
    /// Where clients connect, also while nothing listens there.
    places: Vec<(ListenAddress, Wrapping)>,
    server: Arc<Server>,
    connections: Connections,
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
            places: Vec::new(),
            server: Arc::clone(server),
            connections: connections.clone(),
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
            let address = listener.address()?;
            open.places.push((address.clone(), listener.wrapping()));
            open.accept(listener, &address);
        }
        Ok(open)
    }

    fn accept(&mut self, listener: Listener, address: &ListenAddress) {
        let protocol = listener.protocol();
        let server = Arc::clone(&self.server);
        self.amqp
            .spawn(accept(listener, server, self.connections.clone()));
        tracing::info!(protocol, %address, "listening");
    }

    /// Closes or opens the listeners for clients, and says when that is done.
    pub(crate) async fn grant(&mut self, wish: Wish) {
        let done = match wish.listens {
            true => self.resume().map_err(|error| error.to_string()),
            false => {
                self.stop_accepting().await;
                tracing::warn!("listeners are suspended");
                Ok(())
            }
        };
        // Whoever wished it may have gone.
        let _ = wish.done.send(done);
    }

    /// Listens again where it did, if it does not.
    ///
    /// **Errors**: the first address that cannot be had; then nothing listens.
    fn resume(&mut self) -> Result<(), ListenError> {
        if !self.amqp.is_empty() {
            return Ok(());
        }
        let mut listeners = Vec::new();
        for (address, wrapping) in &self.places {
            let listener = Listener::bind(address, wrapping).map_err(|error| ListenError {
                address: address.clone(),
                error,
            });
            listeners.push((listener?, address.clone()));
        }
        for (listener, address) in listeners {
            self.accept(listener, &address);
        }
        Ok(())
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
