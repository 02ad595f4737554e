//! A bell that wakes a thread. What it is woken for is not known here.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Wakes a thread: rung by many, waited for by one.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    rung: bool,
    hurries: bool,
    stop: bool,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// It was rung.
    Rung,
    /// It was not, for as long as was waited.
    Quiet,
    /// The end was asked for, and it was not rung after the last wait.
    Stop,
}

impl Bell {
    /// There is something to do, at once or when there may be more.
    pub fn ring(&self, hurries: bool) {
        let mut rung = self.rung.lock();
        rung.rung = true;
        rung.hurries |= hurries;
        drop(rung);
        self.changed.notify_one();
    }

    /// Asks for the end.
    pub fn stop(&self) {
        self.rung.lock().stop = true;
        self.changed.notify_one();
    }

    /// Waits until it is rung, or for so long; without a limit, until it is rung. Where nobody hurries, gives others `pause` to ring as well.
    pub fn wait(&self, limit: Option<Duration>, pause: Duration) -> Woken {
        let mut rung = self.rung.lock();
        let mut quiet = false;
        while !rung.rung && !rung.stop && !quiet {
            match limit {
                Some(limit) => quiet = self.changed.wait_for(&mut rung, limit).timed_out(),
                None => self.changed.wait(&mut rung),
            }
        }
        if !rung.rung {
            return if rung.stop { Woken::Stop } else { Woken::Quiet };
        }
        let until = Instant::now() + pause;
        while !rung.hurries && !rung.stop {
            if self.changed.wait_until(&mut rung, until).timed_out() {
                break;
            }
        }
        rung.rung = false;
        rung.hurries = false;
        Woken::Rung
    }
}
