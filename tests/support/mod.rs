//! What the tests share: a box of one's own, jobs in it, and what came of them.
//!
//! ```text
//! TestBox::new().program("burn_cpu").options(&["--time=0.05"]).run() -> Run { code, stdout, stderr, meta }
//! ```
//!
//! Every [`TestBox`] has a directory, a configuration, box ids and uids that no other test has. When it is dropped
//! it is cleaned up, and the test fails if anything of it is left.
#![allow(dead_code, unused_imports, reason = "no test binary uses all of it")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;

pub(crate) use broker::{ALICE, BOB, Broker};
pub(crate) use job::{Job, Running};
pub(crate) use output::{CG_FIGURES, FIGURES, Meta, Output, Run};
pub(crate) use process::{
    Started, children_of, finish, finish_with_input, patience, slow, wait_until,
};
pub(crate) use terminal::Terminal;

pub(crate) mod attacks;
pub(crate) mod barriers;
pub(crate) mod batch;
mod broker;
pub(crate) mod clients;
pub(crate) mod dice;
pub(crate) mod hostile;
mod job;
mod output;
pub(crate) mod pages;
mod process;
pub(crate) mod rootless;
pub(crate) mod schemas;
pub(crate) mod systemd;
mod terminal;

/// Boxes that each [`TestBox`] may use.
pub(crate) const BOXES: u32 = 8;

/// Test boxes of a process that may be in use at the same time.
const SLOTS: u32 = 64;

/// The ids that each [`TestBox`] has: one for every number of a box, and some for tests that want more boxes. Users get them in
/// turn, all of them in time.
const IDS: u32 = (SLOTS + 32) * BOXES;

/// The program under test.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("ISOLATE_RUN_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_isolate-run").into(), PathBuf::from)
}

/// A file of the repository.
pub(crate) fn source(name: &str) -> PathBuf {
    std::env::var_os("ISOLATE_TEST_SOURCE")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
        .join(name)
}

/// `tests/programs/NAME.c`, compiled and linked statically.
pub(crate) fn program(name: &str) -> PathBuf {
    if let Some(built) = std::env::var_os("ISOLATE_TEST_PROGRAMS") {
        return Path::new(&built).join(name);
    }
    compile(name, name, &[])
}

/// Compiles `tests/programs/NAME.c` unless that has been done already. Other tests may do the same at the same
/// time: the result appears under its name only when it is complete.
fn compile(name: &str, result: &str, extra: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/programs/{name}.c"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    let compiled = directory.join(result);
    let age = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    let modified = age(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    // What some of them share.
    let shared = age(&source.with_file_name("attack.h")).unwrap();
    if age(&compiled).is_ok_and(|built| built > modified.max(shared)) {
        return compiled;
    }
    fs::create_dir_all(&directory).unwrap();
    let fresh = TempDir::new_in(&directory).unwrap();
    let unfinished = fresh.path().join(result);
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-static", "-pthread"]).args(extra);
    gcc.arg("-o").arg(&unfinished).arg(&source);
    let built = gcc.output().expect("gcc is needed: apt-get install gcc");
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{name}.c: {errors}");
    fs::rename(&unfinished, &compiled).unwrap();
    compiled
}

/// A number that no other process is likely to have whose tests go on at the same time. Containers have process numbers of their
/// own, but the kernel counts the processes of a uid over all of them: RLIMIT_NPROC.
fn process_number() -> u32 {
    let namespace = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let spread = namespace.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (spread as u32).wrapping_add(std::process::id())
}

/// A command of the program under test, as it is: no box, no configuration.
pub(crate) fn isolate_command<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(binary());
    command.args(args);
    command
}

/// A box for one test. Copies of the handle are the same box; the last one that goes cleans it up.
#[derive(Debug, Clone)]
#[must_use]
pub(crate) struct TestBox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: TempDir,
    manager: String,
    config: String,
    common: Vec<OsString>,
    first_id: u32,
    first_uid: u32,
    /// Who calls, if not root, and the broker by which they do, once there is one.
    caller: Option<u32>,
    broker: OnceLock<Broker>,
    made: OnceLock<PathBuf>,
}

