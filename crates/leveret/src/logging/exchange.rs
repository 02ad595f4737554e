//! Lines of the log on their way to the exchange `amq.rabbitmq.log`, where the configuration has switched it on and the broker has started.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use leveret_broker::events::Events;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Where lines go, once the broker is there.
static TO: OnceLock<Arc<Events>> = OnceLock::new();

/// Lines go there from now on.
pub(crate) fn also_to(events: Arc<Events>) {
    let _ = TO.set(events);
}

/// Makes a writer for each line.
#[derive(Debug)]
pub(super) struct ToExchange {
    pub(super) content_type: &'static str,
}

/// Takes one line.
pub(super) struct Line {
    severity: &'static str,
    content_type: &'static str,
}

impl<'a> MakeWriter<'a> for ToExchange {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            severity: "info",
            content_type: self.content_type,
        }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Line {
        Line {
            severity: severity(*of.level()),
            content_type: self.content_type,
        }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(events) = TO.get() {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            events.tell_log(self.severity, self.content_type, text.to_vec());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// RabbitMQ's word for a level.
fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        _ => "debug",
    }
}
