//! A stream beside a model of it: publishers, readers, retention, and ends of the broker at which the log is only safe up to somewhere.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use leveret_store::entry::{NewEnqueue, QueueRun, Reason, RequeueRun};
use leveret_store::log::{Arrived, ChunkId, Group, Position, Read, Transaction, Urgency, Wanted};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A log of one stream: a position for each message, safe up to where the test says.
#[derive(Default)]
struct Kept {
    /// When each message arrived, and its record; that of sequence number 1 first.
    messages: Vec<(u64, Vec<u8>)>,
    first_seq: u64,
    durable: Cell<u64>,
    asked: RefCell<Vec<Wanted>>,
}

impl Kept {
    fn answer(&self, wanted: &Wanted) -> Read {
        assert!(
            wanted.last_seq <= self.durable.get(),
            "what is read is safe"
        );
        let mut read = Read {
            next_seq: wanted.last_seq + 1,
            ..Read::default()
        };
        for seq in wanted.first_seq.max(self.first_seq)..=wanted.last_seq {
            let (ms, record) = &self.messages[seq as usize - 1];
            if read.count > 0 && read.records.len() + record.len() > wanted.bytes_max {
                read.next_seq = seq;
                break;
            }
            read.records.extend_from_slice(record);
            read.note(seq, 1, *ms);
        }
        read
    }
}

impl Log for Kept {
    fn enqueue(&mut self, _: Group, _: NewEnqueue<'_>, _: Urgency) -> Position {
        unreachable!()
    }
    fn settle(&mut self, _: Group, _: Reason, _: &[QueueRun]) -> Position {
        unreachable!()
    }
    fn requeue(&mut self, _: Group, _: (QueueId, LogStream), _: &[RequeueRun]) -> Position {
        unreachable!()
    }
    fn delete_queue(&mut self, _: Group, _: QueueId) -> Position {
        unreachable!()
    }
    fn begin_part(&mut self, _: Transaction) {
        unreachable!()
    }
    fn end_part(&mut self, _: Transaction) -> Option<Position> {
        unreachable!()
    }
    fn last(&self) -> Position {
        Position(self.messages.len() as u64)
    }
    fn durable(&self) -> Position {
        Position(self.durable.get())
    }
    fn written(&self) -> Position {
        Position(self.durable.get())
    }
    fn is_behind(&self) -> bool {
        false
    }
    fn hurry(&mut self) {}
    fn read(&mut self, wanted: Wanted) {
        self.asked.borrow_mut().push(wanted);
    }
    fn put_away(&mut self, _: Vec<u8>) -> ChunkId {
        unreachable!()
    }
    fn fetch(&mut self, _: ChunkId) {
        unreachable!()
    }
    fn forget(&mut self, _: ChunkId) {
        unreachable!()
    }
    fn take_arrived(&mut self, _: &mut Vec<Arrived>) {
        unreachable!()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// So many messages are published, so many milliseconds after what was before. Whether there is memory for them.
    Publish(u32, u64, bool),
    /// The log is safe up to so many messages more.
    Sync(u64),
    /// Somebody begins to read.
    Begin(Offset, Option<u8>, u16),
    /// Readers are given what they may take.
    Deal,
    /// The oldest question to the log is answered.
    Answer,
    /// A reader acknowledges so many of what it holds, from the first or from the last on.
    Ack(usize, usize, bool),
    /// A reader is cancelled, or goes with its channel.
    End(usize, bool),
    /// What is too old or too much goes.
    Retire,
    /// It is written down how far readers have come.
    WriteOffsets,
    /// The broker is killed.
    Kill,
}

fn any_offset() -> impl Strategy<Value = Offset> {
    prop_oneof![
        Just(Offset::First),
        Just(Offset::Next),
        (0..300_u64).prop_map(Offset::At),
        (0..3_000_u64).prop_map(Offset::Since),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let name = proptest::option::of(0..3_u8);
    prop_oneof![
        4 => (1..40_u32, 0..50_u64, any::<bool>()).prop_map(|(n, ms, keep)| Step::Publish(n, ms, keep)),
        3 => (0..60_u64).prop_map(Step::Sync),
        2 => (any_offset(), name, 1..30_u16).prop_map(|(at, name, most)| Step::Begin(at, name, most)),
        6 => Just(Step::Deal),
        5 => Just(Step::Answer),
        5 => (any::<usize>(), 1..20_usize, any::<bool>()).prop_map(|(who, n, last)| Step::Ack(who, n, last)),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(who, cancel)| Step::End(who, cancel)),
        1 => Just(Step::Retire),
        1 => Just(Step::WriteOffsets),
        1 => Just(Step::Kill),
    ]
}

/// A reader, as the test knows it.
#[derive(Debug)]
struct Client {
    id: ReaderId,
    name: Option<u8>,
    prefetch: usize,
    /// The next message it is to be given, once the broker knows that too.
    next: u64,
    unacked: Vec<u64>,
    is_cancelled: bool,
}

impl Client {
    /// The first message it has not done with; what is gone needs nothing.
    fn done_upto(&self, first_seq: u64) -> u64 {
        let next = self.next.max(first_seq);
        self.unacked.first().copied().unwrap_or(next)
    }
}

struct Beside {
    stream: Stream,
    log: Kept,
    now_ms: u64,
    clients: Vec<Client>,
    readers: u32,
    /// How far each name has come, and what is written down of that.
    names: BTreeMap<u8, u64>,
    written: BTreeMap<u8, u64>,
    owners: BTreeMap<u8, ReaderId>,
    limits: (Option<u64>, Option<u64>),
}

impl Beside {
    fn new(limits: (Option<u64>, Option<u64>)) -> Self {
        let mut beside = Self {
            stream: empty(),
            log: Kept {
                first_seq: 1,
                ..Kept::default()
            },
            now_ms: 1_000,
            clients: Vec::new(),
            readers: 0,
            names: BTreeMap::new(),
            written: BTreeMap::new(),
            owners: BTreeMap::new(),
            limits,
        };
        beside.limit();
        beside
    }

