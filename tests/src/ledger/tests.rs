//! Tests of the ledger: it must see each way in which a queue can be wrong.

use super::*;

fn message(number: u64) -> Message {
    let publisher = 1;
    Message { publisher, number }
}

/// One publisher that sent six messages, of which the first four are confirmed, the second is acked, and the last was refused.
fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.published(Published {
        publisher: 1,
        sent: 6,
        confirmed: (1..=4).collect(),
        refused: [6].into(),
    });
    ledger.acked([message(2)]);
    ledger
}

fn check(numbers: &[u64]) {
    let found: Vec<Message> = numbers.iter().copied().map(message).collect();
    ledger().check(&found);
}

#[test]
fn what_may_be_missing_is_what_was_acked_or_not_confirmed() {
    check(&[1, 3, 4]);
    check(&[1, 2, 3, 4, 5]);
}

#[test]
#[should_panic(expected = "confirmed and lost: 2 messages: 3 to 4 of publisher 1;")]
fn a_confirmed_message_must_be_there() {
    check(&[1, 2]);
}

#[test]
#[should_panic(expected = "was refused")]
fn a_refused_message_must_not_be_there() {
    check(&[1, 2, 3, 4, 6]);
}

#[test]
#[should_panic(expected = "of publisher 1, 3 came after 4")]
fn messages_of_a_publisher_come_in_order() {
    check(&[1, 4, 3]);
}

#[test]
#[should_panic(expected = "of publisher 1, 1 came after 1")]
fn a_message_comes_once() {
    check(&[1, 1, 3, 4]);
}

#[test]
#[should_panic(expected = "a phantom")]
fn what_was_not_sent_cannot_come() {
    check(&[1, 3, 4, 7]);
}

#[test]
#[should_panic(expected = "came back")]
fn what_was_gone_once_stays_gone() {
    let mut ledger = ledger();
    ledger.check(&[message(1), message(3), message(4)]);
    ledger.check(&[message(1), message(2), message(3), message(4)]);
}

#[test]
fn a_body_says_which_message_it_is() {
    let body = message(7).body(100);
    assert_eq!(body.len(), 100);
    assert_eq!(Message::of(&body), message(7));
}

#[test]
#[should_panic(expected = "a body that nobody published")]
fn a_wrong_byte_is_seen() {
    let mut body = message(7).body(100);
    body[50] ^= 1;
    Message::of(&body);
}
