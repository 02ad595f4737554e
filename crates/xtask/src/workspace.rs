//! What cargo and git know about this workspace: its root, its target folder, its crates and which
//! files belong to it. Asked for once and handed to whoever needs it; nothing here judges.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Outcome;
use crate::command::Line;

/// The workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Its members.
    pub(crate) members: Vec<Member>,
}

/// A crate of the workspace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The name of its folder, by which the architecture page calls it.
    pub(crate) folder: String,
    /// Its manifest.
    pub(crate) manifest: PathBuf,
    /// The folders of the members that it is built from; those that only its tests use are not here.
    pub(crate) uses: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Outcome<Self> {
        Self::parse(&cargo(&["metadata", "--no-deps", "--format-version=1"]).output()?)
    }

    /// Reads the answer of `cargo metadata`.
    pub(crate) fn parse(metadata: &str) -> Outcome<Self> {
        let value: Value = serde_json::from_str(metadata).map_err(|error| {
            format!("`cargo metadata` answered something else than JSON: {error}")
        })?;
        let packages = value["packages"]
            .as_array()
            .ok_or("`cargo metadata` names no packages")?;
        Ok(Self {
            root: PathBuf::from(text(&value, "workspace_root")?),
            target: PathBuf::from(text(&value, "target_directory")?),
            members: packages.iter().map(Member::parse).collect::<Outcome<_>>()?,
        })
    }

    /// The files of the repository, relative to its root: those that git has, and new ones that it
    /// does not ignore.
    pub(crate) fn files(&self) -> Outcome<Vec<String>> {
        let listed = Line::new("git", &["ls-files", "-z", "-c", "-o", "--exclude-standard"])
            .within(&self.root)
            .output()?;
        let mut files: Vec<String> = listed
            .split('\0')
            .filter(|file| !file.is_empty() && self.root.join(file).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}

impl Member {
    fn parse(package: &Value) -> Outcome<Self> {
        let manifest = PathBuf::from(text(package, "manifest_path")?);
        let dependencies = package["dependencies"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let mut uses = Vec::new();
        for dependency in dependencies {
            let Some(path) = dependency["path"].as_str() else {
                continue;
            };
            if dependency["kind"].as_str() != Some("dev") {
                uses.push(folder_name(Path::new(path)));
            }
        }
        let folder = manifest.parent().map(folder_name).unwrap_or_default();
        Ok(Self {
            folder,
            manifest,
            uses,
        })
    }
}

/// A command line for the cargo that runs this program.
pub(crate) fn cargo(args: &[&str]) -> Line {
    Line::new("cargo", args)
}

fn text<'a>(value: &'a Value, key: &str) -> Outcome<&'a str> {
    value[key]
        .as_str()
        .ok_or_else(|| format!("`cargo metadata` gives no {key}"))
}

fn folder_name(folder: &Path) -> String {
    folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests;
