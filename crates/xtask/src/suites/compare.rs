//! What is wrong with how a suite went: Leveret passes what RabbitMQ passes, but for what the list says.

use super::list::{Difference, Suite};
use super::results::Results;

/// A suite that was ended leaves many tests behind: of more than these only the number is told.
const SHOWN_MAX: usize = 30;

/// A sentence for each thing that is not as it should be.
pub(crate) fn disagreements(
    suite: &Suite,
    rabbitmq: &Results,
    leveret: &Results,
    differences: &[Difference],
) -> Vec<String> {
    let mut sentences = Vec::new();
    let (passed, least) = (rabbitmq.passed.len(), suite.passes_min);
    if passed < least {
        let failed = rabbitmq.failed.iter().cloned().collect::<Vec<_>>();
        sentences.push(format!(
            "only {passed} tests pass against RabbitMQ, and {least} have to; these fail: {}",
            failed.join(", ")
        ));
    }
    let listed = |test: &str| {
        let mut all = differences.iter();
        all.find(|difference| difference.suite == suite.name && difference.test == test)
    };
    let missed = rabbitmq.passed.difference(&leveret.passed);
    let missed = missed.filter(|test| listed(test).is_none());
    let (failed, not_run): (Vec<&String>, _) = missed.partition(|t| leveret.failed.contains(*t));
    for (tests, how) in [(failed, "fail"), (not_run, "did not run")] {
        let shown: Vec<&str> = tests.iter().take(SHOWN_MAX).map(|t| t.as_str()).collect();
        if !shown.is_empty() {
            let (count, shown) = (tests.len(), shown.join("\n    "));
            sentences.push(format!(
                "{count} {how} against Leveret, and are not listed:\n    {shown}"
            ));
        }
    }
    for difference in differences.iter().filter(|d| d.suite == suite.name) {
        let test = &difference.test;
        if !rabbitmq.passed.contains(test) && !difference.sometimes {
            sentences.push(format!("{test} is listed, and RabbitMQ does not pass it"));
        } else if leveret.passed.contains(test) && !difference.sometimes {
            sentences.push(format!("{test} is listed, and passes against Leveret"));
        }
    }
    sentences
}

#[cfg(test)]
mod tests;
