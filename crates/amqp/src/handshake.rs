//! From the protocol header to `connection.open`: who the client is, and what both sides agree on.
//!
//! ```text
//!  header ──> start ──start-ok──> tune ──tune-ok──> open ──open──> open-ok
//! ```

use std::sync::Arc;

use leveret_broker::broker::Broker;
use leveret_broker::connections::OpenAs;
use leveret_broker::error::Error;
use leveret_broker::figures::Traffic;
use leveret_broker::link::Link;
use leveret_broker::users::User;
use leveret_message::table::Table;
use leveret_wire::ReplyCode;
use leveret_wire::method::connection::{Method, Open, StartOk, TuneOk};
use leveret_wire::protocol::{AMQPClass, connection};

use crate::core::Opened;
use crate::exception::Exception;
use crate::sasl::{self, Claim, Credentials};
use crate::settings::{AmqpSettings, Peer};
use crate::start::ClientCapabilities;

/// The smallest frame that a client may ask for, by the specification. RabbitMQ 4 asks for 8,192; older clients are let in here.
const FRAME_MIN: u32 = 4096;

/// How the protocol is called where connections are listed.
const PROTOCOL: &str = "AMQP 0-9-1";

/// What the client has to send next.
#[derive(Debug)]
enum Step {
    StartOk,
    TuneOk { user: Arc<User> },
    Open { user: Arc<User> },
}

/// What both sides agreed on. For frames and channels, no limit is the largest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuned {
    pub(crate) channel_max: u16,
    pub(crate) frame_max: u32,
    /// Seconds; 0 is none.
    pub(crate) heartbeat: u16,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Handshake {
    link: Arc<Link>,
    traffic: Arc<Traffic>,
    step: Step,
    pub(crate) client: ClientCapabilities,
    tuned: Tuned,
    mechanism: String,
    client_properties: Table,
}

/// What a step leads to.
pub(crate) enum Progress {
    /// Send this and go on.
    Send(AMQPClass),
    /// Go on; frames may be as large as agreed.
    Tuned(Tuned),
    /// The connection is open.
    Open(Box<Opened>),
    /// The login was refused.
    Refused(Exception),
}

impl Handshake {
    /// After the protocol header.
    pub(crate) fn new((link, traffic): (Arc<Link>, Arc<Traffic>), settings: &AmqpSettings) -> Self {
        let tuned = Tuned {
            channel_max: settings.channel_max,
            frame_max: settings.frame_max,
            heartbeat: settings.heartbeat,
        };
        Self {
            link,
            traffic,
            step: Step::StartOk,
            client: ClientCapabilities::default(),
            tuned,
            mechanism: String::new(),
            client_properties: Table::default(),
        }
    }

    /// Takes a method on channel 0.
    ///
    /// **Errors**: 504 for one that is not due; 530 for what cannot be agreed on and vhosts that cannot be entered.
    pub(crate) fn method(
        &mut self,
        method: Method<'_>,
        (broker, settings): (&Arc<Broker>, &Arc<AmqpSettings>),
        peer: &Peer,
    ) -> Result<Progress, Exception> {
        match (&self.step, method) {
            (Step::StartOk, Method::StartOk(start_ok)) => {
                self.start_ok(start_ok, broker, settings, peer)
            }
            (Step::TuneOk { user }, Method::TuneOk(tune_ok)) => {
                self.tuned = tune(settings, tune_ok)?;
                self.step = Step::Open {
                    user: Arc::clone(user),
                };
                Ok(Progress::Tuned(self.tuned))
            }
            (Step::Open { user }, Method::Open(open)) => {
                let user = Arc::clone(user);
                self.open(open, user, broker, settings)
            }
            (step, _) => {
                let state = match step {
                    Step::StartOk => "starting",
                    Step::TuneOk { .. } => "tuning",
                    Step::Open { .. } => "opening",
                };
                let explanation = format!("unexpected method in connection state {state}");
                Err(Exception::connection(ReplyCode::ChannelError, explanation))
            }
        }
    }