impl TestBox {
    /// A box without a control group: for tests of `root`.
    pub(crate) fn new() -> Self {
        Self::with_manager("none")
    }

    /// A box with this `[cgroup] manager`.
    pub(crate) fn with_manager(manager: &str) -> Self {
        Self::new_in(&std::env::temp_dir(), manager)
    }

    /// A box whose directories are below `parent`, on that file system.
    pub(crate) fn new_in(parent: &Path, manager: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // No two boxes in use at the same time have a number or a uid in common: a process has some 32 of them at once.
        let slot = process_number() % (1 << 15) * SLOTS + number % SLOTS;
        let first_id = number % SLOTS * BOXES;
        let dir = TempDir::with_prefix_in("isolate-", parent).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // For what the caller of a run writes, whoever that is.
        fs::create_dir(dir.path().join("out")).unwrap();
        let everybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(dir.path().join("out"), everybody).unwrap();
        let new = Self(Arc::new(Inner {
            dir,
            manager: manager.to_owned(),
            config: String::new(),
            common: Vec::new(),
            first_id,
            first_uid: (1 << 20) + slot * IDS + first_id,
            caller: None,
            broker: OnceLock::new(),
            made: OnceLock::new(),
        }));
        new.write_config();
        new
    }

    /// Adds tables to the configuration; `[boxes]` and `[cgroup]` are there already, see [`Self::boxes`].
    pub(crate) fn config(self, text: &str) -> Self {
        self.change(|inner| inner.config.push_str(text))
    }

    /// Adds options that every command on this box gets, such as `--cg`.
    pub(crate) fn options<S: AsRef<OsStr>>(self, options: &[S]) -> Self {
        self.change(|inner| inner.common.extend(owned(options)))
    }

    /// Lets this user of the machine give all commands, by a broker with this configuration.
    pub(crate) fn called_by(self, uid: u32) -> Self {
        // Users' boxes get the ids in turn: here those that are this test's own come first.
        fs::create_dir(self.locks()).unwrap();
        fs::write(self.locks().join("turn"), self.id().to_string()).unwrap();
        self.change(|inner| inner.caller = Some(uid))
    }

    /// That broker.
    pub(crate) fn broker(&self) -> &Broker {
        let start = || Broker::start(self.dir(), &self.config_file());
        self.0.broker.get_or_init(start)
    }

    /// The same box, called by another user.
    pub(crate) fn command_of<S: AsRef<OsStr>>(&self, uid: u32, args: &[S]) -> Command {
        let mut command = self.broker().command(uid);
        command.arg(format!("--box-id={}", self.id()));
        command.args(&self.0.common).args(args);
        command
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        let inner = Arc::get_mut(&mut self.0);
        change(inner.expect("a box is configured before it is used"));
        self.write_config();
        self
    }

    fn write_config(&self) {
        // Between runs nothing is left, but in tests about what is.
        let keep_ready = match self.0.config.contains("keep_ready") {
            true => "",
            false => "keep_ready = 0\n",
        };
        let text = format!(
            "[boxes]\nroot = '{}'\nlocks = '{}'\ncount = {}\nfirst_uid = {uid}\nfirst_gid = {uid}\n\
             [cgroup]\nmanager = '{}'\n{keep_ready}{}",
            self.root().display(),
            self.locks().display(),
            self.0.first_id + BOXES,
            self.0.manager,
            self.0.config,
            uid = self.0.first_uid - self.0.first_id,
        );
        fs::write(self.config_file(), text).unwrap();
    }

