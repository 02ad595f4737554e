//! An open connection: frames to channels, events of the shards to channels, and what it is waiting for.
//!
//! Publishes and settles are gathered; before any other method is carried out, what was gathered is handed over, so that methods take effect in the
//! order in which they came. While a shard's answer is awaited, no frame is taken.

use std::time::Instant;

use leveret_broker::alarms::Alarms;
use leveret_broker::command::Command;
use leveret_broker::error::Error;
use leveret_broker::events::acting_as;
use leveret_broker::ids::Holder;
use leveret_broker::link::Event;
use leveret_wire::frame::Octets;
use leveret_wire::protocol::{AMQPClass, channel as channel_class, connection as connection_class};
use leveret_wire::{Decoder, Frame, Method, ReplyCode, encode, method};

use crate::channel::content::unexpected;
use crate::channel::{Channel, Channels, Next, Question, carry_out, is_gathered};
use crate::core::Core;
use crate::exception::{Exception, Level};
use crate::session::behind::Behind;

mod alarm;
mod behind;
mod contents;
mod describe;
mod events;

/// A method, by its ids: what `close` says was at fault.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MethodIds {
    pub(crate) class_id: u16,
    pub(crate) method_id: u16,
}

/// What the shards' answers are awaited for.
enum Waiting {
    /// A method of a channel.
    Method {
        channel: u16,
        ids: MethodIds,
        question: Question,
    },
    /// A channel is being closed; its messages are being requeued.
    CloseChannel {
        channel: u16,
        shards: usize,
        then: ThenChannel,
    },
    /// The connection is being closed; the shards are forgetting it.
    Disconnect { shards: usize, then: Ended },
}

/// What is said when a channel is released.
enum ThenChannel {
    CloseOk,
    Close {
        exception: Exception,
        ids: MethodIds,
    },
}

/// How an open connection ends.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The client closed it: it gets `close-ok`.
    ByClient,
    /// The broker closes it: it sends `close`.
    ByBroker(Box<(Exception, MethodIds)>),
}

/// See the module.
pub(crate) struct Session {
    pub(crate) core: Core,
    channels: Channels,
    waiting: Option<Waiting>,
    /// A method that came behind messages which are not in their queues yet.
    behind: Option<Behind>,
    /// What has to come after the answer that is awaited: deliveries after `recover-ok`, cancels of a channel's consumers after its `delete-ok`.
    deferred: Vec<Event>,
    /// The alarms that are on.
    alarms: Alarms,
    /// Whether it has published while one was on: then nothing is read until all are off.
    blocked: bool,
    /// Until when nothing is read: it has published faster than it may.
    pub(crate) paused_until: Option<Instant>,
    /// Present once the shards have forgotten the connection.
    ended: Option<Ended>,
}

