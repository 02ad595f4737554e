//! Playing the script against two brokers.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use amq_protocol::protocol::basic;
use amq_protocol::types::{AMQPValue, FieldTable};
use ureq::http::Method;

use super::compare::{Difference, compare};
use super::script::Step;
use crate::client::{Channel, Connection, Login, table};
use crate::http::{Answer, Http};

/// Nothing that is waited for takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// One of the brokers.
pub struct Side {
    amqp: SocketAddr,
    management: SocketAddr,
    node: String,
    http: Http,
    client: Option<Client>,
}

/// A client over AMQP.
struct Client {
    connection: Connection,
    /// The connection's name.
    name: String,
    _channel: Channel,
}

impl Side {
    /// A broker at these addresses.
    pub fn new(amqp: SocketAddr, management: SocketAddr) -> Self {
        let http = Http::guest(management);
        let node = http.get("/overview")["node"].as_str().map(str::to_owned);
        Self {
            amqp,
            management,
            node: node.expect("it tells its name"),
            http,
            client: None,
        }
    }

    /// Asks, and puts what stands for them in the place of names that each broker has for itself.
    fn ask(&self, method: &Method, path: &str, body: &str) -> Answer {
        let connection = self.connection_name();
        let escaped = connection.replace(' ', "%20").replace('>', "%3E");
        let path = path
            .replace("{node}", &self.node)
            .replace("{port}", &self.amqp.port().to_string())
            .replace("{connection}", &escaped)
            .replace("{channel}", &format!("{escaped}%20(1)"));
        let mut answer = self.http.request_text(method, &path, body.to_owned());
        let mut told = answer.body.to_string().replace(&self.node, "{node}");
        if !connection.is_empty() {
            told = told.replace(connection, "{connection}");
        }
        answer.body = serde_json::from_str(&told).expect("names are replaced by names");
        answer
    }

    fn connection_name(&self) -> &str {
        self.client.as_ref().map_or("", |client| &client.name)
    }

    fn connect(&mut self) {
        let login = Login {
            client_properties: table([
                ("product", AMQPValue::LongString("a client of tests".into())),
                ("connection_name", AMQPValue::LongString("alive".into())),
            ]),
            ..Login::default()
        };
        let connection = Connection::open_at(self.amqp, &login);
        let channel = connection.channel(1);
        channel.qos(10, false);
        channel.confirm_select();
        for _ in 0..3 {
            channel.publish("", "live", "alive");
        }
        channel.confirms(3);
        channel.consume_with(basic::Consume {
            queue: "live".into(),
            consumer_tag: "tag".into(),
            no_local: false,
            no_ack: false,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        channel.deliveries(3);
        channel.ack(1);
        channel.sync();
        let api = Http::guest(self.management);
        self.until("the connection is told", || {
            api.get("/connections")[0]["name"].is_string()
        });
        let name = api.get("/connections")[0]["name"]
            .as_str()
            .map(str::to_owned);
        self.client = Some(Client {
            connection,
            name: name.unwrap_or_default(),
            _channel: channel,
        });
    }

    fn disconnect(&mut self) {
        if let Some(client) = self.client.take() {
            client.connection.close();
        }
        let api = Http::guest(self.management);
        self.until("no connection is told", || {
            api.get("/connections")
                .as_array()
                .is_some_and(Vec::is_empty)
        });
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + DEADLINE;
        while !is_so() {
            assert!(Instant::now() < end, "{}: not in time: {what}", self.node);
            thread::sleep(LOOK);
        }
    }

    fn await_key(&self, path: &str, key: &str) {
        self.until(&format!("{key} in {path}"), || {
            let answer = self.ask(&Method::GET, path, "");
            let told = key
                .split('.')
                .try_fold(&answer.body, |at, key| match key.parse() {
                    Ok(index) => at.get::<usize>(index),
                    Err(_) => at.get(key),
                });
            told.is_some_and(|told| !told.is_null() && told.as_u64() != Some(0))
        });
    }
}

/// Plays all steps, and returns how many requests there were and where the answers differ.
pub fn play(rabbitmq: &mut Side, leveret: &mut Side, steps: &[Step]) -> (usize, Vec<Difference>) {
    let mut user = "guest".to_owned();
    let (mut requests, mut differences) = (0, Vec::new());
    for step in steps {
        match step {
            Step::As(name, password) => {
                name.clone_into(&mut user);
                for side in [&mut *rabbitmq, &mut *leveret] {
                    side.http = Http::new(side.management, name, password);
                }
            }
            Step::Connect => {
                rabbitmq.connect();
                leveret.connect();
            }
            Step::Disconnect => {
                rabbitmq.disconnect();
                leveret.disconnect();
            }
            Step::Await(path, key) => {
                rabbitmq.await_key(path, key);
                leveret.await_key(path, key);
            }
            Step::Ask { method, path, body } => {
                requests += 1;
                let as_whom = if user == "guest" {
                    String::new()
                } else {
                    format!("{user}: ")
                };
                let request = format!("{as_whom}{method} {path} {body}");
                let theirs = rabbitmq.ask(method, path, body);
                let ours = leveret.ask(method, path, body);
                differences.extend(compare(request.trim_end(), &theirs, &ours));
            }
        }
    }
    (requests, differences)
}
