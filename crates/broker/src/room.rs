//! Room for messages in queues that refuse what is too much (`x-overflow` of `reject-publish`), taken before the messages are on their way: what nobody
//! would hear of, or what has gone through a window on the way, is not refused any more once it has begun to move.
//!
//! What goes straight to a queue takes its room there, and its shard gives that back when the message has come. Behind a window it is not known who takes
//! the message: the room is taken here, and given back when the window's shard has sent the message on, or found that it goes nowhere.

use std::sync::Arc;

use crate::queue_handle::QueueHandle;
use crate::route::{Found, Routed, route_past};
use crate::vhost::exchange_of_window;

/// How many windows are looked behind for a message.
const WINDOWS_MAX: usize = 64;

/// Room that is taken in queues behind windows, once for each time that one stands here; given back when it is dropped.
#[derive(Debug, Default)]
pub struct Room(Vec<Arc<QueueHandle>>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.iter().for_each(|queue| queue.came(1));
    }
}

impl Room {
    /// Whether none is taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes room for a message in all the queues that it goes to, and in those behind windows among them; or in none.
    ///
    /// **Errors**: the queues that have none.
    pub(crate) fn take(
        &mut self,
        queues: &[Arc<QueueHandle>],
        message: &Routed<'_>,
    ) -> Result<(), Vec<Arc<QueueHandle>>> {
        let (reserved, full) = queues
            .iter()
            .partition::<Vec<_>, _>(|queue| queue.reserve());
        let mut full: Vec<_> = full.into_iter().cloned().collect();
        let mut behind = Self::default();
        behind.take_behind(queues, message, &mut full);
        if full.is_empty() {
            self.0.append(&mut behind.0);
            return Ok(());
        }
        reserved.iter().for_each(|queue| queue.came(1));
        Err(full)
    }

    /// Takes room in all queues behind windows, as if no window knew the message; gives those to `full` that have none.
    fn take_behind(
        &mut self,
        queues: &[Arc<QueueHandle>],
        message: &Routed<'_>,
        full: &mut Vec<Arc<QueueHandle>>,
    ) {
        let mut windows = Vec::new();
        let mut next: Vec<_> = queues.iter().filter(is_window).cloned().collect();
        while let Some(window) = next.pop().filter(|_| windows.len() < WINDOWS_MAX) {
            if windows.iter().any(|passed| Arc::ptr_eq(passed, &window)) {
                continue;
            }
            let queues = led_to(&window, message).into_iter();
            let (further, queues): (Vec<_>, Vec<_>) = queues.partition(|queue| is_window(&queue));
            next.extend(further);
            windows.push(window);
            for queue in queues.into_iter().filter(|queue| queue.may_refuse()) {
                match queue.reserve() {
                    true => self.0.push(queue),
                    false => full.push(queue),
                }
            }
        }
    }
}

fn is_window(queue: &&Arc<QueueHandle>) -> bool {
    queue.is_window_of().is_some()
}

/// Where a message goes that a window does not know.
fn led_to(window: &QueueHandle, message: &Routed<'_>) -> Vec<Arc<QueueHandle>> {
    let exchange = exchange_of_window(window);
    exchange.map_or(Vec::new(), |(vhost, exchange)| {
        route_past(&vhost, &exchange, message, Some(Found::New)).queues
    })
}
