//! Looking through delayed messages, for operators who list or cancel some.
//!
//! A search goes through the buckets in their order, and reads a stretch of one from the log at a time; whoever searches asks for the next stretch. Since messages
//! move only to buckets that come later, none is missed that was there when the search began and is still there; one that moves meanwhile may be found twice.

use leveret_message::exchange_and_key;
use leveret_message::properties::Properties;
use leveret_store::entry::Stream;
use leveret_store::log::{Log, Read, Wanted};

use super::headers::as_published;
use super::{Asking, Bucket, Delay, Near, READ_BYTES, messages};
use crate::ids::ConnectionId;

/// Where a search goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    bucket: Bucket,
    seq: u64,
    /// The last message that was there when the search came to the bucket.
    last_seq: u64,
}

/// Which messages are looked for. Whatever is not said may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// The earliest time at which they are due, in milliseconds since 1970.
    pub from_ms: u64,
    /// The latest one.
    pub until_ms: Option<u64>,
    /// The number.
    pub number: Option<u64>,
    /// The routing key.
    pub routing_key: Option<Vec<u8>>,
    /// The property `message_id`.
    pub message_id: Option<Vec<u8>>,
}

impl Criteria {
    fn may_have(&self, bucket: Bucket) -> bool {
        bucket.end_ms() > self.from_ms && !self.is_behind(bucket)
    }

    fn is_behind(&self, bucket: Bucket) -> bool {
        self.until_ms
            .is_some_and(|until_ms| bucket.start_ms() > until_ms)
    }

    fn fits(&self, near: &Near) -> bool {
        let is_late = self.until_ms.is_some_and(|until_ms| near.due_ms > until_ms);
        if near.due_ms < self.from_ms || is_late || self.number.is_some_and(|n| n != near.number) {
            return false;
        }
        let Some(message) = near.batch.message(near.index) else {
            return false;
        };
        let key = exchange_and_key::split(message.exchange_and_key).map(|(_, key)| key);
        let id = Properties::checked(message.properties).message_id();
        let is = |wanted: &Option<Vec<u8>>, there: Option<&[u8]>| {
            wanted.is_none() || wanted.as_deref() == there
        };
        is(&self.routing_key, key) && is(&self.message_id, id)
    }
}

/// A stretch of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Where it goes on; at the beginning, if nowhere.
    pub from: Option<Place>,
    /// What it looks for.
    pub criteria: Criteria,
    /// Whether what it finds is cancelled.
    pub cancels: bool,
}

/// What one stretch has found.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// The messages, in no order; none where they were cancelled.
    pub found: Vec<Near>,
    /// How many were cancelled. They are gone for good.
    pub cancelled: u64,
    /// Where the next stretch begins; nowhere where there is nothing more.
    pub next: Option<Place>,
}

/// A read that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    token: u64,
    place: Place,
}

/// A stretch that has come, and for whom. What it cancels is still to be settled, by stream and sequence number.
#[derive(Debug)]
pub struct Answer {
    /// Who searches.
    pub connection: ConnectionId,
    /// What he is told.
    pub stretch: Stretch,
    /// What was cancelled.
    pub settled: Vec<(Stream, u64)>,
}

/// The properties of a message as they were published.
pub fn properties(near: &Near) -> Option<Vec<u8>> {
    let message = near.batch.message(near.index)?;
    as_published(Properties::checked(message.properties), &[])
}

impl Delay {
    /// Somebody searches.
    pub fn search(&mut self, connection: ConnectionId, search: Search) {
        self.searches.push_back((connection, search));
    }

    /// Those who search.
    pub fn searchers(&self) -> impl Iterator<Item = ConnectionId> {
        self.searches.iter().map(|(connection, _)| *connection)
    }

    /// The first of those who search, if nothing is left for him; he is answered with that.
    fn end_search(&mut self) -> Option<Answer> {
        let (connection, _) = self.searches.pop_front()?;
        let stretch = Stretch {
            found: Vec::new(),
            cancelled: 0,
            next: None,
        };
        Some(Answer {
            connection,
            stretch,
            settled: Vec::new(),
        })
    }

