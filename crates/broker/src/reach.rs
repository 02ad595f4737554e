//! How far the log is durable, as a queue has seen it: what is asked of the log has to be durable.

use leveret_store::log::{Log, Position};

/// How far the log is durable, as a queue has seen it, and its questions.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    last_token: u64,
    /// Everything up to this sequence number that is in the log is durable.
    durable_seq: u64,
    /// Everything up to this sequence number will be when the log is durable at this position.
    mark: Option<(Position, u64)>,
}

impl Reach {
    /// Everything up to a sequence number is durable.
    pub(crate) fn set_durable(&mut self, seq: u64) {
        self.durable_seq = seq;
    }

    /// Everything up to this sequence number is known to be durable.
    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// A number for the next question.
    pub(crate) fn next_token(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }

    /// Whether what is in the log up to a sequence number is durable.
    pub(crate) fn reaches(&mut self, log: &dyn Log, seq: u64, next_seq: u64) -> bool {
        for _ in 0..2 {
            if seq <= self.durable_seq {
                return true;
            }
            let (position, upto) = *self.mark.get_or_insert_with(|| (log.last(), next_seq - 1));
            if log.durable() < position {
                return false;
            }
            self.durable_seq = upto;
            self.mark = None;
        }
        seq <= self.durable_seq
    }
}
