//! The task that samples: it runs while something is watched or kept, and ends when nothing is.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Key;
use super::history::INTERVAL;
use crate::figure::Figures;
use crate::{Api, ask, channels, connections, exchanges, overview, queues, vhosts};

pub(super) async fn run(api: Weak<Api>) {
    let mut due = tokio::time::interval(Duration::from_millis(INTERVAL));
    // The first is due at once, and what is asked has its first sample already.
    due.tick().await;
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let Some(api) = api.upgrade() else { return };
        sample(&api).await;
        if !api.rates.forget_old() {
            return;
        }
    }
}

async fn sample(api: &Arc<Api>) {
    let keys = api.rates.to_sample();
    let (mut ids, mut others) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            Key::Queue(shard, id) => ids.push((shard, id)),
            other => others.push(other),
        }
    }
    let figures = ask::each_queue(&api.broker, &ids).await;
    for (shard, id) in ids {
        let figures = figures.get(&id).map(queues::figures);
        api.rates.note(&Key::Queue(shard, id), figures);
    }
    for key in &others {
        api.rates.note(key, figures_of(api, key).await);
    }
}

/// None for what is gone.
async fn figures_of(api: &Arc<Api>, key: &Key) -> Option<Figures> {
    let broker = &api.broker;
    match key {
        Key::Whole(user) => overview::figures(api, user.as_ref()).await,
        Key::Node => Some(overview::figures_of_node(api).await),
        Key::Vhost(name) => Some(vhosts::figures(api, &*broker.vhost(name).ok()?).await),
        Key::Exchange(vhost, name) => {
            let exchange = broker.vhost(vhost).ok()?.find_exchange(name)?;
            Some(exchanges::figures(&exchange))
        }
        // Those are asked together, these are never watched.
        Key::Queue(..) | Key::Part(_) => None,
        Key::Connection(id) => Some(connections::figures(&broker.connections.get(*id)?)),
        Key::Channel(id, number) => {
            let facts = broker.connections.get(*id)?;
            let figures = ask::connections(std::slice::from_ref(&facts)).await;
            let channels = &figures.get(id)?.channels;
            let found = channels.iter().find(|channel| channel.number == *number)?;
            Some(channels::figures(found))
        }
    }
}
