//! The configuration file: TOML to settings, and back from a key or a place in the text to the line it is on.
//!
//! The deserializer knows where it stopped but not under which key, and a later check knows the key but not where it was
//! written; [`Outline`] leads from either to the other. No text of the file but keys is repeated in an error, since it
//! may hold passwords, except where the deserializer quotes a single value of the wrong type.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError, Nonsense, one_line};

/// The text of a file; without a file, nothing.
#[derive(Debug, Default)]
pub(super) struct Document {
    file: PathBuf,
    text: String,
}

impl Document {
    /// Reads the file.
    pub(super) fn read(file: PathBuf) -> Result<Document, ConfigError> {
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Document { file, text }),
            Err(error) => Err(ConfigError::Unreadable { file, error }),
        }
    }

    /// The settings in it, and the defaults of those that are not.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        toml::from_str(&self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let key = Outline::of(&self.text)
                .key_at(at)
                .unwrap_or_else(|| self.word_at(at));
            let reason = one_line(error.message());
            ConfigError::InFile {
                file: self.file.clone(),
                line: self.line_at(at),
                key,
                reason,
            }
        })
    }

    /// Whether the file has this key at its top level.
    pub(super) fn has(&self, key: &str) -> bool {
        Outline::of(&self.text)
            .entries
            .iter()
            .any(|entry| entry.path == key)
    }

    /// The error for a value of this file.
    ///
    /// A key that is not in the file has its line at the nearest table that is.
    pub(super) fn blame(&self, nonsense: Nonsense) -> ConfigError {
        let Nonsense { key, reason } = nonsense;
        let at = Outline::of(&self.text).place_of(&key);
        ConfigError::InFile {
            file: self.file.clone(),
            line: self.line_at(at),
            key,
            reason,
        }
    }

    fn line_at(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// The section and what stands before the `=` of the line, for a place that the outline does not have.
    fn word_at(&self, at: usize) -> String {
        let lines: Vec<&str> = self
            .text
            .lines()
            .take(self.line_at(at))
            .map(str::trim)
            .collect();
        let Some((word, _)) = lines.last().and_then(|line| line.split_once('=')) else {
            return "not TOML".to_owned();
        };
        match lines.iter().rfind(|line| line.starts_with('[')) {
            Some(section) => format!("{}.{}", section.trim_matches(['[', ']']), word.trim()),
            None => word.trim().to_owned(),
        }
    }
}

/// The keys of a file with where they are, each before those inside it.
#[derive(Debug, Default)]
struct Outline {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    path: String,
    key: Range<usize>,
    value: Range<usize>,
}

impl Outline {
    /// The outline of as much of `text` as is TOML.
    fn of(text: &str) -> Outline {
        let (table, _) = DeTable::parse_recoverable(text);
        let mut outline = Outline::default();
        outline.add_table("", table.get_ref());
        outline
    }

    fn add_table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = match prefix {
                "" => key.get_ref().to_string(),
                prefix => format!("{prefix}.{}", key.get_ref()),
            };
            self.add_value(path, key.span(), value);
        }
    }

    fn add_value(&mut self, path: String, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        self.entries.push(Entry {
            path: path.clone(),
            key,
            value: value.span(),
        });
        match value.get_ref() {
            DeValue::Table(table) => self.add_table(&path, table),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.add_value(format!("{path}[{index}]"), item.span(), item);
                }
            }
            _ => {}
        }
    }

    /// The innermost key that the place belongs to.
    fn key_at(&self, at: usize) -> Option<String> {
        let holds = |range: &Range<usize>| range.contains(&at) || range.start == at;
        let entry = self
            .entries
            .iter()
            .rfind(|entry| holds(&entry.key) || holds(&entry.value))?;
        Some(entry.path.clone())
    }

    /// Where the key is, else where the nearest table around it is, else 0.
    fn place_of(&self, key: &str) -> usize {
        let mut path = key;
        loop {
            if let Some(entry) = self.entries.iter().find(|entry| entry.path == path) {
                return entry.key.start;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return 0,
            }
        }
    }
}
