//! Where exchanges of the type `x-message-deduplication` know what came through them: a queue each, of keys alone, that only they know.

use std::sync::Arc;

use leveret_message::name::Name;
use leveret_message::table::Table;

use crate::arguments::QueueSettings;
use crate::bindings::ExchangeKind;
use crate::command::{Command, Done};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::queue_handle::{QueueDeclaration, QueueHandle, QueueId, WINDOW_PREFIX};
use crate::vhost::Vhost;

impl Vhost {
    /// Gives an exchange that lets no duplicates through a place to know them by. Under the door.
    ///
    /// **Errors**: [`Error::Unacceptable`] (406) where its name is too long for that.
    pub(super) fn give_window(&self, exchange: &Exchange) -> Result<(), Error> {
        if exchange.kind != ExchangeKind::Deduplication || exchange.window.get().is_some() {
            return Ok(());
        }
        let declaration = QueueDeclaration {
            name: window_name(&exchange.name)?,
            durable: exchange.durable,
            owner: None,
            auto_delete: false,
            arguments: Table::default(),
        };
        let id = self.placement.next_queue();
        let window = self.handle(id, declaration, QueueSettings::default());
        self.define_queue(&window);
        self.shards
            .send(window.shard, Command::Declare(Arc::clone(&window)));
        // Nobody else sets it.
        let _ = exchange.window.set(window);
        Ok(())
    }

    /// What an exchange knows ends with it. Under the door.
    pub(super) fn end_window(&self, exchange: &Exchange) {
        if let Some(window) = exchange.window.get() {
            window.mark_deleted();
            self.undefine_queue(window);
            let command = Command::Drop {
                queues: vec![window.id],
                done: Done(Arc::new(|| {})),
            };
            self.shards.send(window.shard, command);
        }
    }

    /// Puts the window of an exchange back, which was put back before. Its shard has to be told. None where there is no such exchange: then
    /// the window is not written down any more.
    pub(crate) fn recover_window(
        &self,
        id: QueueId,
        declaration: QueueDeclaration,
    ) -> Option<Arc<QueueHandle>> {
        let _door = self.door.lock();
        let window = self.handle(id, declaration, QueueSettings::default());
        let exchange = self.find_exchange(window.is_window_of()?);
        let exchange = exchange.filter(|exchange| exchange.kind == ExchangeKind::Deduplication);
        let Some(exchange) = exchange else {
            self.undefine_queue(&window);
            return None;
        };
        exchange.window.set(Arc::clone(&window)).ok()?;
        Some(window)
    }
}

/// The exchange that a window is of, and its vhost; none where that has gone meanwhile.
pub(crate) fn exchange_of_window(window: &QueueHandle) -> Option<(Arc<Vhost>, Arc<Exchange>)> {
    let vhost = window.vhost.upgrade()?;
    let exchange = vhost.find_exchange(window.is_window_of()?)?;
    let is_its = exchange.window.get().is_some_and(|own| own.id == window.id);
    is_its.then_some((vhost, exchange))
}

/// What the window of an exchange is called.
///
/// **Errors**: [`Error::Unacceptable`] (406) where that is too long for a name.
pub(super) fn window_name(exchange: &Name) -> Result<Name, Error> {
    Name::new(&format!("{WINDOW_PREFIX}{exchange}")).map_err(|_| {
        let longest = usize::from(u8::MAX) - WINDOW_PREFIX.len();
        let what = format!(
            "the name of an exchange that lets no duplicates through has at most {longest} bytes"
        );
        Error::Unacceptable(what)
    })
}
