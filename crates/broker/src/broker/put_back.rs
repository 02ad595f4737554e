//! Putting back what was found at the start.

use leveret_message::name::Name;
use leveret_store::log::QueueId;

use crate::backing::{Offsets, RecoverError, Sorted};
use crate::broker::Broker;
use crate::definitions::DefinedBinding;
use crate::found::RecoveredQueue;
use crate::queue_handle::{QueueDeclaration, WINDOW_PREFIX};
use crate::shard::Shard;

/// Puts back what was found: topology into vhosts, which are made where they are missing, and queues into shards. What the log knows of
/// queues that are not defined any more is told to it as gone.
pub(super) fn put_back(
    found: Sorted,
    broker: &Broker,
    shards: &mut [Shard],
) -> Result<(), RecoverError> {
    let Sorted {
        exchanges,
        queues,
        bindings,
        mut recent,
        mut offsets,
        mut found,
        is_running,
        ..
    } = found;
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
