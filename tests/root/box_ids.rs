//! Which box, and whose: numbers up to 2^31-1, boxes that the program chooses, and user ids that no two boxes share.

use crate::support;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Output, TestBox, finish, isolate_command, processes_of, wait_until};

const LARGEST: u32 = i32::MAX as u32;

/// The configuration of a test box, but with ids for so many boxes.
struct Pool {
    test_box: TestBox,
    count: u32,
}

impl Pool {
    fn new(count: u32) -> Self {
        let test_box = TestBox::new();
        let text = format!(
            "[boxes]\nroot = '{}'\nlocks = '{}'\ncount = {count}\nfirst_uid = {uid}\nfirst_gid = {uid}\n\
             [cgroup]\nmanager = 'none'\n",
            test_box.root().display(),
            test_box.locks().display(),
            uid = test_box.first_uid(),
        );
        fs::write(test_box.config_file(), text).unwrap();
        Self { test_box, count }
    }

    fn isolate(&self, id: impl ToString, args: &[&str]) -> Output {
        let mut command = isolate_command(&["--config"]);
        command.arg(self.test_box.config_file());
        command.args(["--box-id", &id.to_string()]).args(args);
        finish(command)
    }

    fn init(&self, id: u32) -> Output {
        self.isolate(id, &["--init"])
    }

    fn cleanup(&self, id: u32) {
        self.isolate(id, &["--cleanup"]).assert_silent_success();
    }

    /// The uid that programs in the box have.
    fn uid_in(&self, id: u32) -> u32 {
        let output = self.isolate(id, &["--silent", "--run", "--", "/usr/bin/id", "-u"]);
        output.assert_success();
        let uid = output.stdout.trim_end().parse().unwrap();
        let ids = self.test_box.first_uid()..self.test_box.first_uid() + self.count;
        assert!(ids.contains(&uid), "{uid}");
        uid
    }

