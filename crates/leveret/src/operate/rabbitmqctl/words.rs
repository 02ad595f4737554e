//! The command line of `rabbitmqctl`: options may stand anywhere, a command and its arguments between them.

use std::collections::HashMap;

/// Options that stand alone.
const FLAGS: [&str; 10] = [
    "quiet",
    "silent",
    "longnames",
    "no-table-headers",
    "if-empty",
    "if-unused",
    "global",
    "local",
    "online",
    "offline",
];

/// What the short options are short for.
const SHORT: [(&str, &str); 8] = [
    ("n", "node"),
    ("q", "quiet"),
    ("s", "silent"),
    ("p", "vhost"),
    ("t", "timeout"),
    ("l", "longnames"),
    ("e", "if-empty"),
    ("u", "if-unused"),
];

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) command: String,
    pub(super) arguments: Vec<String>,
    options: HashMap<String, String>,
    /// Nothing is printed but what was asked for.
    pub(super) quiet: bool,
    /// Lists have the names of their columns above them.
    pub(super) headers: bool,
    /// Lists are printed as JSON.
    pub(super) json: bool,
}

impl Words {
    /// **Errors**: an option without its value; no command.
    pub(super) fn new(words: &[String]) -> Result<Self, String> {
        let mut taken = Self::default();
        let mut given = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(name) = option(word) else {
                given.push(word.clone());
                continue;
            };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (name, None),
            };
            let value = match value {
                Some(value) => value,
                None if FLAGS.contains(&name.as_str()) => "true".to_owned(),
                None => words
                    .next()
                    .ok_or_else(|| format!("--{name} lacks its value"))?
                    .clone(),
            };
            taken.options.insert(name, value);
        }
        let mut given = given.into_iter();
        taken.command = given.next().ok_or("no command is given; try help")?;
        taken.arguments = given.collect();
        let silent = taken.has("silent");
        taken.json = taken.option("formatter") == Some("json");
        taken.quiet = taken.has("quiet") || silent || taken.json;
        taken.headers = !silent && !taken.has("no-table-headers");
        Ok(taken)
    }

    pub(super) fn has(&self, flag: &str) -> bool {
        self.options.get(flag).is_some_and(|value| value != "false")
    }

    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    pub(super) fn vhost(&self) -> &str {
        self.option("vhost").unwrap_or("/")
    }

    /// The arguments, if there are just so many.
    pub(super) fn exactly<const N: usize>(&self) -> Result<[&str; N], String> {
        let all: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let count = all.len();
        let wrong = || format!("'{}' takes {N} arguments, not {count}", self.command);
        all.try_into().map_err(|_| wrong())
    }
}

/// The name of an option, of a word that is one. Numbers below 0 are none.
fn option(word: &str) -> Option<String> {
    if let Some(long) = word.strip_prefix("--") {
        return Some(long.to_owned());
    }
    let short = word.strip_prefix('-')?;
    let found = SHORT.iter().find(|(known, _)| *known == short);
    found.map(|(_, long)| (*long).to_owned())
}

#[cfg(test)]
mod tests {
    use super::Words;

    fn words(line: &str) -> Result<Words, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Words::new(&words)
    }

    #[test]
    fn options_stand_anywhere() {
        let taken =
            words("-n a@b list_queues -p /v name --formatter=json -q messages").expect("good");
        assert_eq!(taken.command, "list_queues");
        assert_eq!(taken.arguments, ["name", "messages"]);
        assert_eq!(taken.vhost(), "/v");
        assert!(taken.quiet && taken.json && taken.headers);
    }

    #[test]
    fn what_is_missing_is_told() {
        assert!(words("-q").is_err());
        assert!(words("list_queues -p").is_err());
        assert!(words("add_user a").expect("good").exactly::<2>().is_err());
    }
}
