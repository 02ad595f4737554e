//! What is told beside a figure: `rate` and, where a request asks for them, `samples`, `avg` and `avg_rate`.

use serde_json::{Map, Value, json};

use super::history::{Millis, Sample};
use crate::figure::{Family, Figure, Figures};
use crate::refusal::Refusal;

/// Samples in one answer at most, as in RabbitMQ.
const SAMPLES_MAX: u64 = 500;

/// Samples that are asked for: so far back, so far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) age: Millis,
    pub(crate) apart: Millis,
}

impl Range {
    /// **Errors**: 400 for what RabbitMQ refuses too. Without two numbers there is no range.
    pub(crate) fn of(age: Option<&str>, apart: Option<&str>) -> Result<Option<Self>, Refusal> {
        let number = |given: Option<&str>| given?.parse::<i64>().ok();
        let (Some(age), Some(apart)) = (number(age), number(apart)) else {
            return Ok(None);
        };
        let seconds = (u64::try_from(age).ok(), u64::try_from(apart).ok());
        match seconds {
            (Some(age @ 1..), Some(apart @ 1..)) if age / apart <= SAMPLES_MAX => Ok(Some(Self {
                age: age.saturating_mul(1000),
                apart: apart.saturating_mul(1000),
            })),
            _ => Err(Refusal::bad_request(format!(
                "Invalid range parameters: age {age}, incr {apart}"
            ))),
        }
    }
}

/// What a request asks samples of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ranges {
    pub(crate) lengths: Option<Range>,
    pub(crate) messages: Option<Range>,
    pub(crate) data: Option<Range>,
    pub(crate) node: Option<Range>,
}

/// A sample of every figure, at a time that is told.
pub(super) type Point = (u64, Sample);

/// Figures with what was sampled of them.
#[derive(Debug, Default)]
pub(crate) struct Rated {
    pub(super) now: Millis,
    pub(super) values: Figures,
    pub(super) base: Option<Sample>,
    /// What was asked for, the newest first.
    pub(super) lengths: Option<Vec<Point>>,
    pub(super) messages: Option<Vec<Point>>,
    pub(super) data: Option<Vec<Point>>,
    pub(super) node: Option<Vec<Point>>,
}

impl Rated {
    pub(crate) fn get(&self, figure: Figure) -> u64 {
        self.values.get(figure)
    }

    /// Puts figures, each with its details.
    pub(crate) fn put(&self, to: &mut Map<String, Value>, figures: &[Figure]) {
        for figure in figures {
            to.insert(figure.name().to_owned(), self.get(*figure).into());
            to.insert(format!("{}_details", figure.name()), self.details(*figure));
        }
    }

    /// Those groups of figures of which one is not 0; none where all are.
    pub(crate) fn stats(&self, groups: &[&[Figure]]) -> Option<Value> {
        let mut stats = Map::new();
        for group in groups {
            if group.iter().any(|figure| self.get(*figure) > 0) {
                self.put(&mut stats, group);
            }
        }
        (!stats.is_empty()).then_some(Value::Object(stats))
    }

    fn details(&self, figure: Figure) -> Value {
        let rate = self.base.as_ref().map_or(0.0, |base| {
            let before = (base.at, base.values.get(figure));
            risen(figure, before, (self.now, self.get(figure)))
        });
        let points = match figure.family() {
            Family::Lengths => &self.lengths,
            Family::Messages => &self.messages,
            Family::Data => &self.data,
            Family::Node => &self.node,
        };
        let Some(points) = points else {
            return json!({"rate": rate});
        };
        let values: Vec<u64> = points.iter().map(|(_, s)| s.values.get(figure)).collect();
        let samples: Vec<Value> = points
            .iter()
            .zip(&values)
            .map(|((timestamp, _), value)| json!({"sample": value, "timestamp": timestamp}))
            .collect();
        let average = match values.len() {
            0 => 0.0,
            count => values.iter().sum::<u64>() as f64 / count as f64,
        };
        let average_rate = match (points.first(), points.last()) {
            (Some((to, newest)), Some((from, oldest))) => risen(
                figure,
                (*from, oldest.values.get(figure)),
                (*to, newest.values.get(figure)),
            ),
            _ => 0.0,
        };
        json!({"rate": rate, "samples": samples, "avg_rate": average_rate, "avg": average})
    }
}

/// How much a value has risen in a second. Counts that are less than before are of another thing by the same name, and begin again.
fn risen(figure: Figure, (from, before): (Millis, u64), (to, after): (Millis, u64)) -> f64 {
    let is_count = matches!(figure.family(), Family::Messages | Family::Data);
    match to.saturating_sub(from) {
        0 => 0.0,
        _ if is_count && after < before => 0.0,
        passed => (after as f64 - before as f64) * 1000.0 / passed as f64,
    }
}
