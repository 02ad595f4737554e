//! What of a vhost outlives the broker: written down under the door, in the order in which it changes, and put back at the start.

use std::sync::Arc;

use leveret_message::table::Table;

use crate::arguments::{ExchangeSettings, QueueSettings};
use crate::definitions::{self, DefinedBinding};
use crate::exchange::{Destination, Exchange, ExchangeDeclaration};
use crate::queue_handle::{QueueDeclaration, QueueHandle, QueueId};
use crate::vhost::Vhost;

impl Vhost {
    /// Calls `then` once everything that was changed up to now, and is kept, survives a power cut. It must not wait.
    pub fn when_kept(&self, then: Box<dyn FnOnce() + Send>) {
        self.definitions.when_durable(self.definitions.last(), then);
    }

    /// Whether everything that was changed up to now, and is kept, survives a power cut.
    pub fn is_kept(&self) -> bool {
        self.definitions.durable() >= self.definitions.last()
    }

    pub(super) fn define_queue(&self, queue: &QueueHandle) {
        if queue.is_kept() {
            let (key, value) = (
                definitions::queue_key(queue),
                definitions::queue_value(queue),
            );
            self.definitions.define(&key, &value);
        }
    }

    pub(super) fn undefine_queue(&self, queue: &QueueHandle) {
        if queue.is_kept() {
            self.definitions.undefine(&definitions::queue_key(queue));
        }
    }

    /// Readers with a name have come so far in a stream: `seq` is the first message that they have not acknowledged.
    pub(crate) fn keep_offset(&self, stream: QueueId, name: &str, seq: u64) {
        let key = definitions::offset_key(stream, name);
        self.definitions
            .define(&key, &definitions::offset_value(seq));
    }

    /// It is not kept any more how far readers with a name have come in a stream.
    pub(crate) fn forget_offset(&self, stream: QueueId, name: &str) {
        self.definitions
            .undefine(&definitions::offset_key(stream, name));
    }

    pub(super) fn define_exchange(&self, exchange: &Exchange) {
        if exchange.durable {
            let key = definitions::exchange_key(exchange);
            let value = definitions::exchange_value(exchange);
            self.definitions.define(&key, &value);
        }
    }

    pub(super) fn undefine_exchange(&self, exchange: &Exchange) {
        if exchange.durable {
            let key = definitions::exchange_key(exchange);
            self.definitions.undefine(&key);
        }
    }

    pub(super) fn undefine_binding(
        &self,
        source: &Exchange,
        key: &[u8],
        arguments: &Table,
        to: &Destination,
    ) {
        if let Some(key) = definitions::binding_key(source, key, arguments, to) {
            self.definitions.undefine(&key);
        }
    }

    /// Puts an exchange back that was there before the broker was started. Predeclared ones are there already.
    pub(crate) fn recover_exchange(&self, declaration: ExchangeDeclaration) {
        let _door = self.door.lock();
        let settings = ExchangeSettings::parse(declaration.kind, declaration.arguments.view())
            .unwrap_or_default();
        let name = declaration.name.clone();
        let exchange = Exchange::new(declaration, settings, self.name.clone());
        self.govern_exchange(&exchange);
        self.exchanges.insert(name, Arc::new(exchange));
    }

    /// Puts a queue back that was there before the broker was started. Its shard has to be told.
    ///
    /// None where its arguments cannot be taken any more, which were taken when it was declared: another version of the program may be stricter.
    pub(crate) fn recover_queue(
        &self,
        id: QueueId,
        declaration: QueueDeclaration,
    ) -> Option<Arc<QueueHandle>> {
        let _door = self.door.lock();
        let settings = QueueSettings::parse(declaration.arguments.view()).ok()?;
        let queue = self.handle(id, declaration, settings);
        self.queues.insert(queue.name().clone(), Arc::clone(&queue));
        Some(queue)
    }

    /// Puts a binding back. `false` where one of its ends is missing, or it cannot be taken any more.
    pub(crate) fn recover_binding(&self, binding: &DefinedBinding) -> bool {
        let _door = self.door.lock();
        let to = match binding.to_queue {
            true => self
                .find_queue(&binding.destination)
                .map(Destination::Queue),
            false => self
                .find_exchange(&binding.destination)
                .map(Destination::Exchange),
        };
        let Some((source, to)) = self.find_exchange(&binding.source).zip(to) else {
            return false;
        };
        source
            .bind(&binding.binding_key, &binding.arguments, &to)
            .is_ok()
    }
}
