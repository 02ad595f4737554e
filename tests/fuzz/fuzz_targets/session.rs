//! A connection that says anything, beside one that behaves, on the same two shards.
//!
//! Whatever the first one sends, what it gets back is whole frames, and the second one goes on publishing and getting its own messages. The first octet
//! chooses between octets from the protocol header on, octets after a valid handshake, and steps: methods of the table below with arguments that
//! are nearly right, parts of contents, pauses. Leaks are not looked for: two exchanges that are bound to each other keep each other when a whole
//! broker is dropped, which only happens here. Run: `ASAN_OPTIONS=detect_leaks=0 cargo +nightly fuzz run --fuzz-dir tests/fuzz session --
//! -rss_limit_mb=1024 -malloc_limit_mb=64 -max_len=2048 -len_control=0`.

#![no_main]

#[allow(dead_code, reason = "the scripts use all of it")]
#[path = "../../../crates/amqp/tests/scripts/sockets.rs"]
mod sockets;

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sockets::Sockets;

const HOSTILE: u32 = 1;
const FRIENDLY: u32 = 2;

/// Inputs are cut here: what one says in a few reads.
const INPUT_MAX: usize = 64 * 1024;

const FRAME_MAX: u32 = 131_072;

/// Class, method and arguments: `s` a zero short, `n` a name, `k` a routing key, `b` an octet of bits, `t` a table, `1` an octet, `2` a small short, `4`
/// a small long, `8` a small long long, `S` a long string.
const METHODS: [(u16, u16, &str); 36] = [
    (50, 10, "snbt"),
    (50, 10, "snbt"),
    (50, 20, "snnkbt"),
    (50, 30, "snb"),
    (50, 40, "snb"),
    (50, 50, "snnkt"),
    (40, 10, "snebt"),
    (40, 20, "snb"),
    (40, 30, "snnkbt"),
    (40, 40, "snnkbt"),
    (60, 10, "42b"),
    (60, 20, "sncbt"),
    (60, 20, "sncbt"),
    (60, 30, "cb"),
    (60, 31, "c"),
    (60, 40, "snkb"),
    (60, 40, "snkb"),
    (60, 40, "snkb"),
    (60, 70, "snb"),
    (60, 80, "8b"),
    (60, 80, "8b"),
    (60, 90, "8b"),
    (60, 100, "b"),
    (60, 110, "b"),
    (60, 120, "8b"),
    (85, 10, "b"),
    (90, 10, ""),
    (90, 20, ""),
    (90, 30, ""),
    (20, 10, "c"),
    (20, 10, "c"),
    (20, 20, "b"),
    (20, 40, "2css"),
    (20, 41, ""),
    (30, 10, "cb"),
    (10, 70, "Sc"),
];

const NAMES: [&str; 12] = [
    "",
    "a",
    "b",
    "c",
    "d",
    "x",
    "y",
    "amq.direct",
    "amq.fanout",
    "amq.topic",
    "amq.headers",
    "amq.match",
];

const KEYS: [&str; 8] = ["", "a", "b", "c", "a.b", "a.*", "#", "#.b.#"];

const KINDS: [&str; 5] = ["direct", "fanout", "topic", "headers", "other"];

/// Tables without their lengths.
const TABLES: [&[u8]; 12] = [
    b"",
    b"\x09x-expiresI\x00\x00\x00\x64",
    b"\x0dx-message-ttlI\x00\x00\x00\x05",
    b"\x0cx-max-lengthI\x00\x00\x00\x01",
    b"\x0cx-queue-typeS\x00\x00\x00\x06quorum",
    b"\x16x-dead-letter-exchangeS\x00\x00\x00\x01x",
    b"\x12alternate-exchangeS\x00\x00\x00\x01y",
    b"\x07x-matchS\x00\x00\x00\x03any\x01nI\x00\x00\x00\x01",
    b"\x0ax-priorityI\x00\x00\x00\x05",
    b"\x02CCA\x00\x00\x00\x06S\x00\x00\x00\x01b",
    b"\x03BCCA\x00\x00\x00\x06S\x00\x00\x00\x01c\x01nI\x00\x00\x00\x01",
    b"\x0ex-max-priorityI\x00\x00\x00\x03",
];

