//! The report as text for a person.

use std::fmt;

use super::report::{Concerned, Finding, How, Loses, Report};

/// Queues that are named for one finding.
const QUEUES_MAX: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        match self.generation {
            Some(generation) => write!(f, "checkpoint {generation:x}")?,
            None => f.write_str("no checkpoint")?,
        }
        writeln!(
            f,
            ", {} files of the log with {} batches behind it, {} segments, {} definitions",
            counts.log_files, counts.batches, counts.segments, counts.definitions
        )?;
        writeln!(
            f,
            "{} messages in {} queues can be read",
            counts.messages, counts.queues
        )?;
        for remark in &self.remarks {
            writeln!(f, "remark: {remark}")?;
        }
        for (name, len) in &self.quarantine {
            writeln!(f, "in quarantine: {name}, {len} bytes")?;
        }
        for finding in &self.findings {
            write!(f, "{finding}")?;
        }
        match self.findings.len() {
            0 => writeln!(f, "nothing is damaged"),
            1 => writeln!(f, "1 damage"),
            many => writeln!(f, "{many} damages"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loses = match self.loses {
            Loses::Nothing => "damaged, nothing is lost",
            Loses::Something => "damaged",
        };
        writeln!(f, "{loses}: {}: {}", self.at, self.what)?;
        for concerned in self.queues.iter().take(QUEUES_MAX) {
            writeln!(f, "    {concerned}")?;
        }
        match self.queues.len().checked_sub(QUEUES_MAX) {
            Some(more) if more > 0 => writeln!(f, "    and {more} more"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Concerned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "queue {name}")?,
            None => write!(f, "queue number {}", self.queue.0)?,
        }
        if self.stream.0 > 0 {
            write!(f, ", stream {}", self.stream.0)?;
        }
        match self.how {
            How::Lost {
                first_seq,
                count: 1,
                ..
            } => write!(f, ": 1 message is lost, number {first_seq}"),
            How::Lost {
                first_seq,
                last_seq,
                count,
            } => write!(
                f,
                ": {count} messages are lost, numbers {first_seq} to {last_seq}"
            ),
            How::Missing {
                first_seq,
                last_seq,
            } => write!(
                f,
                ": messages {first_seq} to {last_seq} are not accounted for"
            ),
            How::Near => f.write_str(": has entries beside the damage"),
        }
    }
}
