//! Fetches what a suite is: its source package, and what its tests need besides. Each suite has a folder of its own under the target folder, which is
//! filled anew when the list wants something else.
//!
//! Nothing of a suite runs here, where there is a network, but what building it takes.

use std::fs;
use std::path::{Path, PathBuf};

use super::list::{Source, Suite};
use crate::Outcome;
use crate::command::Line;
use crate::setup::{remove_folder, require};
use crate::workspace::Workspace;

/// Holds what was fetched, once all of it is there.
const STAMP: &str = "fetched";

/// How long each step may take.
const LIMIT_SECS: &str = "900";

/// A suite that can be run.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// All that belongs to it.
    pub(crate) home: PathBuf,
    /// Where its tests are run.
    pub(crate) folder: PathBuf,
    /// What its tests find in their environment.
    pub(crate) env: Vec<(String, String)>,
}

/// Fetches a suite, unless it is there.
pub(crate) fn fetch(suite: &Suite, workspace: &Workspace) -> Outcome<Fetched> {
    let home = workspace.target.join("suites").join(&suite.name);
    let wanted = format!("{:?} {:?}", suite.source, suite.with);
    let is_there = fs::read_to_string(home.join(STAMP)).is_ok_and(|there| there == wanted);
    if !is_there {
        remove_folder(&home)?;
        fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    }
    let fetched = match &suite.source {
        Source::Python(package) => python(package, &suite.with, &home, is_there, workspace),
        Source::Npm(package) => npm(package, &suite.with, &home, is_there),
        Source::Crate(package) => krate(package, &home, is_there),
        Source::Debian { package, folder } => debian(package, folder, &suite.with, &home),
    }?;
    write(&home.join(STAMP), &wanted)?;
    Ok(fetched)
}

fn python(
    package: &str,
    with: &[String],
    home: &Path,
    is_there: bool,
    workspace: &Workspace,
) -> Outcome<Fetched> {
    let environment = home.join("python");
    if !is_there {
        limited("python3", &["-m", "venv", &shown(&environment)]).output()?;
        let program = shown(&environment.join("bin/python"));
        let pip = |words: &[&str]| {
            let mut all = vec!["-m", "pip", "--disable-pip-version-check", "--quiet"];
            all.extend(words);
            limited(&program, &all).output()
        };
        let mut install = vec!["install", package];
        install.extend(with.iter().map(String::as_str));
        pip(&install)?;
        let name = package.split("==").next().unwrap_or(package);
        let to = shown(&home.join("download"));
        // What the source is built with may come as wheels.
        let download = ["download", "--no-deps", "--no-binary", name, "--dest", &to];
        pip(&[&download[..], &[package]].concat())?;
        unpack(home)?;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let env = [
        (
            "PATH",
            format!("{}:{path}", shown(&environment.join("bin"))),
        ),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        // Plugins of ours.
        ("PYTHONPATH", shown(&workspace.root.join("tests/suites"))),
        (
            "PYTEST_ADDOPTS",
            "-q -rpfE --color=no --tb=short -p no:cacheprovider".to_owned(),
        ),
    ];
    Ok(Fetched {
        home: home.to_owned(),
        folder: home.join("source"),
        env: env.map(|(name, value)| (name.to_owned(), value)).into(),
    })
}

fn npm(package: &str, with: &[String], home: &Path, is_there: bool) -> Outcome<Fetched> {
    let folder = home.join("source");
    if !is_there {
        let to = home.join("download");
        fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
        let pack = [
            "pack",
            "--silent",
            "--pack-destination",
            &shown(&to),
            package,
        ];
        limited("npm", &pack).output()?;
        unpack(home)?;
        let mut install = vec!["install", "--silent", "--ignore-scripts", "--no-save"];
        install.extend(["--no-audit", "--no-fund"]);
        install.extend(with.iter().map(String::as_str));
        limited("npm", &install).within(&folder).output()?;
    }
    Ok(Fetched {
        home: home.to_owned(),
        folder,
        env: Vec::new(),
    })
}

/// Unpacks what was downloaded to the folder `source`.
fn unpack(home: &Path) -> Outcome {
    let (from, to) = (home.join("download"), home.join("source"));
    let list = || -> std::io::Result<Vec<PathBuf>> {
        fs::create_dir_all(&to)?;
        fs::read_dir(&from)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let files = list().map_err(|error| format!("{}: {error}", from.display()))?;
    let [file] = files.as_slice() else {
        let count = files.len();
        return Err(format!("{}: {count} files, not one", from.display()));
    };
    let unpack = [
        "-xzf",
        &shown(file),
        "--strip-components=1",
        "-C",
        &shown(&to),
    ];
    limited("tar", &unpack).output().map(drop)
}

/// Has cargo fetch a crate for a package that uses it, and builds the tests of a copy.
fn krate(package: &str, home: &Path, is_there: bool) -> Outcome<Fetched> {
    let (folder, target) = (home.join("source"), home.join("target"));
    if !is_there {
        let (name, version) = package
            .split_once('@')
            .ok_or_else(|| format!("{package} has no version"))?;
        let user = home.join("user");
        fs::create_dir_all(&user).map_err(|error| format!("{}: {error}", user.display()))?;
        write(&user.join("lib.rs"), "")?;
        let manifest = format!(
            "[package]\nname = \"user\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n\
             [dependencies]\n{name} = \"={version}\"\n[workspace]\n"
        );
        write(&user.join("Cargo.toml"), &manifest)?;
        let metadata = limited("cargo", &["metadata", "--format-version=1"]).within(&user);
        let from = source_of(name, &metadata.output()?)?;
        limited("cp", &["-r", &shown(&from), &shown(&folder)]).output()?;
        // Else cargo takes it for a part of the workspace above it.
        let manifest = folder.join("Cargo.toml");
        let text = fs::read_to_string(&manifest);
        let text = text.map_err(|error| format!("{}: {error}", manifest.display()))?;
        write(&manifest, &format!("{text}\n[workspace]\n"))?;
    }
    limited("cargo", &["test", "--quiet", "--tests", "--no-run"])
        .within(&folder)
        .env("CARGO_TARGET_DIR", shown(&target))
        .output()?;
    Ok(Fetched {
        home: home.to_owned(),
        folder,
        env: vec![("CARGO_TARGET_DIR".to_owned(), shown(&target))],
    })
}

/// Where cargo has the source of a crate.
fn source_of(name: &str, metadata: &str) -> Outcome<PathBuf> {
    let metadata: serde_json::Value =
        serde_json::from_str(metadata).map_err(|error| error.to_string())?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest = packages
        .find(|package| package["name"] == name)
        .and_then(|package| package["manifest_path"].as_str())
        .and_then(|manifest| Path::new(manifest).parent());
    manifest
        .map(Path::to_owned)
        .ok_or_else(|| format!("cargo does not say where {name} is"))
}

fn debian(package: &str, folder: &Path, with: &[String], home: &Path) -> Outcome<Fetched> {
    let mut packages = vec![package];
    packages.extend(with.iter().map(String::as_str));
    require(&packages)?;
    Ok(Fetched {
        home: home.to_owned(),
        folder: folder.to_owned(),
        env: Vec::new(),
    })
}

/// A command line that is ended when it takes too long.
fn limited(program: &str, words: &[&str]) -> Line {
    let mut all = vec![LIMIT_SECS, program];
    all.extend(words);
    Line::new("timeout", &all)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn write(file: &Path, text: &str) -> Outcome {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