fuzz_target!(|input: &[u8]| {
    let Some((mode, input)) = input
        .get(..input.len().min(INPUT_MAX))
        .and_then(<[u8]>::split_first)
    else {
        return;
    };
    let mut sockets = Sockets::new();
    sockets.settings.max_message_size = 256 * 1024;
    sockets.settings.unfinished_content_bytes_max = 1024 * 1024;
    let mut friend = Friend::open(&mut sockets);
    let mut watched = Watched::default();
    sockets.accept(HOSTILE, true);
    match mode % 4 {
        0 => octets(&mut sockets, input, usize::from(*mode), &mut watched),
        1 => {
            open(&mut sockets, HOSTILE, 5, &mut watched);
            octets(&mut sockets, input, usize::from(*mode), &mut watched);
        }
        _ => {
            open(&mut sockets, HOSTILE, 5, &mut watched);
            steps(&mut sockets, &mut Bytes(input), &mut friend, &mut watched);
        }
    }
    friend.round_trip(&mut sockets, &mut watched);
    sockets
        .advance(Duration::from_secs(1))
        .expect("time moves on");
    sockets.lose(HOSTILE).expect("it was there");
    friend.round_trip(&mut sockets, &mut watched);
    sockets.lose(FRIENDLY).expect("it was there");
    assert_eq!(sockets.broker.connections.count(), 0);
});

/// Sends octets as they are, in reads of some length.
fn octets(sockets: &mut Sockets, input: &[u8], len: usize, watched: &mut Watched) {
    for read in input.chunks(len * 8 + 1) {
        if sockets.send(HOSTILE, read).is_err() {
            return;
        }
        watched.look(sockets);
    }
}

/// The handshake and channels 1 and 2.
fn open(sockets: &mut Sockets, number: u32, heartbeat: u8, watched: &mut Watched) {
    let mut start_ok = vec![0, 10, 0, 11];
    let capabilities = b"\x0ccapabilitiesF\x00\x00\x00\x19\x16consumer_cancel_notifyt\x01";
    long(&mut start_ok, capabilities);
    short(&mut start_ok, b"PLAIN");
    long(&mut start_ok, b"\0guest\0guest");
    short(&mut start_ok, b"en_US");
    let mut hello = b"AMQP\x00\x00\x09\x01".to_vec();
    hello.extend(frame(1, 0, &start_ok));
    hello.extend(frame(1, 0, &[0, 10, 0, 31, 0x07, 0xff, 0, 2, 0, 0, 0, heartbeat]));
    hello.extend(frame(1, 0, &[0, 10, 0, 40, 1, b'/', 0, 0]));
    hello.extend(frame(1, 1, &[0, 20, 0, 10, 0]));
    hello.extend(frame(1, 2, &[0, 20, 0, 10, 0]));
    sockets.send(number, &hello).expect("a new socket");
    watched.look(sockets);
}

/// Steps, each chosen by an octet; what they send comes in one read until a step ends it.
fn steps(sockets: &mut Sockets, input: &mut Bytes<'_>, friend: &mut Friend, watched: &mut Watched) {
    let mut read = Vec::new();
    while let Some(step) = input.next() {
        let channel = u16::from(step >> 6);
        match step & 0x3f {
            0 => {
                let millis = u64::from(input.next().unwrap_or(0)) * 20;
                sockets
                    .advance(Duration::from_millis(millis))
                    .expect("time moves on");
            }
            1 => friend.round_trip(sockets, watched),
            2 => read.extend(frame(input.next().unwrap_or(0), channel, input.take(4))),
            3 | 4 => read.extend(content(channel, input)),
            5 => read.extend(frame(3, channel, input.take(7))),
            6 => read.extend(frame(8, 0, &[])),
            // What is gathered comes now.
            7..=9 => {}
            method => {
                let (class_id, method_id, arguments) = METHODS[usize::from(method) % METHODS.len()];
                let mut payload = [class_id, method_id].map(u16::to_be_bytes).concat();
                arguments
                    .chars()
                    .for_each(|kind| argument(&mut payload, kind, input));
                read.extend(frame(1, channel, &payload));
                if method_id == 40 && class_id == 60 {
                    read.extend(content(channel, input));
                }
                continue;
            }
        }
        if !read.is_empty() && sockets.send(HOSTILE, &std::mem::take(&mut read)).is_err() {
            return;
        }
        watched.look(sockets);
    }
    // Closed or not, there is nothing more to say.
    let _ = sockets.send(HOSTILE, &read);
    watched.look(sockets);
}

fn argument(out: &mut Vec<u8>, kind: char, input: &mut Bytes<'_>) {
    let octet = usize::from(if kind == 's' {
        0
    } else {
        input.next().unwrap_or(0)
    });
    match kind {
        's' => out.extend([0, 0]),
        'n' => short(out, NAMES[octet % NAMES.len()].as_bytes()),
        'k' => short(out, KEYS[octet % KEYS.len()].as_bytes()),
        'c' => short(out, &b"tag12345"[..octet % 5]),
        'e' => short(out, KINDS[octet % KINDS.len()].as_bytes()),
        't' => long(out, TABLES[octet % TABLES.len()]),
        'b' | '1' => out.push(octet as u8),
        '2' => out.extend([0, octet as u8]),
        '4' => out.extend([0, 0, 0, (octet / 250) as u8]),
        '8' => out.extend((octet as u64).to_be_bytes()),
        'S' => long(out, input.take(octet % 8)),
        other => unreachable!("no argument {other}"),
    }
}

