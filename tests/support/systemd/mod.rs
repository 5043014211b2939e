//! What the tests of `system` share: scopes and control groups as systemd and the kernel show them, and mounts that
//! nobody else sees.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) use manager::{main_pid, properties, property, units};

mod manager;
pub(crate) mod package;

use crate::support::{ALICE, Running, TestBox, entries, finish, processes_among, wait_until};

/// Where the only cgroup2 file system of a machine with systemd and cgroup v2 is.
pub(crate) const CGROUPS: &str = "/sys/fs/cgroup";

/// One test of a target after the other, where systemd is replaced by itself: every other question to it may fail meanwhile.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A box in control-group mode, each run in a scope of its own.
pub(crate) fn cg_box() -> TestBox {
    TestBox::with_manager("systemd").options(&["--cg"])
}

/// Whether this machine's control groups have controllers: those of a container may have none.
pub(crate) fn has_controllers() -> bool {
    let names = fs::read_to_string(Path::new(CGROUPS).join("cgroup.controllers")).unwrap();
    names.split_whitespace().any(|name| name == "memory")
}

/// In control-group mode where there are controllers, otherwise without: for what is the same in both modes.
pub(crate) fn in_any_mode(test_box: TestBox) -> TestBox {
    match has_controllers() {
        true => test_box.options(&["--cg"]),
        false => test_box,
    }
}

/// A box of root's, [`in_any_mode`], each run in a scope of its own.
pub(crate) fn any_box() -> TestBox {
    in_any_mode(scope_box())
}

/// A box of root's whose runs live in a scope; without control-group mode, which needs controllers.
pub(crate) fn scope_box() -> TestBox {
    TestBox::with_manager("systemd")
}

/// A box of a user who is not root, used by the broker; without control-group mode.
pub(crate) fn user_box() -> TestBox {
    TestBox::with_manager("systemd").called_by(ALICE)
}

/// What is the same for root and for a user: what `found` returns for a box of each, which must be equal.
#[track_caller]
pub(crate) fn same_for_both<T: PartialEq + Debug>(found: impl Fn(&TestBox) -> T) -> T {
    let of_root = found(&TestBox::with_manager("systemd"));
    let of_user = found(&user_box());
    assert_eq!(of_user, of_root, "left: a user's; right: root's");
    of_root
}

/// Starts a program that goes on until the file `go` is there, and waits until it runs.
pub(crate) fn start(test_box: &TestBox) -> Running {
    start_with(test_box.init(), &[])
}

/// The same in a box that was made before, with these options.
pub(crate) fn start_with(test_box: &TestBox, options: &[&str]) -> Running {
    drop(fs::remove_file(test_box.inside().join("started")));
    let script = ": >started; while [ ! -e go ]; do sleep 0.2; done";
    let running = test_box.shell(script).options(options).spawn();
    running.wait_for_file("started");
    running
}

/// Lets such a program end.
pub(crate) fn let_go(test_box: &TestBox) {
    fs::write(test_box.inside().join("go"), "").unwrap();
}

/// Runs a command that has to succeed; what it printed.
#[track_caller]
pub(crate) fn must<S: AsRef<OsStr>>(program: &str, args: &[S]) -> String {
    let mut command = Command::new(program);
    // Tools of the administrator, which the search path of a test need not have.
    command.env(
        "PATH",
        "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
    );
    command.args(args);
    let output = finish(command);
    assert_eq!(output.code, 0, "{program}: {output:?}");
    output.stdout
}

/// Asserts that systemd has nothing to say about the file of a unit.
#[track_caller]
pub(crate) fn assert_systemd_accepts(unit: &Path) {
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").arg(unit);
    finish(verify).assert_silent_success();
}

/// The control groups of the scopes of a box in a slice's control group, as the kernel has them.
pub(crate) fn scopes_in(slice: &Path, id: u32) -> Vec<PathBuf> {
    let prefix = format!("isolate-{id}-");
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let scopes = entries(slice).filter(|path| name(path).starts_with(&prefix));
    scopes
        .filter(|path| name(path).ends_with(".scope"))
        .collect()
}

/// The same in `isolate.slice` and in the slices of users there.
pub(crate) fn scopes(test_box: &TestBox) -> Vec<PathBuf> {
    scopes_of(test_box.id())
}

/// The same of the box with this number, whoever's it is.
pub(crate) fn scopes_of(id: u32) -> Vec<PathBuf> {
    let all = Path::new(CGROUPS).join("isolate.slice");
    let is_users = |path: &PathBuf| path.extension() == Some(OsStr::new("slice"));
    let mut found = scopes_in(&all, id);
    for slice in entries(&all).filter(is_users) {
        found.extend(scopes_in(&slice, id));
    }
    found
}

/// The control group of the one scope of a box whose program runs, and the unit's name.
#[track_caller]
pub(crate) fn only_scope(test_box: &TestBox) -> (PathBuf, String) {
    let scopes = scopes(test_box);
    let [scope] = &scopes[..] else {
        panic!("not one scope: {scopes:?}");
    };
    let unit = scope.file_name().unwrap().to_string_lossy().into_owned();
    (scope.clone(), unit)
}

/// Fails unless the box's processes and scopes are gone, or go soon.
pub(crate) fn assert_nothing_left(test_box: &TestBox) {
    nothing_is_left(test_box.id(), test_box.uids());
}

/// The same for a box of this number, with any of the uids that belong to the test box.
pub(crate) fn assert_nothing_left_of(test_box: &TestBox, id: u32) {
    nothing_is_left(id, test_box.uids());
}

