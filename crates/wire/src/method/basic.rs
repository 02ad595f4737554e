//! Class basic: publishing, consuming, getting and settling messages.

use leveret_message::TableRef;

use super::{Arguments, MethodError};

/// The class's number.
pub const CLASS_ID: u16 = 60;

/// The methods a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the methods they hold")]
pub enum Method<'a> {
    Qos(Qos),
    Consume(Consume<'a>),
    Cancel(Cancel<'a>),
    CancelOk(CancelOk<'a>),
    Publish(Publish<'a>),
    Get(Get<'a>),
    Ack(Ack),
    Reject(Reject),
    RecoverAsync(RecoverAsync),
    Recover(Recover),
    Nack(Nack),
}

impl Method<'_> {
    #[inline]
    pub(crate) fn decode(method_id: u16, arguments: &[u8]) -> Result<Method<'_>, MethodError> {
        match method_id {
            Qos::METHOD_ID => Qos::decode(arguments).map(Method::Qos),
            Consume::METHOD_ID => Consume::decode(arguments).map(Method::Consume),
            Cancel::METHOD_ID => Cancel::decode(arguments).map(Method::Cancel),
            CancelOk::METHOD_ID => CancelOk::decode(arguments).map(Method::CancelOk),
            Publish::METHOD_ID => Publish::decode(arguments).map(Method::Publish),
            Get::METHOD_ID => Get::decode(arguments).map(Method::Get),
            Ack::METHOD_ID => Ack::decode(arguments).map(Method::Ack),
            Reject::METHOD_ID => Reject::decode(arguments).map(Method::Reject),
            RecoverAsync::METHOD_ID => RecoverAsync::decode(arguments).map(Method::RecoverAsync),
            Recover::METHOD_ID => Recover::decode(arguments).map(Method::Recover),
            Nack::METHOD_ID => Nack::decode(arguments).map(Method::Nack),
            _ => Err(MethodError::Unknown),
        }
    }
}

/// `basic.qos`: sets the prefetch; answered by `qos-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Qos {
    pub prefetch_size: u32,
    pub prefetch_count: u16,
    pub global: bool,
}

impl Qos {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 10;

    pub(crate) fn decode(arguments: &[u8]) -> Result<Qos, MethodError> {
        let mut fields = Arguments::new(arguments);
        let prefetch_size = fields.long()?;
        let prefetch_count = fields.short()?;
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Qos {
            prefetch_size,
            prefetch_count,
            global: bits.is_set(0),
        })
    }
}

/// `basic.consume`: starts a consumer; answered by `consume-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Consume<'a> {
    pub queue: &'a str,
    pub consumer_tag: &'a str,
    pub no_local: bool,
    pub no_ack: bool,
    pub exclusive: bool,
    pub nowait: bool,
    pub arguments: TableRef<'a>,
}

impl<'a> Consume<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 20;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Consume<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let queue = fields.short_string()?;
        let consumer_tag = fields.short_string()?;
        let bits = fields.bits()?;
        let arguments = fields.table()?;
        fields.end()?;
        Ok(Consume {
            queue,
            consumer_tag,
            no_local: bits.is_set(0),
            no_ack: bits.is_set(1),
            exclusive: bits.is_set(2),
            nowait: bits.is_set(3),
            arguments,
        })
    }
}

/// `basic.cancel`: ends a consumer; answered by `cancel-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Cancel<'a> {
    pub consumer_tag: &'a str,
    pub nowait: bool,
}

impl<'a> Cancel<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 30;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Cancel<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        let consumer_tag = fields.short_string()?;
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Cancel {
            consumer_tag,
            nowait: bits.is_set(0),
        })
    }
}

/// `basic.cancel-ok`: the answer of some clients to the broker's cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct CancelOk<'a> {
    pub consumer_tag: &'a str,
}

impl<'a> CancelOk<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 31;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<CancelOk<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        let consumer_tag = fields.short_string()?;
        fields.end()?;
        Ok(CancelOk { consumer_tag })
    }
}

