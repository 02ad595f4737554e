//! What the broker writes, as a client reads it.
use amq_protocol::protocol::{AMQPClass, channel};

use super::decode;
use crate::{Decoder, Frame, MethodError, encode};

fn close() -> AMQPClass {
    AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close {
        reply_code: 404,
        reply_text: "NOT_FOUND - no queue 'q' in vhost '/'".into(),
        class_id: 50,
        method_id: 10,
    }))
}

#[test]
fn what_the_broker_writes_is_read() {
    let mut bytes = Vec::new();
    encode::method(&mut bytes, 1, close());
    let frame = Decoder::new().next(&bytes).expect("a good frame");
    let Some((
        _,
        Frame::Method {
            class_id,
            method_id,
            arguments,
            ..
        },
    )) = frame
    else {
        panic!("a method, not {frame:?}");
    };
    assert_eq!(decode(class_id, method_id, arguments), Ok(close()));
    let short = &arguments[..arguments.len() - 1];
    assert_eq!(decode(class_id, method_id, short), Err(MethodError::Syntax));
    let long = [arguments, b"x"].concat();
    assert_eq!(decode(class_id, method_id, &long), Err(MethodError::Syntax));
}

#[test]
fn what_is_no_method_is_refused() {
    assert_eq!(decode(60, 999, b""), Err(MethodError::Syntax));
    assert_eq!(decode(7, 1, b""), Err(MethodError::Syntax));
}
