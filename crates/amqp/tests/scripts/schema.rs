//! The methods of AMQP 0-9-1 by name, with their fields in order: what the scripts are read and written by.
//!
//! Kept apart from the codec under test, so that a field in the wrong place shows. A field named `-` is reserved: sent empty, never shown.

/// What a field looks like on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bit,
    Octet,
    Short,
    Long,
    LongLong,
    ShortStr,
    LongStr,
    Table,
}

/// A field of a method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// A method.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) class_id: u16,
    pub(crate) method_id: u16,
    pub(crate) fields: Vec<Field>,
}

impl Method {
    /// Whether a content follows.
    pub(crate) fn has_content(&self) -> bool {
        [
            "basic.publish",
            "basic.return",
            "basic.deliver",
            "basic.get-ok",
        ]
        .contains(&self.name)
    }

    /// The method of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::all().find(|method| method.name == name)
    }

    /// The method with these ids.
    pub(crate) fn with_ids(class_id: u16, method_id: u16) -> Option<Self> {
        Self::all().find(|method| (method.class_id, method.method_id) == (class_id, method_id))
    }

    fn all() -> impl Iterator<Item = Self> {
        METHODS.lines().filter_map(Self::read)
    }

    fn read(line: &'static str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let class_id = words.next()?.parse().ok()?;
        let method_id = words.next()?.parse().ok()?;
        let fields = words.filter_map(field).collect();
        Some(Self {
            name,
            class_id,
            method_id,
            fields,
        })
    }
}

fn field(text: &'static str) -> Option<Field> {
    let (name, kind) = text.split_once(':')?;
    let kind = match kind {
        "bit" => Kind::Bit,
        "octet" => Kind::Octet,
        "short" => Kind::Short,
        "long" => Kind::Long,
        "longlong" => Kind::LongLong,
        "shortstr" => Kind::ShortStr,
        "longstr" => Kind::LongStr,
        "table" => Kind::Table,
        _ => return None,
    };
    Some(Field { name, kind })
}

/// The properties of a content, in the order of their flags from bit 15 down.
pub(crate) const PROPERTIES: [&str; 14] = [
    "content-type",
    "content-encoding",
    "headers",
    "delivery-mode",
    "priority",
    "correlation-id",
    "reply-to",
    "expiration",
    "message-id",
    "timestamp",
    "type",
    "user-id",
    "app-id",
    "cluster-id",
];

const METHODS: &str = "
connection.start 10 10 version-major:octet version-minor:octet server-properties:table mechanisms:longstr locales:longstr
connection.start-ok 10 11 client-properties:table mechanism:shortstr response:longstr locale:shortstr
connection.secure 10 20 challenge:longstr
connection.secure-ok 10 21 response:longstr
connection.tune 10 30 channel-max:short frame-max:long heartbeat:short
connection.tune-ok 10 31 channel-max:short frame-max:long heartbeat:short
connection.open 10 40 virtual-host:shortstr -:shortstr -:bit
connection.open-ok 10 41 -:shortstr
connection.close 10 50 reply-code:short reply-text:shortstr class-id:short method-id:short
connection.close-ok 10 51
connection.blocked 10 60 reason:shortstr
connection.unblocked 10 61
connection.update-secret 10 70 new-secret:longstr reason:shortstr
connection.update-secret-ok 10 71
channel.open 20 10 -:shortstr
channel.open-ok 20 11 -:longstr
channel.flow 20 20 active:bit
channel.flow-ok 20 21 active:bit
channel.close 20 40 reply-code:short reply-text:shortstr class-id:short method-id:short
channel.close-ok 20 41
access.request 30 10 realm:shortstr exclusive:bit passive:bit active:bit write:bit read:bit
access.request-ok 30 11 ticket:short
exchange.declare 40 10 ticket:short exchange:shortstr type:shortstr passive:bit durable:bit auto-delete:bit internal:bit no-wait:bit arguments:table
exchange.declare-ok 40 11
exchange.delete 40 20 ticket:short exchange:shortstr if-unused:bit no-wait:bit
exchange.delete-ok 40 21
exchange.bind 40 30 ticket:short destination:shortstr source:shortstr routing-key:shortstr no-wait:bit arguments:table
exchange.bind-ok 40 31
exchange.unbind 40 40 ticket:short destination:shortstr source:shortstr routing-key:shortstr no-wait:bit arguments:table
exchange.unbind-ok 40 51
queue.declare 50 10 ticket:short queue:shortstr passive:bit durable:bit exclusive:bit auto-delete:bit no-wait:bit arguments:table
queue.declare-ok 50 11 queue:shortstr message-count:long consumer-count:long
queue.bind 50 20 ticket:short queue:shortstr exchange:shortstr routing-key:shortstr no-wait:bit arguments:table
queue.bind-ok 50 21
queue.purge 50 30 ticket:short queue:shortstr no-wait:bit
queue.purge-ok 50 31 message-count:long
queue.delete 50 40 ticket:short queue:shortstr if-unused:bit if-empty:bit no-wait:bit
queue.delete-ok 50 41 message-count:long
queue.unbind 50 50 ticket:short queue:shortstr exchange:shortstr routing-key:shortstr arguments:table
queue.unbind-ok 50 51
basic.qos 60 10 prefetch-size:long prefetch-count:short global:bit
basic.qos-ok 60 11
basic.consume 60 20 ticket:short queue:shortstr consumer-tag:shortstr no-local:bit no-ack:bit exclusive:bit no-wait:bit arguments:table
basic.consume-ok 60 21 consumer-tag:shortstr
basic.cancel 60 30 consumer-tag:shortstr no-wait:bit
basic.cancel-ok 60 31 consumer-tag:shortstr
basic.publish 60 40 ticket:short exchange:shortstr routing-key:shortstr mandatory:bit immediate:bit
basic.return 60 50 reply-code:short reply-text:shortstr exchange:shortstr routing-key:shortstr
basic.deliver 60 60 consumer-tag:shortstr delivery-tag:longlong redelivered:bit exchange:shortstr routing-key:shortstr
basic.get 60 70 ticket:short queue:shortstr no-ack:bit
basic.get-ok 60 71 delivery-tag:longlong redelivered:bit exchange:shortstr routing-key:shortstr message-count:long
basic.get-empty 60 72 -:shortstr
basic.ack 60 80 delivery-tag:longlong multiple:bit
basic.reject 60 90 delivery-tag:longlong requeue:bit
basic.recover-async 60 100 requeue:bit
basic.recover 60 110 requeue:bit
basic.recover-ok 60 111
basic.nack 60 120 delivery-tag:longlong multiple:bit requeue:bit
confirm.select 85 10 nowait:bit
confirm.select-ok 85 11
tx.select 90 10
tx.select-ok 90 11
tx.commit 90 20
tx.commit-ok 90 21
tx.rollback 90 30
tx.rollback-ok 90 31
";
