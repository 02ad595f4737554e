//! What the workers of a run share: when to begin and to end, what went wrong first, and the counts.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use parking_lot::Mutex;

use crate::PerfError;
use crate::book::Book;
use crate::clock::Clock;
use crate::meter::Meter;

/// The wish of whoever started a run that it ends now.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Wishes it. What was declared is deleted before the run returns.
    pub fn set(&self) {
        self.0.store(true, Release);
    }

    /// Tells whether it was wished.
    pub fn is_set(&self) -> bool {
        self.0.load(Acquire)
    }
}

/// A moment that has come or not.
#[derive(Debug, Default)]
pub(crate) struct Over(AtomicBool);

impl Over {
    pub(crate) fn set(&self) {
        self.0.store(true, Release);
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Acquire)
    }
}

/// What the workers of a run share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) clock: Clock,
    /// Producers publish nothing more.
    pub(crate) publishing_over: Over,
    /// Somebody wished an end, so that nothing is waited for that can be done without.
    pub(crate) interrupted: Over,
    /// Consumers take nothing more.
    pub(crate) consuming_over: Over,
    pub(crate) counts: Counts,
    /// A book for each producer.
    pub(crate) books: Vec<Mutex<Book>>,
    /// Why publishers wait, as the broker put it last; `None` when they do not.
    pub(crate) blocked: Mutex<Option<String>>,
    failure: Mutex<Option<PerfError>>,
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) published: Meter,
    pub(crate) confirmed: Meter,
    pub(crate) nacked: Meter,
    pub(crate) returned: Meter,
    pub(crate) received: Meter,
    pub(crate) redelivered: Meter,
    /// Bodies that are not as they were sent.
    pub(crate) damaged: Meter,
}

impl Run {
    pub(crate) fn new(producers: u16) -> Run {
        Run {
            clock: Clock::start(),
            publishing_over: Over::default(),
            interrupted: Over::default(),
            consuming_over: Over::default(),
            counts: Counts::default(),
            books: (0..producers).map(|_| Mutex::default()).collect(),
            blocked: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// Ends the run for what a worker met; the first failure counts.
    pub(crate) fn fail(&self, error: PerfError) {
        self.failure.lock().get_or_insert(error);
        self.publishing_over.set();
        self.consuming_over.set();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.lock().is_some()
    }

    pub(crate) fn take_failure(&self) -> Option<PerfError> {
        self.failure.lock().take()
    }

    /// How many messages queues got: what was published and neither refused nor sent back.
    pub(crate) fn accepted(&self) -> u64 {
        let refused = self.counts.nacked.count() + self.counts.returned.count();
        self.counts.published.count().saturating_sub(refused)
    }
}
