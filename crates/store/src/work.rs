//! Work for a thread: orders in a line, taken one at a time, until the end is asked for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// See the module.
#[derive(Debug)]
pub(crate) struct Work<T> {
    line: Mutex<Line<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Line<T> {
    orders: VecDeque<T>,
    stop: bool,
}

impl<T> Default for Work<T> {
    fn default() -> Self {
        Self {
            line: Mutex::new(Line {
                orders: VecDeque::new(),
                stop: false,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<T> Work<T> {
    /// Adds an order behind all others. **Waits**: never.
    pub(crate) fn push(&self, order: T) {
        self.line.lock().orders.push_back(order);
        self.changed.notify_one();
    }

    /// Takes the first order, or waits for one; none once the end was asked for.
    pub(crate) fn next(&self) -> Option<T> {
        let mut line = self.line.lock();
        loop {
            if line.stop {
                return None;
            }
            if let Some(order) = line.orders.pop_front() {
                return Some(order);
            }
            self.changed.wait(&mut line);
        }
    }

    /// Waits for so long; whether the end was asked for.
    pub(crate) fn stops_within(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut line = self.line.lock();
        while !line.stop && !self.changed.wait_until(&mut line, until).timed_out() {}
        line.stop
    }

    /// Asks for the end: nothing more is taken.
    pub(crate) fn stop(&self) {
        self.line.lock().stop = true;
        self.changed.notify_all();
    }
}
