//! What was published, confirmed and acked, and whether a queue has what it must after a fault.
//!
//! Every message says in its body who published it and as which one, and the rest of the body follows from that: so each body that comes
//! back can be checked whole. The ledger outlives the brokers of a test; it knows no broker and no socket.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A message of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// The number of its publisher.
    pub publisher: u32,
    /// Its number among that publisher's, from 1 on.
    pub number: u64,
}

impl Message {
    /// Its body of about `len` bytes, or a few more where the two numbers need them.
    pub fn body(self, len: usize) -> Vec<u8> {
        let mut body = format!("{} {} ", self.publisher, self.number).into_bytes();
        let mut bits = (u64::from(self.publisher) << 40) ^ self.number;
        while body.len() < len {
            bits = bits
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            body.push((bits >> 56) as u8);
        }
        body
    }

    /// The message that a body is of, every byte of which must be right.
    #[track_caller]
    pub fn of(body: &[u8]) -> Self {
        let words: Vec<&[u8]> = body.splitn(3, |byte| *byte == b' ').collect();
        let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<u64>().ok();
        let numbers = match words.as_slice() {
            [publisher, number_of, _] => number(publisher).zip(number(number_of)),
            _ => None,
        };
        let message = numbers.and_then(|(publisher, number)| {
            let publisher = u32::try_from(publisher).ok()?;
            Some(Self { publisher, number })
        });
        let right = message.filter(|message| message.body(body.len()) == body);
        right.unwrap_or_else(|| panic!("a body that nobody published: {body:?}"))
    }
}

/// What one publisher did.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The publisher's number.
    pub publisher: u32,
    /// It sent the messages from 1 to this one, the last of them maybe in part.
    pub sent: u64,
    /// Those that were confirmed.
    pub confirmed: BTreeSet<u64>,
    /// Those that a full queue has refused.
    pub refused: BTreeSet<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    published: BTreeMap<u32, Published>,
    /// Acks that were sent; whether they took effect is known only once the queue was drained.
    acked: BTreeSet<Message>,
    /// Messages that the queue did not have any more.
    gone: BTreeSet<Message>,
}

impl Ledger {
    /// Notes what a publisher did, under a number that no other publisher of this ledger has.
    pub fn published(&mut self, published: Published) {
        let before = self.published.insert(published.publisher, published);
        assert!(before.is_none(), "each publisher has a number of its own");
    }

    /// Notes messages for which acks were sent.
    pub fn acked(&mut self, messages: impl IntoIterator<Item = Message>) {
        self.acked.extend(messages);
    }

    /// How many messages were confirmed.
    pub fn confirmed(&self) -> usize {
        self.published
            .values()
            .map(|published| published.confirmed.len())
            .sum()
    }

    /// Checks everything that a queue has, in the order in which it gave it: all that was confirmed and not acked, each message once, those
    /// of one publisher in order, and nothing that was not published or was gone before.
    #[track_caller]
    pub fn check(&mut self, found: &[Message]) {
        let mut last: BTreeMap<u32, u64> = BTreeMap::new();
        for message in found {
            let published = self.published.get(&message.publisher);
            let sent = published.map_or(0, |published| published.sent);
            assert!(
                (1..=sent).contains(&message.number),
                "a phantom: {message:?}"
            );
            assert!(!self.gone.contains(message), "came back: {message:?}");
            let refused = published.is_some_and(|of| of.refused.contains(&message.number));
            assert!(!refused, "was refused: {message:?}");
            let before = last.insert(message.publisher, message.number);
            let before = before.unwrap_or_default();
            assert!(
                before < message.number,
                "of publisher {}, {} came after {before}",
                message.publisher,
                message.number
            );
        }
        let found: BTreeSet<Message> = found.iter().copied().collect();
        let lost: Vec<Message> = self
            .confirmed_messages()
            .filter(|message| !found.contains(message))
            .filter(|message| !self.acked.contains(message) && !self.gone.contains(message))
            .collect();
        assert!(lost.is_empty(), "confirmed and lost: {}", Ranges(&lost));
        let sent = self.published.values().flat_map(|published| {
            let publisher = published.publisher;
            (1..=published.sent).map(move |number| Message { publisher, number })
        });
        let gone: Vec<Message> = sent.filter(|message| !found.contains(message)).collect();
        self.gone.extend(gone);
    }

    fn confirmed_messages(&self) -> impl Iterator<Item = Message> {
        self.published.values().flat_map(|published| {
            let publisher = published.publisher;
            let numbers = published.confirmed.iter();
            numbers.map(move |&number| Message { publisher, number })
        })
    }
}

/// Many messages in few words.
struct Ranges<'a>(&'a [Message]);

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages:", self.0.len())?;
        let follows = |one: &Message, other: &Message| {
            one.publisher == other.publisher && one.number + 1 == other.number
        };
        for run in self.0.chunk_by(follows) {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                write!(
                    f,
                    " {} to {} of publisher {};",
                    first.number, last.number, first.publisher
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