    fn assert_gone(&self) {
        let locks = fs::read_dir(self.test_box.locks()).unwrap();
        let mut names: Vec<_> = locks.map(|entry| entry.unwrap().file_name()).collect();
        // They stay: which ids are next, what is counted, and which ids processes had.
        names.retain(|name| name != "turn" && name != "counts" && name != "processes");
        assert!(names.is_empty(), "{names:?}");
        self.test_box.assert_gone();
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_may_have_any_number_and_gets_ids_that_no_other_box_has() {
    let pool = Pool::new(2);
    pool.init(LARGEST).assert_success();
    pool.init(1).assert_success();
    let uids = [pool.uid_in(LARGEST), pool.uid_in(1)];
    assert_ne!(uids[0], uids[1]);
    let refused = pool.init(5);
    refused.assert_refused(2, "all 2 user ids are in use by other boxes");
    // What could not be made is not there, nor its lock.
    assert!(!pool.test_box.locks().join("5").exists());
    let run = pool.isolate(5, &["--run", "--", "/bin/true"]);
    run.assert_refused(2, "Box not found");
    pool.cleanup(LARGEST);
    pool.init(5).assert_success();
    assert_eq!(pool.uid_in(5), uids[0]);
    // A box that is made anew keeps them.
    pool.init(1).assert_success();
    assert_eq!(pool.uid_in(1), uids[1]);
    pool.cleanup(1);
    pool.cleanup(5);
    pool.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_number_that_is_too_large_is_refused() {
    let pool = Pool::new(2);
    for id in ["2147483648", "-1", "4294967296", "x", ""] {
        let output = pool.isolate(id, &["--init"]);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_that_is_chosen_by_the_program_is_free_and_its_path_is_printed() {
    let pool = Pool::new(3);
    pool.init(2).assert_success();
    let mut numbers = BTreeSet::new();
    for _ in 0..2 {
        let output = pool.isolate("auto", &["--init"]);
        output.assert_success();
        let path = Path::new(output.stdout.trim_end());
        assert_eq!(path.parent().unwrap(), pool.test_box.root());
        assert!(path.join("box").is_dir());
        let number = path.file_name().unwrap().to_str().unwrap();
        numbers.insert(number.parse::<u32>().unwrap());
    }
    assert_eq!(numbers, BTreeSet::from([0, 1]));
    let full = pool.isolate("auto", &["--init"]);
    full.assert_refused(2, "all 3 boxes are in use");
    for args in [&["--cleanup"][..], &["--run", "--", "/bin/true"]] {
        let refused = pool.isolate("auto", args);
        refused.assert_refused(2, "--box-id=auto is for --init and exec");
    }
    for id in 0..3 {
        pool.uid_in(id);
        pool.cleanup(id);
    }
    pool.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn of_many_boxes_at_once_as_many_are_made_as_there_are_ids() {
    let pool = Pool::new(4);
    let numbers = || (0..12).map(|n| n * 178_956_970);
    let made: Vec<u32> = std::thread::scope(|scope| {
        let make = |id| {
            let pool = &pool;
            scope.spawn(move || (pool.init(id).code == 0).then_some(id))
        };
        let threads: Vec<_> = numbers().map(make).collect();
        let made = threads.into_iter().filter_map(|it| it.join().unwrap());
        made.collect()
    });
    assert_eq!(made.len(), 4, "{made:?}");
    let uids: BTreeSet<_> = made.iter().map(|id| pool.uid_in(*id)).collect();
    assert_eq!(uids.len(), 4);
    numbers().for_each(|id| pool.cleanup(id));
    pool.assert_gone();
}

/// What a killed keeper leaves is nobody's, and holds up nobody.
#[test]
#[ignore = "needs root: tests/run"]
fn boxes_that_were_never_finished_give_up_their_ids_and_are_chosen_again() {
    let pool = Pool::new(2);
    let kill_execs = || {
        for _ in 0..2 {
            let mut command = Command::new(support::binary());
            command
                .arg("exec")
                .arg("--config")
                .arg(pool.test_box.config_file());
            let mut exec = command.args(["--", "/bin/sleep", "1000"]).spawn().unwrap();
            wait_until("the program runs", || {
                let uids = pool.test_box.first_uid()..pool.test_box.first_uid() + pool.count;
                uids.clone().any(|uid| !processes_of(uid).is_empty())
            });
            exec.kill().unwrap();
            exec.wait().unwrap();
            let uids = pool.test_box.first_uid()..pool.test_box.first_uid() + pool.count;
            wait_until("the program is dead", || {
                uids.clone().all(|uid| processes_of(uid).is_empty())
            });
        }
    };
    kill_execs();
    // Another number needs the ids of one of them.
    pool.init(77).assert_success();
    pool.uid_in(77);
    pool.cleanup(77);
    kill_execs();
    // Somebody else may have one of them.
    let auto = pool.isolate("auto", &["--as-uid=1000", "--as-gid=1000", "--init"]);
    auto.assert_success();
    let number = auto.stdout.trim_end().rsplit('/').next().unwrap();
    pool.cleanup(number.parse().unwrap());
    for id in 0..2 {
        pool.cleanup(id);
    }
    pool.assert_gone();
}

/// Whoever makes a box that is just being removed has its ids for itself.
#[test]
#[ignore = "needs root: tests/run"]
fn a_box_that_is_removed_and_made_at_the_same_time_has_its_ids_alone() {
    let pool = Pool::new(2);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..15 {
                    pool.isolate(0, &["--wait", "--init"]).assert_success();
                    pool.isolate(0, &["--wait", "--cleanup"]).assert_success();
                }
            });
        }
    });
    pool.assert_gone();
    for id in [0, 2] {
        pool.init(id).assert_success();
    }
    assert_ne!(pool.uid_in(0), pool.uid_in(2));
    for id in [0, 2] {
        pool.cleanup(id);
    }
    pool.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_whose_lease_was_lost_is_not_run_in() {
    let pool = Pool::new(2);
    pool.init(1).assert_success();
    let lease = pool
        .test_box
        .locks()
        .join(format!("uid-{}", pool.test_box.first_uid() + 1));
    fs::remove_file(lease).unwrap();
    let run = pool.isolate(1, &["--run", "--", "/bin/true"]);
    run.assert_refused(2, "make it anew by --init");
    pool.init(1).assert_success();
    pool.uid_in(1);
    pool.cleanup(1);
    pool.assert_gone();
}

/// A process that has an id of a box in this way.
struct Intruder(std::process::Child);

impl Intruder {
    fn new(option: &str, id: u32) -> Self {
        let mut command = Command::new("setpriv");
        command.args([&format!("{option}={id}"), "--clear-groups", "sleep", "1000"]);
        let new = Self(command.spawn().unwrap());
        let name = format!("/proc/{}/comm", new.0.id());
        let has_begun = || fs::read_to_string(&name).is_ok_and(|name| name == "sleep\n");
        wait_until("the process has its ids", has_begun);
        new
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn ids_that_a_process_has_in_any_way_are_not_leased() {
    let pool = Pool::new(1);
    let id = pool.test_box.uid();
    let last_look = pool.test_box.locks().join("processes");
    for option in ["--reuid", "--ruid", "--euid", "--regid", "--rgid", "--egid"] {
        // A real uid is looked for each time, and the others once a second: as if that were over.
        let forget_the_last_look = || {
            if !["--reuid", "--ruid"].contains(&option) {
                drop(fs::remove_file(&last_look));
            }
        };
        forget_the_last_look();
        let intruder = Intruder::new(option, id);
        let refused = pool.init(0);
        refused.assert_refused(2, "or by processes outside of boxes");
        drop(intruder);
        pool.init(0).assert_success();
        // Nor kept, when the box is made anew.
        forget_the_last_look();
        let intruder = Intruder::new(option, id);
        pool.init(0)
            .assert_refused(2, "or by processes outside of boxes");
        drop(intruder);
        assert_eq!(pool.uid_in(0), id);
        pool.cleanup(0);
    }
    pool.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_run_does_not_begin_beside_another_process_of_its_user() {
    let pool = Pool::new(1);
    pool.init(0).assert_success();
    let intruder = Intruder::new("--reuid", pool.test_box.uid());
    let run = pool.isolate(0, &["--run", "--", "/bin/true"]);
    run.assert_refused(2, &format!("PIDs [{}]", intruder.0.id()));
    drop(intruder);
    pool.uid_in(0);
    pool.cleanup(0);
    pool.assert_gone();
}

/// A process that does not die keeps nobody waiting who may have another box.
#[test]
#[ignore = "needs root: tests/run"]
fn an_exec_passes_over_a_box_in_which_something_runs() {
    let pool = Pool::new(2);
    let exec = |args: &[&str]| {
        let mut command = Command::new(support::binary());
        command
            .args(["exec", "--config"])
            .arg(pool.test_box.config_file());
        command.args(args);
        command
    };
    let uid = pool.test_box.first_uid() + 1;
    let mut killed = exec(&["/bin/sleep", "1000"]).spawn().unwrap();
    wait_until("the program runs", || !processes_of(uid).is_empty());
    killed.kill().unwrap();
    killed.wait().unwrap();
    wait_until("the program is dead", || processes_of(uid).is_empty());
    let intruder = Intruder::new("--reuid", uid);
    let begin = Instant::now();
    let other = finish(exec(&["-s", "id", "-u"]));
    assert_eq!(other.stdout, format!("{}\n", uid - 1), "{other:?}");
    assert!(begin.elapsed() < Duration::from_secs(5));
    drop(intruder);
    let same = finish(exec(&["-s", "id", "-u"]));
    assert_eq!(same.stdout, format!("{uid}\n"), "{same:?}");
}

/// Whoever comes next removes what a user's killed exec left, with what the user mounted there.
#[test]
#[ignore = "needs root: tests/run"]
fn a_mount_in_the_box_of_a_killed_exec_keeps_nobody_from_it() {
    let pool = Pool::new(2);
    let exec = |args: &[&str]| {
        let mut command = Command::new(support::binary());
        command.args(["exec", "--box-id=1", "--config"]);
        command.arg(pool.test_box.config_file()).args(args);
        command
    };
    let uids = pool.test_box.first_uid()..pool.test_box.first_uid() + pool.count;
    let runs = || uids.clone().any(|uid| !processes_of(uid).is_empty());
    let user = ["--as-uid=1000", "--as-gid=1000"];
    for next in [&[][..], &user, &["--as-uid=1001", "--as-gid=1001"]] {
        let words = [&user[..], &["/bin/sleep", "1000"]].concat();
        let mut child = exec(&words).spawn().unwrap();
        wait_until("the program runs", runs);
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("the program is dead", || !runs());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "tmpfs"]);
        mount.arg(pool.test_box.root().join("1/box"));
        finish(mount).assert_silent_success();
        let again = finish(exec(&[next, &["-s", "--wait", "/bin/true"]].concat()));
        assert_eq!(again.code, 0, "{again:?}");
    }
    pool.assert_gone();
}