/// `basic.publish`: a message to an exchange; its content follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The exchange, empty for the default one.
    pub exchange: &'a str,
    /// What the exchange routes by.
    pub routing_key: &'a [u8],
    /// Asks for `basic.return` if no queue takes the message.
    pub mandatory: bool,
    /// Asks for a consumer that takes it at once; the broker refuses this.
    pub immediate: bool,
    /// Exchange and routing key as sent, each behind its length octet: as `basic.deliver` ends.
    pub exchange_and_key: &'a [u8],
}

impl<'a> Publish<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 40;

    /// Reads the arguments of a publish.
    ///
    /// **Errors**: [`MethodError::Syntax`]. **Cost**: no allocation, no copy.
    #[inline]
    pub fn decode(arguments: &'a [u8]) -> Result<Publish<'a>, MethodError> {
        let (_ticket, routed) = arguments
            .split_first_chunk::<2>()
            .ok_or(MethodError::Syntax)?;
        // The bits are one octet at the end, so what stands before it is exchange and key.
        let (bits, exchange_and_key) = routed.split_last().ok_or(MethodError::Syntax)?;
        let mut fields = Arguments::new(exchange_and_key);
        let exchange = fields.short_string()?;
        let routing_key = fields.short_bytes()?;
        fields.end()?;
        let (mandatory, immediate) = (bits & 1 != 0, bits & 2 != 0);
        Ok(Publish {
            exchange,
            routing_key,
            mandatory,
            immediate,
            exchange_and_key,
        })
    }
}

/// `basic.get`: takes one message; answered by `get-ok` and the content, or `get-empty`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Get<'a> {
    pub queue: &'a str,
    pub no_ack: bool,
}

impl<'a> Get<'a> {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 70;

    pub(crate) fn decode(arguments: &'a [u8]) -> Result<Get<'a>, MethodError> {
        let mut fields = Arguments::new(arguments);
        fields.short()?;
        let queue = fields.short_string()?;
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Get {
            queue,
            no_ack: bits.is_set(0),
        })
    }
}

/// `basic.ack`: settles deliveries as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Ack {
    pub delivery_tag: u64,
    pub multiple: bool,
}

impl Ack {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 80;

    #[inline]
    pub(crate) fn decode(arguments: &[u8]) -> Result<Ack, MethodError> {
        let mut fields = Arguments::new(arguments);
        let delivery_tag = fields.long_long()?;
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Ack {
            delivery_tag,
            multiple: bits.is_set(0),
        })
    }
}

/// `basic.reject`: gives one delivery back, or away for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Reject {
    pub delivery_tag: u64,
    pub requeue: bool,
}

impl Reject {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 90;

    #[inline]
    pub(crate) fn decode(arguments: &[u8]) -> Result<Reject, MethodError> {
        let mut fields = Arguments::new(arguments);
        let delivery_tag = fields.long_long()?;
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Reject {
            delivery_tag,
            requeue: bits.is_set(0),
        })
    }
}

/// `basic.recover-async`: `recover` without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct RecoverAsync {
    pub requeue: bool,
}

impl RecoverAsync {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 100;

    pub(crate) fn decode(arguments: &[u8]) -> Result<RecoverAsync, MethodError> {
        let mut fields = Arguments::new(arguments);
        let bits = fields.bits()?;
        fields.end()?;
        Ok(RecoverAsync {
            requeue: bits.is_set(0),
        })
    }
}

/// `basic.recover`: requeues all unacked deliveries; answered by `recover-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Recover {
    pub requeue: bool,
}

impl Recover {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 110;

    pub(crate) fn decode(arguments: &[u8]) -> Result<Recover, MethodError> {
        let mut fields = Arguments::new(arguments);
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Recover {
            requeue: bits.is_set(0),
        })
    }
}

/// `basic.nack`: gives deliveries back, or away for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the specification's names")]
pub struct Nack {
    pub delivery_tag: u64,
    pub multiple: bool,
    pub requeue: bool,
}

impl Nack {
    /// The method's number in its class.
    pub const METHOD_ID: u16 = 120;

    #[inline]
    pub(crate) fn decode(arguments: &[u8]) -> Result<Nack, MethodError> {
        let mut fields = Arguments::new(arguments);
        let delivery_tag = fields.long_long()?;
        let bits = fields.bits()?;
        fields.end()?;
        Ok(Nack {
            delivery_tag,
            multiple: bits.is_set(0),
            requeue: bits.is_set(1),
        })
    }
}
