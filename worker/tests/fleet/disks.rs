//! Small disks that can be full: a file system in memory, in a namespace of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

/// The largest that there is.
const LARGEST: usize = 256 << 20;

/// A disk, for as long as this is there.
#[derive(Debug)]
pub struct Disk {
    holder: Child,
    place: PathBuf,
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

impl Disk {
    /// Of this size, at this place, for whoever is started by `command`.
    pub fn new(place: &Path, size: &str) -> Self {
        fs::create_dir_all(place).unwrap();
        // It ends when nobody holds its input any more.
        let script = "mount -t tmpfs -o size=$1 tmpfs \"$0\" && echo mounted && exec cat";
        let mut command = Command::new("unshare");
        command
            .arg(if is_root() { "-m" } else { "-Urm" })
            .args(["sh", "-c", script])
            .arg(place)
            .arg(size);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut line = String::new();
        let said = holder.stdout.as_mut().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n");
        let place = place.to_owned();
        Self { holder, place }
    }

    /// A program that has it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        let holder = self.holder.id().to_string();
        command.args(["-t", &holder, "-m"]);
        if !is_root() {
            command.args(["-U", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// As it is seen from here. It must not be this machine's own by any mistake.
    fn root(&self) -> PathBuf {
        let inside = self.place.strip_prefix("/").unwrap();
        let root = format!("/proc/{}/root", self.holder.id());
        let place = Path::new(&root).join(inside);
        let kind = statfs(&place).unwrap().filesystem_type();
        assert_eq!(kind, TMPFS_MAGIC, "{} is no disk of ours", place.display());
        place
    }

    /// Nothing more goes onto it.
    pub fn fill(&self) {
        let mut file = File::create(self.root().join("filler")).unwrap();
        let mut left = LARGEST;
        for length in [1 << 20, 1 << 12] {
            while file.write_all(&vec![b'x'; length]).is_ok() {
                left = left.checked_sub(length).expect("it is never full");
            }
        }
    }

    /// There is room again.
    pub fn free(&self) {
        fs::remove_file(self.root().join("filler")).unwrap();
    }

    /// Nothing is on it any more.
    pub fn clear(&self) {
        for entry in fs::read_dir(self.root()).unwrap().flatten() {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}