    /// Asks for what the first of those who search looks for. Gives `answered` those who have come to the end.
    pub fn ask_search(&mut self, log: &mut dyn Log, mut answered: impl FnMut(Answer)) -> Asking {
        while self.searching.is_none()
            && let Some((_, search)) = self.searches.front()
        {
            let Some(place) = self.place_of(search) else {
                self.end_search().into_iter().for_each(&mut answered);
                continue;
            };
            if let Some((_, search)) = self.searches.front_mut() {
                // What comes from now on is not looked for: it could go on for ever.
                search.from = Some(place);
            }
            return self.ask_at(place, log);
        }
        Asking::Idle
    }

    /// Where a search goes on: in the bucket that it was in, or in the next one that may have something for it.
    fn place_of(&self, search: &Search) -> Option<Place> {
        let criteria = &search.criteria;
        if let Some(place) = search.from
            && place.seq <= place.last_seq
            && self.buckets.contains_key(&place.bucket)
        {
            return Some(place).filter(|place| !criteria.is_behind(place.bucket));
        }
        let is_behind = |bucket: &Bucket| search.from.is_none_or(|place| *bucket > place.bucket);
        let rest = self.buckets.iter().filter(|(bucket, _)| is_behind(bucket));
        let mut places = rest.filter(|(bucket, _)| criteria.may_have(**bucket));
        places.find_map(|(bucket, stored)| {
            let (mut seq, mut last_seq) = (stored.first_seq, stored.last_seq);
            if let Some(number) = criteria.number.filter(|_| !bucket.is_moved()) {
                // There its number is where it is.
                (seq, last_seq) = (seq.max(number), last_seq.min(number));
            }
            let place = Place {
                bucket: *bucket,
                seq,
                last_seq,
            };
            (seq <= last_seq).then_some(place)
        })
    }

    fn ask_at(&mut self, place: Place, log: &mut dyn Log) -> Asking {
        if !self.is_clear(log) {
            return Asking::NotDurable;
        }
        if !self.reach.reaches(log, place.last_seq, self.next_seq) {
            log.hurry();
            return Asking::NotDurable;
        }
        let token = self.reach.next_token();
        self.searching = Some(Open { token, place });
        log.read(Wanted {
            queue: self.id(),
            stream: place.bucket.stream(),
            token,
            first_seq: place.seq,
            skip: 0,
            last_seq: place.last_seq,
            bytes_max: READ_BYTES,
        });
        Asking::Asked
    }

    /// Takes in what was read for a search; nothing where this was not.
    pub fn searched(&mut self, wanted: &Wanted, read: &Read) -> Option<Answer> {
        let open = self.searching.take_if(|open| open.token == wanted.token)?;
        let (connection, search) = self.searches.pop_front()?;
        let next_seq = read.next_seq;
        let all = messages(open.place.bucket, read.clone());
        let there = all.into_iter().filter(|near| self.holds(near));
        let found: Vec<Near> = there.filter(|near| search.criteria.fits(near)).collect();
        let next = Place {
            seq: next_seq,
            ..open.place
        };
        let mut answer = Answer {
            connection,
            stretch: Stretch {
                found,
                cancelled: 0,
                next: Some(next),
            },
            settled: Vec::new(),
        };
        if search.cancels {
            for near in std::mem::take(&mut answer.stretch.found) {
                self.cancel(&near);
                answer.settled.push((near.bucket.stream(), near.seq));
            }
            answer.stretch.cancelled = answer.settled.len() as u64;
        }
        Some(answer)
    }

    /// Whether a message that was read is here still, and has neither been released nor moved.
    fn holds(&self, near: &Near) -> bool {
        let stored = self.buckets.get(&near.bucket);
        stored.is_some_and(|stored| stored.is_unread(near.seq)) || self.near.has(near)
    }

    /// A message is not to be released.
    fn cancel(&mut self, near: &Near) {
        self.near.remove(near.key());
        self.is_full = false;
        // What is being read of its bucket may have it.
        self.asked.take_if(|(bucket, _)| *bucket == near.bucket);
        self.left(near.bucket);
    }
}
