//! Which method answers which, as types: so that a test writes `call(queue::Purge { .. })` and has
//! the `PurgeOk` in its hand.
//!
//! Only what a client may send or receive is listed.

use amq_protocol::protocol::{
    AMQPClass, access, basic, channel, confirm, connection, exchange, queue, tx,
};

/// A method as its own type, in and out of the enum of all methods.
pub trait Method: Sized {
    /// Puts the method into the enum of all methods.
    fn into_class(self) -> AMQPClass;

    /// Takes the method out again, or gives back what it was instead.
    fn from_class(class: AMQPClass) -> Result<Self, Box<AMQPClass>>;
}

/// A method that the peer answers.
pub trait Request: Method {
    /// The method that answers it.
    type Reply: Method;
}

macro_rules! methods {
    ($($class:ident in $module:ident: $($method:ident),+;)+) => {$($(
        impl Method for $module::$method {
            fn into_class(self) -> AMQPClass {
                AMQPClass::$class($module::AMQPMethod::$method(self))
            }
            fn from_class(class: AMQPClass) -> Result<Self, Box<AMQPClass>> {
                match class {
                    AMQPClass::$class($module::AMQPMethod::$method(method)) => Ok(method),
                    other => Err(Box::new(other)),
                }
            }
        }
    )+)+};
}

macro_rules! answers {
    ($($module:ident: $($method:ident => $reply:ident),+;)+) => {$($(
        impl Request for $module::$method {
            type Reply = $module::$reply;
        }
    )+)+};
}

methods! {
    Connection in connection: Start, StartOk, Secure, Tune, TuneOk, Open, OpenOk, Close, CloseOk, Blocked,
        Unblocked, UpdateSecret, UpdateSecretOk;
    Channel in channel: Open, OpenOk, Flow, FlowOk, Close, CloseOk;
    Access in access: Request, RequestOk;
    Exchange in exchange: Declare, DeclareOk, Delete, DeleteOk, Bind, BindOk, Unbind, UnbindOk;
    Queue in queue: Declare, DeclareOk, Bind, BindOk, Purge, PurgeOk, Delete, DeleteOk, Unbind,
        UnbindOk;
    Basic in basic: Qos, QosOk, Consume, ConsumeOk, Cancel, CancelOk, Publish, Return, Deliver, Get,
        GetOk, GetEmpty, Ack, Reject, RecoverAsync, Recover, RecoverOk, Nack;
    Confirm in confirm: Select, SelectOk;
    Tx in tx: Select, SelectOk, Commit, CommitOk, Rollback, RollbackOk;
}

answers! {
    connection: StartOk => Tune, Open => OpenOk, Close => CloseOk, UpdateSecret => UpdateSecretOk;
    channel: Open => OpenOk, Flow => FlowOk, Close => CloseOk;
    access: Request => RequestOk;
    exchange: Declare => DeclareOk, Delete => DeleteOk, Bind => BindOk, Unbind => UnbindOk;
    queue: Declare => DeclareOk, Bind => BindOk, Purge => PurgeOk, Delete => DeleteOk,
        Unbind => UnbindOk;
    basic: Qos => QosOk, Consume => ConsumeOk, Cancel => CancelOk, Recover => RecoverOk;
    confirm: Select => SelectOk;
    tx: Select => SelectOk, Commit => CommitOk, Rollback => RollbackOk;
}
