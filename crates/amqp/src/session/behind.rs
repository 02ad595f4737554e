//! Methods behind messages that take a detour, through the window of an `x-message-deduplication` exchange: they wait until these are where they go.

use super::{MethodIds, Session};

/// A method that is carried out later: its channel, and its arguments.
pub(super) struct Behind {
    channel: u16,
    ids: MethodIds,
    arguments: Vec<u8>,
}

impl Session {
    /// A method waits. Nothing behind it is read.
    #[cold]
    pub(super) fn put_behind(&mut self, channel: u16, ids: MethodIds, arguments: &[u8]) {
        self.behind = Some(Behind {
            channel,
            ids,
            arguments: arguments.to_vec(),
        });
    }

    /// Carries out a method that came behind messages, if these are in their queues.
    pub(super) fn go_on(&mut self) {
        if self.core.publisher.has_passing() {
            return;
        }
        if let Some(Behind {
            channel,
            ids,
            arguments,
        }) = self.behind.take()
        {
            self.method(channel, ids, &arguments);
            self.hand_over();
        }
    }
}
