//! Disks for fault tests: small ones, and ones that lose their power or fail, each with an ext4 on it.
//!
//! They need root, loop devices and `/dev/fuse`; `cargo xtask test` finds out beforehand whether they can be had, and says what it leaves out.
//! What was mounted is taken down when its value is dropped or when the test's own process ends in whatever way: a shell stands guard over a
//! pipe that closes with us.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

pub mod power;

use power::{IMAGE, PowerDisk};

/// Bytes of a disk on which an ext4 with a journal has room.
const SMALLEST: u64 = 8 << 20;

/// Waits for the end of standard input, then takes down what is mounted on a folder, and the loop device below it if there is one.
const GUARD: &str = r#"
cat >/dev/null
umount "$1" 2>/dev/null || umount -l "$1"
[ -z "$2" ] || losetup -d "$2"
"#;

/// A mounted filesystem.
#[derive(Debug)]
pub struct Mounted {
    folder: PathBuf,
    guard: Child,
}

impl Mounted {
    /// Mounts the ext4 of an image file, by way of a loop device, on a folder that is made for it.
    pub fn image(image: &Path, folder: &Path) -> io::Result<Self> {
        fs::create_dir(folder)?;
        let device = run(Command::new("losetup")
            .args(["--find", "--show"])
            .arg(image))?;
        let device = device.trim();
        let mounted = run(Command::new("mount")
            .args(["-t", "ext4", device])
            .arg(folder));
        if let Err(error) = mounted {
            run(Command::new("losetup").args(["--detach", device]))?;
            return Err(error);
        }
        Ok(Self {
            folder: folder.to_owned(),
            guard: guard(folder, device)?,
        })
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let ended = self.guard.wait();
        let is_down = ended.is_ok_and(|status| status.success());
        // A second panic would hide the first.
        assert!(
            is_down || std::thread::panicking(),
            "{} cannot be taken down",
            self.folder.display()
        );
    }
}

fn guard(folder: &Path, device: &str) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", GUARD, "guard"])
        .arg(folder)
        .arg(device)
        .stdin(Stdio::piped())
        .spawn()
}

/// Mounts a small disk of each kind, once in this process; in words why that cannot be done here.
pub fn try_out() -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    let tried = TRIED.get_or_init(|| match Machine::new(SMALLEST) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("no disk can be mounted: {error}")),
    });
    tried.clone()
}

/// Makes an image file of so many bytes with an empty ext4.
pub fn make_image(image: &Path, bytes: u64) -> io::Result<()> {
    fs::File::create_new(image)?.set_len(bytes)?;
    make_ext4(image)
}

/// Without reserved blocks, and with all tables written now rather than by the kernel later.
fn make_ext4(image: &Path) -> io::Result<()> {
    let options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
    run(Command::new("mkfs.ext4")
        .args(["-q", "-F", "-m", "0", "-E", options])
        .arg(image))?;
    Ok(())
}

/// A disk that can lose its power or fail, with an ext4 on it, mounted.
#[derive(Debug)]
pub struct Machine {
    // In the order in which they are taken down.
    mounted: Mounted,
    _fuse: Mounted,
    _session: fuser::BackgroundSession,
    disk: PowerDisk,
    home: tempfile::TempDir,
}

impl Machine {
    /// One with a disk of so many bytes.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("leveret-disk-").tempdir()?;
        let at = |name: &str| home.path().join(name);
        make_image(&at("platters"), bytes)?;
        let disk = PowerDisk::open(&at("platters"))?;
        fs::create_dir(at("fuse"))?;
        let session = fuser::spawn_mount(disk.clone(), at("fuse"), &fuser::Config::default())?;
        let fuse = Mounted {
            guard: guard(&at("fuse"), "")?,
            folder: at("fuse"),
        };
        let mounted = Mounted::image(&at("fuse").join(IMAGE), &at("mounted"))?;
        Ok(Self {
            mounted,
            _fuse: fuse,
            _session: session,
            disk,
            home,
        })
    }

    /// The folder that the disk is mounted on.
    pub fn folder(&self) -> &Path {
        self.mounted.folder()
    }

    /// The disk.
    pub fn disk(&self) -> &PowerDisk {
        &self.disk
    }

    /// Mounts what a power cut at this moment may leave, in the way the seed will have it.
    pub fn after_cut(&self, seed: u64) -> io::Result<Mounted> {
        let image = self.home.path().join(format!("cut-{seed}"));
        self.disk.image_after_cut(seed, &image)?;
        Mounted::image(&image, &self.home.path().join(format!("mounted-{seed}")))
    }

    /// Mounts what was flushed, and nothing else.
    pub fn flushed(&self) -> io::Result<Mounted> {
        let image = self.home.path().join("flushed");
        self.disk.flushed_image(&image)?;
        Mounted::image(&image, &self.home.path().join("mounted-flushed"))
    }
}

/// Runs a command to its end and returns what it printed.
fn run(command: &mut Command) -> io::Result<String> {
    let ended = command.stdin(Stdio::null()).output()?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&ended.stderr);
    Err(io::Error::other(format!("{command:?}: {errors}")))
}
