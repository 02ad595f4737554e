//! A client of the management API, as one user.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request};

/// No request takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Clone, Debug)]
pub struct Http {
    agent: Agent,
    address: SocketAddr,
    authorization: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body as JSON, null where it is empty; a text where it is none.
    pub body: Value,
    /// The header `Location`.
    pub location: Option<String>,
}

impl Http {
    /// A client of a user.
    pub fn new(address: SocketAddr, user: &str, password: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(DEADLINE))
            // A server may close one that is kept just as the next request goes out on it; RabbitMQ does after a crash.
            .max_idle_connections(0)
            .build();
        Self {
            agent: config.into(),
            address,
            authorization: format!("Basic {}", BASE64.encode(format!("{user}:{password}"))),
        }
    }

    /// A client of `guest`.
    pub fn guest(address: SocketAddr) -> Self {
        Self::new(address, "guest", "guest")
    }

    /// One request below `/api`.
    #[track_caller]
    pub fn request(&self, method: &Method, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.request_text(method, path, body)
    }

    /// One request below `/api`, whose body may be no JSON.
    #[track_caller]
    pub fn request_text(&self, method: &Method, path: &str, body: String) -> Answer {
        // RabbitMQ refuses some bodies that it is not told the type of.
        let request = Request::builder()
            .method(method.clone())
            .header("content-type", "application/json")
            .uri(format!("http://{}/api{path}", self.address))
            .header("authorization", &self.authorization)
            .body(body)
            .expect("paths of tests are good");
        let answer = self.agent.run(request);
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let location = answer.headers().get("location");
        let location = location.and_then(|value| value.to_str().ok().map(str::to_owned));
        let text = answer
            .body_mut()
            .read_to_string()
            .expect("an answer is a text");
        Answer {
            status: answer.status().as_u16(),
            body: match text.as_str() {
                "" => Value::Null,
                json => serde_json::from_str(json).unwrap_or_else(|_| json.into()),
            },
            location,
        }
    }

    /// What is told under a path; anything but 200 fails.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.request(&Method::GET, path, None);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.body
    }

    /// The status of a GET, with the body.
    #[track_caller]
    pub fn try_get(&self, path: &str) -> (u16, Value) {
        let answer = self.request(&Method::GET, path, None);
        (answer.status, answer.body)
    }

    /// Puts; returns the status and the body.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.request(&Method::PUT, path, Some(body));
        (answer.status, answer.body)
    }

    /// Posts.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(&Method::POST, path, Some(body))
    }

    /// Deletes; returns the status.
    #[track_caller]
    pub fn delete(&self, path: &str) -> u16 {
        self.request(&Method::DELETE, path, None).status
    }
}
