//! What the handlers of an open connection work with: the broker's doors, what was gathered for the shards, and the output.

use std::sync::Arc;
use std::time::Instant;

use leveret_broker::broker::Broker;
use leveret_broker::command::{Command, Settle};
use leveret_broker::figures::{DeliveryCounts, MessageCounts, Traffic};
use leveret_broker::ids::{ConnectionId, ConsumerSlot, ShardId};
use leveret_broker::link::{Event, Link, Reply};
use leveret_broker::mailbox::take_gathered;
use leveret_broker::publisher::Publisher;
use leveret_broker::publisher::gathered::{Charge, Gathered};
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::throttle::Throttle;
use leveret_broker::users::{Permission, TopicPermissions, User};
use leveret_broker::vhost::Vhost;
use leveret_broker::vhost::door::IsKept;
use leveret_message::batch::Message;
use leveret_message::name::Name;
use leveret_message::table::Table;
use leveret_wire::encode::{self, DeliverPrefix};
use leveret_wire::protocol::AMQPClass;

use crate::channel::{Channel, Channels, Next, Question};
use crate::output::Output;
use crate::settings::AmqpSettings;
use crate::start::ClientCapabilities;

mod access;
mod events;

/// See the module.
pub(crate) struct Core {
    pub(crate) broker: Arc<Broker>,
    pub(crate) settings: Arc<AmqpSettings>,
    pub(crate) link: Arc<Link>,
    pub(crate) traffic: Arc<Traffic>,
    /// What its channels published, those that are closed included.
    pub(crate) counts: MessageCounts,
    pub(crate) vhost: Arc<Vhost>,
    pub(crate) user: Arc<User>,
    /// How fast it publishes, over all its connections, and how much of what this one has published is counted there.
    throttle: Arc<Throttle>,
    throttled: u64,
    /// What it may do; see [`Core::access_changed`].
    pub(crate) permission: Arc<Permission>,
    pub(crate) topics: TopicPermissions,
    pub(crate) client: ClientCapabilities,
    pub(crate) publisher: Publisher,
    pub(crate) out: Output,
    /// Payload and the 8 octets around it, as negotiated.
    pub(crate) frame_max: u32,
    /// The highest channel number, as negotiated.
    pub(crate) channel_max: u16,
    pub(crate) consumers: ConsumerSlots,
    /// Bytes of deliveries in `out` that the link still counts as waiting.
    pub(crate) unwritten_deliveries: usize,
    /// Bytes of contents that have not come whole.
    pub(crate) unfinished_bytes: u64,
    /// Channels that published in confirm mode since the last hand-over.
    pub(crate) publishing: Vec<u16>,
    /// Settled messages for each shard.
    settles: Vec<Vec<Settle>>,
    /// Whether some of these let others into their queues: what is published behind them has to come behind them.
    pub(crate) frees: bool,
    /// A bit for each shard that knows this connection.
    connected: u64,
    /// Whether shards have to look again at consumers that lacked their channel's credit.
    pub(crate) credit_returned: bool,
    /// The highest batch that each shard has done.
    pub(crate) done: Vec<u64>,
    /// When something was last heard, of the client or of a shard.
    pub(crate) now: Instant,
}

/// A consumer, as its connection knows it.
pub(crate) struct ConsumerEntry {
    pub(crate) channel: u16,
    pub(crate) tag: Name,
    pub(crate) prefix: DeliverPrefix,
    pub(crate) no_ack: bool,
    /// See [`Unacked::keeps_out`](crate::channel::Unacked::keeps_out).
    pub(crate) keeps_out: bool,
    pub(crate) exclusive: bool,
    pub(crate) prefetch: u16,
    pub(crate) arguments: Table,
    pub(crate) queue: Arc<QueueHandle>,
    /// The queue's.
    pub(crate) shard: ShardId,
    /// Which one it is of all that ever read a stream; 0 where it reads none.
    pub(crate) reader: u32,
    /// What it was sent, and acknowledged.
    pub(crate) counts: DeliveryCounts,
}

/// The consumers of a connection, by the numbers under which the shards know them.
#[derive(Default)]
pub(crate) struct ConsumerSlots {
    entries: Vec<Option<Box<ConsumerEntry>>>,
    free: Vec<u32>,
    /// How many have read a stream.
    readers: u32,
}

impl ConsumerSlots {
    /// A number for one that reads a stream.
    pub(crate) fn next_reader(&mut self) -> u32 {
        self.readers = self.readers.wrapping_add(1).max(1);
        self.readers
    }

