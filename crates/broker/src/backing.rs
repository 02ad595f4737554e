//! What a broker keeps things in, and what was found there (`broker/put_back.rs` puts it back): logs for its shards, definitions, and the queues of before.
//!
//! Who makes a broker makes its backing; the store behind it is not known here.

use std::sync::Arc;

use leveret_message::name::Name;
use leveret_store::log::{Definitions, Log, QueueId};
use leveret_store::memory::{MemoryDefinitions, MemoryLog};
use rustc_hash::FxHashMap;

use crate::command::Shards;
use crate::definitions::{self, DefinedBinding, Definition, RecentMessage, Setting, Unreadable};
use crate::exchange::ExchangeDeclaration;
use crate::found::FoundQueue;
use crate::queue_handle::QueueDeclaration;

#[cfg(test)]
mod tests;

/// See the module.
pub struct Backing {
    /// The mailboxes of the shards, which the logs ring.
    pub shards: Shards,
    /// One for each shard.
    pub logs: Vec<Box<dyn Log>>,
    /// Where definitions go.
    pub definitions: Arc<dyn Definitions>,
    /// What was there.
    pub found: Found,
}

impl Backing {
    /// Nothing is kept beyond the end of the process, and nothing is found: for tests.
    pub fn memory(shards: usize) -> Self {
        let log = |_| Box::new(MemoryLog::default()) as Box<dyn Log>;
        Self {
            shards: Shards::new(shards),
            logs: (0..shards).map(log).collect(),
            definitions: Arc::new(MemoryDefinitions),
            found: Found::default(),
        }
    }
}

/// A definition as it was written down.
pub type KeyAndValue = (Box<[u8]>, Box<[u8]>);

/// What was there before the broker was started.
#[derive(Debug, Default)]
pub struct Found {
    /// Keys and values of definitions, by rising key.
    pub definitions: Vec<KeyAndValue>,
    /// What is in the log of queues.
    pub queues: Vec<FoundQueue>,
}

/// Why a broker cannot go on with what was found. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A definition cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A queue's arguments are not taken by this version.
    #[error("queue '{1}' in vhost '{0}' has arguments that this version does not take")]
    Queue(Name, Name),
    /// A policy, a limit or a parameter is not taken by this version.
    #[error("the parameter '{1}' of vhost '{0}' is not taken by this version")]
    Parameter(Name, Name),
    /// A binding has an end that is not there.
    #[error("a binding of exchange '{1}' in vhost '{0}' to '{2}' has an end that is not there")]
    Binding(Name, Name, Name),
}

/// How far readers of streams had come, by name.
pub(crate) type Offsets = FxHashMap<QueueId, Vec<(Box<str>, u64)>>;

/// What was found, in the order in which it is put back.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    pub(crate) exchanges: Vec<(Name, ExchangeDeclaration)>,
    pub(crate) queues: Vec<(Name, QueueId, QueueDeclaration)>,
    pub(crate) bindings: Vec<(Name, DefinedBinding)>,
    pub(crate) recent: Vec<(Name, RecentMessage)>,
    /// How far readers of streams had come.
    pub(crate) offsets: Offsets,
    /// What operators had set.
    pub(crate) settings: Vec<Setting>,
    /// What is in the log of queues.
    pub(crate) found: FxHashMap<QueueId, FoundQueue>,
    next_id: u64,
    pub(crate) is_running: bool,
}

impl Found {
    /// Reads the definitions.
    pub(crate) fn sort(self) -> Result<Sorted, RecoverError> {
        let found = self
            .queues
            .iter()
            .map(|queue| (QueueId(queue.id), queue.clone()));
        let mut sorted = Sorted {
            found: found.collect(),
            ..Sorted::default()
        };
        for (key, value) in &self.definitions {
            match definitions::read(key, value)? {
                Definition::Exchange(vhost, declaration) => {
                    sorted.exchanges.push((vhost, declaration));
                }
                Definition::Queue(vhost, id, declaration) => {
                    sorted.queues.push((vhost, id, declaration));
                }
                Definition::Binding(vhost, binding) => sorted.bindings.push((vhost, binding)),
                Definition::Recent(vhost, message) => sorted.recent.push((vhost, message)),
                Definition::Offset(id, name, seq) => {
                    sorted.offsets.entry(id).or_default().push((name, seq));
                }
                Definition::Ids(next) => sorted.next_id = next,
                Definition::Running => sorted.is_running = true,
                Definition::Setting(setting) => sorted.settings.push(setting),
            }
        }
        Ok(sorted)
    }
}

impl Sorted {
    /// The lowest number that no queue had.
    pub(crate) fn next_id(&self) -> u64 {
        let defined = self.queues.iter().map(|(_, id, _)| id.0);
        let highest = defined.chain(self.found.keys().map(|id| id.0)).max();
        self.next_id.max(highest.map_or(1, |id| id + 1))
    }
}
