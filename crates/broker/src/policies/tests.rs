//! Which policy counts, and which cannot be taken.

use leveret_message::name::Name;
use serde_json::{Value, json};

use super::{Object, Policies, Policy, Sort};
use crate::error::Kind;

fn policy(sort: Sort, name: &str, value: Value) -> Result<Policy, String> {
    Policy::parse(sort, Name::new(name).expect("short"), &value)
}

fn queue(name: &str) -> Object<'_> {
    Object {
        kind: Kind::Queue,
        name,
        queue_type: Some("classic"),
    }
}

#[test]
fn the_highest_priority_counts_and_the_operator_limits_it() {
    let mut policies = Policies::default();
    for (sort, name, value) in [
        (
            Sort::User,
            "low",
            json!({"pattern": "^a", "definition": {"max-length": 1}}),
        ),
        (
            Sort::User,
            "high",
            json!({"pattern": "a", "definition": {"max-length": 10, "overflow": "drop-head"}, "priority": 5}),
        ),
        (
            Sort::User,
            "others",
            json!({"pattern": ".*", "definition": {"expires": 5}, "priority": 9, "apply-to": "quorum_queues"}),
        ),
        (
            Sort::Operator,
            "cap",
            json!({"pattern": "", "definition": {"max-length": 7, "overflow": "reject-publish", "expires": 9}}),
        ),
    ] {
        assert!(policies.put(sort, policy(sort, name, value).expect("good")));
    }
    let effective = policies.effective(queue("abc"));
    assert_eq!(
        effective.policy.map(|p| p.name.to_string()),
        Some("high".to_owned())
    );
    assert_eq!(
        effective.operator_policy.map(|p| p.name.to_string()),
        Some("cap".to_owned())
    );
    assert_eq!(
        Value::Object(effective.definition),
        json!({"max-length": 7, "overflow": "reject-publish", "expires": 9})
    );
    assert!(policies.remove(Sort::User, "high"));
    assert!(!policies.remove(Sort::User, "high"));
    let effective = policies.effective(queue("abc"));
    assert_eq!(
        effective.policy.map(|p| p.name.to_string()),
        Some("low".to_owned())
    );
    assert!(policies.effective(queue("xyz")).policy.is_none());
}

#[test]
fn what_cannot_be_taken_is_told_in_rabbitmqs_words() {
    for (sort, value, reason) in [
        (
            Sort::User,
            json!({"pattern": "a", "definition": {}}),
            "no policy provided",
        ),
        (
            Sort::User,
            json!({"pattern": "a", "definition": {"message-ttl": -1}}),
            "-1 is not a valid message TTL",
        ),
        (
            Sort::User,
            json!({"pattern": "a", "definition": {"dead-letter-exchange": 7}}),
            "7 is not a valid dead letter exchange name",
        ),
        (
            Sort::User,
            json!({"pattern": "a", "definition": {"foo": 7}}),
            "[<<\"foo\">>] are not recognised policy settings\n",
        ),
        (
            Sort::Operator,
            json!({"pattern": "a", "definition": {"dead-letter-exchange": "x"}}),
            "[<<\"dead-letter-exchange\">>] are not recognised operator policy settings\n",
        ),
        (
            Sort::User,
            json!({"pattern": "a", "definition": {"x-message-deduplication": "yes"}}),
            "'x-message-deduplication' must be a boolean, got <<\"yes\">>",
        ),
        (
            Sort::User,
            json!({"pattern": "a", "definition": {"cache-size": 0}}),
            "'cache-size' must be an integer greater than 0, got 0",
        ),
        (
            Sort::Operator,
            json!({"pattern": "a", "definition": {"x-cache-ttl": 5}}),
            "[<<\"x-cache-ttl\">>] are not recognised operator policy settings\n",
        ),
        (
            Sort::User,
            json!({"pattern": "a", "definition": {"max-age": "1 day"}}),
            "<<\"1 day\">> is not a valid max age",
        ),
        (
            Sort::User,
            json!({"pattern": "a", "definition": {"overflow": "spill"}}),
            "<<\"spill\">> is not a valid overflow value",
        ),
        (
            Sort::User,
            json!({"pattern": "a", "definition": {"expires": 1}, "apply-to": "nothing"}),
            "apply-to does not have valid value, actually was <<\"nothing\">>",
        ),
        (
            Sort::User,
            json!({"definition": {"expires": 1}}),
            "Key 'pattern' not found",
        ),
    ] {
        assert_eq!(policy(sort, "p", value).map(|_| ()), Err(reason.to_owned()));
    }
    let old = json!({"pattern": "a", "definition": {"ha-mode": "all"}});
    assert!(policy(Sort::User, "p", old).is_ok());
}

/// A data folder may have what a version took that looked less closely.
#[test]
fn what_was_taken_before_is_read_back() {
    let value = json!({"pattern": "a", "definition": {"max-age": "1 day", "max-length": 7}});
    assert!(policy(Sort::User, "p", value.clone()).is_err());
    let read = Policy::read(Name::new("p").unwrap(), &value).unwrap();
    assert_eq!(read.definition.get("max-length"), Some(&json!(7)));
}
