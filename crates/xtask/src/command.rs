//! Running other programs.
//!
//! A program either inherits the terminal (its own words are the report) or is run for its output.
//! No program gets this one's standard input, so that none can wait for an answer.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::Outcome;

/// A command line that can be run, and shown so that a person can repeat it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    folder: Option<PathBuf>,
}

impl Line {
    /// A command line from its words.
    pub(crate) fn new(program: impl Into<String>, args: &[&str]) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self {
            program: program.into(),
            args,
            env: Vec::new(),
            folder: None,
        }
    }

    /// The same with a variable in its environment.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// The same, run in a folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Runs it on this terminal and waits for its end.
    pub(crate) fn run(&self) -> Outcome {
        let status = self
            .command()
            .status()
            .map_err(|error| self.cannot_start(&error))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{self}` ended with {status}"))
        }
    }

    /// Runs it, waits for its end and returns what it wrote to standard output; what it wrote to
    /// standard error is part of the error.
    pub(crate) fn output(&self) -> Outcome<String> {
        let output = self
            .command()
            .output()
            .map_err(|error| self.cannot_start(&error))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`{self}` ended with {}\n{stderr}", output.status));
        }
        String::from_utf8(output.stdout).map_err(|_| format!("`{self}` did not answer in UTF-8"))
    }

    /// Runs it, with all that it writes in a file, and waits for its end, whatever that is.
    pub(crate) fn log_to(&self, file: &Path) -> Outcome<ExitStatus> {
        let log = File::create(file).and_then(|log| Ok((log.try_clone()?, log)));
        let (stdout, stderr) = log.map_err(|error| format!("{}: {error}", file.display()))?;
        let mut command = self.command();
        let status = command.stdout(stdout).stderr(stderr).status();
        status.map_err(|error| self.cannot_start(&error))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    fn cannot_start(&self, error: &std::io::Error) -> String {
        format!("`{self}` did not start: {error}")
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(folder) = &self.folder {
            write!(f, "cd {} && ", quoted(&folder.display().to_string()))?;
        }
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        write!(f, "{}", quoted(&self.program))?;
        for arg in &self.args {
            write!(f, " {}", quoted(arg))?;
        }
        Ok(())
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Where a program is: in the folders of `PATH`, or in those where a distribution puts daemons that
/// are not in every user's `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests;