    fn limit(&mut self) {
        let mut arguments = crate::arguments::QueueArguments::default();
        arguments.queue_type = crate::arguments::QueueType::Stream;
        arguments.length.messages = self.limits.0;
        arguments.stream.max_age = self.limits.1.map(std::time::Duration::from_millis);
        arguments.stream.max_segment_size_bytes = Some(1);
        self.stream.settings = arguments.into();
        self.stream.chunks.set_full(Some(1));
    }

    fn next_seq(&self) -> u64 {
        self.log.messages.len() as u64 + 1
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish(count, later_ms, keep) => {
                self.now_ms += later_ms;
                let batch = batch(count, self.now_ms);
                let (seq, _) = self.stream.append(&batch, (0, count), keep);
                assert_eq!(seq, self.next_seq());
                for index in 0..count {
                    let mut record = Vec::new();
                    batch.copy_records(index, 1, &mut record, &mut Vec::new());
                    self.log.messages.push((self.now_ms, record));
                }
            }
            Step::Sync(more) => {
                let durable = self.log.durable.get() + more;
                self.log.durable.set(durable.min(self.next_seq() - 1));
            }
            Step::Begin(offset, name, prefetch) => {
                // Until it is found where such a one begins, nothing is kept of it.
                let name = name.filter(|_| !matches!(offset, Offset::Since(_)));
                self.begin(offset, name, prefetch);
            }
            Step::Deal => self.deal(),
            Step::Answer => self.answer(),
            Step::Ack(who, count, from_last) => self.ack(who, count, from_last),
            Step::End(who, cancel) => self.end(who, cancel),
            Step::Retire => self.retire(),
            Step::WriteOffsets => self.write_offsets(),
            Step::Kill => self.kill(),
        }
    }

