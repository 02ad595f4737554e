//! Rates: what figures were some seconds ago, kept only for what somebody asks about.
//!
//! * What lists tell of is compared with what was told when somebody asked before: two samples of each thing, taken from the answers themselves.
//!   So a list of many queues costs no more than it did, however often it is asked for.
//! * The whole, and single things, are sampled every 5 seconds by a task ([`sampler`]) from the first question about them on, with a history for
//!   requests that want `samples`.
//!
//! What was not asked about for [`KEPT`] is forgotten, and where nothing is kept there is no task: a broker that nobody watches pays nothing. The
//! first answer about something has rates of 0 therefore.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use leveret_broker::ids::{ConnectionId, ShardId};
use leveret_broker::queue_handle::QueueId;
use leveret_message::name::Name;
use parking_lot::Mutex;

use crate::Api;
use crate::figure::Figures;

mod details;
mod history;
mod sampler;
#[cfg(test)]
mod tests;

use details::Point;
pub(crate) use details::{Range, Ranges, Rated};
use history::{History, Millis, OF_ONE, OF_THE_WHOLE, Pair, Sample};

/// How long samples are kept, and taken, of what nobody asks about.
const KEPT: Duration = Duration::from_secs(300);

/// So many single things are sampled. Of more, those are forgotten that were asked about longest ago.
const WATCHED_MAX: usize = 512;

/// What is sampled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// All together, as far as a user may see it; none for all.
    Whole(Option<Name>),
    Node,
    Vhost(Name),
    /// By vhost and name.
    Exchange(Name, Name),
    Queue(ShardId, QueueId),
    Connection(ConnectionId),
    Channel(ConnectionId, u16),
    /// What went from one to the other, or the other way.
    Part(Box<(Key, Key)>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Rates {
    since: Instant,
    /// When that was, in milliseconds since 1970.
    since_1970: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    listed: HashMap<Key, Asked<Pair>>,
    watched: HashMap<Key, Asked<History>>,
    /// Whether the task runs.
    is_sampled: bool,
}

#[derive(Debug)]
struct Asked<T> {
    /// When it was asked about last.
    last: Millis,
    samples: T,
}

impl Default for Rates {
    fn default() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            since: Instant::now(),
            since_1970: since_1970.unwrap_or_default().as_millis() as u64,
            state: Mutex::default(),
        }
    }
}

impl Rates {
    fn now(&self) -> Millis {
        self.since.elapsed().as_millis() as Millis
    }

    /// Rates of the things of a list, in its order.
    pub(crate) fn of_list(
        api: &Arc<Api>,
        things: impl IntoIterator<Item = (Key, Figures)>,
    ) -> Vec<Rated> {
        let this = &api.rates;
        let now = this.now();
        let mut state = this.state.lock();
        let rated = things
            .into_iter()
            .map(|(key, values)| state.listed(key, values, now));
        let rated = rated.collect();
        this.sample(api, &mut state);
        rated
    }

    /// Rates of one thing, and samples of it as far as they are asked for.
    pub(crate) fn of_one(api: &Arc<Api>, key: Key, values: Figures, ranges: &Ranges) -> Rated {
        let this = &api.rates;
        let now = this.now();
        let mut state = this.state.lock();
        let sampled_before = state
            .listed
            .get(&key)
            .and_then(|pair| pair.samples.base(now));
        let watched = state.watch(key, now);
        let mut rated = Rated {
            now,
            base: watched.base(now).or(sampled_before),
            ..Rated::default()
        };
        if watched.is_empty() {
            let values = values.keep();
            watched.note(&Sample { at: now, values });
        }
        for (to, range) in [
            (&mut rated.lengths, ranges.lengths),
            (&mut rated.messages, ranges.messages),
            (&mut rated.data, ranges.data),
            (&mut rated.node, ranges.node),
        ] {
            *to = range.map(|range| this.points(watched, range, now));
        }
        rated.values = values;
        this.sample(api, &mut state);
        rated
    }

    /// Samples at whole multiples of what they are to be apart, the newest first.
    fn points(&self, of: &History, range: Range, now: Millis) -> Vec<Point> {
        let last = (self.since_1970 + now) / range.apart * range.apart;
        let oldest = last.saturating_sub(range.age);
        let first = oldest.saturating_sub(self.since_1970);
        let times = (0..=range.age / range.apart).map(|n| last - n * range.apart);
        let points = times.map_while(|time| {
            let at = time.checked_sub(self.since_1970)?;
            Some((time, of.at(first, at)?))
        });
        points.collect()
    }

    /// Starts the task, where there is something to sample.
    fn sample(&self, api: &Arc<Api>, state: &mut State) {
        if !state.is_sampled && !state.is_empty() {
            state.is_sampled = true;
            tokio::spawn(sampler::run(Arc::downgrade(api)));
        }
    }

    /// What the task samples now.
    fn to_sample(&self) -> Vec<Key> {
        self.state.lock().watched.keys().cloned().collect()
    }

    /// Takes a sample of what is watched still; one that is gone is forgotten.
    fn note(&self, key: &Key, values: Option<Figures>) {
        let at = self.now();
        let mut state = self.state.lock();
        match (values, state.watched.get_mut(key)) {
            (Some(values), Some(watched)) => watched.samples.note(&Sample {
                at,
                values: values.keep(),
            }),
            _ => {
                state.watched.remove(key);
            }
        }
    }

    /// Forgets what nobody asks about; says whether anything is left. If not, the task has to end.
    fn forget_old(&self) -> bool {
        let now = self.now();
        let mut state = self.state.lock();
        state.forget_old(now);
        state.is_sampled = !state.is_empty();
        state.is_sampled
    }
}

impl State {
    /// Whether nothing is kept.
    fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.watched.is_empty()
    }

    fn listed(&mut self, key: Key, values: Figures, now: Millis) -> Rated {
        let sample = || Sample {
            at: now,
            values: values.keep(),
        };
        let mut base = None;
        match self.listed.get_mut(&key) {
            Some(asked) => {
                base = asked.samples.base(now);
                asked.last = now;
                asked.samples.note(sample, now);
            }
            None => {
                let asked = Asked {
                    last: now,
                    samples: Pair::new(sample()),
                };
                self.listed.insert(key, asked);
            }
        }
        Rated {
            now,
            values,
            base,
            ..Rated::default()
        }
    }

    fn watch(&mut self, key: Key, now: Millis) -> &mut History {
        if self.watched.len() >= WATCHED_MAX && !self.watched.contains_key(&key) {
            let longest_ago = self.watched.iter().min_by_key(|(_, asked)| asked.last);
            if let Some(forgotten) = longest_ago.map(|(key, _)| key.clone()) {
                self.watched.remove(&forgotten);
            }
        }
        let retention = match key {
            Key::Whole(None) | Key::Node => OF_THE_WHOLE,
            _ => OF_ONE,
        };
        let asked = self.watched.entry(key).or_insert_with(|| Asked {
            last: now,
            samples: History::new(retention),
        });
        asked.last = now;
        &mut asked.samples
    }

    fn forget_old(&mut self, now: Millis) {
        let kept = KEPT.as_millis() as Millis;
        self.listed.retain(|_, asked| now - asked.last < kept);
        self.watched.retain(|_, asked| now - asked.last < kept);
        if self.listed.is_empty() {
            self.listed.shrink_to_fit();
        }
    }
}
