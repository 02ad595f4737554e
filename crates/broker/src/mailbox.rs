//! A mailbox: many tasks push, one task takes everything at once.
//!
//! A mailbox has no limit of its own. Whoever pushes into one is bounded elsewhere (a connection's allowance, its outbox limit, one open
//! question at a time); the page `crates/ARCHITECTURE.md` lists those bounds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;

/// An emptied list keeps no more room than for this many items: it may belong to a connection that is idle from now on.
const KEPT_MAX: usize = 128;

/// Takes what was gathered to be pushed as one item, and leaves about as much room for what is gathered next.
pub fn take_gathered<T>(gathered: &mut Vec<T>) -> Vec<T> {
    // A few find room in the first allocation anyway.
    let room = match gathered.len() {
        0..=4 => Vec::new(),
        len => Vec::with_capacity(len.min(KEPT_MAX)),
    };
    std::mem::replace(gathered, room)
}

/// See the module.
#[derive(Debug)]
pub struct Mailbox<T> {
    items: Mutex<Vec<T>>,
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self {
            items: Mutex::new(Vec::new()),
            rung: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }
}

impl<T> Mailbox<T> {
    /// Adds an item. **Order**: first in, first out. **Waits**: never.
    pub fn push(&self, item: T) {
        let mut items = self.items.lock();
        items.push(item);
        let was_empty = items.len() == 1;
        drop(items);
        if was_empty {
            self.waker.wake();
        }
    }

    /// Wakes the task though nothing is there. **Waits**: never.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Swaps everything that is there into `into`, which must be empty; `false` if there was nothing.
    pub fn take(&self, into: &mut Vec<T>) -> bool {
        debug_assert!(into.is_empty());
        let mut items = self.items.lock();
        std::mem::swap(&mut *items, into);
        !into.is_empty()
    }

    /// As [`Mailbox::take`], and registers the task to be woken by the next push where there was nothing, and nobody has rung.
    pub fn poll_take(&self, context: &mut Context<'_>, into: &mut Vec<T>) -> Poll<()> {
        if self.take(into) | self.rung.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        self.waker.register(context.waker());
        if self.take(into) | self.rung.swap(false, Ordering::AcqRel) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
