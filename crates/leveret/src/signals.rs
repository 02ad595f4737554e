//! SIGTERM and SIGINT: a wish to end. SIGHUP: a wish that files are read again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The name of the signal that does not end the broker.
pub(crate) const HANGUP: &str = "SIGHUP";

/// The signals, caught from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to catch them.
    pub(crate) fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one; its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => HANGUP,
        }
    }

    /// Waits for the next one that ends the broker; its name.
    pub(crate) async fn next_end(&mut self) -> &'static str {
        loop {
            match self.next().await {
                HANGUP => {}
                signal => return signal,
            }
        }
    }
}