impl Session {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            alarms: core.broker.alarms(),
            blocked: false,
            paused_until: None,
            core,
            channels: Channels::default(),
            waiting: None,
            behind: None,
            deferred: Vec::new(),
            ended: None,
        }
    }

    /// Whether frames are taken: no answer is awaited, no alarm blocks it, and the shards have not withheld the allowance.
    pub(crate) fn takes_input(&self) -> bool {
        self.takes_frames() && self.core.publisher.has_allowance() && self.paused_until.is_none()
    }

    fn takes_frames(&self) -> bool {
        self.waiting.is_none() && self.behind.is_none() && self.ended.is_none() && !self.blocked
    }

    /// Reads nothing for a while, where more was published than may be.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.paused_until = self.core.pause(now);
    }

    /// Whether the shards are to forget it, or have.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.waiting, Some(Waiting::Disconnect { .. })) || self.ended.is_some()
    }

    /// How it ended, once.
    pub(crate) fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// Takes frames from the input until it is used up or an answer is awaited; returns how many bytes were used.
    pub(crate) fn input(&mut self, decoder: &mut Decoder, input: &[u8]) -> usize {
        let mut used = 0;
        while self.takes_frames() {
            let rest = input.get(used..).unwrap_or_default();
            match decoder.next(rest) {
                Ok(Some((len, frame))) => {
                    used += len;
                    let rest = rest.get(len..).unwrap_or_default();
                    used += self.frame(decoder, frame, rest);
                }
                Ok(None) => break,
                Err(error) => self.close(error.into(), MethodIds::default()),
            }
        }
        self.hand_over();
        used
    }

    /// Takes a frame; returns how much of the input behind it was used as well.
    #[inline]
    fn frame(&mut self, decoder: &Decoder, frame: Frame<'_>, rest: &[u8]) -> usize {
        match frame {
            Frame::Method {
                channel,
                class_id: 60,
                method_id: 40,
                arguments,
            } if channel > 0 => {
                return self.publish(decoder, channel, arguments, rest);
            }
            Frame::Method {
                channel: 0,
                class_id,
                method_id,
                arguments,
            } => {
                let ids = MethodIds {
                    class_id,
                    method_id,
                };
                match method::decode(class_id, method_id, arguments) {
                    Ok(method) => self.connection_method(ids, method),
                    Err(error) => self.close(error.into(), ids),
                }
            }
            Frame::Method {
                channel,
                class_id,
                method_id,
                arguments,
            } => {
                self.method(
                    channel,
                    MethodIds {
                        class_id,
                        method_id,
                    },
                    arguments,
                );
            }
            Frame::Header { channel: 0, header } => {
                let mut payload = Vec::new();
                encode::content_header(&mut payload, 0, header.body_size, header.properties);
                let payload = payload.get(7..payload.len() - 1).unwrap_or_default();
                self.close(misplaced(2, payload), MethodIds::default());
            }
            Frame::Body {
                channel: 0,
                payload,
                ..
            } => {
                self.close(misplaced(3, payload), MethodIds::default());
            }
            Frame::Header { channel, header } => self.header(channel, &header),
            Frame::Body {
                channel, payload, ..
            } => self.body(channel, payload),
            Frame::Heartbeat { channel: 0 } => {}
            Frame::Heartbeat { .. } => {
                self.close(misplaced(8, &[]), MethodIds::default());
            }
        }
        0
    }

    fn method(&mut self, number: u16, ids: MethodIds, arguments: &[u8]) {
        let method = match method::decode(ids.class_id, ids.method_id, arguments) {
            Ok(method) => method,
            Err(error) => return self.close(error.into(), ids),
        };
        if !is_gathered(&method) {
            self.hand_over();
            if self.core.publisher.has_passing() {
                return self.put_behind(number, ids, arguments);
            }
        }
        let Some(channel) = self.channels.get(number) else {
            let opens = matches!(method, Method::Channel(method::channel::Method::Open(_)));
            return self.no_channel(number, ids, opens);
        };
        match method {
            Method::Channel(method::channel::Method::CloseOk(_)) if channel.closing => {
                self.forget_channel(number);
            }
            Method::Channel(method::channel::Method::Close(_)) if channel.closing => {
                send_channel_close_ok(&mut self.core, number);
            }
            _ if channel.closing => {}
            _ if channel.content.is_some() => {
                let exception = contents::interrupted(channel);
                self.close(exception, contents::PUBLISH);
            }
            Method::Channel(method::channel::Method::Open(_)) => {
                let twice = "second 'channel.open' seen";
                self.close(Exception::connection(ReplyCode::ChannelError, twice), ids);
            }
            Method::Channel(method::channel::Method::Close(_)) => {
                self.release_channel(number, ThenChannel::CloseOk);
            }
            Method::Channel(method::channel::Method::CloseOk(_)) => {
                let text = "unexpected 'channel.close-ok'";
                self.close(Exception::connection(ReplyCode::CommandInvalid, text), ids);
            }
            method => {
                channel.used_at = self.core.now;
                match carry_out_for_user(&mut self.core, channel, method) {
                    Ok(Next::Done) => {}
                    Ok(Next::Wait(question)) => {
                        self.waiting = Some(Waiting::Method {
                            channel: number,
                            ids,
                            question,
                        });
                    }
                    Err(exception) => self.fail(number, exception, ids),
                }
            }
        }
    }

    /// A frame on a channel that is not open: `channel.open` opens it, anything else is 504.
    fn no_channel(&mut self, number: u16, ids: MethodIds, opens: bool) {
        let max = self.core.channel_max;
        if !opens {
            let exception =
                Exception::connection(ReplyCode::ChannelError, "expected 'channel.open'");
            return self.close(exception, ids);
        }
        if number > max || self.channels.count() >= usize::from(max) {
            let count = self.channels.count();
            let explanation = format!(
                "number of channels opened ({count}) has reached the negotiated channel_max ({max})"
            );
            return self.close(
                Exception::connection(ReplyCode::NotAllowed, explanation),
                ids,
            );
        }
        let user = &self.core.user;
        if let Some(max) = user.limits.max_channels
            && self.core.broker.connections.channels_of(&user.name) >= max
        {
            let user = user.name.clone();
            let exception = Exception::from(Error::UserChannels { user, max });
            return self.close(exception, ids);
        }
        let prefetch = self.core.settings.default_consumer_prefetch;
        self.channels
            .add(Channel::new(number, prefetch, self.core.now));
        let count = self.channels.count();
        self.core.traffic.note_channels(count, true);
        self.core.channel_created(number);
        let open_ok = channel_class::AMQPMethod::OpenOk(channel_class::OpenOk {});
        self.core.send(number, AMQPClass::Channel(open_ok));
    }

    fn connection_method(&mut self, ids: MethodIds, method: Method<'_>) {
        use method::connection::Method as Connection;
        match method {
            Method::Connection(Connection::Close(_)) => {
                self.hand_over();
                self.disconnect(Ended::ByClient);
            }
            // The passwords of users are checked at login only, so there is nothing to take from a new one.
            Method::Connection(Connection::UpdateSecret(_)) => {
                let update_secret_ok = connection_class::UpdateSecretOk {};
                let ok = connection_class::AMQPMethod::UpdateSecretOk(update_secret_ok);
                self.core.send(0, AMQPClass::Connection(ok));
            }
            _ => {
                let text = "unexpected method in connection state running";
                self.close(Exception::connection(ReplyCode::ChannelError, text), ids);
            }
        }
    }

    /// An exception of a channel's method.
    fn fail(&mut self, number: u16, exception: Exception, ids: MethodIds) {
        match exception.level {
            Level::Connection => self.close(exception, ids),
            Level::Channel => {
                tracing::warn!(channel = number, "channel exception: {}", exception.text());
                self.release_channel(number, ThenChannel::Close { exception, ids });
            }
        }
    }

    /// Ends the connection from the broker's side.
    pub(crate) fn close(&mut self, exception: Exception, ids: MethodIds) {
        if self.is_ending() {
            return;
        }
        tracing::warn!("closing connection: {}", exception.text());
        self.hand_over();
        self.disconnect(Ended::ByBroker(Box::new((exception, ids))));
    }

    /// Ends the connection because the operator or the program asks for it.
    pub(crate) fn close_forced(&mut self, reason: &str) {
        let exception = Exception::connection(ReplyCode::ConnectionForced, reason);
        self.close(exception, MethodIds::default());
    }

    fn hand_over(&mut self) {
        self.core.hand_over(&mut self.channels);
    }

    fn disconnect(&mut self, then: Ended) {
        self.behind = None;
        self.tell_end();
        let connection = self.core.connection();
        let shards = self.core.command_all(|| Command::Disconnect(connection));
        if shards == 0 {
            self.ended = Some(then);
        } else {
            self.waiting = Some(Waiting::Disconnect { shards, then });
        }
    }

    /// Tells that its consumers and channels end.
    fn tell_end(&mut self) {
        if !self.core.broker.events.is_on() {
            return;
        }
        let consumers: Vec<_> = self.core.consumers.drain().collect();
        for consumer in &consumers {
            self.core.consumer_deleted(&consumer.tag, consumer);
        }
        let channels = self.channels.iter().map(|channel| channel.number);
        channels.for_each(|number| self.core.channel_closed(number));
    }

    /// The socket is gone: the shards are told, nobody waits for them.
    pub(crate) fn abandon(&mut self) {
        if !self.is_ending() {
            self.disconnect(Ended::ByClient);
        }
    }

    /// Requeues what the channel holds and removes its consumers.
    fn release_channel(&mut self, number: u16, then: ThenChannel) {
        self.hand_over();
        if let Some(channel) = self.channels.get(number) {
            channel.closing = true;
            channel.transaction = None;
            if let Some(content) = channel.content.take() {
                self.core.unfinished_bytes -= content.reserved();
            }
        }
        let holder = Holder {
            connection: self.core.connection(),
            channel: number,
        };
        let shards = self.core.command_all(|| Command::Release {
            holder,
            close: true,
        });
        if shards == 0 {
            self.channel_released(number, then);
        } else {
            self.waiting = Some(Waiting::CloseChannel {
                channel: number,
                shards,
                then,
            });
        }
    }

    fn channel_released(&mut self, number: u16, then: ThenChannel) {
        if let Some(channel) = self.channels.get(number) {
            for (tag, slot) in channel.consumers.drain() {
                if let Some(consumer) = self.core.consumers.remove(slot) {
                    self.core.consumer_deleted(&tag, &consumer);
                }
            }
            channel.unacked = leveret_broker::runs::Runs::default();
        }
        match then {
            ThenChannel::CloseOk => {
                self.forget_channel(number);
                send_channel_close_ok(&mut self.core, number);
            }
            ThenChannel::Close { exception, ids } => {
                let close = channel_class::Close {
                    reply_code: exception.code.code(),
                    reply_text: encode::short_string(&exception.text()),
                    class_id: ids.class_id,
                    method_id: ids.method_id,
                };
                let close = channel_class::AMQPMethod::Close(close);
                self.core.send(number, AMQPClass::Channel(close));
            }
        }
    }

    fn forget_channel(&mut self, number: u16) {
        self.channels.remove(number);
        self.core.channel_closed(number);
        let count = self.channels.count();
        self.core.traffic.note_channels(count, false);
    }
}

