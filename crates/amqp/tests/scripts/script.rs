//! Scripts: what clients say, line by line, and what has to come back. The lines themselves are described in `README.md` beside the scripts.
//!
//! Whatever comes back after a client's line has to stand right behind it; order counts for each connection, not between connections.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use leveret_broker::alarms::Alarms;

use crate::frames::{decode, encode};
use crate::sockets::Sockets;
use crate::value::{Node, items};

/// How a script went.
pub(crate) struct Outcome {
    /// The script with the broker's lines as they came.
    pub(crate) text: String,
    /// The first line that is not as it should be, numbered from 1, and what is wrong with it.
    pub(crate) first_difference: Option<(usize, String)>,
}

/// Runs a script to its end, or up to a line that cannot be carried out.
pub(crate) fn run(script: &str) -> Outcome {
    let mut run = Run::default();
    let mut ended_at = 0;
    for (index, line) in script.lines().enumerate() {
        if let Err(error) = run.line(index + 1, line) {
            run.differs(index + 1, error);
            ended_at = index + 1;
            break;
        }
        ended_at = index + 1;
    }
    run.compare();
    for line in script.lines().skip(ended_at) {
        run.keep(line);
    }
    Outcome {
        text: run.text,
        first_difference: run.first_difference,
    }
}

#[derive(Default)]
struct Run {
    sockets: Option<Sockets>,
    /// Octets of the client's lines that end in `&`, by the connection that sends them.
    joined: Vec<(u32, Vec<u8>)>,
    frame_max: HashMap<u32, u32>,
    names: Names,
    /// What came back since the last client's line, with the connection it came on.
    came: Vec<(u32, String)>,
    /// The lines behind the last client's line.
    behind: Vec<(usize, String)>,
    last_action: usize,
    text: String,
    first_difference: Option<(usize, String)>,
}

/// `C2.3:` or `S:`, and what follows.
struct Said<'a> {
    connection: u32,
    channel: Option<u16>,
    text: &'a str,
}

fn said(line: &str, side: char) -> Option<Said<'_>> {
    let (who, text) = line.strip_prefix(side)?.split_once(':')?;
    let (connection, channel) = match who.split_once('.') {
        Some((connection, channel)) => (connection, Some(channel.parse().ok()?)),
        None => (who, None),
    };
    let connection = match connection {
        "" => 1,
        number => number.parse().ok()?,
    };
    let text = text.trim();
    Some(Said {
        connection,
        channel,
        text,
    })
}

