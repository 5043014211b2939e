//! An ordinary user who does without root and without the broker, with directories that no other test has.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::systemd::{CGROUPS, must};
use super::{ALICE, Output, binary, entries, finish, wait_until};

/// The first and the last id that alice has in /etc/subuid, as everybody outside sees them.
pub(crate) const SUBORDINATE: std::ops::Range<u32> = 100_000..165_536;

/// The ids that one of them has for boxes, and the first that the next gets.
const IDS: u32 = 100;
static FIRST_ID: AtomicU32 = AtomicU32::new(10_000);

/// alice, in a session of her own systemd.
#[derive(Debug)]
pub(crate) struct Rootless {
    dir: TempDir,
    slice: String,
}

impl Rootless {
    /// With more lines of configuration.
    pub(crate) fn with_config(lines: &str) -> Self {
        start_manager();
        let dir = TempDir::with_prefix("rootless-").unwrap();
        let name: String = dir.path().to_string_lossy().into_owned();
        let name: String = name
            .chars()
            .rev()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        let new = Self {
            dir,
            slice: format!("isolate-{name}.slice"),
        };
        new.own("", 0o755);
        for (name, mode) in [
            ("home", 0o711),
            ("run", 0o700),
            ("config", 0o700),
            ("config/isolate-run", 0o700),
        ] {
            fs::create_dir(new.path(name)).unwrap();
            new.own(name, mode);
        }
        // All that is alice's is in sight of all of them: ids that another test uses would be in use.
        let first = FIRST_ID.fetch_add(IDS, Ordering::Relaxed);
        let text = format!(
            "[cgroup]\nslice = '{}'\nkeep_ready = 1\n[boxes]\ncount = {IDS}\nfirst_uid = {first}\nfirst_gid = {first}\n{lines}",
            new.slice
        );
        let file = "config/isolate-run/isolate.toml";
        fs::write(new.path(file), text).unwrap();
        new.own(file, 0o600);
        new
    }

    /// With the defaults.
    pub(crate) fn new() -> Self {
        Self::with_config("")
    }

    fn own(&self, name: &str, mode: u32) {
        let path = self.path(name);
        chown(&path, Some(ALICE), Some(ALICE)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A path in the directory that is theirs: `home`, the working directory of commands, is in there.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of theirs below `home`.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let name = format!("home/{name}");
        fs::write(self.path(&name), bytes).unwrap();
        self.own(&name, mode);
        self.path(&name)
    }

    /// The inside of a box.
    pub(crate) fn inside(&self, id: u32) -> PathBuf {
        self.path(&format!("state/isolate-run/{id}/box"))
    }

    /// A command of theirs: any program.
    pub(crate) fn program<S: AsRef<std::ffi::OsStr>>(&self, argv: &[S]) -> Command {
        self.behind(Command::new("/usr/bin/setpriv"), argv)
    }

    /// The same, started by another program, which is followed by its own arguments.
    pub(crate) fn behind<S: AsRef<std::ffi::OsStr>>(
        &self,
        mut command: Command,
        argv: &[S],
    ) -> Command {
        command.args(["--reuid=alice", "--regid=alice", "--init-groups"]);
        command
            .args(argv)
            .current_dir(self.path("home"))
            .env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin");
        command.env("HOME", self.path("home"));
        command.env("XDG_STATE_HOME", self.path("state"));
        command.env("XDG_CONFIG_HOME", self.path("config"));
        command.env("XDG_RUNTIME_DIR", self.path("run"));
        let bus = format!("unix:path=/run/user/{ALICE}/bus");
        command.env("DBUS_SESSION_BUS_ADDRESS", bus);
        command
    }

    /// A command of isolate-run's. A verb is followed by the option for this way.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let isolate = binary();
        let mut argv = vec![isolate.to_str().unwrap()];
        match args.split_first() {
            Some((verb, rest)) if !verb.starts_with('-') => {
                argv.extend([*verb, "--rootless"]);
                argv.extend(rest);
            }
            _ => {
                argv.push("--rootless");
                argv.extend(args);
            }
        }
        self.program(&argv)
    }

    /// Such a command, to its end.
    pub(crate) fn call(&self, args: &[&str]) -> Output {
        finish(self.command(args))
    }

    /// The slice of their runs.
    pub(crate) fn slice(&self) -> &str {
        &self.slice
    }

    /// The control groups of scopes that are there.
    pub(crate) fn scopes(&self) -> Vec<PathBuf> {
        let manager = format!("{CGROUPS}/user.slice/user-{ALICE}.slice/user@{ALICE}.service");
        let slice = format!("{manager}/isolate.slice/{}", self.slice);
        let all = fs::read_dir(slice).into_iter().flatten();
        let all = all.map(|entry| entry.unwrap().path());
        all.filter(|path| path.is_dir()).collect()
    }

    /// Fails unless everything of theirs is gone, or goes soon: scopes, boxes, locks.
    pub(crate) fn assert_nothing_left(&self) {
        wait_until("no scope is left", || self.scopes().is_empty());
        let boxes: Vec<_> = entries(&self.path("state/isolate-run")).collect();
        assert!(boxes.is_empty(), "{boxes:?}");
        let mut locks: Vec<_> = entries(&self.path("run/isolate-run"))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .filter(|name| !["counts", "namespace", "namespace.new"].contains(&&**name))
            .collect();
        // The order in which ids are leased, and the last look at who has some.
        locks.retain(|name| name != "turn" && name != "processes");
        assert!(locks.is_empty(), "{locks:?}");
    }

    /// The process that keeps the user namespace.
    pub(crate) fn keeper_of_namespace(&self) -> Option<i32> {
        let text = fs::read_to_string(self.path("run/isolate-run/namespace")).ok()?;
        text.split(' ').next()?.parse().ok()
    }
}

impl Drop for Rootless {
    /// Others would wait for it.
    fn drop(&mut self) {
        if let Some(pid) = self.keeper_of_namespace() {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
}

/// Starts alice's systemd, which stays.
pub(crate) fn start_manager() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        // It answers nobody any more when its bus was restarted, as tests do.
        must("systemctl", &["restart", "systemd-logind.service"]);
        must("loginctl", &["enable-linger", "alice"]);
        must("systemctl", &["start", &format!("user@{ALICE}.service")]);
        let bus = format!("/run/user/{ALICE}/bus");
        wait_until("her bus is there", || Path::new(&bus).exists());
    });
}
