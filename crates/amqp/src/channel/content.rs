//! A content that comes in more than one step: `basic.publish`, then its header, then its body in any number of frames.

use leveret_wire::method::basic;
use leveret_wire::{ContentHeader, ReplyCode};

use crate::exception::Exception;

/// A publish whose content has not come whole.
#[derive(Debug)]
pub(crate) struct Content {
    /// `u8 length, exchange, u8 length, routing key`.
    pub(crate) exchange_and_key: Box<[u8]>,
    pub(crate) mandatory: bool,
    /// Present once the header has come.
    pub(crate) header: Option<Header>,
}

/// The header, and as much of the body as there is.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) properties: Box<[u8]>,
    pub(crate) body_size: u64,
    pub(crate) body: Vec<u8>,
}

impl Content {
    pub(crate) fn new(publish: &basic::Publish<'_>) -> Self {
        Self {
            exchange_and_key: publish.exchange_and_key.into(),
            mandatory: publish.mandatory,
            header: None,
        }
    }

    /// Takes the header.
    ///
    /// **Errors**: 505 if there was one already.
    pub(crate) fn take_header(&mut self, header: &ContentHeader<'_>) -> Result<(), Exception> {
        if self.header.is_some() {
            return Err(unexpected(
                "expected content body, got non content body frame instead",
            ));
        }
        if header.class_id != basic::CLASS_ID {
            let class = header.class_id;
            return Err(unexpected(format!(
                "expected content header for class 60, got one for class {class} instead"
            )));
        }
        self.header = Some(Header {
            properties: header.properties.into(),
            body_size: header.body_size,
            body: Vec::new(),
        });
        Ok(())
    }

    /// Takes a part of the body.
    ///
    /// The buffer is made as large as the body with its first part: the size was checked against the largest message and counts towards
    /// the connection's limit, and memory that is not written to costs nothing.
    ///
    /// **Errors**: 505 if the header has not come, 501 if this is more than it announced.
    pub(crate) fn take_body(&mut self, payload: &[u8]) -> Result<(), Exception> {
        let Some(header) = &mut self.header else {
            return Err(unexpected(
                "expected content header for class 60, got non content header frame instead",
            ));
        };
        let missing = header.body_size - header.body.len() as u64;
        if payload.len() as u64 > missing {
            return Err(Exception::connection(
                ReplyCode::FrameError,
                format!(
                    "body is longer than the {} bytes its header announced",
                    header.body_size
                ),
            ));
        }
        if header.body.is_empty() {
            header.body.reserve_exact(header.body_size as usize);
        }
        header.body.extend_from_slice(payload);
        Ok(())
    }

    /// Whether all of it has come.
    pub(crate) fn is_whole(&self) -> bool {
        self.header
            .as_ref()
            .is_some_and(|header| header.body.len() as u64 == header.body_size)
    }

    /// What it takes of the connection's limit for contents that have not come whole.
    pub(crate) fn reserved(&self) -> u64 {
        self.header.as_ref().map_or(0, |header| {
            header
                .body_size
                .saturating_add(header.properties.len() as u64)
        })
    }
}

/// 505, which closes the connection.
pub(crate) fn unexpected(explanation: impl Into<String>) -> Exception {
    Exception::connection(ReplyCode::UnexpectedFrame, explanation)
}
