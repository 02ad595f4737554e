//! Prepared publishes as the broker's own decoder reads them.

use leveret_wire::method::{Method, basic};
use leveret_wire::{Decoder, Frame, method};

use super::{Form, Prepared};
use crate::body::Numbers;

/// Routing key, delivery mode octets and body of each message.
fn read(mut bytes: &[u8]) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut decoder = Decoder::new();
    let mut messages: Vec<(String, Vec<u8>, Vec<u8>)> = Vec::new();
    while let Some((len, frame)) = decoder.next(bytes).expect("frames") {
        bytes = &bytes[len..];
        match frame {
            Frame::Method {
                class_id,
                method_id,
                arguments,
                ..
            } => match method::decode(class_id, method_id, arguments).expect("a method") {
                Method::Basic(basic::Method::Publish(publish)) => {
                    let key = String::from_utf8(publish.routing_key.to_vec()).expect("a text");
                    messages.push((key, Vec::new(), Vec::new()));
                }
                other => panic!("{other:?}"),
            },
            Frame::Header { header, .. } => {
                messages.last_mut().expect("a publish").1 = header.properties.to_vec();
            }
            Frame::Body { payload, .. } => {
                messages.last_mut().expect("a publish").2.extend(payload);
            }
            Frame::Heartbeat { .. } => panic!("nothing of the kind was written"),
        }
    }
    assert!(bytes.is_empty());
    messages
}

fn form(size: usize) -> Form {
    Form {
        size,
        persistent: true,
        mandatory: false,
        frame_max: 4096,
    }
}

#[test]
fn each_queue_in_turn_gets_numbered_messages() {
    let queues = ["a".to_owned(), "bb".to_owned()];
    let mut prepared = Prepared::new(&queues, form(20)).expect("it is small");
    let mut sequence = 0;
    for round in 0..2 {
        let bytes = prepared.take(3, || {
            sequence += 1;
            let numbers = Numbers {
                producer: 7,
                sequence,
            };
            (numbers, 1 << 40)
        });
        let messages = read(bytes);
        assert_eq!(messages.len(), 3);
        for (place, (key, properties, body)) in messages.into_iter().enumerate() {
            let number = round * 3 + place;
            assert_eq!(key, queues[number % 2]);
            assert_eq!(properties, [0x10, 0, 2]);
            let (head, rest) = body.split_at(8);
            let numbers = Numbers::of(head.try_into().expect("8 octets"));
            assert_eq!((numbers.producer, numbers.sequence), (7, number as u64 + 1));
            assert_eq!(rest[..8], (1_u64 << 40).to_be_bytes());
            assert_eq!(rest[8..], [16, 17, 18, 19]);
        }
    }
}

#[test]
fn bodies_of_every_length_are_whole() {
    for size in [0, 1, 7, 8, 15, 16, 4088, 4089, 100_000] {
        let mut prepared = Prepared::new(&["q".to_owned()], form(size)).expect("it is small");
        let numbers = Numbers {
            producer: 0,
            sequence: 0,
        };
        let messages = read(prepared.take(1, || (numbers, 0)));
        assert_eq!(messages[0].2.len(), size);
    }
}

#[test]
fn the_ring_goes_round() {
    let mut prepared = Prepared::new(&["q".to_owned()], form(16)).expect("it is small");
    let mut taken = 0;
    while taken < 5000 {
        let count = prepared.at_once();
        assert!(count > 0);
        let numbers = Numbers {
            producer: 0,
            sequence: 0,
        };
        assert_eq!(
            read(prepared.take(count, || (numbers, 0))).len() as u64,
            count
        );
        taken += count;
    }
}

#[test]
fn what_would_take_too_much_memory_is_refused() {
    let queues = vec!["q".to_owned(); 3];
    assert!(Prepared::new(&queues, form(100 << 20)).is_err());
}
