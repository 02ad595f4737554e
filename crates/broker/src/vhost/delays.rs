//! Where exchanges of the type `x-delayed-message` hold their messages back: a queue each, which clients see and cannot use.

use std::sync::Arc;

use leveret_message::name::Name;
use leveret_message::table::Table;

use crate::arguments::QueueSettings;
use crate::bindings::ExchangeKind;
use crate::command::{Command, Done};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::queue_handle::{DELAYED_PREFIX, QueueDeclaration};
use crate::vhost::Vhost;

impl Vhost {
    /// Gives an exchange that delays messages a place for them. Under the door.
    ///
    /// **Errors**: [`Error::Unacceptable`] (406) where its name is too long for that.
    pub(super) fn give_delay(&self, exchange: &Exchange) -> Result<(), Error> {
        if exchange.kind != ExchangeKind::Delayed {
            return Ok(());
        }
        let name = Name::new(&format!("{DELAYED_PREFIX}{}", exchange.name));
        let name = name.map_err(|_| {
            let longest = usize::from(u8::MAX) - DELAYED_PREFIX.len();
            let what =
                format!("the name of an exchange that delays messages has at most {longest} bytes");
            Error::Unacceptable(what)
        })?;
        let queue = self.find_queue(&name).unwrap_or_else(|| {
            // Its shard has not said yet that it is gone.
            if let Some(ended) = self.entry(&name) {
                self.forget(&ended);
            }
            let declaration = QueueDeclaration {
                name,
                durable: exchange.durable,
                owner: None,
                auto_delete: false,
                arguments: Table::default(),
            };
            let id = self.placement.next_queue();
            let queue = self.handle(id, declaration, QueueSettings::default());
            self.define_queue(&queue);
            self.shards
                .send(queue.shard, Command::Declare(Arc::clone(&queue)));
            self.queues.insert(queue.name().clone(), Arc::clone(&queue));
            queue
        });
        // Nobody else sets it.
        let _ = exchange.delay.set(queue);
        Ok(())
    }

    /// What an exchange holds back ends with it. Under the door.
    pub(super) fn end_delay(&self, exchange: &Exchange) {
        if let Some(delay) = exchange.delay.get() {
            // From now on nobody finds it: an exchange of the same name gets another one.
            delay.mark_deleted();
            let command = Command::Drop {
                queues: vec![delay.id],
                done: Done(Arc::new(|| {})),
            };
            self.shards.send(delay.shard, command);
        }
    }

    /// After everything was put back: each exchange that needs a place for messages or keys has one.
    pub(crate) fn recover_exchanges(&self) {
        let _door = self.door.lock();
        for exchange in self.exchanges() {
            // The names were short enough when they were declared.
            let _ = self.give_delay(&exchange);
            let _ = self.give_window(&exchange);
        }
    }
}
