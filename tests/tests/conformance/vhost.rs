//! A vhost of a test's own, made and changed over the management API.

use leveret_tests::broker;
use leveret_tests::client::{Channel, Connection, Login, unique};
use leveret_tests::http::Http;
use serde_json::json;

/// A vhost of its own, which goes with the value.
pub(super) struct Vhost {
    pub(super) name: String,
    pub(super) http: Http,
}

impl Vhost {
    pub(super) fn new() -> Self {
        let (name, http) = (unique("vhost"), Http::guest(broker::management()));
        http.put(&format!("/vhosts/{name}"), &json!({}));
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        http.put(&format!("/permissions/{name}/guest"), &all);
        Self { name, http }
    }

    pub(super) fn trace(&self, on: bool) {
        let path = format!("/vhosts/{}", self.name);
        self.http.put(&path, &json!({ "tracing": on }));
    }

    /// A channel of a new connection.
    pub(super) fn channel(&self) -> Channel {
        let login = Login {
            vhost: self.name.clone(),
            ..Login::default()
        };
        Connection::open_as(&login).channel(1)
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        self.http.delete(&format!("/vhosts/{}", self.name));
    }
}
