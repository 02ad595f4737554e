//! Publishes that are written once and sent again and again: only the numbers and the time change.

use leveret_message::properties::PropertiesWriter;
use leveret_wire::encode;
use leveret_wire::protocol::{AMQPClass, basic};

use crate::PerfError;
use crate::body::{self, Numbers};
use crate::topology::CHANNEL;

/// As many bytes as one write sends, if messages are short.
const WRITE: usize = 64 << 10;
/// As many messages as one write sends at most.
const WRITE_MESSAGES: usize = 1024;
/// What is kept prepared at most.
const PREPARED_MAX: usize = 256 << 20;

/// What all messages of a producer have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) size: usize,
    pub(crate) persistent: bool,
    pub(crate) mandatory: bool,
    pub(crate) frame_max: u32,
}

/// A ring of publishes, to each queue in turn.
#[derive(Debug)]
pub(crate) struct Prepared {
    bytes: Vec<u8>,
    messages: Vec<Place>,
    /// Octets of the body that differ from message to message.
    head_len: usize,
    next: usize,
}

/// Where a message is, and where its body begins.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: usize,
    body: usize,
    end: usize,
}

impl Prepared {
    /// Writes publishes to these queues by the default exchange.
    ///
    /// **Errors**: [`PerfError::Options`] beyond [`PREPARED_MAX`].
    pub(crate) fn new(queues: &[String], form: Form) -> Result<Prepared, PerfError> {
        let one = form.size + 128;
        if queues.len().saturating_mul(one) > PREPARED_MAX {
            let text = "a producer's share of --queues times --size is beyond 256 MiB";
            return Err(PerfError::Options(text.to_owned()));
        }
        let at_once = (WRITE / one).clamp(1, WRITE_MESSAGES);
        let rounds = at_once.div_ceil(queues.len().max(1));
        let mut prepared = Prepared {
            bytes: Vec::new(),
            messages: Vec::new(),
            head_len: body::head_len(form.size),
            next: 0,
        };
        let body = body::blank(form.size);
        let properties = PropertiesWriter {
            delivery_mode: form.persistent.then_some(2),
            ..PropertiesWriter::default()
        };
        let properties = properties.to_bytes().expect("no property is a text");
        for queue in std::iter::repeat_n(queues, rounds).flatten() {
            prepared.add(queue, &properties, &body, form);
        }
        Ok(prepared)
    }

    fn add(&mut self, queue: &str, properties: &[u8], body: &[u8], form: Form) {
        let publish = basic::AMQPMethod::Publish(basic::Publish {
            exchange: encode::short_string(""),
            routing_key: encode::short_string(queue),
            mandatory: form.mandatory,
            immediate: false,
        });
        let start = self.bytes.len();
        encode::method(&mut self.bytes, CHANNEL, AMQPClass::Basic(publish));
        encode::content_header(&mut self.bytes, CHANNEL, body.len() as u64, properties);
        let body_frame = self.bytes.len();
        encode::body(&mut self.bytes, CHANNEL, body, form.frame_max);
        self.messages.push(Place {
            start,
            // Behind type, channel and size.
            body: body_frame + 7,
            end: self.bytes.len(),
        });
    }

    /// How many messages can be taken at once now: up to the end of the ring, and one write's worth.
    pub(crate) fn at_once(&self) -> u64 {
        let Some(first) = self.messages.get(self.next) else {
            return 0;
        };
        let one = (first.end - first.start).max(1);
        let left = self.messages.len() - self.next;
        left.min((WRITE / one).clamp(1, WRITE_MESSAGES)) as u64
    }

    /// The next messages, at most [`Prepared::at_once`], as they are sent.
    pub(crate) fn take(&mut self, count: u64, mut heads: impl FnMut() -> (Numbers, u64)) -> &[u8] {
        let first = self.next;
        let past = (first + count as usize).min(self.messages.len());
        self.next = past % self.messages.len().max(1);
        let messages = self.messages.get(first..past).unwrap_or_default();
        for place in messages {
            let (numbers, sent_ns) = heads();
            let head = self.bytes.get_mut(place.body..place.body + self.head_len);
            let octets = head.unwrap_or_default().as_chunks_mut::<8>().0;
            for (octets, value) in octets
                .iter_mut()
                .zip([numbers.to_octets(), sent_ns.to_be_bytes()])
            {
                *octets = value;
            }
        }
        let start = messages.first().map_or(0, |place| place.start);
        let end = messages.last().map_or(0, |place| place.end);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
