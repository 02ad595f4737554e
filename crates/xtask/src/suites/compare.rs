//! What is wrong with how a suite went: Leveret passes what RabbitMQ passes, but for what the list says.

use super::list::{Difference, Suite};
use super::results::Results;

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
    for test in rabbitmq.passed.difference(&leveret.passed) {
        if listed(test).is_none() {
            let how = match leveret.failed.contains(test) {
                true => "fails",
                false => "did not run",
            };
            sentences.push(format!("{test} {how} against Leveret, and is not listed"));
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
