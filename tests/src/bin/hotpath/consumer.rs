//! Who takes what is published, and how it is held against what has to come.

use std::time::{Duration, Instant};

use amq_protocol::protocol::{basic, queue};
use amq_protocol::types::FieldTable;

use crate::machine::{Client, Machine, method};
use crate::workload::Workload;

/// Unacked deliveries that a consumer takes, where there are acks.
const PREFETCH: u16 = 1000;

/// A connection with a consumer on each of its queues.
pub(crate) struct Consumer {
    client: Client,
    workload: Workload,
    queues: Vec<usize>,
    /// For each of the queues a delivery as it has to be.
    deliveries: Vec<Vec<u8>>,
    /// Where the tag stands in all of them.
    tag_at: usize,
    /// Which queue the next delivery is probably from.
    next: usize,
    /// Deliveries so far.
    pub(crate) taken: u64,
    acked: u64,
    input: Vec<u8>,
}

impl Consumer {
    pub(crate) fn start(machine: &mut Machine, workload: Workload, queues: Vec<usize>) -> Self {
        let mut client = machine.client();
        let qos = basic::Qos {
            prefetch_count: PREFETCH,
            global: false,
        };
        let mut input = method(1, qos);
        for queue in &queues {
            let consume = basic::Consume {
                queue: workload.queue_name(*queue).into(),
                consumer_tag: workload.queue_name(*queue).into(),
                no_local: false,
                no_ack: workload.acked_at_once == 0,
                exclusive: false,
                nowait: false,
                arguments: FieldTable::default(),
            };
            input.extend(method(1, consume));
        }
        machine.ask(&mut client, &input);
        let consume_ok = basic::ConsumeOk {
            consumer_tag: workload.queue_name(queues[queues.len() - 1]).into(),
        };
        assert!(client.out.ends_with(&method(1, consume_ok)), "it consumes");
        client.out.clear();
        let deliveries: Vec<Vec<u8>> = queues
            .iter()
            .map(|queue| workload.delivery(*queue, u64::MAX))
            .collect();
        let tag_at = deliveries[0]
            .windows(8)
            .position(|octets| octets == [0xff; 8]);
        Self {
            client,
            workload,
            queues,
            deliveries,
            tag_at: tag_at.expect("a delivery has a tag"),
            next: 0,
            taken: 0,
            acked: 0,
            input: Vec::new(),
        }
    }

    /// Takes what came and acks what it has to.
    pub(crate) fn turn(&mut self, now: Instant) -> bool {
        if !self.client.poll(now) {
            return false;
        }
        self.take_deliveries();
        let at_once = self.workload.acked_at_once;
        if at_once > 0 {
            while self.taken - self.acked >= at_once {
                self.ack(at_once);
            }
            self.send(now);
        }
        true
    }

    fn take_deliveries(&mut self) {
        let len = self.deliveries[0].len();
        for delivery in self.client.out.chunks(len) {
            self.taken += 1;
            // The order among queues is the broker's; most often the queues follow each other.
            if !self.is_from(self.next, delivery) {
                let mut all = (self.next..self.deliveries.len()).chain(0..self.next);
                let from = all.find(|queue| self.is_from(*queue, delivery));
                self.next =
                    from.unwrap_or_else(|| panic!("delivery {} is as published", self.taken));
            }
            self.next += 1;
            if self.next == self.deliveries.len() {
                self.next = 0;
            }
        }
        self.client.out.clear();
    }

    /// Whether a delivery is the next one as it has to be from a queue.
    fn is_from(&self, queue: usize, delivery: &[u8]) -> bool {
        let (before, after) = self.deliveries[queue].split_at(self.tag_at);
        let after = after.split_at(8).1;
        let rest = delivery.strip_prefix(before);
        let rest = rest.and_then(|rest| rest.strip_prefix(&self.taken.to_be_bytes()));
        rest == Some(after)
    }

    fn ack(&mut self, count: u64) {
        self.acked += count;
        self.input.extend([1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80]);
        self.input.extend(self.acked.to_be_bytes());
        self.input.extend([1, 0xce]);
    }

    fn send(&mut self, now: Instant) {
        if !self.input.is_empty() {
            let used = self.client.connection.input(&self.input, now);
            assert_eq!(used, self.input.len(), "acks are always taken");
            self.input.clear();
        }
    }

    /// Acks what is left, and looks whether the queues are empty.
    pub(crate) fn end(&mut self, machine: &mut Machine) {
        if self.workload.acked_at_once > 0 && self.taken > self.acked {
            self.ack(self.taken - self.acked);
            self.send(machine.now);
        }
        for queue in self.queues.clone() {
            self.client.out.clear();
            let delete = queue::Delete {
                queue: self.workload.queue_name(queue).into(),
                if_unused: false,
                if_empty: true,
                nowait: false,
            };
            machine.ask(&mut self.client, &method(1, delete));
            let delete_ok = method(1, queue::DeleteOk { message_count: 0 });
            let answered = self.client.out.starts_with(&delete_ok);
            assert!(answered, "the queue is empty");
        }
        machine.now += Duration::from_secs(1);
    }
}
