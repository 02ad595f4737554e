//! The start of a connection: `start`, `tune`, `open`, with PLAIN and without heartbeats.

use leveret_wire::protocol::{AMQPClass, connection};
use leveret_wire::types::{AMQPValue, FieldTable};
use leveret_wire::{PROTOCOL_HEADER, encode};
use serde::Serialize;

use super::{ANSWER_WAIT, Connection, Reader, Writer};
use crate::PerfError;
use crate::uri::Uri;

/// The largest frame that is agreed on, as RabbitMQ offers it.
const FRAME_MAX: u32 = 131_072;

/// Who a broker says that it is.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Broker {
    pub(crate) product: String,
    pub(crate) version: String,
}

pub(super) fn shake(reader: Reader, writer: Writer, uri: &Uri) -> Result<Connection, PerfError> {
    let mut connection = Connection {
        reader,
        writer,
        frame_max: FRAME_MAX,
        broker: Broker::default(),
    };
    let header = &PROTOCOL_HEADER;
    connection.writer.write_within(header, ANSWER_WAIT)?;
    match connection.answer()? {
        AMQPClass::Connection(connection::AMQPMethod::Start(start)) => {
            connection.broker = Broker {
                product: text(&start.server_properties, "product"),
                version: text(&start.server_properties, "version"),
            };
        }
        other => return Err(PerfError::unexpected(&other)),
    }
    let tune = match connection.call(0, start_ok(uri))? {
        AMQPClass::Connection(connection::AMQPMethod::Tune(tune)) => tune,
        other => return Err(PerfError::unexpected(&other)),
    };
    connection.frame_max = match tune.frame_max {
        0 => FRAME_MAX,
        offered => offered.min(FRAME_MAX),
    };
    connection.reader.set_frame_max(connection.frame_max);
    let tune_ok = connection::AMQPMethod::TuneOk(connection::TuneOk {
        channel_max: tune.channel_max,
        frame_max: connection.frame_max,
        heartbeat: 0,
    });
    connection.send(0, AMQPClass::Connection(tune_ok))?;
    let open = connection::AMQPMethod::Open(connection::Open {
        virtual_host: encode::short_string(&uri.vhost),
    });
    match connection.call(0, AMQPClass::Connection(open))? {
        AMQPClass::Connection(connection::AMQPMethod::OpenOk(_)) => Ok(connection),
        other => Err(PerfError::unexpected(&other)),
    }
}

fn start_ok(uri: &Uri) -> AMQPClass {
    let mut capabilities = FieldTable::default();
    for capability in [
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "consumer_cancel_notify",
    ] {
        capabilities.insert(capability.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    let product = AMQPValue::LongString("leveret perf".into());
    let version = AMQPValue::LongString(env!("CARGO_PKG_VERSION").into());
    properties.insert("product".into(), product);
    properties.insert("version".into(), version);
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
        client_properties: properties,
        mechanism: encode::short_string("PLAIN"),
        response: format!("\0{}\0{}", uri.user, uri.password).as_str().into(),
        locale: encode::short_string("en_US"),
    }))
}

fn text(properties: &FieldTable, name: &str) -> String {
    match properties.inner().get(name) {
        Some(AMQPValue::LongString(text)) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        _ => String::new(),
    }
}