    fn start_ok(
        &mut self,
        start_ok: StartOk<'_>,
        broker: &Broker,
        settings: &AmqpSettings,
        peer: &Peer,
    ) -> Result<Progress, Exception> {
        self.client = ClientCapabilities::read(start_ok.client_properties);
        self.client_properties = start_ok.client_properties.to_owned();
        let mechanism = start_ok.mechanism;
        self.mechanism = mechanism.to_owned();
        let claim = sasl::claim(mechanism, start_ok.response, peer, settings)?;
        let users = &broker.users;
        let admitted = match &claim {
            Claim::Password(Credentials { user, password }) => {
                users.authenticate(user, password, peer.is_loopback)
            }
            Claim::Trusted(user) => users.admit(user, peer.is_loopback),
        };
        let is_admitted = admitted.is_ok();
        let user = match &claim {
            Claim::Password(Credentials { user, .. }) => user.as_ref(),
            Claim::Trusted(user) => user.as_ref(),
        };
        broker
            .events
            .login(user, &peer.name, mechanism, is_admitted);
        match admitted {
            Ok(user) => {
                self.step = Step::TuneOk { user };
                Ok(Progress::Send(AMQPClass::Connection(
                    connection::AMQPMethod::Tune(connection::Tune {
                        channel_max: settings.channel_max,
                        frame_max: settings.frame_max,
                        heartbeat: settings.heartbeat,
                    }),
                )))
            }
            Err(refusal) => {
                tracing::warn!(mechanism, "login refused: {refusal}");
                Ok(Progress::Refused(Exception::connection(
                    ReplyCode::AccessRefused,
                    format!(
                        "Login was refused using authentication mechanism {mechanism}. \
                         For details see the broker logfile."
                    ),
                )))
            }
        }
    }

    fn open(
        &mut self,
        open: Open<'_>,
        user: Arc<User>,
        broker: &Arc<Broker>,
        settings: &Arc<AmqpSettings>,
    ) -> Result<Progress, Exception> {
        let vhost = broker.vhost(open.virtual_host)?;
        let refused = || Error::VhostRefused {
            vhost: vhost.name.clone(),
            user: user.name.clone(),
        };
        if broker.users.permissions(&user.name, &vhost.name).is_none() {
            return Err(refused().into());
        }
        let open_as = OpenAs {
            user: user.name.clone(),
            vhost: vhost.name.clone(),
            protocol: PROTOCOL,
            mechanism: self.mechanism.clone(),
            client_properties: std::mem::take(&mut self.client_properties),
            channel_max: self.tuned.channel_max,
            frame_max: self.tuned.frame_max,
            heartbeat: self.tuned.heartbeat,
        };
        let vhost_max = vhost.limits.max_connections();
        let user_max = user.limits.max_connections;
        let connections = &broker.connections;
        connections.open(self.link.connection, open_as, vhost_max, user_max)?;
        // Looked at behind that: from now on it hears of changes.
        let users = broker.users.snapshot();
        let permission = users.permission(&user.name, &vhost.name).cloned();
        let permission = permission.ok_or_else(refused)?;
        let topics = users.topics_of(&user.name, &vhost.name);
        tracing::info!(
            user = %user.name,
            vhost = %vhost.name,
            client_name = self.client.connection_name,
            "connection open"
        );
        Ok(Progress::Open(Box::new(Opened {
            broker: Arc::clone(broker),
            settings: Arc::clone(settings),
            link: Arc::clone(&self.link),
            traffic: Arc::clone(&self.traffic),
            vhost,
            user,
            permission,
            topics,
            client: self.client.clone(),
            frame_max: self.tuned.frame_max,
            channel_max: self.tuned.channel_max,
        })))
    }
}

/// `connection.tune-ok`: the client may only lower what was offered, and choose "no limit" only where it was offered none. The heartbeat is its own.
fn tune(settings: &AmqpSettings, chosen: TuneOk) -> Result<Tuned, Exception> {
    let refused = |what: &str, value: u32, side: &str, bound: u32| {
        let value = if value == 0 {
            "0 (no limit)".to_owned()
        } else {
            value.to_string()
        };
        let explanation = format!("negotiated {what} = {value} is {side} allowed value ({bound})");
        Err(Exception::connection(ReplyCode::NotAllowed, explanation))
    };
    let (higher, lower) = ("higher than the maximum", "lower than the minimum");
    let above = |value: u32, max: u32| max != 0 && (value == 0 || value > max);
    let (frame_max, frames) = (chosen.frame_max, settings.frame_max);
    let (channel_max, channels) = (
        u32::from(chosen.channel_max),
        u32::from(settings.channel_max),
    );
    if above(channel_max, channels) {
        return refused("channel_max", channel_max, higher, channels);
    }
    if frame_max != 0 && frame_max < FRAME_MIN {
        return refused("frame_max", frame_max, lower, FRAME_MIN);
    }
    if above(frame_max, frames) {
        return refused("frame_max", frame_max, higher, frames);
    }
    Ok(Tuned {
        channel_max: if channel_max == 0 {
            u16::MAX
        } else {
            chosen.channel_max
        },
        frame_max: if frame_max == 0 { u32::MAX } else { frame_max },
        heartbeat: chosen.heartbeat,
    })
}
