//! What readers take next and is not in memory: asking the log for it, and taking in what has come.

use leveret_store::log::{Log, Read, Wanted};

use crate::stream::reader::taken_in;
use crate::stream::seek::{Seek, Step};
use crate::stream::{MESSAGES, Reader, ReaderId, Run, Stream};

/// How many bytes of what was read last from the log are kept in memory for the next reader, while one is behind.
const SHELF_BYTES: usize = 4 << 20;

/// How many bytes are read from the log at a time, and again when half of that is left.
pub(super) const READ_BYTES: usize = 1 << 20;

/// What comes of asking for what a reader takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Nothing is asked.
    Idle,
    /// A question is on its way.
    Asked,
    /// It was there, or it is known now where the reader begins.
    Arrived,
    /// It is there once the log is safe further.
    NotSafe,
}

impl Stream {
    /// Asks for what a reader takes next, if that is not in memory.
    pub fn ask(&mut self, number: usize, log: &mut dyn Log) -> Asking {
        let (tail_seq, safe_seq) = (self.tail_seq(), self.safe_seq());
        let Some(reader) = self.readers.get(number).filter(|reader| reader.reads()) else {
            return Asking::Idle;
        };
        if reader.is_asking() {
            return Asking::Idle;
        }
        if let Some(seek) = reader.seek {
            return self.seek(reader.id, seek, log);
        }
        let Some(seq) = reader.wants(tail_seq, READ_BYTES / 2) else {
            return match reader.is_at(safe_seq) && safe_seq < self.next_seq {
                true => Asking::NotSafe,
                false => Asking::Idle,
            };
        };
        if seq > self.durable.upto() {
            log.hurry();
            return Asking::NotSafe;
        }
        if self.take_from_shelf(number, seq) {
            return Asking::Arrived;
        }
        let last_seq = (tail_seq - 1).min(self.durable.upto());
        let token = self.put_question(log, (seq, last_seq), READ_BYTES).token;
        if let Some(reader) = self.readers.get_mut(number) {
            reader.note_asked(token);
        }
        Asking::Asked
    }

    /// Gives a reader what was read for others. Whether there was some.
    fn take_from_shelf(&mut self, number: usize, seq: u64) -> bool {
        let mut bytes = 0;
        let runs = self.shelf.following(seq).take_while(|run| {
            let is_short = bytes < READ_BYTES;
            bytes += run.bytes();
            is_short
        });
        let runs: Vec<Run> = runs.cloned().collect();
        let (Some(last), Some(reader)) = (runs.last(), self.readers.get_mut(number)) else {
            return false;
        };
        let upto = last.end();
        reader.take_in(runs.into_iter(), upto);
        true
    }

    /// Goes on to find out where a reader begins.
    fn seek(&mut self, id: ReaderId, seek: Seek, log: &mut dyn Log) -> Asking {
        match seek.step() {
            Step::Look(first, last) => {
                let token = self.put_question(log, (first, last), 1).token;
                if let Some(reader) = self.reader(id) {
                    reader.note_asked(token);
                }
                return Asking::Asked;
            }
            Step::Begin(seq, since_ms) => {
                if let Some(reader) = self.reader(id) {
                    reader.begin(seq, since_ms);
                }
            }
        }
        Asking::Arrived
    }

    /// Asks for messages that are in the log.
    pub(super) fn put_question(
        &mut self,
        log: &mut dyn Log,
        (first_seq, last_seq): (u64, u64),
        bytes_max: usize,
    ) -> Wanted {
        self.last_token += 1;
        let wanted = Wanted {
            queue: self.id(),
            stream: MESSAGES,
            token: self.last_token,
            first_seq,
            skip: 0,
            last_seq,
            bytes_max,
        };
        log.read(wanted);
        wanted
    }

    /// Asks for the next of what was there when the broker was started, where it has to be known how much and how old it is. Whether a question was asked.
    pub fn ask_survey(&mut self, log: &mut dyn Log) -> bool {
        if self.limits(0).is_none() || self.survey.is_some() {
            return false;
        }
        let Some(unknown) = self.chunks.unknown() else {
            return false;
        };
        self.survey = Some(self.put_question(log, unknown, READ_BYTES).token);
        true
    }

    /// Takes in what was read.
    pub fn arrived(&mut self, wanted: Wanted, read: Read) {
        if self.survey == Some(wanted.token) {
            self.survey = None;
            let bytes = read.records.len() as u64;
            let last_ms = read.arrivals.last().map_or(0, |(_, ms)| *ms);
            self.chunks.learn(read.next_seq, bytes, last_ms);
            return;
        }
        let has_asked = |reader: &&mut Reader| reader.has_asked(wanted.token);
        let Some(reader) = self.readers.iter_mut().find(has_asked) else {
            return;
        };
        if reader.seek.is_some() {
            return reader.take_in_look(&read);
        }
        let (runs, upto) = taken_in(read);
        reader.take_in(runs.iter().cloned(), upto);
        self.put_on_shelf(runs);
    }

    /// Keeps what was read for the next reader that is behind.
    fn put_on_shelf(&mut self, runs: Vec<Run>) {
        let first = runs.first().map(|run| run.first_seq);
        let last = self.shelf.last().map(Run::end);
        if self.readers.len() < 2 || first.zip(last).is_some_and(|(first, last)| first < last) {
            // It is in order: who reads elsewhere begins it anew.
            self.shelf.shrink(0);
        }
        if self.readers.len() > 1 {
            runs.into_iter().for_each(|run| self.shelf.push(run));
            self.shelf.shrink(SHELF_BYTES);
        }
    }

    /// Lets go of what was read, once no reader is behind.
    pub fn clear_shelf(&mut self) {
        let tail_seq = self.tail_seq();
        if !self.shelf.is_empty() && !self.readers.iter().any(|reader| reader.is_behind(tail_seq)) {
            self.shelf.shrink(0);
        }
    }
}
