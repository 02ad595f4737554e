//! How many AMQP connections are open: the limit at accept, and the wait for the last one to end.

use std::sync::Arc;

use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// The number of open connections, with its limit.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    open: Arc<watch::Sender<usize>>,
    max: usize,
}

/// One connection's place among the open ones; given back when dropped, also by a task that panics.
#[derive(Debug)]
pub(crate) struct Place(Arc<watch::Sender<usize>>);

impl Connections {
    pub(crate) fn new(max: usize) -> Connections {
        Connections {
            open: Arc::new(watch::Sender::new(0)),
            max,
        }
    }

    /// Takes a place, unless all are taken.
    pub(crate) fn enter(&self) -> Option<Place> {
        let entered = self.open.send_if_modified(|open| {
            let free = *open < self.max;
            *open += usize::from(free);
            free
        });
        entered.then(|| Place(Arc::clone(&self.open)))
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        *self.open.borrow()
    }

    /// Waits until there are none.
    pub(crate) async fn all_closed(&self) {
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open == 0)
            .await
            .expect("the sender is in self");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}
