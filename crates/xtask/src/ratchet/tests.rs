//! Tests of the ratchet: reading what was measured, and judging it.

use super::*;

const PROFILE: &str = "\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 4711
cmd:  target/release/hotpath no-ack 20000
part: 1


desc: I1 cache:
desc: Trigger: Program termination

positions: line
events: Ir
summary: 1234567


ob=(1) /usr/lib/ld.so
fl=(1) rtld.c
fn=(1) _dl_start
0 4
calls=1 0
0 1000

totals: 1234567
";

#[test]
fn the_total_of_a_profile_is_read() {
    assert_eq!(callgrind::instructions(PROFILE), Some(1_234_567));
    let no_totals = PROFILE.replace("totals: 1234567", "");
    assert_eq!(callgrind::instructions(&no_totals), Some(1_234_567));
    let more_events = "events: Dr Ir Dw\ntotals: 1 22 333\n";
    assert_eq!(callgrind::instructions(more_events), Some(22));
    let parts = "events: Ir\npart: 1\nsummary: 5\ntotals: 5\npart: 2\nsummary: 7\n";
    assert_eq!(callgrind::instructions(parts), Some(12));
}

#[test]
fn a_profile_without_a_total_is_not_taken_for_one() {
    for text in [
        "",
        "events: Ir\n",
        "totals: 5\n",
        "events: Dr\ntotals: 5\n",
        "events: Ir\ntotals: x\n",
    ] {
        assert_eq!(callgrind::instructions(text), None, "{text}");
    }
}

#[test]
fn the_allocations_are_what_the_driver_prints() {
    assert_eq!(
        allocations("no-ack: 20000 messages\nallocations 321\n"),
        Some(321)
    );
    assert_eq!(allocations("reallocations 3\nallocations many\n"), None);
}

#[test]
fn what_a_program_costs_before_its_messages_cancels_out() {
    let before = Totals {
        instructions: 1_000_000 + 300 * 20,
        allocations: 50,
    };
    let after = Totals {
        instructions: 1_000_000 + 300 * 60,
        allocations: 60,
    };
    let cost = per_message(before, after, 40).unwrap();
    assert_eq!(
        cost,
        Cost {
            instructions: 300.0,
            allocations: 0.25
        }
    );
    assert_eq!(per_message(after, before, 40), None);
}

#[test]
fn a_rise_of_more_than_the_tolerance_fails() {
    let known = Cost {
        instructions: 1000.0,
        allocations: 1.0,
    };
    let verdict = |instructions, allocations| {
        compare(
            "no-ack",
            Some(&known),
            Cost {
                instructions,
                allocations,
            },
        )
    };
    assert_eq!(verdict(1029.0, 0.98), Verdict::default());
    let risen = verdict(1031.0, 1.0);
    assert!(
        risen.worse[0].contains("instructions") && risen.better.is_empty(),
        "{risen:?}"
    );
    let more = verdict(1000.0, 1.04);
    assert!(more.worse[0].contains("allocations"), "{more:?}");
}

#[test]
fn a_fall_is_told_and_does_not_fail() {
    let known = Cost {
        instructions: 1000.0,
        allocations: 1.0,
    };
    let fallen = compare(
        "no-ack",
        Some(&known),
        Cost {
            instructions: 969.0,
            allocations: 0.5,
        },
    );
    assert!(
        fallen.worse.is_empty() && fallen.better.len() == 2,
        "{fallen:?}"
    );
    assert!(fallen.better[0].contains("--update"), "{fallen:?}");
}

#[test]
fn a_figure_of_almost_nothing_may_move_by_almost_nothing() {
    let known = Cost {
        instructions: 1000.0,
        allocations: 0.0,
    };
    let now = Cost {
        instructions: 1000.0,
        allocations: 0.004,
    };
    assert_eq!(compare("no-ack", Some(&known), now), Verdict::default());
    let now = Cost {
        allocations: 0.01,
        ..now
    };
    assert_eq!(compare("no-ack", Some(&known), now).worse.len(), 1);
}

#[test]
fn a_workload_without_a_figure_fails() {
    let verdict = compare(
        "no-ack",
        None,
        Cost {
            instructions: 1.0,
            allocations: 0.0,
        },
    );
    assert!(verdict.worse[0].contains("has no no-ack"), "{verdict:?}");
}

#[test]
fn options_are_read_or_refused() {
    assert_eq!(Options::parse(&[]), Some(Options::COMPARE));
    let update = Options {
        write: Write::Yes,
        driver: Some("target/hotpath".into()),
    };
    assert_eq!(
        Options::parse(&["--update", "--driver", "target/hotpath"]),
        Some(update)
    );
    assert_eq!(Options::parse(&["--driver"]), None);
    assert_eq!(Options::parse(&["--baseline"]), None);
}