/// Lets go of the slice.
pub(crate) fn assert_nothing_left_in_slice(test_box: &TestBox, slice: &str) {
    must("systemctl", &["stop", slice]);
    must("systemctl", &["revert", slice]);
    assert_nothing_left(test_box);
}

fn nothing_is_left(id: u32, uids: Range<u32>) {
    wait_until("no process is left", || {
        processes_among(uids.clone()).is_empty()
    });
    wait_until("no control group is left", || scopes_of(id).is_empty());
    let pattern = format!("isolate-{id}-*");
    wait_until("no unit is left", || units(&pattern).is_empty());
}

/// A file of a control group, without its last line break.
#[track_caller]
pub(crate) fn read_cgroup(cgroup: &Path, name: &str) -> String {
    let path = cgroup.join(name);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim_end().to_owned()
}

/// The processes of a control group.
pub(crate) fn members(cgroup: &Path) -> Vec<i32> {
    let list = read_cgroup(cgroup, "cgroup.procs");
    list.lines().map(|pid| pid.parse().unwrap()).collect()
}

/// Gives this thread, and what it starts, mounts of its own: nobody else sees what it mounts from here on, and all of
/// it is gone when thread and processes are.
pub(crate) fn private_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
}

/// A file system of this test's own, unmounted at the end. It is made after [`private_mounts`], and outlives the boxes on it.
#[derive(Debug)]
pub(crate) struct Mounted {
    dir: tempfile::TempDir,
    mounted: PathBuf,
}

impl Mounted {
    /// A tmpfs with these mount options.
    pub(crate) fn tmpfs(options: &str) -> Self {
        Self::in_memory("tmpfs", options)
    }

    /// A ramfs, which can do little.
    pub(crate) fn ramfs(options: &str) -> Self {
        Self::in_memory("ramfs", options)
    }

    fn in_memory(kind: &str, options: &str) -> Self {
        let new = Self::prepare();
        must("mount", &["-t", kind, "-o", options, kind, new.target()]);
        new
    }

    /// A file system on a loop device: `make` is the command that makes it, which gets the image's path at the end.
    pub(crate) fn image(size_mib: u64, make: &[&str], options: &str) -> Self {
        let new = Self::prepare();
        let image = new.dir.path().join("image");
        let file = fs::File::create(&image).unwrap();
        file.set_len(size_mib << 20).unwrap();
        let image = image.to_str().unwrap();
        must("modprobe", &["loop"]);
        must(make[0], &[&make[1..], &[image]].concat());
        must(
            "mount",
            &["-o", &format!("loop,{options}"), image, new.target()],
        );
        new
    }

    /// An overlayfs over two directories of a tmpfs.
    pub(crate) fn overlay() -> Self {
        let new = Self::prepare();
        let layers = new.dir.path().join("layers");
        fs::create_dir(&layers).unwrap();
        must("mount", &["-t", "tmpfs", "tmpfs", layers.to_str().unwrap()]);
        for name in ["lower", "upper", "work"] {
            fs::create_dir(layers.join(name)).unwrap();
        }
        let at = layers.display();
        let options = format!("lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work");
        must(
            "mount",
            &["-t", "overlay", "-o", &options, "overlay", new.target()],
        );
        new
    }

    fn prepare() -> Self {
        // Not below /tmp, which is small and in memory on some systems.
        let dir = tempfile::TempDir::with_prefix_in("isolate-", "/var/tmp").unwrap();
        must("chmod", &["755", dir.path().to_str().unwrap()]);
        let mounted = dir.path().join("mounted");
        fs::create_dir(&mounted).unwrap();
        Self { dir, mounted }
    }

    fn target(&self) -> &str {
        self.mounted.to_str().unwrap()
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            umount(&self.mounted).ok();
        } else {
            // The keeper that stood by goes soon after its broker.
            wait_until("it is unmounted", || umount(&self.mounted).is_ok());
        }
        // What is below an overlayfs.
        let layers = self.dir.path().join("layers");
        if layers.exists() {
            umount(&layers).unwrap();
        }
    }
}

/// The processes of a service, stopped until this is dropped.
#[derive(Debug)]
pub(crate) struct Silent(Vec<Pid>);

impl Silent {
    /// Starts it before, if it has not been needed yet.
    pub(crate) fn new(unit: &str) -> Self {
        must("systemctl", &["start", unit]);
        // The first process of another bus only starts it.
        let group = format!("{CGROUPS}{}", property(unit, "ControlGroup"));
        let pids = members(Path::new(&group)).into_iter().map(Pid::from_raw);
        let new = Self(pids.collect());
        assert!(!new.0.is_empty(), "{unit} has no processes");
        new.send(Signal::SIGSTOP);
        new
    }

    fn send(&self, signal: Signal) {
        self.0.iter().for_each(|pid| kill(*pid, signal).unwrap());
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.send(Signal::SIGCONT);
    }
}

/// A file of polkit rules, until this is dropped.
#[derive(Debug)]
pub(crate) struct Rules(PathBuf);

impl Rules {
    /// Writes it, and waits until polkit has read it: until then the answer of `probe`, a command, is another one.
    pub(crate) fn new(name: &str, text: &str, probe: impl FnMut() -> bool) -> Self {
        let file = PathBuf::from(format!("/etc/polkit-1/rules.d/{name}.rules"));
        let new = Self(file);
        fs::write(&new.0, text).unwrap();
        wait_until("polkit knows the rule", probe);
        new
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}
