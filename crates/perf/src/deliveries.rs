//! What comes to a consumer: which message each delivery is, and whether it is as it was sent.

use crate::PerfError;
use crate::body::{self, NUMBERED, Numbers, TIMED};
use crate::latency::Times;
use crate::run::Run;

/// The deliveries of one consumer since they were entered in the books.
#[derive(Debug)]
pub(crate) struct Deliveries {
    /// What a body has behind its head.
    blank: Vec<u8>,
    head_len: usize,
    producers: u16,
    timed_one_in: u64,
    tag: u64,
    content: Content,
    counted: Counted,
    /// Consecutive numbers that came, of one producer after the other.
    came: Vec<Numbered>,
}

/// A content that comes.
#[derive(Debug, Default)]
struct Content {
    size: u64,
    /// Octets of the body that came.
    came: u64,
    head: [u8; TIMED],
    is_damaged: bool,
}

#[derive(Debug, Default)]
struct Counted {
    received: u64,
    redelivered: u64,
    damaged: u64,
}

/// Consecutive numbers of one producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbered {
    producer: u16,
    first: u64,
    count: u64,
}

impl Deliveries {
    pub(crate) fn new(size: usize, producers: u16, timed_one_in: u64) -> Deliveries {
        Deliveries {
            blank: body::blank(size),
            head_len: body::head_len(size),
            producers,
            timed_one_in,
            tag: 0,
            content: Content::default(),
            counted: Counted::default(),
            came: Vec::new(),
        }
    }

    /// The tag of the last delivery.
    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }

    /// The arguments of `basic.deliver`: consumer tag, delivery tag, redelivered, and what is not looked at.
    #[inline]
    pub(crate) fn deliver(&mut self, arguments: &[u8]) -> Result<(), PerfError> {
        let tag = arguments.split_first().and_then(|(len, rest)| {
            let (_, rest) = rest.split_at_checked(usize::from(*len))?;
            rest.split_first_chunk::<8>()
        });
        let Some((tag, [redelivered, ..])) = tag else {
            return Err(PerfError::Unexpected("a deliver cut short".to_owned()));
        };
        self.tag = u64::from_be_bytes(*tag);
        self.counted.redelivered += u64::from(*redelivered & 1);
        Ok(())
    }

    /// The header; whether the message is whole with that.
    #[inline]
    pub(crate) fn header(&mut self, size: u64) -> bool {
        self.content.size = size;
        self.content.came = 0;
        self.content.is_damaged = size != self.blank.len() as u64;
        if size == 0 {
            self.counted.received += 1;
            self.counted.damaged += u64::from(self.content.is_damaged);
        }
        size == 0
    }

    /// A body frame or a part of one; whether the message is whole with it.
    #[inline]
    pub(crate) fn body(&mut self, payload: &[u8], now_ns: u64, times: &mut Times) -> bool {
        let from = self.content.came as usize;
        self.content.came += payload.len() as u64;
        if from == 0 && payload.len() == self.blank.len() {
            // The whole body in one piece, as most are.
            let (head, rest) = payload.split_at(self.head_len);
            let is_sound = self.blank.get(self.head_len..) == Some(rest);
            self.content.is_damaged |= !is_sound;
            if let Some(to) = self.content.head.get_mut(..self.head_len) {
                to.copy_from_slice(head);
            }
        } else {
            self.part(payload, from);
        }
        if self.content.came < self.content.size {
            return false;
        }
        self.counted.received += 1;
        match self.content.is_damaged || self.content.came > self.content.size {
            true => self.counted.damaged += 1,
            false => self.enter(now_ns, times),
        }
        true
    }

    fn part(&mut self, payload: &[u8], from: usize) {
        let in_head = self.head_len.saturating_sub(from).min(payload.len());
        let (head, rest) = payload.split_at(in_head);
        if let Some(to) = self.content.head.get_mut(from..from + in_head) {
            to.copy_from_slice(head);
        }
        let from = from + in_head;
        let sound = self.blank.get(from..from.saturating_add(rest.len()));
        self.content.is_damaged |= sound != Some(rest);
    }

    #[inline]
    fn enter(&mut self, now_ns: u64, times: &mut Times) {
        if self.head_len < NUMBERED {
            return;
        }
        let (octets, _) = self.content.head.as_chunks::<8>();
        let [numbers, sent_ns] = octets else {
            return;
        };
        let Numbers { producer, sequence } = Numbers::of(*numbers);
        if producer >= self.producers {
            self.counted.damaged += 1;
            return;
        }
        if self.head_len == TIMED && sequence.is_multiple_of(self.timed_one_in) {
            times.saturating_record(now_ns.saturating_sub(u64::from_be_bytes(*sent_ns)));
        }
        match self.came.last_mut() {
            Some(last) if last.producer == producer && last.first + last.count == sequence => {
                last.count += 1;
            }
            _ => self.came.push(Numbered {
                producer,
                first: sequence,
                count: 1,
            }),
        }
    }

    /// Enters in the books of the run what came since the last time.
    pub(crate) fn settle(&mut self, run: &Run, now_ns: u64) {
        for together in self.came.chunk_by(|a, b| a.producer == b.producer) {
            let producer = together.first().map_or(0, |first| first.producer);
            if let Some(book) = run.books.get(usize::from(producer)) {
                let mut book = book.lock();
                for came in together {
                    book.enter(came.first, came.count);
                }
            }
        }
        self.came.clear();
        let counted = std::mem::take(&mut self.counted);
        run.counts.received.add(counted.received, now_ns);
        run.counts.redelivered.add(counted.redelivered, now_ns);
        run.counts.damaged.add(counted.damaged, now_ns);
    }
}

#[cfg(test)]
mod tests;
