//! How values are written in scripts: words, quoted texts, tables, arrays and typed values, read and shown in one form.
//!
//! ```text
//! word   "text with \"escapes\" \x00"   {x-expires: 1000, name: "q"}   ["a", "b"]   long(5)   repeat("x", 5000)
//! ```
//!
//! In tables a bare number is a `signedint`, a text a `longstr`, `true` and `false` are `bool`; other types are named as RabbitMQ names them.

use leveret_message::table::{ArrayWriter, TableRef, TableWriter, Value};

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Word(String),
    Text(Vec<u8>),
    Table(Vec<(String, Node)>),
    Array(Vec<Node>),
    Typed(String, Vec<Node>),
}

/// `name=value`, or a value alone.
pub(crate) type Item = (Option<String>, Node);

/// Reads the items of a line.
pub(crate) fn items(line: &str) -> Result<Vec<Item>, String> {
    let mut reader = Reader { rest: line };
    let mut items = Vec::new();
    while !reader.at_end() {
        items.push(reader.item()?);
    }
    Ok(items)
}

impl Node {
    /// The octets of a word or a text.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Node::Word(word) => Ok(word.clone().into_bytes()),
            Node::Text(bytes) => Ok(bytes.clone()),
            Node::Typed(name, inner) if name == "repeat" => match inner.as_slice() {
                [what, count] => Ok(what.bytes()?.repeat(count.number()? as usize)),
                _ => Err("repeat(\"text\", count)".to_owned()),
            },
            other => Err(format!("{other:?} is no text")),
        }
    }

    /// The number that a word is.
    pub(crate) fn number(&self) -> Result<i128, String> {
        match self {
            Node::Word(word) => word.parse().map_err(|_| format!("{word} is no number")),
            other => Err(format!("{other:?} is no number")),
        }
    }

    /// The bytes of a table, without the length in front.
    pub(crate) fn table(&self) -> Result<Vec<u8>, String> {
        let Node::Table(entries) = self else {
            return Err(format!("{self:?} is no table"));
        };
        let mut writer = TableWriter::new();
        put_entries(&mut writer, entries)?;
        Ok(writer.view().as_bytes().to_vec())
    }
}

fn put_entries(writer: &mut TableWriter, entries: &[(String, Node)]) -> Result<(), String> {
    for (key, node) in entries {
        let mut outcome = Ok(());
        match node {
            Node::Table(inner) => {
                writer.put_table(key, |table| outcome = put_entries(table, inner));
            }
            Node::Array(inner) => {
                writer.put_array(key, |array| outcome = push_all(array, inner));
            }
            scalar => {
                writer.put(key, value(scalar)?);
            }
        }
        outcome?;
    }
    Ok(())
}

fn push_all(writer: &mut ArrayWriter, nodes: &[Node]) -> Result<(), String> {
    for node in nodes {
        let mut outcome = Ok(());
        match node {
            Node::Table(inner) => {
                writer.push_table(|table| outcome = put_entries(table, inner));
            }
            Node::Array(inner) => {
                writer.push_array(|array| outcome = push_all(array, inner));
            }
            scalar => {
                writer.push(value(scalar)?);
            }
        }
        outcome?;
    }
    Ok(())
}

/// A value that holds no others.
fn value(node: &Node) -> Result<Value<'_>, String> {
    let wrong = || format!("{node:?} is no value of a table");
    match node {
        Node::Text(bytes) => Ok(Value::LongStr(bytes)),
        Node::Word(word) => match word.as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "void" => Ok(Value::Void),
            _ => Ok(Value::SignedInt(word.parse().map_err(|_| wrong())?)),
        },
        Node::Typed(kind, inner) => match inner.as_slice() {
            [Node::Text(bytes)] if kind == "binary" => Ok(Value::Binary(bytes)),
            [Node::Word(word)] => number(kind, word).ok_or_else(wrong),
            [Node::Word(scale), Node::Word(value)] if kind == "decimal" => Ok(Value::Decimal {
                scale: scale.parse().map_err(|_| wrong())?,
                value: value.parse().map_err(|_| wrong())?,
            }),
            _ => Err(wrong()),
        },
        Node::Table(_) | Node::Array(_) => Err(wrong()),
    }
}

fn number(kind: &str, word: &str) -> Option<Value<'static>> {
    Some(match kind {
        "byte" => Value::Byte(word.parse().ok()?),
        "unsignedbyte" => Value::UnsignedByte(word.parse().ok()?),
        "short" => Value::Short(word.parse().ok()?),
        "unsignedshort" => Value::UnsignedShort(word.parse().ok()?),
        "unsignedint" => Value::UnsignedInt(word.parse().ok()?),
        "long" => Value::Long(word.parse().ok()?),
        "timestamp" => Value::Timestamp(word.parse().ok()?),
        "float" => Value::Float(word.parse().ok()?),
        "double" => Value::Double(word.parse().ok()?),
        _ => return None,
    })
}

