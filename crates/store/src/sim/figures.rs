//! What happened in runs, counted.

use std::fmt;

/// How the log of a disk shows that a block of zeros was written: its length, and the checksum of its bytes.
const CLEARED: &str = "+4096 b93a0c83ce3b6325";

/// Defines the figures, each with its words.
macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident: $words:literal,)*) => {
        /// How often what happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Figures {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Figures {
            /// Adds those of another run.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            fn lines(&self) -> Vec<(&'static str, u64)> {
                vec![$(($words, self.$name),)*]
            }
        }
    };
}

figures! {
    /// Runs that ended well.
    runs: "seeds",
    /// Steps.
    steps: "steps",
    /// Crashes with recovery and a full check behind them.
    crash_points: "crash points",
    /// Recoveries, those of orderly stops and those that were cut off included.
    recoveries: "recoveries",
    /// Entries that were staged.
    entries: "entries",
    /// Messages that came.
    messages: "messages",
    /// Batches that were written.
    batches: "batches",
    /// Reads of a range.
    reads: "reads",
    /// Files that became files of the log.
    rotations: "log files begun",
    /// Files of the log that were made spares.
    recycles: "log files recycled",
    /// Files of the log that were removed.
    removals: "log files removed",
    /// Files of the log that were paged out.
    page_outs: "page-outs",
    /// Compactions.
    compactions: "compactions",
    /// Drops of dead segments.
    drops: "drops of dead segments",
    /// Segments that were unlinked.
    unlinks: "segments unlinked",
    /// Checkpoints.
    checkpoints: "checkpoints",
    /// Power cuts between two calls.
    cuts: "power cuts between calls",
    /// Crashes in the middle of a call.
    crashes: "crashes in a call",
    /// Crashes in the middle of a recovery.
    second_crashes: "crashes in a recovery",
    /// Ends of the process.
    kills: "kills",
    /// Orderly stops.
    closes: "orderly stops",
    /// Tails that were cleared.
    torn_tails: "torn tails cleared",
    /// Recoveries from the older of two checkpoints.
    older: "recoveries from the older checkpoint",
    /// Errors of the disk that struck the store.
    errors: "EIO met by the store",
    /// Errors of the disk in the middle of a recovery.
    recovery_errors: "EIO met by recovery",
    /// Times with a full disk.
    narrows: "times with a full disk",
    /// Turns that found no room.
    full_turns: "turns without room",
    /// Bits that were flipped.
    flips: "bits flipped",
    /// Flips that recovery has refused.
    refused: "of these refused by recovery",
    /// Flips that cost messages.
    lossy: "of these told as lost messages",
    /// Drains, after which space was given back.
    drains: "drains to the end",
}

impl Figures {
    /// Counts what a disk has taken down.
    pub(super) fn count(&mut self, log: &str) {
        for line in log.lines() {
            let mut words = line.split_ascii_whitespace().skip(1);
            let (call, from, to) = (words.next(), words.next(), words.next());
            let (Some(call), Some(from)) = (call, from) else {
                continue;
            };
            let (to, in_log) = (to.unwrap_or_default(), from.starts_with("wal/"));
            match call {
                "rename" if in_log && to.ends_with(".wal") => self.rotations += 1,
                "rename" if in_log => self.recycles += 1,
                "remove" if in_log && from.ends_with(".wal") => self.removals += 1,
                "rename" if from.starts_with("ckpt/") => self.checkpoints += 1,
                _ => {}
            }
        }
    }
}

impl Figures {
    /// Counts what a disk has taken down during a recovery.
    pub(super) fn count_recovery(&mut self, log: &str) {
        let cleared = |line: &&str| line.contains(CLEARED) && line.contains(" write ");
        self.torn_tails += u64::from(log.lines().any(|line| cleared(&line)));
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let mut lines = lines.iter();
        lines.try_for_each(|(words, count)| writeln!(f, "{count:>12}  {words}"))
    }
}