    fn begin(&mut self, offset: Offset, name: Option<u8>, prefetch: u16) {
        self.readers += 1;
        let new = NewConsumer {
            slot: ConsumerSlot(self.readers),
            tag: leveret_message::name::Name::new("a reader").unwrap(),
            no_ack: false,
            exclusive: false,
            prefetch,
            channel_credit: None,
            priority: 0,
            timeout: None,
            offset,
            filter: None,
            offset_name: name
                .map(|name| leveret_message::name::Name::new(&name.to_string()).unwrap()),
            reader: self.readers,
        };
        let id = (holder().connection, self.readers);
        self.note_names();
        let kept = name.and_then(|name| self.names.get(&name).copied());
        let (first, next_seq) = (self.log.first_seq, self.next_seq());
        let arrived = |seq: &u64| self.log.messages[*seq as usize - 1].0;
        let next = match (kept, offset) {
            (Some(seq), _) => seq.max(first),
            (None, Offset::First) => first,
            (None, Offset::Next) => next_seq,
            (None, Offset::At(offset)) => (offset + 1).max(first),
            (None, Offset::Since(ms)) => (first..next_seq)
                .find(|seq| arrived(seq) >= ms)
                .unwrap_or(next_seq),
            (None, other) => unreachable!("{other:?}"),
        };
        if let Some(name) = name {
            self.owners.insert(name, id);
            self.names.insert(name, next);
        }
        self.stream.consume(holder(), &new, self.now_ms).unwrap();
        self.clients.push(Client {
            id,
            name,
            prefetch: usize::from(prefetch),
            next,
            unacked: Vec::new(),
            is_cancelled: false,
        });
    }

    /// How far the owners of names have come.
    fn note_names(&mut self) {
        for client in &self.clients {
            if let Some(name) = client.name
                && self.owners.get(&name) == Some(&client.id)
            {
                self.names
                    .insert(name, client.done_upto(self.log.first_seq));
            }
        }
    }

    fn deal(&mut self) {
        self.stream.look_at(&self.log);
        for number in 0..self.stream.readers.len() {
            for _ in 0..100 {
                let credit = self.stream.readers[number].credit();
                if credit == 0 {
                    break;
                }
                let next = self.stream.next_run(number, credit);
                let asking = self.stream.ask(number, &mut self.log);
                let run = match (next, asking) {
                    (Next::Run(run), _) => run,
                    (Next::PassedOver, _) | (Next::Nothing, Asking::Arrived) => continue,
                    (Next::Nothing, _) => break,
                };
                let id = self.stream.readers[number].id;
                assert_eq!(
                    self.stream.readers[number].claim(u64::from(run.count)),
                    u64::from(run.count)
                );
                self.stream.note_delivered(number, &run);
                self.take(id, &run);
            }
        }
        self.stream.clear_shelf();
    }

    /// A client is given messages: those that follow, of those that are there and safe.
    fn take(&mut self, id: ReaderId, run: &Run) {
        let first = self.log.first_seq;
        let durable = self.log.durable.get();
        let client = self
            .clients
            .iter_mut()
            .find(|client| client.id == id)
            .unwrap();
        assert!(!client.is_cancelled);
        for at in 0..run.count {
            let seq = run.first_seq + u64::from(at);
            assert_eq!(
                seq,
                client.next.max(first),
                "they come in order, and none is left out"
            );
            assert!(seq <= durable, "they are safe");
            client.next = seq + 1;
            client.unacked.push(seq);
            let message = run.batch.message(run.index + at).unwrap();
            assert_eq!(message.body.len(), 100);
        }
        assert!(
            client.unacked.len() <= client.prefetch,
            "no more than the prefetch"
        );
    }

    fn answer(&mut self) {
        if self.log.asked.borrow().is_empty() {
            return;
        }
        let wanted = self.log.asked.borrow_mut().remove(0);
        let read = self.log.answer(&wanted);
        self.stream.arrived(wanted, read);
        self.stream.ask_survey(&mut self.log);
    }

