//! Rust text, taken apart as far as the checks need it: code, comments, functions.
//!
//! This is no parser. A single pass tells code from comments and from the insides of strings, which
//! is enough to find words that are really code, and to measure functions by their braces. Macros
//! are taken as they stand. Lines keep their numbers in everything made here.

/// One source file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path, relative to the root of the repository.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
    /// The code: comments and what stands in strings and characters are blanks.
    pub(crate) code: String,
    /// The comments: everything else is blanks.
    pub(crate) comments: String,
}

/// Where a function is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The line of its `fn`, from 1.
    pub(crate) line: usize,
    /// From its `fn` to its closing brace.
    pub(crate) lines: usize,
}

impl Source {
    /// Takes a text apart.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let mut split = Split::default();
        split.run(&text.chars().collect::<Vec<_>>());
        Self {
            path: path.into(),
            text,
            code: split.code,
            comments: split.comments,
        }
    }

    /// The name of the file without folders.
    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it holds tests only: `tests.rs`, or in a folder `tests`.
    pub(crate) fn is_test(&self) -> bool {
        self.file_name() == "tests.rs" || self.path.split('/').any(|part| part == "tests")
    }

    /// The folder of its crate, as the architecture page names it.
    pub(crate) fn crate_folder(&self) -> &str {
        let mut parts = self.path.split('/');
        match parts.next() {
            Some("crates") => parts.next().unwrap_or_default(),
            first => first.unwrap_or_default(),
        }
    }

    /// The functions that have a body, in order; one that stands within another is named too.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let code = self.code.as_bytes();
        words(&self.code)
            .filter(|&(_, word)| word == "fn")
            .filter_map(|(at, _)| {
                let rest = self.code[at + 2..].trim_start();
                let name: String = rest.chars().take_while(|&c| is_word(c)).collect();
                let end = body_end(code, at)?;
                let line = 1 + self.code[..at].matches('\n').count();
                let lines = 1 + self.code[at..end].matches('\n').count();
                (!name.is_empty()).then_some(Function { name, line, lines })
            })
            .collect()
    }
}

/// The words of a code text, each with where it starts.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split(|c: char| !is_word(c))
        .map(move |word| (word.as_ptr() as usize - code.as_ptr() as usize, word))
        .filter(|(_, word)| !word.is_empty())
}

/// Whether a character can stand in a name.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The lines, from 1, where a word or phrase stands in a text, not as part of a longer word.
pub(crate) fn lines_with(text: &str, phrase: &str) -> Vec<usize> {
    let stands = |line: &str| {
        line.match_indices(phrase).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + phrase.len()..].chars().next();
            let joins = |edge: Option<char>, next: Option<char>| {
                edge.is_some_and(is_word) && next.is_some_and(is_word)
            };
            !joins(phrase.chars().next(), before) && !joins(phrase.chars().next_back(), after)
        })
    };
    let numbered = text.lines().zip(1..);
    numbered
        .filter(|(line, _)| stands(line))
        .map(|(_, number)| number)
        .collect()
}

/// The place of the brace that closes the function whose `fn` is at `start`; none for a declaration
/// without a body.
fn body_end(code: &[u8], start: usize) -> Option<usize> {
    let mut parens = 0_usize;
    let mut braces = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => parens += 1,
            b')' | b']' => parens = parens.saturating_sub(1),
            b';' if parens == 0 && braces == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The pass that tells code from comments.
#[derive(Default)]
struct Split {
    code: String,
    comments: String,
}

impl Split {
    fn run(&mut self, text: &[char]) {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let (length, kind) = match rest {
                ['/', '/', ..] => (line_length(rest), Kind::Comment),
                ['/', '*', ..] => (block_comment_length(rest), Kind::Comment),
                ['"', ..] => (string_length(rest), Kind::Quoted),
                ['\'', ..] => (character_length(rest), Kind::Quoted),
                ['r', '"' | '#', ..] if starts_raw(text, at) => (raw_length(rest), Kind::Quoted),
                _ => (1, Kind::Code),
            };
            let length = length.clamp(1, rest.len());
            self.push(&rest[..length], kind);
            at += length;
        }
    }

    fn push(&mut self, piece: &[char], kind: Kind) {
        let last = piece.len() - 1;
        for (index, &c) in piece.iter().enumerate() {
            let edge = index == 0 || index == last;
            let in_code = kind == Kind::Code || (kind == Kind::Quoted && edge);
            self.code.push(if in_code || c == '\n' { c } else { ' ' });
            self.comments.push(if kind == Kind::Comment || c == '\n' {
                c
            } else {
                ' '
            });
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Quoted,
}

fn line_length(rest: &[char]) -> usize {
    rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
}

fn block_comment_length(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn string_length(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '"' => return at + 1,
            '\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// The length of a character literal, or 1 for the quote of a lifetime.
fn character_length(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, tail @ ..] => {
            3 + tail
                .iter()
                .position(|&c| c == '\'')
                .map_or(tail.len(), |at| at + 1)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

/// Whether the `r` at `at` starts a raw string, rather than ending a word or starting a raw name.
fn starts_raw(text: &[char], at: usize) -> bool {
    let prefix = at.checked_sub(1).map(|before| text[before]);
    let before_prefix = at.checked_sub(2).map(|before| text[before]);
    let alone = match prefix {
        Some('b' | 'c') => !before_prefix.is_some_and(is_word),
        other => !other.is_some_and(is_word),
    };
    alone && text[at + 1..].iter().find(|&&c| c != '#') == Some(&'"')
}

fn raw_length(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    let start = hashes + 2;
    let closes = |at: &usize| {
        rest[*at] == '"'
            && rest[at + 1..]
                .iter()
                .take(hashes)
                .filter(|&&c| c == '#')
                .count()
                == hashes
    };
    (start..rest.len())
        .find(closes)
        .map_or(rest.len(), |at| at + 1 + hashes)
}

#[cfg(test)]
mod tests;