    /// The configuration file, to be changed by tests about configurations.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.0.dir.path().join("isolate.toml")
    }

    /// The directory that goes with this box; only root may write there.
    pub(crate) fn dir(&self) -> &Path {
        self.0.dir.path()
    }

    /// A directory where everybody may write.
    pub(crate) fn out(&self) -> PathBuf {
        self.0.dir.path().join("out")
    }

    /// `boxes.root`.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.dir.path().join("boxes")
    }

    /// `boxes.locks`.
    pub(crate) fn locks(&self) -> PathBuf {
        self.0.dir.path().join("locks")
    }

    /// The number of the box; those after it, up to [`BOXES`], belong to this test, too.
    pub(crate) fn id(&self) -> u32 {
        self.0.first_id
    }

    /// The uid, and the gid, that programs in the box have. Where there is no box, that of a box of root's.
    pub(crate) fn uid(&self) -> u32 {
        let number = self.id().to_string();
        let leased = |path: PathBuf| {
            let uid = path.file_name()?.to_str()?.strip_prefix("uid-")?.parse();
            let holder = fs::read_link(&path).ok()?;
            (holder == Path::new(&number)).then_some(uid.unwrap())
        };
        let own = entries(&self.locks()).find_map(leased);
        own.unwrap_or(self.first_uid())
    }

    /// The uid, and gid, of root's box with the first number of this test.
    pub(crate) fn first_uid(&self) -> u32 {
        self.0.first_uid
    }

    /// All uids that boxes of this test can have.
    pub(crate) fn uids(&self) -> Range<u32> {
        let first = self.first_uid() - self.id();
        first..first + self.id() + BOXES
    }

    /// The processes of all boxes of this test.
    pub(crate) fn processes(&self) -> Vec<i32> {
        processes_among(self.uids())
    }

    /// `<root>/<id>`, as `--init` prints it.
    pub(crate) fn path(&self) -> PathBuf {
        self.root().join(self.id().to_string())
    }

    /// The program's working directory, seen from outside.
    pub(crate) fn inside(&self) -> PathBuf {
        self.path().join("box")
    }

    /// The lock file.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.locks().join(self.id().to_string())
    }

    /// Makes the box, unless it has been made already.
    pub(crate) fn init(&self) -> &Self {
        self.0.made.get_or_init(|| {
            let output = self.isolate(&["--init"]);
            output.assert_success();
            let printed = PathBuf::from(output.stdout.trim_end_matches('\n'));
            assert_eq!(printed, self.path());
            printed
        });
        self
    }

    /// Runs a command of the program under test on this box: `--config`, `--box-id` and the common options come
    /// before `args`.
    pub(crate) fn isolate<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        finish(self.isolate_command(args))
    }

    /// The same, not started yet.
    pub(crate) fn isolate_command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = self.command_through(None);
        command.args(args);
        command
    }

    /// The same without further arguments; it may be a shell script of the caller's that starts it, as its `"$@"`.
    fn command_through(&self, script: Option<&str>) -> Command {
        let mut command = self.start_of_command(script);
        if self.0.caller.is_none() {
            command.arg("--config").arg(self.config_file());
        }
        command
            .arg(format!("--box-id={}", self.id()))
            .args(&self.0.common);
        command
    }

    /// The caller's process: the program under test, or the shell that starts it.
    fn start_of_command(&self, script: Option<&str>) -> Command {
        let program = match script {
            Some(_) => PathBuf::from("/bin/sh"),
            None => binary(),
        };
        let mut command = match self.0.caller {
            Some(uid) => self.broker().program(uid, program),
            None => Command::new(program),
        };
        if let Some(script) = script {
            command.args(["-c", script, "sh"]).arg(binary());
        }
        command
    }

    /// A command with a verb that is about all boxes, with this configuration.
    pub(crate) fn verb<S: AsRef<OsStr>>(&self, verb: &str, args: &[S]) -> Output {
        finish(self.verb_command(verb, args))
    }

    /// The same, not started yet.
    pub(crate) fn verb_command<S: AsRef<OsStr>>(&self, verb: &str, args: &[S]) -> Command {
        let mut command = self.start_of_command(None);
        command.arg(verb);
        if self.0.caller.is_none() {
            command.arg("--config").arg(self.config_file());
        }
        command.args(args);
        command
    }

    /// `exec` with this configuration; it chooses a box by itself.
    pub(crate) fn exec<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        finish(self.exec_command(args))
    }

    /// The same, not started yet.
    pub(crate) fn exec_command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let args = [&self.0.common[..], &owned(args)].concat();
        self.verb_command("exec", &args)
    }

    /// A run of `tests/programs/NAME.c`, which is copied into the box.
    pub(crate) fn program(&self, name: &str) -> Job {
        self.init();
        self.install(name);
        self.command(&[format!("./{name}")])
    }

    /// A run of this shell script, with the `/bin/sh` of this machine.
    pub(crate) fn shell(&self, script: &str) -> Job {
        self.command(&["/bin/sh", "-c", script]).options(&["-p"])
    }

    /// A run of this command line.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, argv: &[S]) -> Job {
        self.init();
        Job::new(self.clone(), owned(argv))
    }

    /// Copies a compiled program into the box.
    pub(crate) fn install(&self, name: &str) -> PathBuf {
        let path = self.inside().join(name);
        fs::copy(program(name), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Writes a file into the box, for everybody to read.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.init();
        let path = self.inside().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    /// Reads a file of the box.
    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.inside().join(name);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Makes a directory beside the boxes that belongs to `uid` and has this mode.
    pub(crate) fn make_dir(&self, name: &str, uid: u32, mode: u32) -> PathBuf {
        let path = self.dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        chown(&path, Some(uid), Some(uid)).unwrap();
        path
    }

    /// Removes the box and checks that nothing of it is left.
    pub(crate) fn cleanup(&self) {
        self.isolate(&["--cleanup"]).assert_silent_success();
        self.assert_gone();
    }

    /// Fails unless there is no trace of any box of this test.
    pub(crate) fn assert_gone(&self) {
        assert_eq!(self.0.traces(), Vec::<PathBuf>::new(), "left behind");
    }
}

impl Inner {
    /// What is there of any box of this test: directories, lock files, leases.
    fn traces(&self) -> Vec<PathBuf> {
        let locks = entries(&self.dir.path().join("locks"));
        let boxes = entries(&self.dir.path().join("boxes"));
        // By which users who make boxes wait for each other, what is counted of all commands, the locks of CPUs, and the
        // last look at all processes.
        let stays = ["turn", "counts", "cpus", "processes"]
            .map(|name| self.dir.path().join("locks").join(name));
        boxes
            .chain(locks)
            .filter(|path| !stays.contains(path))
            .collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut command = Command::new(binary());
        command
            .arg("--config")
            .arg(self.dir.path().join("isolate.toml"))
            .arg(format!("--box-id={}", self.first_id))
            .args(&self.common)
            .arg("--cleanup");
        if std::thread::panicking() {
            // The test has failed already; this is only not to leave anything behind.
            drop(command.output());
            return;
        }
        if self.made.get().is_some() {
            finish(command).assert_silent_success();
        }
        assert_eq!(self.traces(), Vec::<PathBuf>::new(), "left behind");
    }
}

/// The PIDs of all processes of this real uid.
pub(crate) fn processes_of(uid: u32) -> Vec<i32> {
    processes_among(uid..uid + 1)
}

/// The processes with one of these real uids.
pub(crate) fn processes_among(uids: Range<u32>) -> Vec<i32> {
    let has_uid = |process: &PathBuf| {
        // A process may end at any moment.
        let status = fs::read(process.join("status")).unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:\t"));
        let uid = line.and_then(|ids| ids.split('\t').next());
        uid.is_some_and(|uid| uids.contains(&uid.parse().unwrap()))
    };
    let pid = |process: PathBuf| process.file_name()?.to_str()?.parse().ok();
    let processes = entries(Path::new("/proc")).filter(has_uid);
    processes.filter_map(pid).collect()
}

/// What is in a directory, which need not exist.
pub(crate) fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let listed = fs::read_dir(directory).into_iter().flatten();
    listed.map(|entry| entry.unwrap().path())
}

fn owned<S: AsRef<OsStr>>(words: &[S]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}