/// Carries out a method; events that come of it name the user.
fn carry_out_for_user(
    core: &mut Core,
    channel: &mut Channel,
    method: Method<'_>,
) -> Result<Next, Exception> {
    if !core.broker.events.is_on() {
        return carry_out(core, channel, method);
    }
    let user = core.user.name.clone();
    acting_as(&user, || carry_out(core, channel, method))
}

/// A frame that channel 0 has no use for, or the other channels.
fn misplaced(kind: u8, payload: &[u8]) -> Exception {
    unexpected(format!("type {kind}, {}", Octets::of(payload)))
}

fn send_channel_close_ok(core: &mut Core, number: u16) {
    let close_ok = channel_class::AMQPMethod::CloseOk(channel_class::CloseOk {});
    core.send(number, AMQPClass::Channel(close_ok));
}

/// `connection.close` from the broker.
pub(crate) fn connection_close(exception: &Exception, ids: MethodIds) -> AMQPClass {
    AMQPClass::Connection(connection_class::AMQPMethod::Close(
        connection_class::Close {
            reply_code: exception.code.code(),
            reply_text: encode::short_string(&exception.text()),
            class_id: ids.class_id,
            method_id: ids.method_id,
        },
    ))
}

/// `connection.close-ok` from the broker.
pub(crate) fn connection_close_ok() -> AMQPClass {
    AMQPClass::Connection(connection_class::AMQPMethod::CloseOk(
        connection_class::CloseOk {},
    ))
}