    fn ack(&mut self, who: usize, count: usize, from_last: bool) {
        let holding = self
            .clients
            .iter_mut()
            .filter(|client| !client.unacked.is_empty());
        let mut holding: Vec<_> = holding.collect();
        if holding.is_empty() {
            return;
        }
        let number = who % holding.len();
        let client = &mut holding[number];
        let id = client.id;
        for _ in 0..count.min(client.unacked.len()) {
            let at = if from_last {
                client.unacked.len() - 1
            } else {
                0
            };
            let seq = client.unacked.remove(at);
            self.stream.settle(id, (seq, 1));
        }
    }

    fn end(&mut self, who: usize, cancel: bool) {
        if self.clients.is_empty() {
            return;
        }
        self.note_names();
        let who = who % self.clients.len();
        let id = self.clients[who].id;
        if cancel {
            self.clients[who].is_cancelled = true;
            self.stream.leave(|reader| reader.id == id, self.now_ms);
        } else {
            self.clients.remove(who);
            self.stream.remove(|reader| reader.id == id, self.now_ms);
        }
    }

    fn retire(&mut self) {
        if let Some((first, count)) = self.stream.retire(self.now_ms) {
            assert_eq!(first, self.log.first_seq, "the oldest go");
            self.log.first_seq += count;
            assert!(self.log.first_seq < self.next_seq(), "the last chunk stays");
            let (messages, age) = self.limits;
            let left = self.next_seq() - self.log.first_seq;
            let last_ms = self.log.messages[self.log.first_seq as usize - 2].0;
            let was_too_many = messages.is_some_and(|max| left >= max);
            let was_too_old = age.is_some_and(|age| last_ms < self.now_ms.saturating_sub(age));
            assert!(
                was_too_many || was_too_old,
                "only what is beyond a limit goes"
            );
        }
        assert_eq!(self.stream.count(), self.next_seq() - self.log.first_seq);
    }

    fn write_offsets(&mut self) {
        self.note_names();
        self.stream.look_at(&self.log);
        let safe_seq = self.stream.durable.upto() + 1;
        let (names, written) = (&self.names, &mut self.written);
        self.stream.write_offsets(|name, seq| {
            let name: u8 = name.parse().unwrap();
            let acked = names[&name];
            assert!(seq <= acked, "no more than was acknowledged");
            assert!(seq <= safe_seq, "nothing that may get lost");
            written.insert(name, seq);
        });
    }

    fn kill(&mut self) {
        let durable = self.log.durable.get();
        self.log.messages.truncate(durable as usize);
        self.log.asked.borrow_mut().clear();
        let next_seq = self.next_seq();
        self.log.first_seq = self.log.first_seq.min(next_seq);
        self.clients.clear();
        self.owners.clear();
        self.stream = empty();
        let offsets = self
            .written
            .iter()
            .map(|(name, seq)| (name.to_string().into(), *seq));
        self.stream
            .recover(self.log.first_seq, next_seq, offsets.collect());
        self.names = self.written.clone();
        self.limit();
        self.stream.ask_survey(&mut self.log);
    }

    /// In the end everybody has read everything.
    fn finish(&mut self) {
        self.log.durable.set(self.next_seq() - 1);
        for _ in 0..10_000 {
            self.deal();
            let holds = |client: &Client| !client.unacked.is_empty();
            if !self.clients.iter().any(holds) && self.log.asked.borrow().is_empty() {
                break;
            }
            for who in 0..self.clients.len() {
                self.ack(who, usize::MAX, false);
            }
            self.answer();
        }
        for client in self.clients.iter().filter(|client| !client.is_cancelled) {
            assert!(
                client.next >= self.next_seq(),
                "{client:?} has not come to {}",
                self.next_seq()
            );
        }
    }
}

/// An empty stream of which nothing is safe.
fn empty() -> Stream {
    let mut stream = stream();
    stream.durable = Safe::default();
    stream
}

proptest! {
    #[test]
    fn readers_are_given_what_a_model_says(
        steps in vec(any_step(), 1..200),
        limits in (proptest::option::of(1..200_u64), proptest::option::of(1..2_000_u64)),
    ) {
        let mut beside = Beside::new(limits);
        steps.iter().for_each(|step| beside.step(step));
        beside.finish();
    }
}
