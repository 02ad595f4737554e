//! The sockets of the HTTP side: accept, bound, serve, stop.
//!
//! Bounds: connections at a time, the time a handshake may take, the size and the number of a request's headers, the time a client may take to send
//! them (which also ends idle keep-alive connections). A client past a bound harms only itself: its connection is closed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::Api;
use crate::caller::From;
use crate::routes::routes;

#[cfg(test)]
pub(crate) mod tests;

/// Connections served at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 512;
/// The bytes of a request's first line and headers; hyper's own limit of 100 headers holds besides. More: 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The bytes that are read ahead of a connection.
const READ_BYTES_MAX: usize = 64 * 1024;
/// How long a handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// How long a client may take to send a head, counted from the end of the request before.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// How long requests under way may take once the server stops.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// The pause after an accept that failed because the process or the machine has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A socket, encrypted or not.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What comes of a handshake.
pub type Encrypted = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// Takes connections through a handshake before HTTP is spoken on them.
#[derive(Clone)]
pub struct Handshake(Arc<dyn Fn(TcpStream) -> Encrypted + Send + Sync>);

impl Handshake {
    /// `take` begins one.
    pub fn new(take: impl Fn(TcpStream) -> Encrypted + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshake")
    }
}

/// Serves HTTP on `listener` until `stop` is ready; over TLS where there is a handshake.
///
/// **Effect**: on return the listener is closed, requests that were under way have their answer, or two seconds have
/// passed.
/// **Waits**: as long as the server runs.
/// **Errors**: none; what goes wrong on one connection ends that connection.
pub async fn serve(
    listener: TcpListener,
    handshake: Option<Handshake>,
    api: Arc<Api>,
    stop: impl Future<Output = ()>,
) {
    let routes = routes(api);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let under_way = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let routes = routes.clone().layer(Extension(From(peer.ip())));
                let service = TowerToHyperService::new(routes);
                let (handshake, watcher) = (handshake.clone(), under_way.watcher());
                tokio::spawn(async move {
                    match encrypted(stream, handshake).await {
                        Ok(stream) => connection(stream, service, watcher, place).await,
                        Err(error) => tracing::debug!(%peer, %error, "management: no handshake"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "management: accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(STOP_WAIT, under_way.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("management: some requests did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

async fn encrypted(stream: TcpStream, handshake: Option<Handshake>) -> io::Result<Box<dyn Io>> {
    match handshake {
        None => Ok(Box::new(stream)),
        Some(Handshake(take)) => timeout(HANDSHAKE_WAIT, take(stream)).await?,
    }
}

async fn connection(
    stream: Box<dyn Io>,
    service: TowerToHyperService<axum::Router>,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(READ_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "management: connection ended");
    }
}
