//! Buckets: each time has one, a stream stands for one, and what is near is narrow.

use super::Bucket;

const NOW_MS: u64 = 1_900_000_000_000;

#[test]
fn the_further_away_the_wider() {
    for (away_ms, is_narrow, width_ms) in [
        (0, true, 1_000),
        (63_000, true, 1_000),
        (64_000, false, 64_000),
        (4_095_000, false, 64_000),
        (4_096_000, false, 4_096_000),
        (3_000_000_000, false, 262_144_000),
    ] {
        let due = NOW_MS + away_ms;
        let bucket = Bucket::at(due, NOW_MS);
        assert_eq!(bucket.is_narrow(), is_narrow, "{away_ms}");
        assert!(
            bucket.start_ms() <= due && due < bucket.start_ms() + width_ms,
            "{away_ms}"
        );
    }
}

#[test]
fn what_was_due_is_due_now() {
    let bucket = Bucket::at(NOW_MS - 5_000, NOW_MS);
    assert!(bucket.is_narrow());
    assert_eq!(bucket.start_ms(), NOW_MS);
}

#[test]
fn a_stream_stands_for_its_bucket_for_years() {
    let year = 365 * 86_400_000;
    for away_ms in [0, 70_000, 5_000_000, year, 9 * year] {
        let bucket = Bucket::at(NOW_MS + away_ms, NOW_MS);
        for later in [0, year, 9 * year] {
            assert_eq!(Bucket::of(bucket.stream(), NOW_MS + later), bucket);
        }
    }
}

#[test]
fn buckets_that_begin_together_come_widest_first() {
    let wide = Bucket::at(NOW_MS + 64_000, NOW_MS);
    let narrow = Bucket::at(wide.start_ms(), wide.start_ms());
    assert_eq!(wide.start_ms(), narrow.start_ms());
    assert!(wide < narrow && wide.stream() != narrow.stream());
}
