//! Places: as many as the limit, each given back.

use tokio::task::yield_now;

use super::*;

#[test]
fn no_more_places_than_the_limit() {
    let connections = Connections::new(2);
    let first = connections.enter().expect("the first of two");
    let second = connections.enter().expect("the second of two");
    assert!(connections.enter().is_none());
    assert_eq!(connections.open(), 2);
    drop(first);
    assert!(connections.enter().is_some());
    drop(second);
    assert_eq!(connections.open(), 0);
}

#[tokio::test]
async fn waits_for_the_last_one() {
    let connections = Connections::new(2);
    let place = connections.enter().expect("there is room");
    let waiting = connections.clone();
    let wait = tokio::spawn(async move { waiting.all_closed().await });
    yield_now().await;
    assert!(!wait.is_finished());
    drop(place);
    wait.await.unwrap();
}
