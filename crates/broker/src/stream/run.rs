//! Messages of a stream that are in memory: runs of them, shared by all who read them.

use std::collections::VecDeque;
use std::sync::Arc;

use leveret_message::batch::Batch;
use leveret_store::log::Read;

use crate::found::batch_of;

/// Consecutive messages of one batch.
#[derive(Clone, Debug)]
pub struct Run {
    /// The first one's sequence number.
    pub first_seq: u64,
    /// How many.
    pub count: u32,
    /// Where they are.
    pub batch: Arc<Batch>,
    /// The first one's index there.
    pub index: u32,
}

impl Run {
    /// The sequence number behind the last one.
    pub(super) fn end(&self) -> u64 {
        self.first_seq + u64::from(self.count)
    }

    pub(super) fn bytes(&self) -> usize {
        self.batch.size(self.index, self.count)
    }

    /// The part from a sequence number on, at most `most` messages; none where it has none of these.
    pub(super) fn from(&self, seq: u64, most: u64) -> Option<Self> {
        let skipped = seq.checked_sub(self.first_seq)?;
        let left = u64::from(self.count).checked_sub(skipped)?;
        let count = left.min(most) as u32;
        (count > 0).then(|| Self {
            first_seq: seq,
            count,
            batch: Arc::clone(&self.batch),
            index: self.index + skipped as u32,
        })
    }

    /// How many of the first ones arrived before a time.
    pub(super) fn count_before(&self, unix_ms: u64) -> u32 {
        let (arrivals, end) = (self.batch.arrivals(), self.index + self.count);
        let mut at = self.index;
        while at < end && arrivals.of(at) < unix_ms {
            at = arrivals.change_after(at).unwrap_or(end).min(end);
        }
        at - self.index
    }
}

/// Runs by rising sequence number.
#[derive(Debug, Default)]
pub(super) struct InMemory {
    runs: VecDeque<Run>,
    bytes: usize,
}

impl InMemory {
    /// How much memory they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much of that are messages from a sequence number on, which is in the first run or before it.
    pub(super) fn bytes_from(&self, seq: u64) -> usize {
        let before = self.runs.front().map_or(0, |run| {
            let count = seq.saturating_sub(run.first_seq).min(u64::from(run.count));
            run.batch.size(run.index, count as u32)
        });
        self.bytes - before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Run> {
        self.runs.front()
    }

    pub(super) fn last(&self) -> Option<&Run> {
        self.runs.back()
    }

    /// How many messages they are.
    pub(super) fn count(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.count)).sum()
    }

    /// Adds what comes behind all others.
    pub(super) fn push(&mut self, run: Run) {
        self.bytes += run.bytes();
        self.runs.push_back(run);
    }

    /// The run that has a sequence number.
    pub(super) fn at(&self, seq: u64) -> Option<&Run> {
        let number = self.runs.partition_point(|run| run.end() <= seq);
        self.runs.get(number).filter(|run| run.first_seq <= seq)
    }

    /// The runs from the one on that has a sequence number, as long as nothing is missing between them.
    pub(super) fn following(&self, seq: u64) -> impl Iterator<Item = &Run> {
        let number = self.runs.partition_point(|run| run.end() <= seq);
        let mut next = None;
        self.runs.range(number..).take_while(move |run| {
            let follows = run.first_seq <= next.unwrap_or(seq);
            next = Some(run.end());
            follows
        })
    }

    /// Lets go of what is before a sequence number.
    pub(super) fn forget_before(&mut self, seq: u64) {
        while let Some(run) = self.runs.pop_front_if(|run| run.end() <= seq) {
            self.bytes -= run.bytes();
        }
    }

    /// Lets go of what is before a sequence number, while there are more bytes than that.
    pub(super) fn shrink_before(&mut self, seq: u64, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(run) = self.runs.pop_front_if(|run| run.end() <= seq)
        {
            self.bytes -= run.bytes();
        }
    }

    /// Lets the first ones go while there are more bytes than that.
    pub(super) fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(run) = self.runs.pop_front()
        {
            self.bytes -= run.bytes();
        }
    }
}

/// What was read from the log.
pub(super) fn runs_of(mut read: Read) -> Vec<Run> {
    let runs = std::mem::take(&mut read.runs);
    let batch = batch_of(read);
    let mut index = 0;
    let runs = runs.into_iter().map(|run| {
        let count = run.count as u32;
        let run = Run {
            first_seq: run.first_seq,
            count,
            batch: Arc::clone(&batch),
            index,
        };
        index += count;
        run
    });
    runs.collect()
}
