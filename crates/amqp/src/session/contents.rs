//! `basic.publish` and what follows it: content headers and bodies, whole in the input or in any number of steps.

use leveret_wire::{ContentHeader, Decoder, ReplyCode, method};

use super::{MethodIds, Session};
use crate::channel::Channel;
use crate::channel::content::{Content, unexpected};
use crate::channel::publish::{Published, PublishedBody, check_size, publish};
use crate::exception::Exception;

/// What exceptions of a content name as the method at fault.
pub(super) const PUBLISH: MethodIds = MethodIds {
    class_id: 60,
    method_id: 40,
};

impl Session {
    /// `basic.publish`. Its content is taken along where it is whole in the input.
    #[inline]
    pub(super) fn publish(
        &mut self,
        decoder: &Decoder,
        number: u16,
        arguments: &[u8],
        rest: &[u8],
    ) -> usize {
        if self.core.frees {
            self.hand_over();
        }
        let Some(channel) = self.channels.get(number) else {
            self.no_channel(number, PUBLISH, false);
            return 0;
        };
        if channel.closing {
            return 0;
        }
        let published = match method::basic::Publish::decode(arguments) {
            Ok(published) => published,
            Err(error) => {
                self.close(error.into(), PUBLISH);
                return 0;
            }
        };
        if channel.content.is_some() {
            let exception = interrupted(channel);
            self.close(exception, PUBLISH);
            return 0;
        }
        if published.immediate {
            let refused = Exception::connection(ReplyCode::NotImplemented, "immediate=true");
            self.close(refused, PUBLISH);
            return 0;
        }
        let Some((len, header, body)) = decoder.whole_content(rest, number) else {
            channel.content = Some(Box::new(Content::new(&published)));
            return 0;
        };
        let message = Published {
            exchange_and_key: published.exchange_and_key,
            mandatory: published.mandatory,
            properties: header.properties,
            body: PublishedBody::Read(body),
        };
        let outcome = check_size(&self.core, header.body_size)
            .and_then(|()| publish(&mut self.core, channel, message));
        match outcome {
            Ok(()) => self.published(),
            Err(exception) => self.fail(number, exception, PUBLISH),
        }
        len
    }

    pub(super) fn header(&mut self, number: u16, header: &ContentHeader<'_>) {
        let max = self.core.settings.unfinished_content_bytes_max;
        let Some(channel) = self.channels.get(number) else {
            return self.stray_content(number);
        };
        if channel.closing {
            return;
        }
        let Some(content) = &mut channel.content else {
            return self.stray_content(number);
        };
        let outcome = content
            .take_header(header)
            .and_then(|()| check_size(&self.core, header.body_size));
        if let Err(exception) = outcome {
            if let Some(content) = &mut channel.content {
                content.header = None;
            }
            return self.fail(number, exception, PUBLISH);
        }
        let (whole, reserved) = (content.is_whole(), content.reserved());
        // A message of the largest size is not refused for its own properties.
        let taken = self.core.unfinished_bytes.saturating_add(header.body_size);
        self.core.unfinished_bytes = self.core.unfinished_bytes.saturating_add(reserved);
        if taken > max {
            let explanation =
                format!("contents that have not come whole take more than {max} bytes");
            return self.close(
                Exception::connection(ReplyCode::ResourceError, explanation),
                PUBLISH,
            );
        }
        if whole {
            self.finish_content(number);
        }
    }

    pub(super) fn body(&mut self, number: u16, payload: &[u8]) {
        let Some(channel) = self.channels.get(number) else {
            return self.stray_content(number);
        };
        if channel.closing {
            return;
        }
        let Some(content) = &mut channel.content else {
            return self.stray_content(number);
        };
        match content.take_body(payload) {
            Ok(()) if content.is_whole() => self.finish_content(number),
            Ok(()) => {}
            Err(exception) => self.close(exception, PUBLISH),
        }
    }

    /// The content of a channel has come whole: it is published.
    fn finish_content(&mut self, number: u16) {
        if self.core.frees {
            self.hand_over();
        }
        let Some(channel) = self.channels.get(number) else {
            return;
        };
        let Some(content) = channel.content.take() else {
            return;
        };
        self.core.unfinished_bytes -= content.reserved();
        let Content {
            exchange_and_key,
            mandatory,
            header,
        } = *content;
        let Some(header) = header else { return };
        let message = Published {
            exchange_and_key: &exchange_and_key,
            mandatory,
            properties: &header.properties,
            body: PublishedBody::Collected(header.body),
        };
        match publish(&mut self.core, channel, message) {
            Ok(()) => self.published(),
            Err(exception) => self.fail(number, exception, PUBLISH),
        }
    }

    /// A content frame where no content is expected.
    fn stray_content(&mut self, number: u16) {
        let ids = MethodIds::default();
        if number == 0 || self.channels.get(number).is_some() {
            self.close(
                unexpected("expected method frame, got non method frame instead"),
                ids,
            );
        } else {
            self.no_channel(number, ids, false);
        }
    }
}

/// A method where a part of a content was due.
pub(super) fn interrupted(channel: &Channel) -> Exception {
    let has_header = channel
        .content
        .as_ref()
        .is_some_and(|content| content.header.is_some());
    unexpected(if has_header {
        "expected content body, got non content body frame instead"
    } else {
        "expected content header for class 60, got non content header frame instead"
    })
}
