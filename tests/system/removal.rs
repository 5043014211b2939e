//! Large boxes: what is left of them is moved away, and deleted in the background.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::systemd::{alone, must, private_mounts, property, scope_box, start, user_box};
use crate::support::{ALICE, TestBox, entries, finish, isolate_command, program, slow, wait_until};

/// More than is removed at once.
const MANY: u32 = 5_000;
const WATCH: &str = "isolate-removal.path";
const SERVICE: &str = "isolate-removal.service";
/// Where the leftovers of the boxes of this machine are.
const PLACE: &str = "/var/local/lib/isolate.removed";

/// The place for what boxes of a test leave, which nobody watches.
fn make_place(test_box: &TestBox) -> PathBuf {
    let place = test_box.dir().join("boxes.removed");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    place
}

fn fill(directory: &Path, files: u32) {
    let inner = directory.join("many");
    fs::create_dir(&inner).unwrap();
    for number in 0..files {
        fs::write(inner.join(number.to_string()), "").unwrap();
    }
}

fn count(directory: &Path) -> usize {
    entries(directory).count()
}

/// Makes the box, with many files in it.
fn make_large(test_box: &TestBox) {
    test_box.isolate(&["--init"]).assert_success();
    fill(&test_box.inside(), MANY);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_large_box_is_gone_at_once_and_only_its_own_next_one_waits() {
    for test_box in [scope_box(), user_box()] {
        let place = make_place(&test_box);
        make_large(&test_box);
        test_box.isolate(&["--cleanup"]).assert_silent_success();
        assert!(!test_box.path().exists());
        assert_eq!(count(&place), 1);
        // The box is as good as new, and has nothing of the old one.
        test_box.isolate(&["--init"]).assert_success();
        assert_eq!(count(&test_box.inside()), 0);
        fill(&test_box.inside(), MANY);
        let names = entries(&test_box.root()).map(|path| path.file_name().unwrap().to_owned());
        let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        assert_eq!(names, [test_box.id().to_string()]);
        // So it is where the box is made anew, and here the last one has its place still.
        test_box.isolate(&["--init"]).assert_success();
        assert_eq!((count(&place), count(&test_box.inside())), (1, 0));
        test_box.isolate(&["--cleanup"]).assert_silent_success();
        let config = test_box.config_file();
        let gc = |options: &[&str]| {
            let mut command = isolate_command(&["gc", "--config"]);
            command.arg(&config).args(options);
            finish(command)
        };
        let would = gc(&["--removed", "--dry-run"]);
        assert_eq!(would.stdout, "would delete what 1 removed box left\n");
        let done = gc(&["--removed"]);
        done.assert_success();
        assert!(done.stdout.starts_with("deleted what 1 removed box left: "));
        assert_eq!(count(&place), 0);
        gc(&["--removed"]).assert_silent_success();
        // Root's gc does it as well.
        make_large(&test_box);
        test_box.isolate(&["--cleanup"]).assert_silent_success();
        assert_eq!(count(&place), 1);
        gc(&[]).assert_success();
        assert_eq!(count(&place), 0);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_boxes_left_is_not_for_users_to_delete() {
    let test_box = user_box();
    make_place(&test_box);
    let refused = test_box.verb("gc", &["--removed"]);
    refused.assert_refused(2, "gc --removed is for root");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn exec_in_a_box_that_becomes_large_says_all_and_leaves_nobody_behind() {
    for test_box in [scope_box(), user_box()] {
        let place = make_place(&test_box);
        let script = format!(
            "echo begun; i=0; while [ $i -lt {MANY} ]; do : >f$i; i=$((i+1)); done; echo over; echo told >&2; exit 7"
        );
        let output = test_box.exec(&["/bin/sh", "-c", &script]);
        assert_eq!((output.code, output.stdout.as_str()), (7, "begun\nover\n"));
        assert!(output.stderr.starts_with("told\n"), "{output:?}");
        test_box.assert_gone();
        assert_eq!(count(&place), 1);
        assert!(test_box.processes().is_empty());
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_hostile_tree_that_was_moved_away_is_deleted_and_leads_nowhere() {
    let test_box = scope_box();
    let place = make_place(&test_box);
    let outside = test_box.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "kept").unwrap();
    make_large(&test_box);
    let mut tree = Command::new(program("make_tree"));
    tree.arg("1200").current_dir(test_box.inside());
    finish(tree).assert_silent_success();
    symlink(&outside, test_box.inside().join("way out")).unwrap();
    test_box.isolate(&["--cleanup"]).assert_silent_success();
    assert_eq!(count(&place), 1);
    test_box.verb("gc", &["--removed"]).assert_success();
    assert_eq!(count(&place), 0);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept");
    assert!(Path::new("/etc/shadow").exists());
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_in_which_something_is_mounted_is_removed_as_a_whole() {
    private_mounts();
    let test_box = scope_box();
    let place = make_place(&test_box);
    make_large(&test_box);
    let inner = test_box.inside().join("mounted");
    fs::create_dir(&inner).unwrap();
    must(
        "mount",
        &[
            "-t".as_ref(),
            "tmpfs".as_ref(),
            "x".as_ref(),
            inner.as_os_str(),
        ],
    );
    fs::write(inner.join("file"), "").unwrap();
    test_box.isolate(&["--cleanup"]).assert_silent_success();
    assert!(!test_box.path().exists());
    assert_eq!(count(&place), 0);
}

/// With a directory of it open, one could otherwise become the user of the next box that gets its ids.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_that_may_hold_files_of_its_user_is_removed_as_a_whole() {
    let test_box = scope_box();
    let place = make_place(&test_box);
    let running = start(&test_box);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.finish().code, -9);
    wait_until("the program is dead", || test_box.processes().is_empty());
    fill(&test_box.inside(), MANY);
    test_box.cleanup();
    assert_eq!(count(&place), 0);

    let test_box = scope_box().options(&["--special-files"]);
    let place = make_place(&test_box);
    test_box.command(&["/bin/true"]).run().assert_ok();
    fill(&test_box.inside(), MANY);
    test_box.cleanup();
    assert_eq!(count(&place), 0);
}

/// The installed program, on the boxes of this machine.
fn installed(id: u32, args: &[&str]) {
    let program = "/usr/bin/isolate-run";
    let id = format!("--box-id={id}");
    must(program, &[&[id.as_str()], args].concat());
}

/// Makes a box with many files, and with what a hostile program leaves.
fn make_large_here(id: u32) -> PathBuf {
    installed(id, &["--init"]);
    let path = PathBuf::from(format!("/var/local/lib/isolate/{id}"));
    fill(&path.join("box"), MANY);
    let mut tree = Command::new(program("make_tree"));
    tree.arg("1200").current_dir(path.join("box"));
    finish(tree).assert_silent_success();
    path
}

fn is_empty() -> bool {
    count(Path::new(PLACE)) == 0
}

/// What is of no box, until this is dropped.
struct Stranger(PathBuf);

impl Stranger {
    fn put(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let systemctl = |words: &[&str]| Command::new("systemctl").args(words).status().ok();
        systemctl(&["stop", WATCH, SERVICE]);
        fs::remove_dir(&self.0).ok();
        systemctl(&["reset-failed", SERVICE]);
    }
}

/// Starts the watch when it is dropped, whatever has failed.
struct Watched;

impl Drop for Watched {
    fn drop(&mut self) {
        Command::new("systemctl")
            .args(["start", WATCH])
            .status()
            .ok();
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_boxes_left_goes_by_itself_and_stays_while_nobody_watches() {
    let _alone = alone();
    let _watched = Watched;
    must("systemctl", &["is-enabled", WATCH]);
    must("systemctl", &["is-active", WATCH]);
    let path = make_large_here(913);
    installed(913, &["--cleanup"]);
    assert!(!path.exists());
    wait_until("what the box left is deleted", is_empty);
    wait_until("the service is over", || {
        property(SERVICE, "ActiveState") == "inactive"
    });
    assert_eq!(property(SERVICE, "Result"), "success");
    must("systemctl", &["is-active", WATCH]);

    // By a user, through the broker.
    let user = format!("--reuid={ALICE}");
    let by_alice = |args: &[&str]| {
        let group = format!("--regid={ALICE}");
        let words = [
            user.as_str(),
            &group,
            "--init-groups",
            "--",
            "/usr/bin/isolate-run",
        ];
        must("setpriv", &[&words, args].concat())
    };
    by_alice(&["--box-id=914", "--init"]);
    fill(Path::new("/var/local/lib/isolate/914/box"), 4 * MANY);
    by_alice(&["--box-id=914", "--cleanup"]);
    by_alice(&["--box-id=914", "--init"]);
    assert_eq!(count(Path::new("/var/local/lib/isolate/914/box")), 0);
    by_alice(&["--box-id=914", "--cleanup"]);
    wait_until("what the user's box left is deleted", is_empty);

    must("systemctl", &["stop", WATCH]);
    for _ in 0..2 {
        let path = make_large_here(913);
        installed(913, &["--cleanup"]);
        assert!(!path.exists());
        assert_eq!(count(Path::new(PLACE)), 1);
    }
    let mut doctor = Command::new("/usr/bin/isolate-run");
    doctor.args(["doctor", "--only", "removal"]);
    let told = finish(doctor);
    assert_eq!(told.code, 1, "{told:?}");
    assert!(told.stdout.contains("isolate-removal.path is not active"));
    must("/usr/bin/isolate-run", &["gc", "--removed"]);
    assert!(is_empty());
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_cannot_be_deleted_is_tried_now_and_then() {
    let _alone = alone();
    let _watched = Watched;
    must("systemctl", &["is-active", WATCH]);
    let state = || property(SERVICE, "ActiveState");
    wait_until("the service is over", || state() == "inactive");
    let times = [
        "show",
        "--property=ExecMainStartTimestampMonotonic",
        SERVICE,
    ];
    let begun = || must("systemctl", &times);
    let before = begun();
    // What is of no box stays, so that somebody sees to it.
    let _stranger = Stranger::put(Path::new(PLACE).join("notes"));
    let said = "notes' is nothing that a box has left: take it away";
    let words = ["--boot", "--identifier=isolate-run", "--unit", SERVICE];
    let log = || must("journalctl", &words);
    wait_until("the service has failed", || log().contains(said));
    let first = begun();
    assert_ne!(first, before);
    // Its weight counts beside the runs', and not in another part of the machine.
    assert_eq!(property(SERVICE, "Slice"), "isolate.slice");
    // Nobody waits for it, and the boot does not either.
    let jobs = must("systemctl", &["list-jobs", "--no-legend"]);
    assert!(!jobs.contains(SERVICE), "{jobs}");
    sleep(Duration::from_secs(3));
    assert_eq!(
        (begun(), state()),
        (first, "activating".to_owned()),
        "{}",
        log()
    );
    must("systemctl", &["is-active", WATCH]);
    // Others go all the same, as soon as it is tried again.
    fs::create_dir_all(Path::new(PLACE).join("0.3/box")).unwrap();
    let mut gc = Command::new("/usr/bin/isolate-run");
    gc.args(["gc", "--removed"]);
    let told = finish(gc);
    let deleted = "deleted what 1 removed box left: 1 file\n";
    assert_eq!((told.code, told.stdout.as_str()), (2, deleted));
    assert!(told.stderr.contains(said), "{told:?}");
    assert_eq!(count(Path::new(PLACE)), 1);
    // Nobody who stops it waits for its next try.
    let begin = Instant::now();
    must("systemctl", &["stop", WATCH, SERVICE]);
    assert!(slow() || begin.elapsed() < Duration::from_secs(20));
}
