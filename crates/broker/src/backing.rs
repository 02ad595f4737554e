//! What a broker keeps things in, and what was found there: logs for its shards, definitions, and the queues of before.
//!
//! Who makes a broker makes its backing; the store behind it is not known here.

use std::sync::Arc;

use leveret_message::name::Name;
use leveret_store::log::{Definitions, Log, QueueId};
use leveret_store::memory::{MemoryDefinitions, MemoryLog};
use rustc_hash::FxHashMap;

use crate::broker::Broker;
use crate::command::Shards;
use crate::definitions::{self, DefinedBinding, Definition, RecentMessage, Setting, Unreadable};
use crate::exchange::ExchangeDeclaration;
use crate::found::{FoundQueue, RecoveredQueue};
use crate::queue_handle::{QueueDeclaration, WINDOW_PREFIX};
use crate::shard::Shard;

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
type Offsets = FxHashMap<QueueId, Vec<(Box<str>, u64)>>;

/// What was found, in the order in which it is put back.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    exchanges: Vec<(Name, ExchangeDeclaration)>,
    queues: Vec<(Name, QueueId, QueueDeclaration)>,
    bindings: Vec<(Name, DefinedBinding)>,
    recent: Vec<(Name, RecentMessage)>,
    /// How far readers of streams had come.
    offsets: Offsets,
    /// What operators had set.
    pub(crate) settings: Vec<Setting>,
    /// What is in the log of queues.
    found: FxHashMap<QueueId, FoundQueue>,
    next_id: u64,
    is_running: bool,
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

    /// Puts back what was found: topology into vhosts, which are made where they are missing, and queues into shards. What the log knows of
    /// queues that are not defined any more is told to it as gone.
    pub(crate) fn put_back(
        self,
        broker: &Broker,
        shards: &mut [Shard],
    ) -> Result<(), RecoverError> {
        let Self {
            exchanges,
            queues,
            bindings,
            mut recent,
            mut offsets,
            mut found,
            is_running,
            ..
        } = self;
        for (vhost, declaration) in exchanges {
            broker.vhost_or_new(&vhost).recover_exchange(declaration);
        }
        recent.sort_by_key(|(_, message)| message.number);
        for (vhost, message) in recent {
            let vhost = broker.vhost_or_new(&vhost);
            vhost.recover_recent(&message.exchange, message.number, message.batch);
        }
        for queue in queues {
            let found = found.remove(&queue.1).unwrap_or_default();
            let offsets = offsets.remove(&queue.1).unwrap_or_default();
            let recovered = found.recovered(is_running, offsets);
            put_back_queue(queue, recovered, broker, shards)?;
        }
        for vhost in broker.all_vhosts() {
            vhost.recover_exchanges();
        }
        for (vhost, binding) in bindings {
            if !broker.vhost_or_new(&vhost).recover_binding(&binding) {
                let DefinedBinding {
                    source,
                    destination,
                    ..
                } = binding;
                return Err(RecoverError::Binding(vhost, source, destination));
            }
        }
        forget_offsets(broker, offsets);
        for id in found.into_keys() {
            let (_, shard) = broker.place(id);
            if let Some(shard) = shards.get_mut(usize::from(shard.0)) {
                shard.forget_undefined(id);
            }
        }
        Ok(())
    }
}

/// Forgets how far readers had come in streams that are gone: the end came before that could go with them.
fn forget_offsets(broker: &Broker, offsets: Offsets) {
    for (id, names) in offsets {
        for (name, _) in names {
            broker.forget_offset(id, &name);
        }
    }
}

/// Puts a queue back, with what the log has of it.
fn put_back_queue(
    (vhost, id, declaration): (Name, QueueId, QueueDeclaration),
    recovered: RecoveredQueue,
    broker: &Broker,
    shards: &mut [Shard],
) -> Result<(), RecoverError> {
    let name = declaration.name.clone();
    let vhost = broker.vhost_or_new(&vhost);
    let (_, shard) = broker.place(id);
    let Some(shard) = shards.get_mut(usize::from(shard.0)) else {
        return Ok(());
    };
    if name.starts_with(WINDOW_PREFIX) {
        match vhost.recover_window(id, declaration) {
            Some(window) => shard.recover(window, recovered),
            None => shard.forget_undefined(id),
        }
        return Ok(());
    }
    let handle = vhost.recover_queue(id, declaration);
    let handle = handle.ok_or_else(|| RecoverError::Queue(vhost.name.clone(), name))?;
    let is_over = |exchange| vhost.find_exchange(exchange).is_none();
    if handle.delays().is_some_and(is_over) {
        // Its exchange went, and the end came before this could go too.
        vhost.forget_queue(&handle);
        shard.forget_undefined(id);
    } else {
        shard.recover(handle, recovered);
    }
    Ok(())
}
