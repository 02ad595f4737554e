//! Transactions: a shard does its part when it comes to it, and answers once all parts are durable. That they are so together is the log's to see to.

use std::time::Instant;

use leveret_store::log::{Position, Transaction};

use crate::command::Part;
use crate::link::Reply;
use crate::shard::{Shard, peer};

impl Shard {
    pub(super) fn transact(&mut self, mut part: Part, now: Instant) {
        self.stamp(&mut part.batch);
        if self.lead_to_windows(&part.runs) {
            return self.transact_through(part, now);
        }
        let connection = part.connection;
        let ((slow, is_whole), last) = self.in_part(part.transaction, |this| {
            this.reserved = part.reserved;
            let (_, slow) = this.enter(&part.batch, &part.runs);
            this.reserved = false;
            let is_whole = this.refused.is_empty();
            this.refused.clear();
            if let Some(connection) = connection {
                this.settle(connection, &part.settles);
            }
            (slow, is_whole)
        });
        // What it rejected goes to the dead letters right behind it, and is waited for as well.
        let last = last.max(self.bury()).max(self.known_at());
        let Some(connection) = connection else {
            return;
        };
        if part.bytes > 0 {
            self.give_back(connection, part.bytes, slow, now);
        }
        let committed = Reply::Committed { is_whole };
        self.committing
            .push_back((last.unwrap_or_default(), connection, committed));
    }

    /// What `told` tells the log is this shard's part of a transaction. Returns the part's last position, where anything was told in it.
    pub(super) fn in_part<T>(
        &mut self,
        transaction: Transaction,
        told: impl FnOnce(&mut Self) -> T,
    ) -> (T, Option<Position>) {
        self.in_parts(&[transaction], told)
    }

    /// As [`Shard::in_part`] for several transactions. They begin at the same place, and so the log has them together or not at all.
    pub(super) fn in_parts<T>(
        &mut self,
        transactions: &[Transaction],
        told: impl FnOnce(&mut Self) -> T,
    ) -> (T, Option<Position>) {
        // What was settled before is of no transaction.
        self.table.settled.tell(&mut *self.log);
        for transaction in transactions {
            self.log.begin_part(*transaction);
        }
        let done = told(self);
        self.table.settled.tell(&mut *self.log);
        let mut last = None;
        for transaction in transactions {
            last = self.log.end_part(*transaction);
        }
        (done, last)
    }

    /// Answers connections whose transactions, or whatever else they asked for, are durable.
    pub(super) fn report_committed(&mut self) {
        let durable = self.log.durable();
        let is_durable = |(position, ..): &mut (Position, _, _)| *position <= durable;
        while let Some((_, connection, reply)) = self.committing.pop_front_if(is_durable) {
            if let Some(peer) = peer(&mut self.table.peers, &mut self.table.spoken_to, connection) {
                peer.reply(self.id, Ok(reply));
            }
        }
    }
}