/// A content header and perhaps its body, nearly right.
fn content(channel: u16, input: &mut Bytes<'_>) -> Vec<u8> {
    let how = input.next().unwrap_or(0);
    let len = usize::from(input.next().unwrap_or(0)) << (how & 7);
    let mut payload = vec![0, 60, 0, 0];
    payload.extend((len as u64).to_be_bytes());
    match how >> 3 & 7 {
        0..=3 => payload.extend([0, 0]),
        4 => payload.extend([0x10, 0, 2]),
        5 => {
            payload.extend([0x20, 0]);
            long(&mut payload, TABLES[usize::from(how) % TABLES.len()]);
        }
        6 => payload.extend([0x01, 0, 2, b'1', b'0']),
        _ => payload.extend_from_slice(input.take(6)),
    }
    let mut out = frame(2, channel, &payload);
    if how & 0x80 == 0 && len > 0 {
        out.extend(frame(3, channel, &vec![how; len]));
    }
    out
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(channel.to_be_bytes());
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out.push(0xce);
    out
}

fn short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// What came back, as far as it has to be looked at.
#[derive(Default)]
struct Watched {
    /// What the second connection got.
    friendly: Vec<u8>,
    /// The broker has said `connection.close` to the first one.
    closing: bool,
    closed: bool,
}

impl Watched {
    fn look(&mut self, sockets: &mut Sockets) {
        for (number, octets, closed) in sockets.received() {
            if number == FRIENDLY {
                assert!(!closed, "one that behaves is not closed");
                self.friendly.extend(octets);
                continue;
            }
            assert!(!self.closed, "nothing comes from a closed socket");
            self.frames(&octets);
            self.closed |= closed;
        }
    }

    /// Whole frames, and after `connection.close` nothing but `close-ok` and heartbeats.
    fn frames(&mut self, mut octets: &[u8]) {
        if let Some(rest) = octets.strip_prefix(b"AMQP\x00\x00\x09\x01") {
            octets = rest;
        }
        while !octets.is_empty() {
            let (head, rest) = octets.split_first_chunk::<7>().expect("a whole frame");
            let [kind, _, _, s0, s1, s2, s3] = *head;
            let size = u32::from_be_bytes([s0, s1, s2, s3]);
            assert!(matches!(kind, 1 | 2 | 3 | 8) && size <= FRAME_MAX - 8);
            let (payload, rest) = rest.split_at_checked(size as usize).expect("a whole frame");
            let (end, rest) = rest.split_first().expect("a whole frame");
            assert_eq!(*end, 0xce);
            let method = (kind == 1).then(|| payload.get(..4).expect("ids"));
            assert!(!self.closing || kind == 8 || method == Some(&[0, 10, 0, 51]));
            self.closing |= method == Some(&[0, 10, 0, 50]);
            octets = rest;
        }
    }
}

/// The connection that behaves: an exclusive queue, and messages through it.
struct Friend {
    queue: Vec<u8>,
    messages: u64,
}

impl Friend {
    fn open(sockets: &mut Sockets) -> Self {
        let mut watched = Watched::default();
        sockets.accept(FRIENDLY, true);
        open(sockets, FRIENDLY, 0, &mut watched);
        watched.friendly.clear();
        // A name that nobody guesses.
        let declare = [0, 50, 0, 10, 0, 0, 0, 4, 0, 0, 0, 0];
        sockets
            .send(FRIENDLY, &frame(1, 1, &declare))
            .expect("open");
        watched.look(sockets);
        let len = usize::from(watched.friendly[11]);
        let queue = watched.friendly[12..12 + len].to_vec();
        assert!(queue.starts_with(b"amq.gen-"));
        Self { queue, messages: 0 }
    }

    /// Publishes a message and gets it.
    fn round_trip(&mut self, sockets: &mut Sockets, watched: &mut Watched) {
        self.messages += 1;
        let body = self.messages.to_be_bytes();
        let mut publish = vec![0, 60, 0, 40, 0, 0, 0];
        short(&mut publish, &self.queue);
        publish.push(0);
        let mut said = frame(1, 1, &publish);
        said.extend(frame(2, 1, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0]));
        said.extend(frame(3, 1, &body));
        let mut get = vec![0, 60, 0, 70, 0, 0];
        short(&mut get, &self.queue);
        get.push(1);
        said.extend(frame(1, 1, &get));
        watched.friendly.clear();
        sockets
            .send(FRIENDLY, &said)
            .expect("one that behaves is not closed");
        watched.look(sockets);
        assert!(
            watched.friendly.get(7..11) == Some(&[0, 60, 0, 71]),
            "get-ok"
        );
        assert!(
            watched.friendly.ends_with(&frame(3, 1, &body)),
            "its own message"
        );
    }
}
