//! Figures that have rates: their names, and values of some of them at one moment.

use std::sync::Arc;

use leveret_broker::figures::{MessageCounts, TrafficFigures};

/// A figure, by RabbitMQ's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Publish,
    Confirm,
    ReturnUnroutable,
    DropUnroutable,
    Deliver,
    DeliverNoAck,
    Get,
    GetNoAck,
    GetEmpty,
    DeliverGet,
    Redeliver,
    Ack,
    PublishIn,
    PublishOut,
    Messages,
    Ready,
    Unacked,
    Received,
    Sent,
    ConnectionCreated,
    ConnectionClosed,
    ChannelCreated,
    ChannelClosed,
    QueueDeclared,
    QueueCreated,
    QueueDeleted,
    Memory,
    Descriptors,
    DiskFree,
}

/// What a request asks samples of together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `lengths_age`, `lengths_incr`.
    Lengths,
    /// `msg_rates_age`, `msg_rates_incr`.
    Messages,
    /// `data_rates_age`, `data_rates_incr`.
    Data,
    /// `node_stats_age`, `node_stats_incr`.
    Node,
}

/// What publishers of a connection, a channel, a vhost, of all did.
pub(crate) const PUBLISHED: &[Figure] = &[
    Figure::Publish,
    Figure::Confirm,
    Figure::ReturnUnroutable,
    Figure::DropUnroutable,
];
/// What came into a queue.
pub(crate) const ENTERED: &[Figure] = &[Figure::Publish];
/// What consumers were sent and did.
pub(crate) const DELIVERED: &[Figure] = &[
    Figure::Deliver,
    Figure::DeliverNoAck,
    Figure::Get,
    Figure::GetNoAck,
    Figure::GetEmpty,
    Figure::DeliverGet,
    Figure::Redeliver,
    Figure::Ack,
];
/// What queues hold.
pub(crate) const LENGTHS: &[Figure] = &[Figure::Messages, Figure::Ready, Figure::Unacked];
/// What came through sockets and went.
pub(crate) const DATA: &[Figure] = &[Figure::Received, Figure::Sent];
/// What began and ended.
pub(crate) const CHURN: &[Figure] = &[
    Figure::ConnectionCreated,
    Figure::ConnectionClosed,
    Figure::ChannelCreated,
    Figure::ChannelClosed,
    Figure::QueueDeclared,
    Figure::QueueCreated,
    Figure::QueueDeleted,
];
/// What the process takes.
pub(crate) const NODE: &[Figure] = &[Figure::Memory, Figure::Descriptors, Figure::DiskFree];

impl Figure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Confirm => "confirm",
            Self::ReturnUnroutable => "return_unroutable",
            Self::DropUnroutable => "drop_unroutable",
            Self::Deliver => "deliver",
            Self::DeliverNoAck => "deliver_no_ack",
            Self::Get => "get",
            Self::GetNoAck => "get_no_ack",
            Self::GetEmpty => "get_empty",
            Self::DeliverGet => "deliver_get",
            Self::Redeliver => "redeliver",
            Self::Ack => "ack",
            Self::PublishIn => "publish_in",
            Self::PublishOut => "publish_out",
            Self::Messages => "messages",
            Self::Ready => "messages_ready",
            Self::Unacked => "messages_unacknowledged",
            Self::Received => "recv_oct",
            Self::Sent => "send_oct",
            Self::ConnectionCreated => "connection_created",
            Self::ConnectionClosed => "connection_closed",
            Self::ChannelCreated => "channel_created",
            Self::ChannelClosed => "channel_closed",
            Self::QueueDeclared => "queue_declared",
            Self::QueueCreated => "queue_created",
            Self::QueueDeleted => "queue_deleted",
            Self::Memory => "mem_used",
            Self::Descriptors => "fd_used",
            Self::DiskFree => "disk_free",
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Messages | Self::Ready | Self::Unacked => Family::Lengths,
            Self::Received | Self::Sent => Family::Data,
            Self::Memory | Self::Descriptors | Self::DiskFree => Family::Node,
            _ => Family::Messages,
        }
    }
}

/// Values of figures at one moment. Those that are 0 are left out, so that what idles takes no memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<(Figure, u64)>);

impl Figures {
    pub(crate) fn with(mut self, figure: Figure, value: u64) -> Self {
        if value > 0 {
            self.0.push((figure, value));
        }
        self
    }

    pub(crate) fn with_counts(self, counts: &MessageCounts) -> Self {
        let delivered = counts.delivered + counts.delivered_no_ack;
        self.with(Figure::Publish, counts.published)
            .with(Figure::Confirm, counts.confirmed)
            .with(Figure::ReturnUnroutable, counts.returned)
            .with(Figure::DropUnroutable, counts.dropped)
            .with(Figure::Deliver, counts.delivered)
            .with(Figure::DeliverNoAck, counts.delivered_no_ack)
            .with(Figure::Get, counts.got)
            .with(Figure::GetNoAck, counts.got_no_ack)
            .with(Figure::GetEmpty, counts.got_empty)
            .with(
                Figure::DeliverGet,
                delivered + counts.got + counts.got_no_ack,
            )
            .with(Figure::Redeliver, counts.redelivered)
            .with(Figure::Ack, counts.acked)
    }

    pub(crate) fn with_lengths(self, ready: u64, unacked: u64, waiting: u64) -> Self {
        self.with(Figure::Messages, ready + unacked + waiting)
            .with(Figure::Ready, ready)
            .with(Figure::Unacked, unacked)
    }

    pub(crate) fn with_bytes(self, traffic: &TrafficFigures) -> Self {
        self.with(Figure::Received, traffic.received_bytes)
            .with(Figure::Sent, traffic.sent_bytes)
    }

    pub(crate) fn get(&self, figure: Figure) -> u64 {
        value(&self.0, figure)
    }

    pub(crate) fn keep(&self) -> Kept {
        Kept(self.0.as_slice().into())
    }
}

/// [`Figures`] that are kept, and shared.
#[derive(Clone, Debug)]
pub(crate) struct Kept(Arc<[(Figure, u64)]>);

impl Kept {
    pub(crate) fn get(&self, figure: Figure) -> u64 {
        value(&self.0, figure)
    }
}

fn value(of: &[(Figure, u64)], figure: Figure) -> u64 {
    let mut found = of.iter().filter(|(other, _)| *other == figure);
    found.next().map_or(0, |(_, value)| *value)
}
