//! Who is ahead of its rate pauses, for as long as it is and no longer.

use super::*;

#[test]
fn who_is_too_fast_pauses_for_as_long_as_it_is_ahead() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    assert_eq!(throttle.note(100, 1000, now), None);
    let pause = throttle.note(200, 1000, now).expect("it is ahead");
    assert_eq!(pause - now, Duration::from_millis(200));
    assert_eq!(throttle.note(0, 1000, pause), None);
    let later = now + Duration::from_secs(10);
    assert_eq!(throttle.note(50, 1000, later), None);
}

#[test]
fn pauses_have_an_end() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    assert_eq!(throttle.note(1_000_000, 1, now), Some(now + PAUSE_MAX));
    assert_eq!(throttle.note(1, 0, now), Some(now + PAUSE_MAX));
}
