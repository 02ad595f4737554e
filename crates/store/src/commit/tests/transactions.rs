//! Transactions over several stagings: after any crash each is there whole or not at all, and those that were told to be durable are.

use super::*;
use crate::transactions::Transaction;

/// Messages of a transaction in each of its two queues.
const COUNT: u32 = 3;

/// Runs a fixed script until the disk stops: a transaction in each round, between whose parts the commit has its turns, and other messages
/// between them. Returns how many transactions were told to be durable in both stagings.
fn script(disk: &SimDisk) -> u64 {
    let Some(mut rig) = rig(disk, 11) else {
        return 0;
    };
    let mut waiting = Vec::new();
    let mut durable = 0;
    for round in 0..25u64 {
        let transaction = Transaction::new(2);
        let mut at = [0; 2];
        // The parts come in turns in this order and in that.
        for part in [round % 2, 1 - round % 2] {
            let staging = &rig.stagings[part as usize];
            rig.transactions
                .begin(transaction, (part as usize, staging));
            let first_seq = 1 + round * u64::from(COUNT);
            at[part as usize] = enqueue(staging, Urgency::Synced, part, first_seq, COUNT);
            let turned = rig.commit.turn(round);
            rig.transactions.end(transaction, staging);
            enqueue(staging, Urgency::Synced, 2 + part, round + 1, 1);
            if turned.and_then(|_| rig.commit.turn(round)).is_err() {
                return durable;
            }
        }
        waiting.push(at);
        let is_durable =
            |at: &&[u64; 2]| (0..2).all(|part| rig.stagings[part].durable().0 >= at[part]);
        durable = waiting.iter().filter(is_durable).count() as u64;
    }
    durable
}

#[test]
fn a_transaction_is_durable_one_turn_after_its_last_part() {
    assert_eq!(script(&SimDisk::new(3)), 25);
}

#[test]
fn after_any_crash_a_transaction_is_there_whole_or_not_at_all() {
    let calls = {
        let disk = SimDisk::new(3);
        script(&disk);
        disk.calls()
    };
    assert!(calls > 100, "{calls}");
    let mut found = 0;
    for at in 1..=calls {
        for seed in 0..4 {
            let disk = SimDisk::new(seed);
            disk.set_faults(Faults {
                crash_at: Some(at),
                garbage: true,
                ..Faults::default()
            });
            let durable = script(&disk);
            let after: Arc<dyn Disk> = Arc::new(disk.crash(seed));
            let when = format!("call {at} seed {seed}");
            let recovered = recover(&after, LENS, 12).unwrap_or_else(|e| panic!("{when}: {e}"));
            let count = |queue| recovered.index.count(QueueId(queue), Stream(0));
            assert_eq!(count(0), count(1), "{when}");
            assert_eq!(count(0) % u64::from(COUNT), 0, "{when}");
            assert!(count(0) >= durable * u64::from(COUNT), "{when}");
            found += count(0);
        }
    }
    assert!(found > 0);
}
