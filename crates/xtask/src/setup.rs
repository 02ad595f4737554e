//! What the tests with other people's programs and with disks that fail need, put in place.
//!
//! Three things: programs from the distribution's packages, a Python environment under the target
//! folder, node modules beside their script; and a look at whether disks can be mounted. Each is left alone when it is already as it should be.
//! What cannot be had here, for lack of a program or of root, is left out with the reason, and the
//! tests that need it are named so that they can be skipped; nothing is skipped silently. No service
//! is started by what is installed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::Outcome;
use crate::command::{Line, find_program};
use crate::workspace::Workspace;

/// Something that is not here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// What is left out, and why.
    pub(crate) reason: String,
    /// The tests that need it, as `cargo test` filters them, with spaces between them; empty where a step of its own does.
    pub(crate) tests: &'static str,
    /// Whether it could be had.
    pub(crate) lack: Lack,
}

/// What a lack is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Of a program: installing it helps. Where nothing may be left out, it is a failure.
    Program,
    /// Of something that the machine does not permit, whatever is installed: told wherever it is, and a failure nowhere.
    Permission,
}

/// A program, the package that brings it, and the tests that need it.
struct Package {
    /// A program on the path, or a file by its whole name.
    program: &'static str,
    package: &'static str,
    tests: &'static str,
}

/// Its tool `rabbitmqadmin` is tested with. The server is not run by `cargo xtask test`: it is what conformance and management can be checked against.
const RABBITMQ: &str = "rabbitmq-server";
const PACKAGES: [Package; 10] = [
    Package {
        program: "java",
        package: "default-jdk-headless",
        tests: "interop::java",
    },
    Package {
        program: "/usr/share/java/amqp-client.jar",
        package: "librabbitmq-client-java",
        tests: "interop::java",
    },
    Package {
        program: "go",
        package: "golang-go",
        tests: "interop::go",
    },
    Package {
        program: "/usr/share/gocode/src/github.com/rabbitmq/amqp091-go",
        package: "golang-github-rabbitmq-amqp091-go-dev",
        tests: "interop::go",
    },
    Package {
        program: "/usr/share/doc/ruby-bunny",
        package: "ruby-bunny",
        tests: "interop::bunny",
    },
    Package {
        program: "php",
        package: "php-cli",
        tests: "interop::php",
    },
    Package {
        program: "/usr/share/php/PhpAmqpLib/autoload.php",
        package: "php-amqplib",
        tests: "interop::php",
    },
    Package {
        program: "amqp-publish",
        package: "amqp-tools",
        tests: "interop::amqp_tools",
    },
    Package {
        program: "rabbitmqadmin",
        package: RABBITMQ,
        tests: "interop::rabbitmqadmin",
    },
    Package {
        program: "valgrind",
        package: "valgrind",
        tests: "",
    },
];

const POLICY: &str = "/usr/sbin/policy-rc.d";
const PYTHON_FOLDER: &str = "tests/interop/python";
/// Under the target folder.
const PYTHON_ENVIRONMENT: &str = "interop/python";
const NODE_FOLDER: &str = "tests/interop/node";
/// Holds the list of what was installed, so that a changed list is installed anew.
const STAMP: &str = "installed-from";
/// An ext4 with a journal has room in it.
const TRIAL_DISK_BYTES: u64 = 8 << 20;

/// Installs the packages whose programs are missing. Without root, or without `apt-get`, the
/// missing ones are left out.
pub(crate) fn packages() -> Outcome<Vec<LeftOut>> {
    let missing = || PACKAGES.iter().filter(|package| !package.is_here());
    let names: Vec<&str> = missing().map(|package| package.package).collect();
    if names.is_empty() {
        println!("all programs are here");
        return Ok(Vec::new());
    }
    let obstacle = if find_program("apt-get").is_none() {
        "there is no apt-get to install it with"
    } else if !is_root()? {
        "installing it needs root"
    } else {
        install(&names)?;
        "the package does not bring it"
    };
    Ok(missing()
        .map(|package| package.left_out(obstacle))
        .collect())
}

/// Installs the packages of the distribution that are missing.
///
/// **Errors**: where they cannot be installed.
pub(crate) fn require(packages: &[&str]) -> Outcome {
    let is_missing = |package: &&str| {
        let query = ["--show", "--showformat=${db:Status-Status}", package];
        let status = Line::new("dpkg-query", &query).output();
        status.map_or(true, |status| status != "installed")
    };
    let missing: Vec<&str> = packages.iter().copied().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root()? {
        let missing = missing.join(", ");
        return Err(format!(
            "these are missing, and installing needs root: {missing}"
        ));
    }
    install(&missing)
}

fn install(packages: &[&str]) -> Outcome {
    let _policy = NoServices::begin()?;
    apt(&["update", "--quiet"]).run()?;
    let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    install.extend(packages);
    apt(&install).run()?;
    match packages.contains(&RABBITMQ) {
        true => no_start_at_boot(RABBITMQ),
        false => Ok(()),
    }
}

impl Package {
    fn is_here(&self) -> bool {
        match self.program.starts_with('/') {
            true => Path::new(self.program).exists(),
            false => find_program(self.program).is_some(),
        }
    }

    fn left_out(&self, obstacle: &str) -> LeftOut {
        let Self {
            program,
            package,
            tests,
        } = self;
        LeftOut {
            reason: format!("{package}: no `{program}`, and {obstacle}"),
            tests,
            lack: Lack::Program,
        }
    }
}

/// Another installation that is going on is waited for.
fn apt(args: &[&str]) -> Line {
    let mut all = vec!["-o", "DPkg::Lock::Timeout=300"];
    all.extend(args);
    Line::new("apt-get", &all).env("DEBIAN_FRONTEND", "noninteractive")
}