impl Run {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') || said(trimmed, 'S').is_some() {
            self.behind.push((number, line.to_owned()));
            return Ok(());
        }
        self.compare();
        self.keep(line);
        self.last_action = number;
        if let Some(said) = said(trimmed, 'C') {
            self.client(&said)?;
        } else {
            self.directive(trimmed)?;
        }
        self.receive()
    }

    fn keep(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn differs(&mut self, number: usize, what: String) {
        self.first_difference.get_or_insert((number, what));
    }

    fn sockets(&mut self) -> &mut Sockets {
        self.sockets.get_or_insert_with(Sockets::new)
    }

    fn client(&mut self, said: &Said<'_>) -> Result<(), String> {
        let number = said.connection;
        if !self.sockets().has(number) {
            self.connect(number, "")?;
        }
        let (text, joins) = match said.text.strip_suffix('&') {
            Some(text) => (text.trim(), true),
            None => (said.text, false),
        };
        let frame_max = self.frame_max.get(&number).copied().unwrap_or(131_072);
        let octets = encode(&self.names.actual(text), said.channel, frame_max)?;
        match self.joined.iter_mut().find(|(of, _)| *of == number) {
            Some((_, joined)) => joined.extend(octets),
            None => self.joined.push((number, octets)),
        }
        if joins {
            return Ok(());
        }
        let joined = std::mem::take(&mut self.joined);
        self.sockets().send_all(&joined)
    }

    fn directive(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "connect" => self.connect(connection_number(first)?, more),
            "socket" => {
                self.sockets()
                    .accept(connection_number(first)?, more != "remote");
                Ok(())
            }
            "lose" => self.sockets().lose(connection_number(first)?),
            "advance" => self.sockets().advance(duration(first)?),
            "limits" => self.limits(rest),
            "alarms" => {
                let (memory, disk) = (rest.contains("memory"), rest.contains("disk"));
                self.sockets().broker.set_alarms(Alarms { memory, disk });
                self.sockets().settle();
                Ok(())
            }
            "stop" => {
                self.sockets().broker.connections.close_all(rest);
                self.sockets().settle();
                Ok(())
            }
            "names" => {
                self.names.prefixes.push(first.to_owned());
                Ok(())
            }
            _ => Err(format!("nothing is done by '{line}'")),
        }
    }

    /// Settings other than the defaults, for connections from here on.
    fn limits(&mut self, rest: &str) -> Result<(), String> {
        for (name, node) in items(rest)? {
            let number = node.number()?;
            let settings = &mut self.sockets().settings;
            match name.as_deref() {
                Some("frame-max") => settings.frame_max = number as u32,
                Some("channel-max") => settings.channel_max = number as u16,
                Some("heartbeat") => settings.heartbeat = number as u16,
                Some("max-message-size") => settings.max_message_size = number as u64,
                Some("unfinished-content-bytes-max") => {
                    settings.unfinished_content_bytes_max = number as u64;
                }
                Some("transaction-bytes-max") => {
                    settings.transaction_bytes_max = number as usize;
                }
                Some("consumers-per-channel-max") => {
                    settings.consumers_per_channel_max = number as usize;
                }
                Some("unacked-per-channel-max") => {
                    settings.unacked_per_channel_max = number as u32;
                }
                Some("default-consumer-prefetch") => {
                    settings.default_consumer_prefetch = number as u16;
                }
                other => return Err(format!("no limit {other:?}")),
            }
        }
        Ok(())
    }

    /// Opens a connection and its channel 1.
    fn connect(&mut self, number: u32, options: &str) -> Result<(), String> {
        let mut login = Login::default();
        for (name, node) in items(options)? {
            login.set(name.as_deref().unwrap_or_default(), &node)?;
        }
        self.sockets().accept(number, true);
        self.frame_max.insert(number, login.frame_max);
        for line in login.lines() {
            let octets = encode(&line, None, login.frame_max)?;
            self.sockets().send(number, &octets)?;
        }
        self.receive()?;
        let last = self.came.iter().rev().find(|(of, _)| *of == number);
        let last = last.map(|(_, line)| line.clone()).unwrap_or_default();
        if !last.ends_with("channel.open-ok") {
            return Err(format!("connection {number} is not open: {last}"));
        }
        self.came.retain(|(of, _)| *of != number);
        Ok(())
    }

    /// Takes what came back.
    fn receive(&mut self) -> Result<(), String> {
        for (number, octets, closed) in self.sockets().received() {
            let shown = |channel: Option<u16>, text: &str| {
                let mut line = String::from("S");
                if number != 1 {
                    let _ = write!(line, "{number}");
                }
                if let Some(channel) = channel {
                    let _ = write!(line, ".{channel}");
                }
                line + ": " + text
            };
            for (channel, text) in decode(&octets)? {
                let line = shown(channel, &self.names.labelled(&text));
                self.came.push((number, line));
            }
            if closed {
                self.came.push((number, shown(None, "closed")));
            }
        }
        Ok(())
    }

    /// Holds what came against the lines behind the last client's line.
    fn compare(&mut self) {
        let behind = std::mem::take(&mut self.behind);
        let mut came = std::mem::take(&mut self.came);
        let mut expected: Vec<_> = behind
            .iter()
            .filter_map(|(number, line)| {
                let line = line.trim();
                let of = said(line, 'S')?.connection;
                Some((of, *number, line.to_owned()))
            })
            .collect();
        expected.sort_by_key(|(of, ..)| *of);
        came.sort_by_key(|(of, _)| *of);
        let same = expected
            .iter()
            .zip(&came)
            .all(|((.., line), (_, came))| fits(line, came));
        if same && expected.len() == came.len() {
            behind.iter().for_each(|(_, line)| self.keep(line));
            return;
        }
        self.note_difference(&expected, &came);
        came.iter()
            .for_each(|(_, line)| self.keep(&format!(" {line}")));
        for (_, line) in behind
            .iter()
            .filter(|(_, line)| said(line.trim(), 'S').is_none())
        {
            self.keep(line);
        }
    }

    fn note_difference(&mut self, expected: &[(u32, usize, String)], came: &[(u32, String)]) {
        let pairs = expected.iter().zip(came);
        let same = pairs
            .take_while(|((.., line), (_, came))| line == came)
            .count();
        let (number, line) = expected
            .get(same)
            .map_or((self.last_action, "nothing"), |(_, number, line)| {
                (*number, line)
            });
        let came = came.get(same).map_or("nothing", |(_, line)| line);
        let what = format!("\n  expected  {line}\n  got       {came}");
        self.differs(number, what);
    }
}

