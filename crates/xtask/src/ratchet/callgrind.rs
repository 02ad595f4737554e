//! The profile that callgrind writes, as far as its totals.
//!
//! The file is text: header lines `key: value`, then costs. `events:` names the counters, of which
//! `Ir` is instructions; `totals:` or, in older versions, `summary:` gives a sum for each, once for
//! every part that a long run or several threads were dumped in.

/// The instructions that were executed, over all parts.
pub(super) fn instructions(profile: &str) -> Option<u64> {
    let mut column = None;
    let mut parts: Vec<Part> = Vec::new();
    for line in profile.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        match key {
            "events" => column = value.split_whitespace().position(|event| event == "Ir"),
            "part" => parts.push(Part::default()),
            "totals" => last(&mut parts).totals = number(value, column?),
            "summary" => last(&mut parts).summary = number(value, column?),
            _ => {}
        }
    }
    let sums: Vec<u64> = parts
        .iter()
        .filter_map(|part| part.totals.or(part.summary))
        .collect();
    (!sums.is_empty()).then(|| sums.iter().sum())
}

#[derive(Default)]
struct Part {
    totals: Option<u64>,
    summary: Option<u64>,
}

/// The part that is being read; a file of one part need not say so.
fn last(parts: &mut Vec<Part>) -> &mut Part {
    if parts.is_empty() {
        parts.push(Part::default());
    }
    parts.last_mut().expect("there is one part at least")
}

fn number(value: &str, column: usize) -> Option<u64> {
    value.split_whitespace().nth(column)?.parse().ok()
}
