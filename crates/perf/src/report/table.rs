//! A report as a table: a line for each figure, columns as wide as what is in them.

use std::fmt::{self, Display, Formatter};

use super::{Check, Declaring, DeclaringReport, LoadReport, OpeningReport, Outcome, Report, Told};
use crate::latency::Percentiles;
use crate::meter::Flow;

/// Lines of cells.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<Vec<String>>);

impl Rows {
    pub(crate) fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }

    fn flow(&mut self, name: &str, flow: &Flow) {
        self.add([
            name.to_owned(),
            grouped(flow.messages as f64),
            format!("{:.3}", flow.seconds),
            grouped(flow.per_second),
        ]);
    }

    fn times(&mut self, name: &str, times: &Percentiles) {
        let figures = [
            times.min,
            times.p50,
            times.p95,
            times.p99,
            times.p999,
            times.p9999,
            times.max,
        ];
        let cells = figures.iter().map(|figure| grouped(*figure));
        self.add(std::iter::once(name.to_owned()).chain(cells));
    }
}

const FLOWS: [&str; 4] = ["", "count", "seconds", "per second"];
const TIMES: [&str; 8] = ["µs", "min", "p50", "p95", "p99", "p99.9", "p99.99", "max"];

fn head(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A whole number with commas between thousands.
fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Display for Rows {
    /// The first column to the left, the others to the right.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.0 {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => line.push_str(&format!("{cell:width$}")),
                    _ => line.push_str(&format!("  {cell:>width$}")),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let broker = &self.broker;
        writeln!(
            f,
            "{} of {} {}\n",
            self.scenario, broker.product, broker.version
        )?;
        match &self.told {
            Told::Load { load, .. } => load.fmt(f),
            Told::Opening { opening, .. } => opening.fmt(f),
            Told::Declaring { options, declaring } => declaring.show(options, f),
        }
    }
}

impl Display for LoadReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut flows = Rows::default();
        flows.add(head(&FLOWS));
        flows.flow("published", &self.published);
        if let Some(confirmed) = &self.confirmed {
            flows.flow("confirmed", confirmed);
        }
        flows.flow("received", &self.received);
        writeln!(f, "{flows}")?;
        let mut times = Rows::default();
        times.add(head(&TIMES));
        let kinds = [
            ("publish to delivery", &self.latency),
            ("publish to confirm", &self.confirm_latency),
        ];
        let mut has_times = false;
        for (kind, taken) in kinds {
            if let Some(taken) = taken {
                times.times(kind, taken);
                has_times = true;
            }
        }
        if has_times {
            writeln!(f, "{times}")?;
        }
        self.check.fmt(f)
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Check {
            lost,
            doubled,
            damaged,
            by,
            ..
        } = self;
        match lost {
            Some(lost) => writeln!(
                f,
                "by {by}: {lost} lost, {doubled} doubled, {damaged} damaged"
            )?,
            None => writeln!(
                f,
                "not checked for loss; {doubled} doubled, {damaged} damaged"
            )?,
        }
        let more = [
            ("refused by the broker", self.nacked),
            ("sent back by the broker", self.returned),
            ("not confirmed", self.unconfirmed),
            ("redelivered", self.redelivered),
            ("left in queues", self.ready),
        ];
        for (what, count) in more.iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "{count} {what}")?;
        }
        Ok(())
    }
}

impl Display for OpeningReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut flows = Rows::default();
        flows.add(head(&FLOWS));
        flows.flow("opened", &self.opened);
        flows.flow("closed", &self.closed);
        writeln!(f, "{flows}")?;
        let mut times = Rows::default();
        times.add(head(&TIMES));
        if let Some(taken) = &self.open_times {
            times.times("open", taken);
        }
        write!(f, "{times}")
    }
}

impl DeclaringReport {
    fn show(&self, options: &Declaring, f: &mut Formatter<'_>) -> fmt::Result {
        let (mut flows, mut times) = (Rows::default(), Rows::default());
        flows.add(head(&FLOWS));
        times.add(head(&TIMES));
        for step in &self.steps {
            flows.flow(step.step, &step.done);
            if let Some(taken) = &step.times {
                times.times(step.step, taken);
            }
        }
        write!(f, "{flows}\n{times}")?;
        match self.outcome {
            Outcome::Wrong => writeln!(f, "\nnot every message came back"),
            Outcome::Sound => writeln!(
                f,
                "\na message went through each of {} queues and came back as it was",
                options.queues
            ),
            Outcome::Unchecked => writeln!(f, "\ninterrupted"),
        }
    }
}

#[cfg(test)]
mod tests;
