//! Confirms one by one, together, out of order, and wrong ones.

use super::{Settle, Window};
use crate::latency::no_times;

fn one(tag: u64) -> Settle {
    Settle {
        tag,
        multiple: false,
    }
}

fn up_to(tag: u64) -> Settle {
    Settle {
        tag,
        multiple: true,
    }
}

#[test]
fn each_message_is_settled_once() {
    let (window, mut times) = (Window::new(10), no_times());
    window.sent(4, 1_000_000);
    window.sent(6, 2_000_000);
    let mut settle = |settle, now_ns| window.settle(settle, now_ns, &mut times).expect("open");
    assert_eq!(settle(one(2), 3_000_000), 1);
    assert_eq!(settle(one(1), 3_000_000), 1);
    assert_eq!(settle(up_to(6), 4_000_000), 4);
    assert_eq!(window.left(), 4);
    assert_eq!(settle(up_to(0), 5_000_000), 4);
    assert_eq!(window.left(), 0);
    assert_eq!(window.room(|| panic!("there is room")), 10);
    assert_eq!(times.len(), 10);
    assert!(times.equivalent(times.max(), 3_000_000), "{}", times.max());
    assert!(times.equivalent(times.min(), 2_000_000), "{}", times.min());
}

#[test]
fn what_was_not_sent_or_is_settled_is_an_error() {
    let (window, mut times) = (Window::new(10), no_times());
    let mut settle = |settle| {
        window
            .settle(settle, 9, &mut times)
            .map_err(|error| error.to_string())
    };
    settle(one(1)).expect_err("nothing was sent");
    window.sent(3, 1);
    settle(one(0)).expect_err("no message has the number 0");
    settle(one(2)).expect("it was sent");
    settle(one(2)).expect_err("it is settled");
    settle(up_to(4)).expect_err("it was not sent");
    settle(up_to(3)).expect("the rest");
    settle(one(3)).expect_err("it is settled");
}

#[test]
fn a_full_window_has_no_room() {
    let window = Window::new(2);
    window.sent(2, 1);
    let mut waited = false;
    assert_eq!(window.room(|| waited = true), 0);
    assert!(waited);
}
