//! Random commands, turn by turn, against the model: every connection is told the same, message by message, and the counts agree.
//!
//! At the end everyone lets go of everything: no consumer may be stuck, and nothing may be left anywhere.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::fixture::outcomes;
use super::stage::{CLIENTS, Consumer, QUEUES, Scene, Stage, Step};

type Turn = Vec<(usize, Step)>;

fn steps() -> impl Strategy<Value = Vec<Turn>> {
    let queue = || 0..QUEUES.len();
    let channel = || 1..=2_u16;
    let rarely = || prop::bool::weighted(0.1);
    let consumer = (prop::bool::weighted(0.2), rarely(), 0..4_u16, -1..=1_i64);
    let consumer = consumer.prop_map(|(no_ack, exclusive, prefetch, priority)| Consumer {
        no_ack,
        exclusive,
        prefetch,
        priority,
    });
    let step = prop_oneof![
        4 => queue().prop_map(Step::Declare),
        1 => (queue(), any::<bool>(), any::<bool>()).prop_map(|(q, u, e)| Step::Delete(q, u, e)),
        1 => queue().prop_map(Step::Purge),
        1 => queue().prop_map(Step::Count),
        3 => (queue(), channel(), any::<bool>()).prop_map(|(q, c, n)| Step::Get(q, c, n)),
        5 => (queue(), channel(), consumer).prop_map(|(q, c, new)| Step::Consume(q, c, new)),
        1 => (0..8_usize).prop_map(Step::Cancel),
        2 => (0..8_usize, 0..4_u16).prop_map(|(at, prefetch)| Step::SetPrefetch(at, prefetch)),
        10 => vec((1..16_u8, 1..5_u32), 1..4).prop_map(Step::Publish),
        10 => (0..16_usize, 1..8_usize, outcomes()).prop_map(|(at, n, o)| Step::Settle(at, n, o)),
        1 => (channel(), any::<bool>()).prop_map(|(c, close)| Step::Release(c, close)),
        1 => Just(Step::Disconnect),
        4 => (1..=4_usize).prop_map(Step::Write),
    ];
    vec(vec((0..CLIENTS, step), 1..5), 1..60)
}

fn little_memory() -> impl Strategy<Value = Scene> {
    let few = || prop_oneof![1 => Just(0), 4 => 0..300_usize, 1 => Just(usize::MAX)];
    let large = || prop_oneof![1 => Just(0), 4 => 0..1_000_000_usize, 1 => Just(usize::MAX)];
    let small = (few(), few(), Just(8));
    prop_oneof![4 => small, 1 => (large(), large(), Just(60_000))].prop_map(
        |(resident_max, budget, body_len)| Scene::LittleMemory {
            resident_max,
            budget,
            body_len,
        },
    )
}

fn run(turns: &[Turn], scene: Scene) -> Vec<String> {
    let mut stage = Stage::new(scene);
    turns.iter().for_each(|turn| stage.turn(turn));
    stage.finish();
    stage.transcript
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn behaves_like_the_model(turns in steps()) {
        run(&turns, Scene::Plain);
    }

    #[test]
    fn behaves_like_the_model_with_small_outboxes(turns in steps(), max in 0..200_usize) {
        run(&turns, Scene::SmallOutboxes(max));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn behaves_like_the_model_with_little_memory(turns in steps(), scene in little_memory()) {
        let single: Vec<Turn> = turns.into_iter().flatten().map(|step| vec![step]).collect();
        run(&single, scene);
    }
}

#[test]
fn the_same_commands_have_the_same_effects() {
    let mut runner = TestRunner::deterministic();
    let mut deliveries = 0;
    for _ in 0..20 {
        let turns = steps().new_tree(&mut runner).unwrap().current();
        let first = run(&turns, Scene::SmallOutboxes(100));
        assert_eq!(first, run(&turns, Scene::SmallOutboxes(100)));
        deliveries += first
            .iter()
            .filter(|line| line.contains("Delivery"))
            .count();
    }
    assert!(deliveries > 100, "{deliveries} lines with deliveries");
}
