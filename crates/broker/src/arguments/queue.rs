//! What the arguments of a queue say: every x-argument that has an effect, as a typed setting.
//!
//! Checked, but without effect and therefore not kept: `x-queue-mode`, `x-queue-version`, `x-max-in-memory-length`,
//! `x-max-in-memory-bytes`. Not looked at: `x-queue-master-locator`. An absent argument stays absent, so that a policy can fill it in.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use leveret_message::name::Name;
use leveret_message::table::TableRef;

use super::words::{
    DeadLetterStrategy, DelayedRetryType, DeliveryLimit, Durability, LeaderLocator, Overflow,
    QueueType,
};
use super::{ArgumentError, DURATION_MAX, Reader, Refusal, Result};

const NAME_PREFIX_MAX: usize = 64;
const SEGMENT_BYTES_MAX: u64 = 3_000_000_000;

/// The settings of a queue, shared; one without arguments holds no memory for them.
///
/// Reads as the [`QueueArguments`] it stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSettings(Option<Arc<QueueArguments>>);

impl QueueSettings {
    /// Reads the arguments of `queue.declare`, in RabbitMQ's order: the first that cannot be taken is the one that is told.
    ///
    /// **Errors**: [`ArgumentError`] (406).
    pub fn parse(arguments: TableRef<'_>) -> Result<Self> {
        if arguments.is_empty() {
            return Ok(Self::default());
        }
        Ok(QueueArguments::parse(Reader(arguments))?.into())
    }
}

impl From<QueueArguments> for QueueSettings {
    fn from(arguments: QueueArguments) -> Self {
        Self((arguments != QueueArguments::NONE).then(|| arguments.into()))
    }
}

impl Deref for QueueSettings {
    type Target = QueueArguments;

    fn deref(&self) -> &QueueArguments {
        self.0.as_deref().unwrap_or(&QueueArguments::NONE)
    }
}

/// Every argument of a queue that has an effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueArguments {
    /// `x-queue-type`.
    pub queue_type: QueueType,
    /// `x-name-prefix`: what a name that the broker makes up begins with, instead of `amq.gen-`; at most 64 bytes, and not kept in the table.
    pub name_prefix: Option<Box<str>>,
    /// `x-expires`: the queue is deleted when nobody used it for this long. Never zero.
    pub expires: Option<Duration>,
    /// `x-message-ttl`: how long a message may stay. Zero: deliver at once or expire.
    pub message_ttl: Option<Duration>,
    /// Where messages go that were rejected, expired, or did not fit.
    pub dead_letter: DeadLetterSettings,
    /// How much the queue may hold.
    pub length: LengthLimit,
    /// `x-max-priority`: the highest priority that is told apart.
    pub max_priority: Option<u8>,
    /// `x-single-active-consumer`: one consumer at a time gets deliveries.
    pub single_active_consumer: bool,
    /// `x-delivery-limit`: how often a delivery may fail.
    pub delivery_limit: Option<DeliveryLimit>,
    /// `x-consumer-timeout`: how long a delivery may stay unsettled.
    pub consumer_timeout: Option<Duration>,
    /// `x-consumer-disconnected-timeout`: how long the deliveries of an unreachable consumer stay with it.
    pub consumer_disconnected_timeout: Option<Duration>,
    /// Whether a returned message waits before its next delivery.
    pub delayed_retry: DelayedRetrySettings,
    /// What only streams look at.
    pub stream: StreamSettings,
    /// Where in a cluster the queue lives.
    pub placement: PlacementSettings,
    /// `x-leveret-message-group`: the header whose value says which messages go to one consumer at a time.
    pub message_group: Option<Box<str>>,
    /// `x-message-deduplication`: whether a message stays out as long as one with the same `x-deduplication-header` is there.
    pub deduplicates: bool,
    /// `x-leveret-durability`: instead of what its vhost says.
    pub durability: Option<Durability>,
}

/// Where dead letters go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterSettings {
    /// `x-dead-letter-exchange`; the empty name is the default exchange.
    pub exchange: Option<Name>,
    /// `x-dead-letter-routing-key`: instead of the keys a message was published with. Only with an exchange.
    pub routing_key: Option<Name>,
    /// `x-dead-letter-strategy`.
    pub strategy: Option<DeadLetterStrategy>,
}

/// How much a queue may hold, and what happens beyond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LengthLimit {
    /// `x-max-length`: ready messages.
    pub messages: Option<u64>,
    /// `x-max-length-bytes`: bytes of the bodies of ready messages.
    pub bytes: Option<u64>,
    /// `x-overflow`; drop-head if not given.
    pub overflow: Option<Overflow>,
}

/// Whether and how long a returned message waits: `min(min x deliveries, max)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelayedRetrySettings {
    /// `x-delayed-retry-type`.
    pub retry: Option<DelayedRetryType>,
    /// `x-delayed-retry-min`.
    pub min: Option<Duration>,
    /// `x-delayed-retry-max`.
    pub max: Option<Duration>,
}

