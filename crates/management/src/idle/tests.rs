//! Times as they are told, and what counts as idle.

use super::*;

#[test]
fn times_are_written_as_rabbitmq_writes_them() {
    let at = |ms| text(UNIX_EPOCH + Duration::from_millis(ms)).expect("a time");
    assert_eq!(at(0), "1970-01-01T00:00:00.000+00:00");
    assert_eq!(at(1_795_994_981_904), "2026-11-29T23:29:41.904+00:00");
    assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000+00:00");
    assert_eq!(at(4_107_542_399_999), "2100-02-28T23:59:59.999+00:00");
    assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000+00:00");
}

#[test]
fn what_happened_just_now_is_not_idle() {
    assert_eq!(since(Duration::from_millis(999)), None);
    assert!(since(Duration::from_secs(1)).is_some());
    let in_an_hour = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let in_an_hour = in_an_hour + Duration::from_secs(3600);
    assert_eq!(since_ms(in_an_hour.as_millis() as u64), None);
}
