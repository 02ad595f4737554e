//! Samples and what is told of them, on a clock of numbers.

use super::history::{History, OF_ONE, OF_THE_WHOLE, Pair, Sample};
use super::*;
use crate::figure::{Figure, Figures};

fn sample(at: Millis, published: u64) -> Sample {
    let values = Figures::default().with(Figure::Publish, published);
    Sample {
        at,
        values: values.keep(),
    }
}

fn published(sample: Option<Sample>) -> Option<u64> {
    sample.map(|sample| sample.values.get(Figure::Publish))
}

#[test]
fn a_pair_is_compared_with_what_is_five_seconds_old() {
    let mut pair = Pair::new(sample(0, 1));
    assert_eq!(published(pair.base(900)), None);
    assert_eq!(published(pair.base(1_000)), Some(1));
    pair.note(|| sample(3_000, 2), 3_000);
    assert_eq!(published(pair.base(5_000)), Some(1), "too new to be noted");
    pair.note(|| sample(6_000, 3), 6_000);
    assert_eq!(published(pair.base(7_000)), Some(1));
    assert_eq!(published(pair.base(11_000)), Some(3));
}

#[test]
fn a_history_goes_back_as_far_as_its_rings() {
    let mut history = History::new(OF_ONE);
    for n in 0..1_000 {
        history.note(&sample(n * 5_000, n));
    }
    let now = 1_000 * 5_000;
    assert_eq!(published(history.base(now)), Some(999));
    assert_eq!(published(history.base(now - 1_000)), Some(998));
    assert_eq!(published(history.at(now - 60_000, now - 60_000)), Some(988));
    assert_eq!(published(history.at(0, 0)), None, "forgotten");

    let mut history = History::new(OF_THE_WHOLE);
    for n in 0..20_000 {
        history.note(&sample(n * 5_000, n));
    }
    let now = 20_000 * 5_000;
    let day_ago = now - 86_400_000;
    let found = published(history.at(day_ago, day_ago)).expect("it is kept");
    let is = day_ago / 5_000;
    assert!((is - 360..=is).contains(&found), "{found} is not near {is}");
    // What is asked of the last minutes comes from the finest ring.
    assert_eq!(
        published(history.at(now - 60_000, now - 5_000)),
        Some(19_999)
    );
}

#[test]
fn rates_are_told_with_averages_of_the_samples() {
    let point = |at: u64, published: u64| (at, sample(at, published));
    let rated = Rated {
        now: 20_000,
        values: Figures::default().with(Figure::Publish, 100),
        base: Some(sample(15_000, 50)),
        messages: Some(vec![point(20_000, 100), point(10_000, 20)]),
        ..Rated::default()
    };
    let told = rated.stats(&[&[Figure::Publish]]).expect("not nothing");
    let details = serde_json::json!({
        "rate": 10.0,
        "samples": [
            {"sample": 100, "timestamp": 20_000},
            {"sample": 20, "timestamp": 10_000},
        ],
        "avg_rate": 8.0,
        "avg": 60.0,
    });
    let expected = serde_json::json!({"publish": 100, "publish_details": details});
    assert_eq!(told, expected);
    assert!(rated.stats(&[&[Figure::Ack]]).is_none());
}

#[test]
fn counts_that_begin_again_have_no_rate_and_lengths_fall() {
    let before = Figures::default()
        .with(Figure::Publish, 100)
        .with(Figure::Ready, 100);
    let rated = Rated {
        now: 10_000,
        base: Some(Sample {
            at: 0,
            values: before.keep(),
        }),
        ..Rated::default()
    };
    let mut told = serde_json::Map::new();
    rated.put(&mut told, &[Figure::Publish, Figure::Ready]);
    assert_eq!(told["publish_details"]["rate"], 0.0);
    assert_eq!(told["messages_ready_details"]["rate"], -10.0);
}

#[test]
fn what_is_not_asked_about_is_forgotten() {
    let mut state = State::default();
    let key = |n| Key::Connection(ConnectionId(n));
    let kept = KEPT.as_millis() as Millis;
    drop(state.listed(key(1), Figures::default(), 0));
    drop(state.listed(key(2), Figures::default(), 10));
    state.watch(key(1), 10);
    state.forget_old(kept);
    assert!(!state.listed.contains_key(&key(1)));
    assert!(state.listed.contains_key(&key(2)) && state.watched.contains_key(&key(1)));
    for n in 0..=WATCHED_MAX as u64 {
        state.watch(key(n), 20 + n);
    }
    assert_eq!(state.watched.len(), WATCHED_MAX);
    assert!(
        !state.watched.contains_key(&key(0)),
        "asked about longest ago"
    );
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let of = |age, apart| Range::of(Some(age), Some(apart));
    let expected = Range {
        age: 60_000,
        apart: 5_000,
    };
    assert_eq!(of("60", "5"), Ok(Some(expected)));
    assert_eq!(Range::of(Some("60"), None), Ok(None));
    assert_eq!(of("x", "5"), Ok(None));
    for (age, apart) in [("0", "5"), ("60", "0"), ("-1", "5"), ("6000", "1")] {
        assert!(of(age, apart).is_err(), "{age} {apart}");
    }
}