/// What only streams look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSettings {
    /// `x-max-age`: a number and one of `Y M D h m s`.
    pub max_age: Option<Duration>,
    /// `x-stream-max-segment-size-bytes`, at most 3,000,000,000.
    pub max_segment_size_bytes: Option<u64>,
    /// `x-stream-filter-size-bytes`, 16 to 255.
    pub filter_size_bytes: Option<u8>,
}

/// Where in a cluster a queue lives; one node keeps it and does nothing with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacementSettings {
    /// `x-quorum-initial-group-size`, or `x-initial-cluster-size`: how many nodes hold it at first. Never zero.
    pub initial_group_size: Option<u64>,
    /// `x-queue-leader-locator`.
    pub leader_locator: Option<LeaderLocator>,
    /// `x-member-placement-tag`.
    pub member_tag: Option<Box<str>>,
}

impl LengthLimit {
    /// How many messages an empty queue has room for.
    pub fn room(&self) -> i64 {
        let messages = self.messages.unwrap_or(u64::MAX);
        i64::try_from(messages).unwrap_or(i64::MAX)
    }

    /// Whether new messages may be refused.
    pub fn may_refuse(&self) -> bool {
        let has_limit = self.messages.is_some() || self.bytes.is_some();
        let refuses = match self.overflow {
            None | Some(Overflow::DropHead) => false,
            Some(Overflow::RejectPublish | Overflow::RejectPublishDlx) => true,
        };
        has_limit && refuses
    }
}

impl QueueArguments {
    /// No arguments.
    const NONE: Self = Self {
        queue_type: QueueType::Classic,
        name_prefix: None,
        expires: None,
        message_ttl: None,
        dead_letter: DeadLetterSettings {
            exchange: None,
            routing_key: None,
            strategy: None,
        },
        length: LengthLimit {
            messages: None,
            bytes: None,
            overflow: None,
        },
        max_priority: None,
        single_active_consumer: false,
        delivery_limit: None,
        consumer_timeout: None,
        consumer_disconnected_timeout: None,
        delayed_retry: DelayedRetrySettings {
            retry: None,
            min: None,
            max: None,
        },
        stream: StreamSettings {
            max_age: None,
            max_segment_size_bytes: None,
            filter_size_bytes: None,
        },
        placement: PlacementSettings {
            initial_group_size: None,
            leader_locator: None,
            member_tag: None,
        },
        message_group: None,
        deduplicates: false,
        durability: None,
    };

    fn parse(from: Reader<'_>) -> Result<Self> {
        // Before everything else, as in RabbitMQ, whose channel looks at it on its own.
        let dead_letter_exchange = from.exchange("x-dead-letter-exchange")?;
        let queue_type = queue_type(from)?.unwrap_or_default();
        let expires = match from.lifetime("x-expires")? {
            Some(Duration::ZERO) => Err(ArgumentError::new("x-expires", Refusal::Zero)),
            expires => Ok(expires),
        }?;
        let message_ttl = from.lifetime("x-message-ttl")?;
        let dead_letter = dead_letter(from, dead_letter_exchange)?;
        let (messages, bytes) = (
            from.non_negative("x-max-length")?,
            from.non_negative("x-max-length-bytes")?,
        );
        from.non_negative("x-max-in-memory-length")?;
        from.non_negative("x-max-in-memory-bytes")?;
        let max_priority = max_priority(from)?;
        let length = LengthLimit {
            messages,
            bytes,
            overflow: overflow(from)?,
        };
        queue_mode_and_version(from)?;
        Ok(Self {
            queue_type,
            expires,
            message_ttl,
            dead_letter,
            length,
            max_priority,
            single_active_consumer: from
                .boolean("x-single-active-consumer")?
                .unwrap_or_default(),
            placement: placement(from)?,
            stream: stream(from)?,
            delivery_limit: from.integer("x-delivery-limit")?.map(DeliveryLimit::from),
            consumer_timeout: from.milliseconds("x-consumer-timeout")?,
            consumer_disconnected_timeout: from.milliseconds("x-consumer-disconnected-timeout")?,
            delayed_retry: delayed_retry(from)?,
            name_prefix: name_prefix(from)?,
            message_group: from.string("x-leveret-message-group")?.map(Into::into),
            deduplicates: from.boolean("x-message-deduplication")?.unwrap_or_default(),
            durability: durability(from)?,
        })
    }
}

fn queue_type(from: Reader<'_>) -> Result<Option<QueueType>> {
    let unsupported = |word: &str| Refusal::Unsupported("queue type", word.into());
    from.choice("x-queue-type", QueueType::from_name, unsupported)
}