    pub(crate) fn add(&mut self, entry: ConsumerEntry) -> ConsumerSlot {
        let entry = Some(Box::new(entry));
        match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                ConsumerSlot(slot)
            }
            None => {
                self.entries.push(entry);
                ConsumerSlot((self.entries.len() - 1) as u32)
            }
        }
    }

    pub(crate) fn get_mut(&mut self, slot: ConsumerSlot) -> Option<&mut ConsumerEntry> {
        self.entries.get_mut(slot.0 as usize)?.as_deref_mut()
    }

    #[inline]
    pub(crate) fn get(&self, slot: ConsumerSlot) -> Option<&ConsumerEntry> {
        self.entries.get(slot.0 as usize)?.as_deref()
    }

    /// All consumers, when the connection ends.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Box<ConsumerEntry>> {
        self.free.clear();
        self.entries.drain(..).flatten()
    }

    /// Frees a number. Only once no shard uses it any more: after its answer that the consumer is gone.
    pub(crate) fn remove(&mut self, slot: ConsumerSlot) -> Option<Box<ConsumerEntry>> {
        let entry = self.entries.get_mut(slot.0 as usize)?.take()?;
        self.free.push(slot.0);
        Some(entry)
    }
}

/// What an open connection is made from.
pub(crate) struct Opened {
    pub(crate) broker: Arc<Broker>,
    pub(crate) settings: Arc<AmqpSettings>,
    pub(crate) link: Arc<Link>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) vhost: Arc<Vhost>,
    pub(crate) user: Arc<User>,
    pub(crate) permission: Arc<Permission>,
    pub(crate) topics: TopicPermissions,
    pub(crate) client: ClientCapabilities,
    pub(crate) frame_max: u32,
    pub(crate) channel_max: u16,
}

impl Core {
    pub(crate) fn new(opened: Opened, out: Output, now: Instant) -> Self {
        let Opened {
            broker,
            settings,
            link,
            traffic,
            vhost,
            user,
            permission,
            topics,
            client,
            ..
        } = opened;
        let shards = broker.shards.count();
        let throttle = broker.throttle(&user.name);
        let publisher = Publisher::new(link.connection, Arc::clone(&vhost), broker.shards.clone());
        Self {
            broker,
            settings,
            link,
            traffic,
            counts: MessageCounts::default(),
            vhost,
            throttle,
            throttled: 0,
            user,
            permission,
            topics,
            client,
            publisher,
            out,
            frame_max: opened.frame_max,
            channel_max: opened.channel_max,
            consumers: ConsumerSlots::default(),
            unwritten_deliveries: 0,
            unfinished_bytes: 0,
            publishing: Vec::new(),
            settles: (0..shards).map(|_| Vec::new()).collect(),
            frees: false,
            connected: 0,
            credit_returned: false,
            done: vec![0; shards],
            now,
        }
    }

    pub(crate) fn connection(&self) -> ConnectionId {
        self.link.connection
    }

    /// Writes a method.
    pub(crate) fn send(&mut self, channel: u16, method: AMQPClass) {
        encode::method(self.out.buffer(), channel, method);
    }

    /// Sends a command to a shard; the first one is preceded by `Connect`.
    pub(crate) fn command(&mut self, shard: ShardId, command: Command) {
        connect(&self.broker, &mut self.connected, &self.link, shard);
        self.broker.shards.send(shard, command);
    }

    /// Makes this connection known to every shard.
    pub(crate) fn know_all_shards(&mut self) {
        for shard in 0..self.broker.shards.count() as u16 {
            connect(
                &self.broker,
                &mut self.connected,
                &self.link,
                ShardId(shard),
            );
        }
    }

    /// Until when nothing should be read, where more was published than the user or the vhost may.
    pub(crate) fn pause(&mut self, now: Instant) -> Option<Instant> {
        let of_user = self.user.limits.max_publish_rate;
        let of_vhost = self.vhost.limits.max_publish_rate();
        if of_user.is_none() && of_vhost.is_none() {
            return None;
        }
        let published = self.publisher.published();
        let new = published - std::mem::replace(&mut self.throttled, published);
        let of_user = of_user.and_then(|rate| self.throttle.note(new, rate, now));
        let throttle = &self.vhost.limits.throttle;
        let of_vhost = of_vhost.and_then(|rate| throttle.note(new, rate, now));
        of_user.max(of_vhost).filter(|_| new > 0)
    }

    /// Sends a command to every shard that knows this connection; returns how many these are.
    pub(crate) fn command_all(&mut self, mut command: impl FnMut() -> Command) -> usize {
        let connected = self.connected;
        let shards = (0..64u16).filter(|bit| connected & (1 << bit) != 0);
        shards
            .map(|shard| self.broker.shards.send(ShardId(shard), command()))
            .count()
    }

