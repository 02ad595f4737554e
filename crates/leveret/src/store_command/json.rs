//! The report of a check as JSON, for programs: keys are only ever added.

use leveret_store::check::{Concerned, Finding, How, Loses, Report};
use serde_json::{Value, json};

/// A report.
pub(super) fn report(report: &Report) -> Value {
    let counts = &report.counts;
    let findings: Vec<_> = report.findings.iter().map(finding).collect();
    let quarantine = report.quarantine.iter();
    let quarantine: Vec<_> = quarantine
        .map(|(name, bytes)| json!({ "name": name, "bytes": bytes }))
        .collect();
    json!({
        "good": report.is_good(),
        "store": format!("{:032x}", report.store),
        "checkpoint": report.generation,
        "log_files": counts.log_files,
        "batches": counts.batches,
        "segments": counts.segments,
        "queues": counts.queues,
        "messages": counts.messages,
        "definitions": counts.definitions,
        "damages": findings,
        "remarks": report.remarks,
        "quarantine": quarantine,
    })
}

fn finding(finding: &Finding) -> Value {
    let queues: Vec<_> = finding.queues.iter().map(concerned).collect();
    json!({
        "range": finding.at.to_string(),
        "file": finding.at.file,
        "bytes": finding.at.bytes.map(|(from, to)| [from, to]),
        "what": finding.what,
        "loses_something": finding.loses == Loses::Something,
        "queues": queues,
    })
}

fn concerned(concerned: &Concerned) -> Value {
    let (how, first, last, count) = match concerned.how {
        How::Lost {
            first_seq,
            last_seq,
            count,
        } => ("lost", Some(first_seq), Some(last_seq), Some(count)),
        How::Missing {
            first_seq,
            last_seq,
        } => ("missing", Some(first_seq), Some(last_seq), None),
        How::Near => ("near", None, None, None),
    };
    json!({
        "queue": concerned.queue.0,
        "name": concerned.name,
        "stream": concerned.stream.0,
        "how": how,
        "first_seq": first,
        "last_seq": last,
        "count": count,
    })
}
