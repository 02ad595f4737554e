//! What the headers of delayed messages say: how long they wait, and, once they have moved, when they are due and which they are.

use leveret_message::batch::Message;
use leveret_message::properties::Properties;
use leveret_message::table::{TableRef, Value};

use crate::arguments::DURATION_MAX;

/// The header with which a publisher says for how many milliseconds a message is held back.
const X_DELAY: &str = "x-delay";

/// The header that says when a message is due, in milliseconds since 1970, once it has moved to a narrower bucket.
const X_DUE: &str = "x-leveret-due";

/// The header that says what number it has, beside it.
const X_NUMBER: &str = "x-leveret-number";

/// How long the publisher of a message wants it held back, in milliseconds; 0 where it is to be routed at once.
pub fn delay_ms(headers: Option<TableRef<'_>>) -> u64 {
    let delay = headers.and_then(|headers| headers.find(X_DELAY)?.as_integer());
    let delay = delay.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
    delay.min(DURATION_MAX.as_millis() as u64)
}

fn written(headers: Option<TableRef<'_>>, name: &str) -> Option<u64> {
    let written = headers.and_then(|headers| headers.find(name)?.as_integer());
    written.and_then(|number| u64::try_from(number).ok())
}

/// When a message is due. A publisher who writes the header himself can only have his message earlier.
pub(super) fn due_ms(headers: Option<TableRef<'_>>, arrived_ms: u64) -> u64 {
    let latest = arrived_ms.saturating_add(delay_ms(headers));
    written(headers, X_DUE).map_or(latest, |due_ms| due_ms.min(latest))
}

/// The number of a message that has moved.
pub(super) fn number(headers: Option<TableRef<'_>>) -> Option<u64> {
    written(headers, X_NUMBER)
}

/// The properties of a message that goes to a narrower bucket: they say when it is due, and its number.
pub fn moved(message: &Message<'_>, due_ms: u64, number: u64) -> Option<Vec<u8>> {
    let long = |number| Value::Long(i64::try_from(number).unwrap_or(i64::MAX));
    let said = [(X_DUE, long(due_ms)), (X_NUMBER, long(number))];
    Properties::checked(message.properties).with_headers(|_| true, &said)
}

/// The properties of a message that is released: as it was published, with the delay behind it.
pub fn released(message: &Message<'_>) -> Option<Vec<u8>> {
    let properties = Properties::checked(message.properties);
    let delay = delay_ms(properties.headers()) as i64;
    as_published(properties, &[(X_DELAY, Value::Long(-delay))])
}

/// Properties without what moves have written.
pub(super) fn as_published(
    properties: Properties<'_>,
    added: &[(&str, Value<'_>)],
) -> Option<Vec<u8>> {
    properties.with_headers(|name| name != X_DUE && name != X_NUMBER, added)
}