    /// Adds settled messages to what is handed over next; runs that continue each other are joined.
    pub(crate) fn settle(&mut self, shard: ShardId, settle: Settle) {
        settle.add_to(&mut self.settles[shard.0 as usize]);
    }

    /// Hands over what was gathered. Confirms of the publishes in it are due when the shards have done them.
    pub(crate) fn hand_over(&mut self, channels: &mut Channels) {
        let Self {
            publisher,
            broker,
            connected,
            link,
            ..
        } = self;
        publisher.hand_over(|shard| connect(broker, connected, link, shard));
        self.counts.published = self.publisher.published();
        self.note_published(channels);
        for number in std::mem::take(&mut self.publishing) {
            if let Some(confirms) = channels.get(number).and_then(|c| c.confirms.as_mut()) {
                confirms.handed_over(|shard| self.publisher.number(shard));
                self.counts.confirmed += confirms.write(number, &self.done, self.out.buffer());
            }
        }
        let connection = self.connection();
        self.frees = false;
        for shard in 0..self.settles.len() {
            if !self.settles[shard].is_empty() {
                let settles = take_gathered(&mut self.settles[shard]);
                self.command(ShardId(shard as u16), Command::Settle(connection, settles));
            }
        }
        if std::mem::take(&mut self.credit_returned) {
            self.command_all(|| Command::Resume(connection));
        }
        self.traffic.note_messages(&self.counts);
    }

    /// Lets channels know what they have published where.
    fn note_published(&mut self, channels: &mut Channels) {
        for told in self.publisher.take_told() {
            if let Some(channel) = channels.get(told.channel) {
                channel.used_at = self.now;
                channel.breakdown.note_published(told.exchange, told.count);
            }
        }
    }

    /// Sends what the transaction of a channel has gathered to the shards; how many these are, and what it takes until they have answered. Calls `returned` with
    /// the output and each message that is to come back.
    pub(crate) fn commit(
        &mut self,
        (channel, gathered): (u16, Gathered),
        mut returned: impl FnMut(&mut Vec<u8>, &Message<'_>),
    ) -> (usize, Charge) {
        let Self {
            publisher,
            broker,
            connected,
            link,
            out,
            ..
        } = self;
        let first = |shard| connect(broker, connected, link, shard);
        let sent = publisher.commit((channel, gathered), first, |message| {
            returned(out.buffer(), message)
        });
        self.counts.published = self.publisher.published();
        sent
    }

    /// A shard reported progress.
    pub(crate) fn progress(&mut self, shard: ShardId, done: u64, returned: usize) {
        let known = &mut self.done[shard.0 as usize];
        *known = done.max(*known);
        self.publisher.returned(shard, returned);
        self.publisher.done(shard, done);
    }

    /// Output was written: the shards may send as much more. Where other things wait among the deliveries, these count as the last to be written.
    pub(crate) fn written(&mut self) {
        let bytes = self.unwritten_deliveries.saturating_sub(self.out.len());
        self.unwritten_deliveries -= bytes;
        if bytes > 0 {
            let connection = self.connection();
            let shards = &self.broker.shards;
            self.link.written(bytes, |shard| {
                shards.send(shard, Command::Resume(connection))
            });
        }
    }

    /// Answers a change at the vhost's door: at once or, where it is to outlive the broker, when that is certain. Nobody waits for an answer
    /// that is not sent.
    pub(crate) fn answer_change(
        &mut self,
        channel: u16,
        IsKept(is_kept): IsKept,
        ok: Option<AMQPClass>,
    ) -> Next {
        let Some(ok) = ok else {
            return Next::Done;
        };
        if !is_kept || self.vhost.is_kept() {
            self.send(channel, ok);
            return Next::Done;
        }
        let link = Arc::clone(&self.link);
        let then = move || link.events.push(Event::Reply(Ok(Reply::Kept)));
        self.vhost.when_kept(Box::new(then));
        Next::Wait(Question::Kept { ok })
    }

    /// Gives the channel's own credit back.
    pub(crate) fn return_credit(&mut self, channel: &Channel, count: u64) {
        if let Some(credit) = &channel.credit
            && count > 0
        {
            self.credit_returned |= credit.give_back(count);
        }
    }
}

fn connect(broker: &Broker, connected: &mut u64, link: &Arc<Link>, shard: ShardId) {
    if *connected & (1 << shard.0) == 0 {
        *connected |= 1 << shard.0;
        broker
            .shards
            .send(shard, Command::Connect(Arc::clone(link)));
    }
}
