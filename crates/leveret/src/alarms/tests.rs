//! When alarms go on and off.

use super::*;

const NONE: Alarms = Alarms {
    memory: false,
    disk: false,
};

fn watch() -> Watch {
    Watch {
        store: None,
        full: Arc::default(),
        data_dir: PathBuf::new(),
        memory_max: 1000,
        disk_free_min: 100,
    }
}

fn measured(memory: u64, disk_free: u64) -> Measured {
    Measured {
        memory: Some(memory),
        disk_free: Some(disk_free),
        is_full: false,
    }
}

#[test]
fn alarms_go_on_at_their_limits_and_off_with_room_to_spare() {
    let (mut on, watch) = (NONE, watch());
    let steps = [
        (measured(1000, 100), NONE),
        (
            measured(1001, 100),
            Alarms {
                memory: true,
                disk: false,
            },
        ),
        (
            measured(950, 99),
            Alarms {
                memory: true,
                disk: true,
            },
        ),
        (
            measured(900, 124),
            Alarms {
                memory: false,
                disk: true,
            },
        ),
        (measured(950, 125), NONE),
    ];
    for (measured, expected) in steps {
        on = watch.judge(on, measured);
        assert_eq!(on, expected, "{measured:?}");
    }
}

#[test]
fn what_waits_for_room_on_the_disk_raises_its_alarm_whatever_is_free() {
    let full = Measured {
        is_full: true,
        ..measured(0, 1_000_000)
    };
    let expected = Alarms {
        memory: false,
        disk: true,
    };
    assert_eq!(watch().judge(NONE, full), expected);
    assert_eq!(watch().judge(expected, measured(0, 1_000_000)), NONE);
}

#[test]
fn a_limit_of_0_never_raises_the_disk_alarm() {
    let watch = Watch {
        disk_free_min: 0,
        ..watch()
    };
    assert_eq!(watch.judge(NONE, measured(0, 0)), NONE);
}

#[test]
fn what_cannot_be_measured_raises_nothing() {
    let unknown = Measured {
        memory: None,
        disk_free: None,
        is_full: false,
    };
    assert_eq!(
        watch().judge(
            Alarms {
                memory: true,
                disk: true
            },
            unknown
        ),
        NONE
    );
}

#[test]
fn this_process_and_its_disk_can_be_measured() {
    assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
    assert!(disk_free(Path::new(".")).is_some());
}