/// Whether what came is what is written, where ` ...` at the end stands for anything.
fn fits(line: &str, came: &str) -> bool {
    match line.strip_suffix(" ...") {
        Some(beginning) => came.starts_with(beginning),
        None => line == came,
    }
}

fn connection_number(word: &str) -> Result<u32, String> {
    let number = word
        .strip_prefix('C')
        .and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("'{word}' is no connection, such as C2"))
}

fn duration(word: &str) -> Result<Duration, String> {
    let wrong = || format!("'{word}' is no time, such as 30s or 500ms");
    let (digits, unit) = match word.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (word.strip_suffix('s').ok_or_else(wrong)?, 1000),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    Ok(Duration::from_millis(number * unit))
}

/// How a connection is opened where the script does not do it itself.
struct Login {
    user: String,
    vhost: String,
    heartbeat: i128,
    frame_max: u32,
    channel_max: i128,
    /// Whether the client can take `basic.cancel`.
    cancel: bool,
    /// Whether it can take `connection.blocked`.
    blocked: bool,
    product: String,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            user: "guest".to_owned(),
            vhost: "/".to_owned(),
            heartbeat: 0,
            frame_max: 131_072,
            channel_max: 2047,
            cancel: true,
            blocked: true,
            product: "scripts".to_owned(),
        }
    }
}

impl Login {
    fn set(&mut self, name: &str, node: &Node) -> Result<(), String> {
        let text = || Ok::<_, String>(String::from_utf8_lossy(&node.bytes()?).into_owned());
        match name {
            "user" => self.user = text()?,
            "vhost" => self.vhost = text()?,
            "heartbeat" => self.heartbeat = node.number()?,
            "frame-max" => self.frame_max = node.number()? as u32,
            "channel-max" => self.channel_max = node.number()?,
            "consumer-cancel-notify" => self.cancel = text()? == "true",
            "product" => self.product = text()?,
            "connection-blocked" => self.blocked = text()? == "true",
            _ => return Err(format!("a connection has no '{name}'")),
        }
        Ok(())
    }

    fn lines(&self) -> [String; 5] {
        let Self {
            user,
            vhost,
            heartbeat,
            frame_max,
            channel_max,
            cancel,
            blocked,
            product,
        } = self;
        [
            "header".to_owned(),
            format!(
                "connection.start-ok client-properties={{product: \"{product}\", capabilities: {{consumer_cancel_notify: {cancel}, connection.blocked: {blocked}, \
                 authentication_failure_close: true}}}} mechanism=PLAIN response=\"\\x00{user}\\x00{user}\" locale=en_US"
            ),
            format!(
                "connection.tune-ok channel-max={channel_max} frame-max={frame_max} heartbeat={heartbeat}"
            ),
            format!("connection.open virtual-host=\"{vhost}\""),
            "channel.open".to_owned(),
        ]
    }
}

/// Names that the broker made up: each is shown by a label, such as `amq.gen-#1`, in the order in which they came.
struct Names {
    prefixes: Vec<String>,
    known: Vec<(String, String)>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            prefixes: ["amq.gen-", "amq.ctag-", "amq.rabbitmq.reply-to."]
                .map(str::to_owned)
                .to_vec(),
            known: Vec::new(),
        }
    }
}

/// What follows the prefix of a name that was made up.
const RANDOM_LEN: usize = 22;

impl Names {
    fn labelled(&mut self, text: &str) -> String {
        let mut out = text.to_owned();
        for prefix in &self.prefixes {
            let mut from = 0;
            while let Some(at) = out[from..].find(prefix.as_str()).map(|at| at + from) {
                let end = at + prefix.len() + RANDOM_LEN;
                from = at + prefix.len();
                let Some(name) = out.get(at..end).map(str::to_owned) else {
                    break;
                };
                let random = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                if !name[prefix.len()..].chars().all(random) {
                    continue;
                }
                let label = match self.known.iter().find(|(_, known)| *known == name) {
                    Some((label, _)) => label.clone(),
                    None => {
                        let label = format!("{prefix}#{}", self.known.len() + 1);
                        self.known.push((label.clone(), name));
                        label
                    }
                };
                out.replace_range(at..end, &label);
            }
        }
        out
    }

    fn actual(&self, text: &str) -> String {
        let labels = self.known.iter();
        labels.fold(text.to_owned(), |text, (label, name)| {
            text.replace(label, name)
        })
    }
}