/// What was installed for tests only does not start with the machine either.
fn no_start_at_boot(service: &str) -> Outcome {
    match find_program("systemctl") {
        Some(_) => Line::new("systemctl", &["disable", "--quiet", service]).run(),
        None => Ok(()),
    }
}

pub(crate) fn is_root() -> Outcome<bool> {
    let process = fs::metadata("/proc/self").map_err(|error| format!("/proc/self: {error}"))?;
    Ok(process.uid() == 0)
}

/// While it lives, packages that are installed start no services; unless the machine has a policy
/// of its own, which is left as it is.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn begin() -> Outcome<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let policy = Self { ours: true };
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
            .map_err(|error| format!("{POLICY} cannot be written: {error}"))?;
        Ok(policy)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("{POLICY} should be removed: {error}");
        }
    }
}

/// Makes the Python environment with the packages of the list. The tests look for it at the same
/// place, with the same stamp.
pub(crate) fn python(workspace: &Workspace) -> Outcome<Vec<LeftOut>> {
    let tests = "interop::pika interop::aio_pika interop::celery";
    let list = workspace.root.join(PYTHON_FOLDER).join("requirements.txt");
    let folder = workspace.target.join(PYTHON_ENVIRONMENT);
    if is_stamped(&folder, &list)? {
        println!("{} is as its list says", folder.display());
        return Ok(Vec::new());
    }
    if find_program("python3").is_none() {
        return Ok(vec![LeftOut {
            reason: "Python's clients: there is no `python3`".to_owned(),
            tests,
            lack: Lack::Program,
        }]);
    }
    remove_folder(&folder)?;
    let path = folder.display().to_string();
    if let Err(error) = Line::new("python3", &["-m", "venv", &path]).output() {
        let reason = format!("Python's clients: python3 cannot make an environment: {error}");
        return Ok(vec![LeftOut {
            reason,
            tests,
            lack: Lack::Program,
        }]);
    }
    let list_path = list.display().to_string();
    let program = folder.join("bin/python").display().to_string();
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        &list_path,
    ];
    Line::new(program, &install).run()?;
    stamp(&folder, &list)?;
    Ok(Vec::new())
}

/// Installs the node modules of the lock file beside the script that needs them.
pub(crate) fn node(workspace: &Workspace) -> Outcome<Vec<LeftOut>> {
    let folder = workspace.root.join(NODE_FOLDER);
    let (modules, list) = (
        folder.join("node_modules"),
        folder.join("package-lock.json"),
    );
    if is_stamped(&modules, &list)? {
        println!("{} is as its list says", modules.display());
        return Ok(Vec::new());
    }
    for program in ["node", "npm"] {
        if find_program(program).is_none() {
            let reason = format!("Node's clients: there is no `{program}`");
            return Ok(vec![LeftOut {
                reason,
                tests: "interop::amqplib",
                lack: Lack::Program,
            }]);
        }
    }
    Line::new("npm", &["ci", "--no-audit", "--no-fund"])
        .within(&folder)
        .run()?;
    stamp(&modules, &list)?;
    Ok(Vec::new())
}

/// Finds out whether disks can be mounted for the fault tests, by mounting a small one. That is up to the machine: a container commonly may
/// not, and nothing that could be installed there would change it.
pub(crate) fn disks(workspace: &Workspace) -> Outcome<Vec<LeftOut>> {
    let left_out = |obstacle: String, lack| {
        Ok(vec![LeftOut {
            reason: format!("faults of disks (power cuts, errors, no room): {obstacle}"),
            tests: "faults::disk",
            lack,
        }])
    };
    if !is_root()? {
        return left_out("mounting needs root".to_owned(), Lack::Permission);
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        let opened = fs::File::options().read(true).write(true).open(device);
        if let Err(error) = opened {
            return left_out(format!("{device}: {error}"), Lack::Permission);
        }
    }
    for program in ["mkfs.ext4", "mount", "losetup"] {
        if find_program(program).is_none() {
            return left_out(format!("there is no `{program}`"), Lack::Program);
        }
    }
    let folder = workspace.target.join("trial-disk");
    match mount_trial_disk(&folder) {
        Err(error) => left_out(error, Lack::Permission),
        Ok(()) => {
            println!("disks can be mounted");
            Ok(Vec::new())
        }
    }
}

fn mount_trial_disk(folder: &Path) -> Outcome {
    remove_folder(folder)?;
    let (image, mounted) = (folder.join("image"), folder.join("mounted"));
    fs::create_dir_all(&mounted)
        .and_then(|()| fs::File::create(&image))
        .and_then(|file| file.set_len(TRIAL_DISK_BYTES))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let (image, at) = (image.display().to_string(), mounted.display().to_string());
    Line::new("mkfs.ext4", &["-q", "-F", &image]).output()?;
    Line::new("mount", &["-t", "ext4", "-o", "loop", &image, &at]).output()?;
    Line::new("umount", &[&at]).output()?;
    remove_folder(folder)
}

fn is_stamped(folder: &Path, list: &Path) -> Outcome<bool> {
    let wanted = read(list)?;
    match fs::read_to_string(folder.join(STAMP)) {
        Ok(installed) => Ok(installed == wanted),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(format!("{}: {error}", folder.join(STAMP).display())),
    }
}

fn stamp(folder: &Path, list: &Path) -> Outcome {
    let installed = read(list)?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(folder.join(STAMP), installed))
        .map_err(|error| {
            format!(
                "{} cannot be written: {error}",
                folder.join(STAMP).display()
            )
        })
}

fn read(list: &Path) -> Outcome<String> {
    fs::read_to_string(list).map_err(|error| format!("{} cannot be read: {error}", list.display()))
}

pub(crate) fn remove_folder(folder: &Path) -> Outcome {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
