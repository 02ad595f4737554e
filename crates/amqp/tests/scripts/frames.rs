//! Lines to frames and frames to lines, by the names of `schema`.

use leveret_message::table::TableRef;

use crate::schema::{Field, Kind, Method, PROPERTIES};
use crate::value::{Item, Node, items, quoted, show, show_table};

const FRAME_END: u8 = 0xce;

/// A frame around a payload.
pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out.push(FRAME_END);
    out
}

/// The frames of what a client says: a method with its content, or one of the words for something else.
pub(crate) fn encode(line: &str, channel: Option<u16>, frame_max: u32) -> Result<Vec<u8>, String> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let number = channel.unwrap_or(1);
    match name {
        "raw" => return raw(rest),
        "header" => return Ok(b"AMQP\x00\x00\x09\x01".to_vec()),
        "heartbeat" => return Ok(frame(8, channel.unwrap_or(0), &[])),
        "content-header" => return Ok(frame(2, number, &header(&mut items(rest)?, None)?)),
        "body" => {
            return match items(rest)?.as_slice() {
                [(None, node)] => Ok(frame(3, number, &node.bytes()?)),
                _ => Err("body \"octets\"".to_owned()),
            };
        }
        _ => {}
    }
    let method = Method::named(name).ok_or_else(|| format!("no method {name}"))?;
    let number = channel.unwrap_or_else(|| u16::from(method.class_id != 10));
    let mut items = items(rest)?;
    let body = take(&mut items, "body");
    let mut payload = [method.class_id, method.method_id]
        .map(u16::to_be_bytes)
        .concat();
    arguments(&mut payload, &method, &mut items)?;
    let mut out = frame(1, number, &payload);
    if let Some(body) = body {
        let body = body.bytes()?;
        out.extend(frame(2, number, &header(&mut items, Some(body.len()))?));
        for part in body.chunks(frame_max as usize - 8) {
            out.extend(frame(3, number, part));
        }
    }
    match items.first() {
        Some(unused) => Err(format!("{name} has no {unused:?}")),
        None => Ok(out),
    }
}

fn raw(octets: &str) -> Result<Vec<u8>, String> {
    let octet = |word| u8::from_str_radix(word, 16).map_err(|_| format!("{word} is no octet"));
    octets.split_whitespace().map(octet).collect()
}

fn take(items: &mut Vec<Item>, name: &str) -> Option<Node> {
    let named = |item: &Item| match item.0.as_deref() {
        Some("class") => name == "class-id",
        Some("method") => name == "method-id",
        other => other == Some(name),
    };
    let index = items.iter().position(named)?;
    Some(items.remove(index).1)
}

/// The arguments of a method. Values without a name are the fields from the first one on.
fn arguments(out: &mut Vec<u8>, method: &Method, items: &mut Vec<Item>) -> Result<(), String> {
    let mut bits = 0;
    for (index, field) in method.fields.iter().enumerate() {
        let unnamed = items.first().is_some_and(|item| item.0.is_none());
        let node = if unnamed {
            Some(items.remove(0).1)
        } else {
            take(items, field.name)
        };
        if field.kind != Kind::Bit {
            bits = 0;
        } else {
            if bits % 8 == 0 {
                out.push(0);
            }
            let set = node == Some(Node::Word("true".to_owned()));
            if let Some(last) = out.last_mut() {
                *last |= u8::from(set) << (bits % 8);
            }
            bits += 1;
            continue;
        }
        put(out, field, node).map_err(|error| format!("field {index}, {}: {error}", field.name))?;
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, field: &Field, node: Option<Node>) -> Result<(), String> {
    let number = || node.as_ref().map_or(Ok(0), Node::number);
    let bytes = || node.as_ref().map_or(Ok(Vec::new()), Node::bytes);
    match field.kind {
        Kind::Bit => {}
        Kind::Octet => out.push(number()? as u8),
        Kind::Short => out.extend_from_slice(&(number()? as u16).to_be_bytes()),
        Kind::Long => out.extend_from_slice(&(number()? as u32).to_be_bytes()),
        Kind::LongLong => out.extend_from_slice(&(number()? as u64).to_be_bytes()),
        Kind::ShortStr => put_short(out, &bytes()?)?,
        Kind::LongStr => put_long(out, &bytes()?),
        Kind::Table => {
            let table = node.as_ref().map_or(Ok(Vec::new()), Node::table)?;
            put_long(out, &table);
        }
    }
    Ok(())
}

fn put_short(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
    out.push(u8::try_from(bytes.len()).map_err(|_| "longer than 255 bytes")?);
    out.extend_from_slice(bytes);
    Ok(())
}

fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The payload of a content header; takes the properties from the items.
fn header(items: &mut Vec<Item>, body_size: Option<usize>) -> Result<Vec<u8>, String> {
    let claimed = take(items, "body-size").map(|node| node.number());
    let body_size = body_size.map(|size| size as i128);
    let class_id = take(items, "class-id").map_or(Ok(60), |node| node.number())?;
    let size = claimed.transpose()?.or(body_size);
    let mut flags = 0u16;
    let mut list = Vec::new();
    for (index, name) in PROPERTIES.iter().enumerate() {
        let Some(node) = take(items, name) else {
            continue;
        };
        flags |= 0x8000 >> index;
        match *name {
            "headers" => put_long(&mut list, &node.table()?),
            "delivery-mode" | "priority" => list.push(node.number()? as u8),
            "timestamp" => list.extend_from_slice(&(node.number()? as u64).to_be_bytes()),
            _ => put_short(&mut list, &node.bytes()?)?,
        }
    }
    let mut out = [class_id as u16, 0].map(u16::to_be_bytes).concat();
    out.extend_from_slice(&(size.unwrap_or(0) as u64).to_be_bytes());
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend(list);
    Ok(out)
}

/// Splits what a broker wrote into lines: channel, whether it needs naming, and text. Everything has to be whole.
pub(crate) fn decode(mut bytes: &[u8]) -> Result<Vec<(Option<u16>, String)>, String> {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        if let Some(rest) = bytes.strip_prefix(b"AMQP\x00\x00\x09\x01") {
            lines.push((None, "header".to_owned()));
            bytes = rest;
            continue;
        }
        let (kind, channel, payload) = next(&mut bytes)?;
        let (usual, text) = match kind {
            1 => method(channel, payload, &mut bytes)?,
            8 => (0, "heartbeat".to_owned()),
            _ => return Err(format!("frame of type {kind} out of place")),
        };
        lines.push(((channel != usual).then_some(channel), text));
    }
    Ok(lines)
}

