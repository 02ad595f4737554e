//! How two answers to the same request differ.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::http::Answer;

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The status.
    Status,
    /// A key that RabbitMQ tells and we do not, or an item of a list.
    Missing,
    /// A key that we tell and RabbitMQ does not, or an item of a list.
    Extra,
    /// The type of a value.
    Type,
    /// A value.
    Value,
}

/// One difference between two answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The request, as the script has it.
    pub request: String,
    /// Where in the answer: keys with points between them, `[]` for the items of a list.
    pub at: String,
    /// What differs.
    pub kind: Kind,
    /// What RabbitMQ says there.
    pub rabbitmq: Value,
    /// What we say.
    pub leveret: Value,
}

/// Keys by which items of two lists are paired.
const IDENTIFYING: [&str; 13] = [
    "vhost",
    "name",
    "user",
    "component",
    "source",
    "destination",
    "destination_type",
    "routing_key",
    "properties_key",
    "exchange",
    "protocol",
    "number",
    "consumer_tag",
];

/// All differences; none where RabbitMQ's answer and ours are alike.
pub fn compare(request: &str, rabbitmq: &Answer, leveret: &Answer) -> Vec<Difference> {
    let mut found = Found {
        request,
        all: Vec::new(),
    };
    // A crash of RabbitMQ over a request that makes no sense is nothing to be like.
    if rabbitmq.status == 500 && (400..500).contains(&leveret.status) {
        return Vec::new();
    }
    if rabbitmq.status != leveret.status {
        let (theirs, ours) = (told(rabbitmq), told(leveret));
        found.note("status", Kind::Status, &theirs, &ours);
        return found.all;
    }
    let location = |answer: &Answer| answer.location.clone().map(Value::from);
    let locations = (location(rabbitmq), location(leveret));
    if locations.0 != locations.1 {
        let (theirs, ours) = locations;
        let (theirs, ours) = (theirs.unwrap_or_default(), ours.unwrap_or_default());
        found.note("location", Kind::Value, &theirs, &ours);
    }
    found.compare("", &rabbitmq.body, &leveret.body);
    found.all
}

fn told(answer: &Answer) -> Value {
    serde_json::json!({"status": answer.status, "body": answer.body})
}

struct Found<'r> {
    request: &'r str,
    all: Vec<Difference>,
}

impl Found<'_> {
    fn note(&mut self, at: &str, kind: Kind, rabbitmq: &Value, leveret: &Value) {
        self.all.push(Difference {
            request: self.request.to_owned(),
            at: at.to_owned(),
            kind,
            rabbitmq: rabbitmq.clone(),
            leveret: leveret.clone(),
        });
    }

    fn compare(&mut self, at: &str, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::Object(t), Value::Object(o)) => {
                let keys: BTreeSet<&String> = t.keys().chain(o.keys()).collect();
                for key in keys {
                    self.pair(&below(at, key), t.get(key), o.get(key));
                }
            }
            (Value::Array(t), Value::Array(o)) => self.lists(&format!("{at}[]"), t, o),
            (theirs, ours) if type_of(theirs) != type_of(ours) => {
                self.note(at, Kind::Type, theirs, ours);
            }
            (theirs, ours) if theirs != ours => self.note(at, Kind::Value, theirs, ours),
            _ => {}
        }
    }

    fn pair(&mut self, at: &str, theirs: Option<&Value>, ours: Option<&Value>) {
        match (theirs, ours) {
            (Some(theirs), Some(ours)) => self.compare(at, theirs, ours),
            (Some(theirs), None) => self.note(at, Kind::Missing, theirs, &Value::Null),
            (None, Some(ours)) => self.note(at, Kind::Extra, &Value::Null, ours),
            (None, None) => {}
        }
    }

    /// Objects are paired by what identifies them, and compared; other items have to be the same. The order is not compared.
    fn lists(&mut self, at: &str, theirs: &[Value], ours: &[Value]) {
        let mut left: Vec<&Value> = ours.iter().collect();
        let mut rest = Vec::new();
        for item in theirs {
            match left
                .iter()
                .position(|other| identity(other) == identity(item))
            {
                Some(place) => self.compare(at, item, left.remove(place)),
                None => rest.push(item),
            }
        }
        // What is named by each broker itself, such as a node, is compared as it comes.
        let pairs = rest.len().min(left.len());
        for (theirs, ours) in rest.drain(..pairs).zip(left.drain(..pairs)) {
            self.compare(at, theirs, ours);
        }
        for item in rest {
            self.note(at, Kind::Missing, item, &Value::Null);
        }
        for item in left {
            self.note(at, Kind::Extra, &Value::Null, item);
        }
    }
}

fn below(at: &str, key: &str) -> String {
    match at {
        "" => key.to_owned(),
        at => format!("{at}.{key}"),
    }
}

fn identity(item: &Value) -> String {
    if !item.is_object() {
        return item.to_string();
    }
    let parts = IDENTIFYING.iter().filter_map(|key| item.get(key));
    parts.map(Value::to_string).collect::<Vec<_>>().join(" ")
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
