//! What the shards tell a connection is taken in their order, as long as the output has room. Behind a full output deliveries and what comes after them
//! wait, and the rest goes past them: else a client that reads nothing could not go on publishing, nor be closed.

use std::task::{Context, Poll};
use std::time::Instant;

use leveret_broker::link::Event;

use super::{Connection, Stage};

/// When this much waits to be written, deliveries are left where they are.
const OUTPUT_GOAL: usize = 256 * 1024;

impl Connection {
    /// Takes events from the outbox.
    pub fn poll_events(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<()> {
        let mut ready = Poll::Pending;
        while self.output_ref().len() < OUTPUT_GOAL {
            if self.events.is_empty() && self.poll_outbox(context).is_pending() {
                return ready;
            }
            ready = Poll::Ready(());
            if let Some(event) = self.events.pop_front() {
                self.kept = self.kept.saturating_sub(1);
                self.event(event, now);
            }
        }
        match self.sift(context, now) {
            Poll::Pending => ready,
            sifted => sifted,
        }
    }

    fn poll_outbox(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut taken = Vec::new();
        let ready = self.link.events.poll_take(context, &mut taken);
        self.events.extend(taken);
        ready
    }

    fn event(&mut self, event: Event, now: Instant) {
        match (&mut self.stage, event) {
            (Stage::Open(session), event) => {
                let is_delivery = matches!(event, Event::Deliveries(_));
                let before = session.core.out.len();
                session.core.now = now;
                session.event(event);
                if is_delivery {
                    self.delivered += session.core.out.len().saturating_sub(before);
                }
            }
            // There is nobody yet who could understand a close.
            (Stage::Header | Stage::Handshake(_), Event::Close(_)) => self.stage = Stage::Over,
            _ => {}
        }
        self.end_session(now);
    }

    /// Takes what need not wait for room in the output.
    #[cold]
    fn sift(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<()> {
        let mut ready = Poll::Pending;
        loop {
            for event in self.events.split_off(self.kept) {
                self.pass_or_keep(event, now);
            }
            if self.poll_outbox(context).is_pending() {
                return ready;
            }
            ready = Poll::Ready(());
        }
    }

    /// Of events that wait there are deliveries, which the outbox has a limit for, cancels, one for each consumer, and the answer to one question.
    fn pass_or_keep(&mut self, event: Event, now: Instant) {
        let is_ending = !matches!(&self.stage, Stage::Open(session) if !session.is_ending());
        match event {
            // Whoever closes waits for the answer alone, and the shards take back what was not acknowledged.
            Event::Deliveries(_) | Event::ConsumerCancelled(_) if is_ending => {}
            Event::Deliveries(_) | Event::ConsumerCancelled(_) => self.keep(event),
            // It has its place among deliveries.
            Event::Reply(_) if !is_ending => self.keep(event),
            _ => self.event(event, now),
        }
    }

    fn keep(&mut self, event: Event) {
        self.events.push_back(event);
        self.kept = self.events.len();
    }
}
