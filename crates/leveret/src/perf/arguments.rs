//! The words of `leveret perf`; options are called as in RabbitMQ's PerfTest where it has them.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use leveret_perf::{Declaring, Load, Opening, QueueArg, Scenario, Uri};

/// One in how many messages has its time taken where throughput counts.
const TIMED_ONE_IN: u64 = 64;
/// Messages a second where latency counts and nothing else is said.
const LATENCY_RATE: u64 = 1000;
/// Messages of a producer where a backlog is made and nothing else is said.
const BACKLOG: u64 = 1_000_000;

/// What load, and for whom.
#[derive(Debug, Args)]
pub(crate) struct PerfArguments {
    /// The broker [default: guest at 127.0.0.1:5672, vhost /]
    #[arg(
        long,
        global = true,
        env = "LEVERET_PERF_URI",
        hide_env_values = true,
        value_name = "amqp://USER:PASSWORD@HOST:PORT/VHOST"
    )]
    uri: Option<Uri>,
    /// Print JSON, with a part for each second
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: PerfCommand,
}

#[derive(Debug, Subcommand)]
enum PerfCommand {
    /// Publish and consume as fast as it goes, or at a rate
    Throughput(LoadArguments),
    /// Publish at a rate, 1000 messages a second if none is given, and say how long each message takes
    Latency(LoadArguments),
    /// Publish everything first, 1000000 messages of each producer if not told otherwise, and consume it then
    Backlog(LoadArguments),
    /// Open connections, hold them, ask each something and close them
    Connections(OpeningArguments),
    /// Declare queues, bind them, pass a message through each and delete them
    Queues(DeclaringArguments),
}

/// What messages can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flag {
    /// They are persistent, and the queues durable
    Persistent,
    /// Those that reach no queue come back
    Mandatory,
}

#[derive(Debug, Args)]
struct LoadArguments {
    /// Producers, each on its own connection
    #[arg(long, short = 'x', default_value_t = 1)]
    producers: u16,
    /// Consumers, each on its own connection
    #[arg(long, short = 'y', default_value_t = 1)]
    consumers: u16,
    /// Queues; producers and consumers share them out
    #[arg(long, default_value_t = 1)]
    queues: u32,
    /// Bytes of a body; messages of less than 8 can be counted, but not told apart, and of less than 16 not be timed
    #[arg(long, short = 's', default_value_t = 16)]
    size: usize,
    /// Messages a second of each producer
    #[arg(long, short = 'r')]
    rate: Option<u64>,
    /// Ask for confirms, and have at most so many messages unconfirmed on each producer
    #[arg(long, short = 'c')]
    confirm: Option<u32>,
    /// At most so many unacknowledged messages on each consumer of a queue; 0 is no limit
    #[arg(long, short = 'q', default_value_t = 0)]
    qos: u16,
    /// Acknowledge so many messages with one ack
    #[arg(long, short = 'A', default_value_t = 1)]
    multi_ack_every: u32,
    /// Consume without acknowledging
    #[arg(long, short = 'a')]
    autoack: bool,
    /// What messages are; may be given several times
    #[arg(long, short = 'f', value_name = "FLAG")]
    flag: Vec<Flag>,
    /// Arguments of the queues, with commas between them
    #[arg(long, value_delimiter = ',', value_name = "NAME=VALUE")]
    queue_args: Vec<QueueArg>,
    /// Publish for so many seconds; 0 is until Ctrl-C [default: 10, or until all is published]
    #[arg(long, short = 'z', value_name = "SECONDS")]
    time: Option<u64>,
    /// Publish so many messages on each producer
    #[arg(long, short = 'C', value_name = "COUNT")]
    pmessages: Option<u64>,
}

#[derive(Debug, Args)]
struct OpeningArguments {
    /// How many
    #[arg(long, default_value_t = 1000)]
    connections: u32,
    /// Channels of each
    #[arg(long, default_value_t = 1)]
    channels: u16,
    /// How many are being opened at the same time
    #[arg(long, default_value_t = 1)]
    parallel: u16,
    /// Hold them for so many seconds
    #[arg(long, short = 'z', value_name = "SECONDS")]
    time: Option<u64>,
}

#[derive(Debug, Args)]
struct DeclaringArguments {
    /// How many
    #[arg(long, default_value_t = 1000)]
    queues: u32,
    /// Connections that declare at the same time
    #[arg(long, default_value_t = 1)]
    parallel: u16,
    /// persistent: the queues are durable, and so are their messages
    #[arg(long, short = 'f', value_name = "FLAG")]
    flag: Vec<Flag>,
    /// Arguments of the queues, with commas between them
    #[arg(long, value_delimiter = ',', value_name = "NAME=VALUE")]
    queue_args: Vec<QueueArg>,
}

impl PerfArguments {
    pub(super) fn uri(&self) -> Uri {
        self.uri.clone().unwrap_or_default()
    }

    pub(super) fn json(&self) -> bool {
        self.json
    }

    pub(super) fn scenario(&self) -> Scenario {
        match &self.command {
            PerfCommand::Throughput(given) => Scenario::Throughput(given.load()),
            PerfCommand::Latency(given) => Scenario::Latency(Load {
                rate: Some(given.rate.unwrap_or(LATENCY_RATE)),
                timed_one_in: 1,
                ..given.load()
            }),
            PerfCommand::Backlog(given) => Scenario::Backlog(Load {
                pmessages: match given.time {
                    Some(_) => given.pmessages,
                    None => Some(given.pmessages.unwrap_or(BACKLOG)),
                },
                time: given.time.and_then(seconds),
                ..given.load()
            }),
            PerfCommand::Connections(given) => Scenario::Connections(Opening {
                connections: given.connections,
                channels: given.channels,
                parallel: given.parallel,
                time: given.time.and_then(seconds),
            }),
            PerfCommand::Queues(given) => Scenario::Queues(Declaring {
                queues: given.queues,
                parallel: given.parallel,
                persistent: given.flag.contains(&Flag::Persistent),
                queue_args: given.queue_args.clone(),
            }),
        }
    }
}

impl LoadArguments {
    fn load(&self) -> Load {
        let time = match (self.time, self.pmessages) {
            (Some(time), _) => seconds(time),
            (None, Some(_)) => None,
            (None, None) => seconds(10),
        };
        Load {
            producers: self.producers,
            consumers: self.consumers,
            queues: self.queues,
            size: self.size,
            rate: self.rate,
            confirm: self.confirm,
            qos: self.qos,
            multi_ack_every: self.multi_ack_every,
            autoack: self.autoack,
            persistent: self.flag.contains(&Flag::Persistent),
            mandatory: self.flag.contains(&Flag::Mandatory),
            queue_args: self.queue_args.clone(),
            time,
            pmessages: self.pmessages,
            timed_one_in: TIMED_ONE_IN,
        }
    }
}

/// A time, of which 0 is none.
fn seconds(time: u64) -> Option<Duration> {
    (time > 0).then(|| Duration::from_secs(time))
}
