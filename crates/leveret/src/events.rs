//! Switches the exchanges for events and for the log on, as the configuration says; or takes them away that an earlier one had switched on.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leveret_broker::broker::Broker;
use leveret_broker::broker::task::events_task;
use leveret_broker::events::{EVENT_EXCHANGE, LOG_EXCHANGE, On};

use crate::config::Config;
use crate::logging;

/// To be called once, when the broker has what it found, before anybody is connected.
pub(crate) fn start(config: &Config, broker: &Arc<Broker>) {
    let (name, events, log) = (
        &config.events.vhost,
        config.events.exchange,
        config.log.exchange,
    );
    let Ok(vhost) = broker.vhost(name) else {
        if events || log {
            tracing::warn!(
                vhost = name,
                "no exchange for events or the log: there is no such vhost"
            );
        }
        return;
    };
    let provide = |exchange, is_on| match is_on {
        true => vhost.provide_exchange(exchange),
        false => {
            vhost.withdraw_exchange(exchange);
            None
        }
    };
    let (events, log) = (provide(EVENT_EXCHANGE, events), provide(LOG_EXCHANGE, log));
    if events.is_none() && log.is_none() {
        return;
    }
    if log.is_some() {
        logging::also_to(Arc::clone(&broker.events));
    }
    broker.events.switch_on(On {
        events,
        log,
        node: Arc::clone(&broker.node),
        clock,
    });
    tokio::spawn(events_task(Arc::clone(broker), vhost));
}

fn clock() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}