/// Shows octets: bare where they are a plain word, else quoted.
pub(crate) fn show(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./#*".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    quoted(bytes)
}

/// Shows octets in quotes. A long run of one octet is shown by its length.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    if let [first, ..] = bytes
        && bytes.len() > 64
        && bytes.iter().all(|byte| byte == first)
    {
        return format!("repeat({}, {})", quoted(&[*first]), bytes.len());
    }
    let mut out = String::from("\"");
    match str::from_utf8(bytes) {
        Ok(text) => text.chars().for_each(|c| match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }),
        Err(_) => bytes
            .iter()
            .for_each(|byte| out.push_str(&format!("\\x{byte:02x}"))),
    }
    out.push('"');
    out
}

/// Shows a table.
pub(crate) fn show_table(table: TableRef<'_>) -> String {
    let entries: Vec<String> = table
        .iter()
        .map(|(key, value)| format!("{}: {}", show(key.as_bytes()), show_value(value)))
        .collect();
    format!("{{{}}}", entries.join(", "))
}

fn show_value(value: Value<'_>) -> String {
    match value {
        Value::LongStr(bytes) => quoted(bytes),
        Value::Table(table) => show_table(table),
        Value::Array(array) => {
            let values: Vec<String> = array.iter().map(show_value).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Bool(value) => value.to_string(),
        Value::SignedInt(number) => number.to_string(),
        Value::Void => "void".to_owned(),
        Value::Binary(bytes) => format!("binary({})", quoted(bytes)),
        Value::Decimal { scale, value } => format!("decimal({scale}, {value})"),
        other => format!("{}({other})", other.type_name()),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn at_end(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.is_empty()
    }

    fn takes(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expects(&mut self, c: char) -> Result<(), String> {
        if self.takes(c) {
            return Ok(());
        }
        Err(format!("expected '{c}' before '{}'", self.rest))
    }

    fn item(&mut self) -> Result<Item, String> {
        let node = self.node()?;
        if let Node::Word(name) = &node
            && self.rest.starts_with('=')
        {
            self.rest = &self.rest[1..];
            return Ok((Some(name.clone()), self.node()?));
        }
        Ok((None, node))
    }

    fn node(&mut self) -> Result<Node, String> {
        if self.takes('"') {
            return self.text().map(Node::Text);
        }
        if self.takes('{') {
            let entries = self.list('}', |reader| {
                let key = match reader.node()? {
                    Node::Word(key) => key,
                    Node::Text(key) => String::from_utf8_lossy(&key).into_owned(),
                    other => return Err(format!("{other:?} is no key")),
                };
                reader.expects(':')?;
                Ok((key, reader.node()?))
            })?;
            return Ok(Node::Table(entries));
        }
        if self.takes('[') {
            return self.list(']', Self::node).map(Node::Array);
        }
        let word = self.word()?;
        if self.rest.starts_with('(') {
            self.expects('(')?;
            return Ok(Node::Typed(word, self.list(')', Self::node)?));
        }
        Ok(Node::Word(word))
    }

    fn list<T>(
        &mut self,
        end: char,
        mut read: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut list = Vec::new();
        while !self.takes(end) {
            if !list.is_empty() {
                self.expects(',')?;
            }
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn word(&mut self) -> Result<String, String> {
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || "=,:()[]{}\"".contains(c))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(format!("expected a value before '{}'", self.rest));
        }
        self.rest = rest;
        Ok(word.to_owned())
    }

    /// What follows an opening quote, with the closing one.
    fn text(&mut self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut chars = self.rest.char_indices();
        while let Some((index, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[index + 1..];
                    return Ok(bytes);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => bytes.push(b'\n'),
                    Some('r') => bytes.push(b'\r'),
                    Some('x') => {
                        let digits = self.rest.get(index + 2..index + 4).unwrap_or_default();
                        let byte = u8::from_str_radix(digits, 16);
                        bytes.push(byte.map_err(|_| format!("\\x{digits} is no octet"))?);
                        chars.nth(1);
                    }
                    Some(c) => bytes.extend_from_slice(c.to_string().as_bytes()),
                    None => break,
                },
                c => bytes.extend_from_slice(c.to_string().as_bytes()),
            }
        }
        Err("a text has no end".to_owned())
    }
}
