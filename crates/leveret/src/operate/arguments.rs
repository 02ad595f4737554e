//! What operators can ask for on the command line; `requests` says which request that is.

use clap::{Args, Subcommand};
use serde_json::Value;

mod settings;

pub(crate) use settings::{
    Definitions, GlobalParameters, Parameters, Permissions, Policies, TopicPermissions, UserLimits,
    Users, VhostLimits, Vhosts,
};

/// Whom to ask, and how to print.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Ask this broker [env: LEVERET_MANAGEMENT_URL] [default: guest at the configured management listener]
    #[arg(long, global = true, value_name = "http://USER:PASSWORD@HOST:PORT")]
    pub(super) url: Option<String>,
    /// In this vhost
    #[arg(long, short = 'p', global = true, default_value = "/")]
    pub(super) vhost: String,
    /// Print JSON, with everything that is told
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// A kind of thing, and what is done with it.
#[derive(Debug, Args)]
pub(crate) struct Noun<V: Subcommand> {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    pub(super) verb: V,
}

/// What is asked of the whole.
#[derive(Debug, Args)]
pub(crate) struct Whole {
    #[command(flatten)]
    target: Target,
}

/// What operators can ask of a running broker.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// What there is altogether
    Overview(Whole),
    /// As whom the broker is asked
    Whoami(Whole),
    /// Feature flags, of which all are on
    FeatureFlags(Noun<Listed>),
    /// Queues and their messages
    Queues(Noun<Queues>),
    /// How far readers with names have come in streams
    Streams(Noun<Streams>),
    /// Exchanges, and publishing
    Exchanges(Noun<Exchanges>),
    /// Messages that exchanges hold back
    Delayed(Noun<Delayed>),
    /// Bindings
    Bindings(Noun<Bindings>),
    /// Connections of clients
    Connections(Noun<Connections>),
    /// Channels of clients
    Channels(Noun<Channels>),
    /// Consumers of queues
    Consumers(Noun<Listed>),
    /// Vhosts
    Vhosts(Noun<Vhosts>),
    /// Users
    Users(Noun<Users>),
    /// What users may do in vhosts
    Permissions(Noun<Permissions>),
    /// Which topics users may publish and bind
    TopicPermissions(Noun<TopicPermissions>),
    /// Policies
    Policies(Noun<Policies>),
    /// Policies that limit others
    OperatorPolicies(Noun<Policies>),
    /// Parameters of components
    Parameters(Noun<Parameters>),
    /// Parameters of no vhost
    GlobalParameters(Noun<GlobalParameters>),
    /// Limits of vhosts
    VhostLimits(Noun<VhostLimits>),
    /// Limits of users
    UserLimits(Noun<UserLimits>),
    /// All definitions as one document
    Definitions(Noun<Definitions>),
    /// Health checks, as RabbitMQ names them; exit 0 if what is checked is well
    HealthCheck(Noun<Checks>),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Listed {
    /// List them
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Queues {
    /// List them
    List,
    /// Tell everything of one
    Show { name: String },
    /// Declare one
    Declare {
        name: String,
        /// It does not outlive the broker
        #[arg(long)]
        transient: bool,
        /// It goes with its last consumer
        #[arg(long)]
        auto_delete: bool,
        /// Its arguments, as a JSON object
        #[arg(long, value_parser = object, default_value = "{}")]
        arguments: Value,
    },
    /// Delete one
    Delete {
        name: String,
        /// Only if nobody consumes from it
        #[arg(long)]
        if_unused: bool,
        /// Only if no message is in it
        #[arg(long)]
        if_empty: bool,
    },
    /// Remove all ready messages of one
    Purge { name: String },
    #[command(flatten)]
    Messages(QueueMessages),
}

/// What becomes of the messages of a queue.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueMessages {
    /// Show messages from the front of one; they go back to it
    Get {
        name: String,
        #[arg(long, default_value_t = 1)]
        count: u64,
        /// They do not go back
        #[arg(long)]
        ack: bool,
    },
    /// Show ready messages, wherever they are; nothing becomes of them
    Peek {
        name: String,
        /// How many from the front are passed over
        #[arg(long, default_value_t = 0)]
        position: u64,
        #[arg(long, default_value_t = 1)]
        count: u64,
    },
    /// Move messages from the front of one to another
    Move {
        name: String,
        destination: String,
        /// How many; all that are there, if not given
        #[arg(long)]
        count: Option<u64>,
    },
    /// Move dead letters back to the queues in which they first died
    Redrive {
        name: String,
        /// How many; all that are there, if not given
        #[arg(long)]
        count: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Streams {
    /// List the names of its readers, and where they go on
    Offsets { name: String },
    /// Forget where the reader with a name goes on
    ForgetOffset { name: String, reader: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Exchanges {
    /// List them
    List,
    /// Tell everything of one
    Show { name: String },
    /// Declare one
    Declare {
        name: String,
        /// direct, fanout, topic, headers, x-consistent-hash, x-modulus-hash, x-random, x-local-random or x-recent-history
        #[arg(long = "type", default_value = "direct")]
        kind: String,
        /// It does not outlive the broker
        #[arg(long)]
        transient: bool,
        /// It goes with its last binding
        #[arg(long)]
        auto_delete: bool,
        /// Only exchanges publish to it
        #[arg(long)]
        internal: bool,
        /// Its arguments, as a JSON object
        #[arg(long, value_parser = object, default_value = "{}")]
        arguments: Value,
    },
    /// Delete one
    Delete {
        name: String,
        /// Only if nothing is bound to it
        #[arg(long)]
        if_unused: bool,
    },
    /// Publish a message to one; "" is the default exchange
    Publish {
        name: String,
        routing_key: String,
        payload: String,
        /// Its properties, as a JSON object
        #[arg(long, value_parser = object, default_value = "{}")]
        properties: Value,
    },
}

/// What is done with messages that an exchange of the type x-delayed-message holds back.
#[derive(Debug, Subcommand)]
pub(crate) enum Delayed {
    /// List those that are due first
    List {
        exchange: String,
        #[arg(long, default_value_t = 100)]
        count: u64,
        /// Those that come behind the one with this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        #[command(flatten)]
        matching: Matching,
    },
    /// Show one with its payload
    Show { exchange: String, id: String },
    /// Cancel one, or all that match
    Cancel {
        exchange: String,
        #[arg(required_unless_present_any = ["routing_key", "message_id"])]
        #[arg(conflicts_with_all = ["routing_key", "message_id"])]
        id: Option<String>,
        #[command(flatten)]
        matching: Matching,
    },
}

/// Which messages are meant.
#[derive(Debug, Args)]
pub(crate) struct Matching {
    /// Those with this routing key
    #[arg(long)]
    pub(super) routing_key: Option<String>,
    /// Those with this property message_id
    #[arg(long)]
    pub(super) message_id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bindings {
    /// List them
    List,
    /// Bind a queue, or with --to-exchange an exchange
    Add(Ends),
    /// Take a binding away; its properties key, as listed, says which
    Delete {
        #[command(flatten)]
        ends: Ends,
    },
}

/// The ends of a binding.
#[derive(Debug, Args)]
pub(crate) struct Ends {
    pub(super) source: String,
    pub(super) destination: String,
    #[arg(default_value = "")]
    pub(super) routing_key: String,
    /// The destination is an exchange
    #[arg(long)]
    pub(super) to_exchange: bool,
    /// The arguments of a new binding, as a JSON object
    #[arg(long, value_parser = object, default_value = "{}")]
    pub(super) arguments: Value,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Channels {
    /// List them
    List,
    /// Tell everything of one
    Show { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Connections {
    /// List them
    List,
    /// Tell everything of one
    Show { name: String },
    /// Close one
    Close {
        name: String,
        /// What its client is told
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Checks {
    /// No alarm is on
    Alarms,
    /// AMQP is served, and no alarm is on
    ReadyToServeClients,
    /// Something listens on a port
    PortListener { port: u16 },
}

/// The words behind `leveret rabbitmqctl`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct RabbitmqctlArguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) words: Vec<String>,
}

pub(super) fn any(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn object(text: &str) -> Result<Value, String> {
    let value = any(text)?;
    match value {
        Value::Object(_) => Ok(value),
        _ => Err("this is no JSON object".to_owned()),
    }
}

impl OperatorCommand {
    pub(super) fn target(&self) -> &Target {
        match self {
            Self::Overview(whole) | Self::Whoami(whole) => &whole.target,
            Self::FeatureFlags(noun) | Self::Consumers(noun) => &noun.target,
            Self::Queues(noun) => &noun.target,
            Self::Streams(noun) => &noun.target,
            Self::Exchanges(noun) => &noun.target,
            Self::Delayed(noun) => &noun.target,
            Self::Bindings(noun) => &noun.target,
            Self::Connections(noun) => &noun.target,
            Self::Channels(noun) => &noun.target,
            Self::Vhosts(noun) => &noun.target,
            Self::Users(noun) => &noun.target,
            Self::Permissions(noun) => &noun.target,
            Self::TopicPermissions(noun) => &noun.target,
            Self::Policies(noun) | Self::OperatorPolicies(noun) => &noun.target,
            Self::Parameters(noun) => &noun.target,
            Self::GlobalParameters(noun) => &noun.target,
            Self::VhostLimits(noun) => &noun.target,
            Self::UserLimits(noun) => &noun.target,
            Self::Definitions(noun) => &noun.target,
            Self::HealthCheck(noun) => &noun.target,
        }
    }
}
