//! What a scenario tells at its end: figures that serialize, and the same as a table.

mod table;

use serde::Serialize;

use crate::connection::Broker;
use crate::latency::Percentiles;
use crate::meter::Flow;
use crate::options::{Declaring, Load, Opening};
use crate::progress::Sample;

/// What came out of a run. Serializes as JSON for machines, prints as a table for people.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    scenario: &'static str,
    broker: Broker,
    #[serde(flatten)]
    told: Told,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Told {
    Load {
        options: Load,
        #[serde(flatten)]
        load: Box<LoadReport>,
    },
    Opening {
        options: Opening,
        #[serde(flatten)]
        opening: OpeningReport,
    },
    Declaring {
        options: Declaring,
        #[serde(flatten)]
        declaring: DeclaringReport,
    },
}

/// Whether a run found what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that was published came, once and as it was.
    Sound,
    /// Something is lost, doubled, damaged or was not confirmed.
    Wrong,
    /// It was interrupted, or nobody consumed, so that it cannot be said.
    Unchecked,
}

/// What the scenarios with messages tell.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LoadReport {
    pub(crate) published: Flow,
    pub(crate) confirmed: Option<Flow>,
    pub(crate) received: Flow,
    #[serde(rename = "latency_us")]
    pub(crate) latency: Option<Percentiles>,
    #[serde(rename = "confirm_latency_us")]
    pub(crate) confirm_latency: Option<Percentiles>,
    pub(crate) check: Check,
    pub(crate) samples: Vec<Sample>,
}

/// What became of the messages.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub(crate) outcome: Outcome,
    /// What messages were told apart by: their `number`, or for bodies too short for one their `count`.
    pub(crate) by: &'static str,
    /// Accepted and not received; `None` if it cannot be said.
    pub(crate) lost: Option<u64>,
    pub(crate) doubled: u64,
    pub(crate) damaged: u64,
    pub(crate) unconfirmed: u64,
    /// Refused by the broker.
    pub(crate) nacked: u64,
    /// Sent back by the broker.
    pub(crate) returned: u64,
    pub(crate) redelivered: u64,
    /// Left in the queues.
    pub(crate) ready: u64,
}

impl Check {
    pub(crate) fn judge(&mut self) {
        let wrong = [
            self.lost.unwrap_or_default(),
            self.doubled,
            self.damaged,
            if self.lost.is_some() {
                self.unconfirmed
            } else {
                0
            },
        ];
        self.outcome = match self.lost {
            _ if wrong.iter().any(|count| *count > 0) => Outcome::Wrong,
            Some(_) => Outcome::Sound,
            None => Outcome::Unchecked,
        };
    }
}

/// What `connections` tells.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OpeningReport {
    pub(crate) outcome: Outcome,
    pub(crate) opened: Flow,
    pub(crate) closed: Flow,
    #[serde(rename = "open_us")]
    pub(crate) open_times: Option<Percentiles>,
}

/// What `queues` tells: how many of each in which time, and how long one took.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeclaringReport {
    pub(crate) outcome: Outcome,
    pub(crate) steps: Vec<Step>,
}

/// One step with all queues.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    pub(crate) step: &'static str,
    pub(crate) done: Flow,
    #[serde(rename = "took_us")]
    pub(crate) times: Option<Percentiles>,
}

impl LoadReport {
    pub(crate) fn report(self, scenario: &'static str, broker: Broker, load: &Load) -> Report {
        let told = Told::Load {
            options: load.clone(),
            load: Box::new(self),
        };
        Report {
            scenario,
            broker,
            told,
        }
    }
}

impl OpeningReport {
    pub(crate) fn report(self, broker: Broker, options: &Opening) -> Report {
        let told = Told::Opening {
            options: options.clone(),
            opening: self,
        };
        Report {
            scenario: "connections",
            broker,
            told,
        }
    }
}

impl DeclaringReport {
    pub(crate) fn report(self, broker: Broker, options: &Declaring) -> Report {
        let told = Told::Declaring {
            options: options.clone(),
            declaring: self,
        };
        Report {
            scenario: "queues",
            broker,
            told,
        }
    }
}

impl Report {
    /// Whether it found what it should.
    pub fn outcome(&self) -> Outcome {
        match &self.told {
            Told::Load { load, .. } => load.check.outcome,
            Told::Opening { opening, .. } => opening.outcome,
            Told::Declaring { declaring, .. } => declaring.outcome,
        }
    }
}
