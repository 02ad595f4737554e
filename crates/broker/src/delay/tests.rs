//! Buckets: each time has one, a stream stands for one, and what is near is narrow.

use super::{Bucket, Delay};
use crate::found::FoundMessages;

const NOW_MS: u64 = 1_900_000_000_000;

impl Delay {
    /// Sets how many bytes of messages may be in memory.
    pub(crate) fn set_near_bytes_max(&mut self, bytes: usize) {
        self.near_bytes_max = bytes;
    }

    /// What the log has, as [`Delay::recover`] takes it.
    pub(crate) fn found(&self) -> Vec<FoundMessages> {
        let all = self.buckets.iter();
        let found = all.map(|(bucket, stored)| FoundMessages {
            stream: bucket.stream().0,
            first_seq: stored.first_seq,
            last_seq: stored.last_seq,
            count: stored.count,
            bytes: 0,
        });
        found.collect()
    }

    /// The sequence number that the next message gets.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }
}

#[test]
fn the_further_away_the_wider() {
    for (away_ms, is_second, width_ms) in [
        (0, true, 1_000),
        (63_000, true, 1_000),
        (64_000, false, 64_000),
        (4_095_000, false, 64_000),
        (4_096_000, false, 4_096_000),
        (3_000_000_000, false, 262_144_000),
    ] {
        let due = NOW_MS + away_ms;
        let bucket = Bucket::at(due, NOW_MS);
        assert_eq!(bucket.is_second(), is_second, "{away_ms}");
        assert!(
            bucket.start_ms() <= due && due < bucket.start_ms() + width_ms,
            "{away_ms}"
        );
    }
}

#[test]
fn what_was_due_is_due_now() {
    let bucket = Bucket::at(NOW_MS - 5_000, NOW_MS);
    assert!(bucket.is_second());
    assert_eq!(bucket.start_ms(), NOW_MS);
}

#[test]
fn a_stream_stands_for_its_bucket_for_years() {
    let year = 365 * 86_400_000;
    for away_ms in [0, 70_000, 5_000_000, year, 8 * year] {
        let wide = Bucket::at(NOW_MS + away_ms, NOW_MS);
        let moved = Bucket::at(NOW_MS + away_ms + 64_000, NOW_MS).below(NOW_MS + away_ms + 64_000);
        for bucket in [wide, moved] {
            for later in [0, year, 8 * year - 64_000] {
                assert_eq!(
                    Bucket::of(bucket.stream(), NOW_MS + later),
                    bucket,
                    "{later}"
                );
            }
        }
    }
}

#[test]
fn a_stream_stands_for_its_millisecond_for_days() {
    for ms in [0, 1, 999] {
        let instant = Bucket::at(NOW_MS, NOW_MS).below(NOW_MS + ms);
        assert!(instant.is_instant() && instant.is_moved());
        assert_eq!(
            (instant.start_ms(), instant.end_ms()),
            (NOW_MS + ms, NOW_MS + ms + 1)
        );
        // It may be filled early, and it may stay for as long as a long weekend.
        for now_ms in [NOW_MS - 500_000, NOW_MS, NOW_MS + 3 * 86_400_000] {
            assert_eq!(Bucket::of(instant.stream(), now_ms), instant);
        }
    }
}

#[test]
fn no_two_buckets_have_the_same_stream() {
    let mut streams = std::collections::BTreeSet::new();
    let mut add = |bucket: Bucket| assert!(streams.insert(bucket.stream()), "{bucket:?}");
    for away_ms in [0, 64_000, 4_096_000, 300_000_000, 3_000_000_000] {
        let bucket = Bucket::at(NOW_MS + away_ms, NOW_MS);
        add(bucket);
        let mut below = bucket.below(bucket.end_ms() - 1);
        loop {
            add(below);
            if below.is_instant() {
                break;
            }
            below = below.below(below.start_ms());
        }
    }
}

#[test]
fn buckets_that_begin_together_come_widest_first_and_what_moved_before_the_rest() {
    let wide = Bucket::at(NOW_MS + 64_000, NOW_MS);
    let moved = wide.below(wide.start_ms());
    let direct = Bucket::at(wide.start_ms(), wide.start_ms());
    let instant = moved.below(wide.start_ms());
    assert_eq!(wide.start_ms(), instant.start_ms());
    assert!(wide < moved && moved < direct && direct < instant);
}