fn durability(from: Reader<'_>) -> Result<Option<Durability>> {
    from.choice("x-leveret-durability", Durability::from_name, |word| {
        Refusal::Unsupported("durability", word.into())
    })
}

fn name_prefix(from: Reader<'_>) -> Result<Option<Box<str>>> {
    let fits = |prefix: &str| (prefix.len() <= NAME_PREFIX_MAX).then(|| prefix.into());
    from.choice("x-name-prefix", fits, |prefix| {
        Refusal::NamePrefix(prefix.into())
    })
}

fn dead_letter(from: Reader<'_>, exchange: Option<Name>) -> Result<DeadLetterSettings> {
    let routing_key = from.name("x-dead-letter-routing-key")?;
    if routing_key.is_some() && exchange.is_none() {
        let refusal = Refusal::Unknown("routing_key_but_no_dlx_defined");
        return Err(ArgumentError::new("x-dead-letter-routing-key", refusal));
    }
    let known = DeadLetterStrategy::from_name;
    let strategy = from.choice("x-dead-letter-strategy", known, |_| {
        Refusal::Unknown("invalid_dlx_strategy")
    })?;
    Ok(DeadLetterSettings {
        exchange,
        routing_key,
        strategy,
    })
}

fn max_priority(from: Reader<'_>) -> Result<Option<u8>> {
    let argument = "x-max-priority";
    let narrow = |value: u64| {
        u8::try_from(value)
            .map_err(|_| ArgumentError::new(argument, Refusal::PriorityTooLarge(value)))
    };
    from.non_negative(argument)?.map(narrow).transpose()
}

fn overflow(from: Reader<'_>) -> Result<Option<Overflow>> {
    from.choice("x-overflow", Overflow::from_name, |_| {
        Refusal::Unknown("invalid_overflow")
    })
}

/// Both have no effect. Version 1 is gone in RabbitMQ 4, too.
fn queue_mode_and_version(from: Reader<'_>) -> Result<()> {
    let known = |word: &str| matches!(word, "default" | "lazy").then_some(());
    from.choice("x-queue-mode", known, |word| {
        Refusal::Unsupported("queue mode", word.into())
    })?;
    match from.non_negative("x-queue-version")? {
        None | Some(2) => Ok(()),
        Some(other) => {
            let refusal = Refusal::Unsupported("queue version", other.to_string().into());
            Err(ArgumentError::new("x-queue-version", refusal))
        }
    }
}

fn placement(from: Reader<'_>) -> Result<PlacementSettings> {
    let group_size = from.positive("x-quorum-initial-group-size")?;
    let cluster_size = from.positive("x-initial-cluster-size")?;
    Ok(PlacementSettings {
        initial_group_size: group_size.or(cluster_size),
        leader_locator: from.choice("x-queue-leader-locator", LeaderLocator::from_name, |_| {
            Refusal::Unknown("invalid_queue_locator_arg")
        })?,
        member_tag: from.string("x-member-placement-tag")?.map(Into::into),
    })
}

fn stream(from: Reader<'_>) -> Result<StreamSettings> {
    let max_age = from.choice("x-max-age", max_age, |_| {
        Refusal::Unknown("invalid_max_age")
    })?;
    let segment = "x-stream-max-segment-size-bytes";
    let max_segment_size_bytes = match from.non_negative(segment)? {
        Some(size) if size > SEGMENT_BYTES_MAX => {
            return Err(ArgumentError::new(segment, Refusal::SegmentSize));
        }
        size => size,
    };
    let filter = "x-stream-filter-size-bytes";
    let narrow = |size: u64| {
        let size = u8::try_from(size).ok().filter(|size| *size >= 16);
        size.ok_or_else(|| ArgumentError::new(filter, Refusal::FilterSize))
    };
    let filter_size_bytes = from.non_negative(filter)?.map(narrow).transpose()?;
    Ok(StreamSettings {
        max_age,
        max_segment_size_bytes,
        filter_size_bytes,
    })
}

/// A number above zero and a unit; years have 365 days, months 30. Cut to [`DURATION_MAX`].
pub(crate) fn max_age(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit_at);
    let seconds: u64 = match unit {
        "Y" => 365 * 86_400,
        "M" => 30 * 86_400,
        "D" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return None,
    };
    if digits.bytes().all(|digit| digit == b'0') {
        return None;
    }
    // What does not fit is far beyond the limit.
    let count = digits.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds.saturating_mul(count)).min(DURATION_MAX))
}

fn delayed_retry(from: Reader<'_>) -> Result<DelayedRetrySettings> {
    Ok(DelayedRetrySettings {
        retry: from.choice("x-delayed-retry-type", DelayedRetryType::from_name, |_| {
            Refusal::Unknown("invalid_delayed_retry_type")
        })?,
        min: from.milliseconds("x-delayed-retry-min")?,
        max: from.milliseconds("x-delayed-retry-max")?,
    })
}