fn next<'a>(bytes: &mut &'a [u8]) -> Result<(u8, u16, &'a [u8]), String> {
    let cut = || format!("a frame is not whole: {:?}", &bytes[..bytes.len().min(32)]);
    let (&[kind, c0, c1, s0, s1, s2, s3], rest) = bytes.split_first_chunk::<7>().ok_or_else(cut)?;
    let size = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
    let (payload, rest) = rest.split_at_checked(size).ok_or_else(cut)?;
    let (&end, rest) = rest.split_first().ok_or_else(cut)?;
    if end != FRAME_END {
        return Err(format!("frame end {end:#x}"));
    }
    *bytes = rest;
    Ok((kind, u16::from_be_bytes([c0, c1]), payload))
}

/// A method's usual channel, and the method as text with its content.
fn method(channel: u16, payload: &[u8], rest: &mut &[u8]) -> Result<(u16, String), String> {
    let mut fields = Fields(payload);
    let (class_id, method_id) = (fields.number(2)? as u16, fields.number(2)? as u16);
    let method = Method::with_ids(class_id, method_id)
        .ok_or_else(|| format!("no method {class_id} {method_id}"))?;
    let mut text = method.name.to_owned();
    fields.show(&method, &mut text)?;
    if !fields.0.is_empty() {
        return Err(format!("{text} has {} octets too many", fields.0.len()));
    }
    if method.has_content() {
        content(channel, rest, &mut text)?;
    }
    Ok((u16::from(class_id != 10), text))
}

fn content(channel: u16, rest: &mut &[u8], text: &mut String) -> Result<(), String> {
    let (kind, on, payload) = next(rest)?;
    if (kind, on) != (2, channel) {
        return Err("a content header is due".to_owned());
    }
    let mut fields = Fields(payload);
    let (class_id, weight) = (fields.number(2)?, fields.number(2)?);
    if (class_id, weight) != (60, 0) {
        return Err(format!("content of class {class_id}, weight {weight}"));
    }
    let size = fields.number(8)? as usize;
    let flags = fields.number(2)? as u16;
    for (index, name) in PROPERTIES.iter().enumerate() {
        if flags & (0x8000 >> index) == 0 {
            continue;
        }
        let shown = match *name {
            "headers" => fields.table()?,
            "delivery-mode" | "priority" => fields.number(1)?.to_string(),
            "timestamp" => fields.number(8)?.to_string(),
            _ => show(fields.short()?),
        };
        text.push_str(&format!(" {name}={shown}"));
    }
    let (mut body, mut frames) = (Vec::new(), 0);
    while body.len() < size {
        let (kind, on, payload) = next(rest)?;
        if (kind, on) != (3, channel) || payload.is_empty() {
            return Err("a body is due".to_owned());
        }
        body.extend_from_slice(payload);
        frames += 1;
    }
    text.push_str(&format!(" body={}", quoted(&body)));
    if frames > 1 {
        text.push_str(&format!(" body-frames={frames}"));
    }
    Ok(())
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or("arguments are cut")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self, octets: usize) -> Result<u64, String> {
        let bytes = self.bytes(octets)?;
        Ok(bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn short(&mut self) -> Result<&'a [u8], String> {
        let len = self.number(1)? as usize;
        self.bytes(len)
    }

    fn long(&mut self) -> Result<&'a [u8], String> {
        let len = self.number(4)? as usize;
        self.bytes(len)
    }

    fn table(&mut self) -> Result<String, String> {
        let table = TableRef::parse(self.long()?).map_err(|error| error.to_string())?;
        Ok(show_table(table))
    }

    fn show(&mut self, method: &Method, text: &mut String) -> Result<(), String> {
        let (mut bits, mut octet) = (0, 0);
        for field in &method.fields {
            let shown = match field.kind {
                Kind::Bit => {
                    if bits % 8 == 0 {
                        octet = self.number(1)?;
                    }
                    bits += 1;
                    (octet >> ((bits - 1) % 8) & 1 == 1).to_string()
                }
                Kind::Octet => self.number(1)?.to_string(),
                Kind::Short => self.number(2)?.to_string(),
                Kind::Long => self.number(4)?.to_string(),
                Kind::LongLong => self.number(8)?.to_string(),
                Kind::ShortStr if field.name == "reply-text" => quoted(self.short()?),
                Kind::ShortStr => show(self.short()?),
                Kind::LongStr => show(self.long()?),
                Kind::Table => self.table()?,
            };
            if field.kind != Kind::Bit {
                bits = 0;
            }
            match field.name {
                "-" => {}
                "reply-code" | "reply-text" => text.push_str(&format!(" {shown}")),
                "class-id" => text.push_str(&format!(" class={shown}")),
                "method-id" => text.push_str(&format!(" method={shown}")),
                name => text.push_str(&format!(" {name}={shown}")),
            }
        }
        Ok(())
    }
}
