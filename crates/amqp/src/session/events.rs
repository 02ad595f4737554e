//! What the shards tell an open connection: deliveries, progress of publishes, answers to what was asked.

use std::sync::Arc;

use leveret_broker::error::Error;
use leveret_broker::ids::{ConsumerSlot, ShardId};
use leveret_broker::link::{Deliveries, Event, Reply};

use super::{Session, Waiting};
use crate::channel::{Next, Question, answer, consume, deliver, trace};

impl Session {
    /// Takes an event of a shard.
    pub(crate) fn event(&mut self, event: Event) {
        match event {
            Event::Deliveries(ref runs) if self.comes_after_recover_ok(runs) => {
                self.deferred.push(event);
            }
            Event::ConsumerCancelled(slot) if self.comes_after_delete_ok(slot) => {
                self.deferred.push(event);
            }
            Event::Deliveries(runs) => {
                for (batch, run) in runs.iter() {
                    deliver::deliver(&mut self.core, &mut self.channels, batch, run);
                }
                if self.core.vhost.is_traced() {
                    self.trace(&runs);
                }
            }
            Event::Refused {
                shard,
                number,
                refused,
            } => self.refused((shard, number), &refused),
            Event::Progress {
                shard,
                done,
                returned,
            } => {
                self.core.progress(shard, done, returned);
                if done > 0 {
                    self.write_confirms();
                    self.core.traffic.note_messages(&self.core.counts);
                    self.go_on();
                }
            }
            Event::Reply(reply) => self.reply(reply),
            Event::ConsumerCancelled(slot) => {
                let channel = self
                    .core
                    .consumers
                    .get(slot)
                    .map(|consumer| consumer.channel);
                if let Some(channel) = channel.and_then(|number| self.channels.get(number)) {
                    consume::lost(&mut self.core, channel, slot);
                } else {
                    self.core.consumers.remove(slot);
                }
            }
            Event::Alarms(alarms) => self.alarms_changed(alarms),
            Event::AccessChanged => self.core.access_changed(),
            Event::Close(reason) => self.close_forced(&reason),
            Event::Describe(described) => described.answer(self.describe()),
        }
    }

    /// Whether these are new deliveries of a shard that has taken back what it is to take back, while another one has not.
    fn comes_after_recover_ok(&self, runs: &Deliveries) -> bool {
        let Some(Waiting::Method {
            question: Question::Recover { released, .. },
            ..
        }) = self.waiting
        else {
            return false;
        };
        let consumer = runs
            .first()
            .and_then(|run| self.core.consumers.get(run.consumer));
        consumer.is_some_and(|consumer| released & (1 << consumer.queue.shard.0) != 0)
    }

    /// Full queues have refused messages of a batch.
    fn refused(&mut self, batch: (ShardId, u64), refused: &[(u32, u32)]) {
        // Otherwise a policy has made the queue refuse since the route was found: then it is not known which publishes these are.
        let is_known = self.core.publisher.may_be_refused(batch);
        let indexes = refused
            .iter()
            .flat_map(|(first, count)| *first..first + count);
        let indexes = indexes.collect();
        for channel in self.channels.iter_mut() {
            match &mut channel.confirms {
                Some(confirms) if is_known => confirms.refuse(batch, &indexes),
                Some(confirms) => confirms.refuse_all(batch),
                None => {}
            }
        }
    }

    /// Tells the firehose what was delivered.
    #[cold]
    fn trace(&mut self, runs: &Deliveries) {
        // The shards may have forgotten the connection.
        if self.is_ending() {
            return;
        }
        for (batch, run) in runs.iter() {
            let consumer = self.core.consumers.get(run.consumer);
            let Some((number, queue)) = consumer.map(|of| (of.channel, Arc::clone(&of.queue)))
            else {
                continue;
            };
            let messages = batch.messages(run.first, run.count);
            trace::delivered(&mut self.core, number, &queue, messages, run.redelivered);
        }
        self.hand_over();
    }

    /// Whether this consumer's channel waits for its `delete-ok`, which comes first: py-amqp takes the channel for broken otherwise.
    fn comes_after_delete_ok(&self, slot: ConsumerSlot) -> bool {
        let Some(Waiting::Method {
            channel,
            question: Question::Delete { .. } | Question::Kept { .. },
            ..
        }) = self.waiting
        else {
            return false;
        };
        let consumer = self.core.consumers.get(slot);
        consumer.is_some_and(|consumer| consumer.channel == channel)
    }

    fn write_confirms(&mut self) {
        for channel in self.channels.iter_mut() {
            if let Some(confirms) = channel.confirms.as_mut().filter(|c| c.is_pending())
                && !channel.closing
            {
                let done = self.core.done.as_slice();
                let out = self.core.out.buffer();
                self.core.counts.confirmed += confirms.write(channel.number, done, out);
            }
        }
    }

    fn reply(&mut self, reply: Result<Reply, Error>) {
        match self.waiting.take() {
            Some(Waiting::Method {
                channel: number,
                ids,
                question,
            }) => {
                let Some(channel) = self.channels.get(number) else {
                    return;
                };
                match answer(&mut self.core, channel, question, reply) {
                    Ok(Next::Done) => {
                        // The answer may have given credit back, and the client need not say anything more.
                        self.hand_over();
                        self.catch_up();
                    }
                    Ok(Next::Wait(question)) => {
                        self.waiting = Some(Waiting::Method {
                            channel: number,
                            ids,
                            question,
                        });
                    }
                    Err(exception) => {
                        self.catch_up();
                        self.fail(number, exception, ids);
                    }
                }
            }
            Some(Waiting::CloseChannel {
                channel,
                shards,
                then,
            }) if shards > 1 => {
                self.waiting = Some(Waiting::CloseChannel {
                    channel,
                    shards: shards - 1,
                    then,
                });
            }
            Some(Waiting::CloseChannel { channel, then, .. }) => {
                self.channel_released(channel, then)
            }
            // Answers to an earlier question may still come before the one to `Disconnect`.
            Some(Waiting::Disconnect { shards, then }) => match reply {
                Ok(Reply::Disconnected) if shards == 1 => self.ended = Some(then),
                Ok(Reply::Disconnected) => {
                    self.waiting = Some(Waiting::Disconnect {
                        shards: shards - 1,
                        then,
                    });
                }
                _ => self.waiting = Some(Waiting::Disconnect { shards, then }),
            },
            None => {}
        }
    }
    /// Takes what had to come after the answer that was awaited.
    fn catch_up(&mut self) {
        for event in std::mem::take(&mut self.deferred) {
            self.event(event);
        }
    }
}
