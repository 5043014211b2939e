//! Boxes come, are made anew, and go, whatever was left in them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;
use std::time::Duration;

use crate::support::{Output, TestBox, entries, finish, slow, wait_until};
use nix::sys::signal::Signal;

const BUSY: &str = "This box is currently in use by another process";

#[test]
#[ignore = "needs root: tests/run"]
fn init_makes_a_box_and_prints_its_path_and_cleanup_removes_it() {
    let test_box = TestBox::new();
    let output = test_box.isolate(&["--init"]);
    output.assert_success();
    assert_eq!(output.stdout, format!("{}\n", test_box.path().display()));
    assert_eq!(output.stderr, "");
    let inside = fs::metadata(test_box.inside()).unwrap();
    assert_eq!((inside.uid(), inside.mode() & 0o7777), (0, 0o700));
    assert_eq!(fs::read_dir(test_box.inside()).unwrap().count(), 0);
    test_box.cleanup();
}

#[test]
#[ignore = "needs root: tests/run"]
fn init_makes_an_existing_box_anew() {
    let test_box = TestBox::new();
    test_box.write("file", "old");
    test_box.shell("> /tmp/file; > mine").run().assert_ok();
    test_box.isolate(&["--init"]).assert_success();
    assert_eq!(fs::read_dir(test_box.inside()).unwrap().count(), 0);
    let run = test_box.shell("echo /tmp/*").run();
    assert_eq!(run.stdout, "/tmp/*\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn cleanup_of_a_box_that_never_existed_is_no_error_and_makes_nothing() {
    let test_box = TestBox::new();
    test_box.isolate(&["--cleanup"]).assert_silent_success();
    assert!(!test_box.root().exists() && !test_box.locks().exists());
    test_box.init();
    test_box.cleanup();
    test_box.isolate(&["--cleanup"]).assert_silent_success();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_run_needs_a_box() {
    let test_box = TestBox::new();
    let run = ["--run", "--", "/bin/true"];
    let message = "Box not found, did you run `isolate --init'?\n";
    test_box.isolate(&run).assert_refused(2, message);
    test_box.init();
    test_box.cleanup();
    test_box.isolate(&run).assert_refused(2, message);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_that_was_only_half_made_is_refused_and_can_be_removed() {
    let test_box = TestBox::new();
    let number = test_box.id().to_string();
    let sleep = ["--box-id", &number, "--", "/bin/sleep", "1000"];
    let mut exec = test_box.exec_command(&sleep).spawn().unwrap();
    wait_until("the program runs", || !test_box.processes().is_empty());
    exec.kill().unwrap();
    exec.wait().unwrap();
    wait_until("the program is dead", || test_box.processes().is_empty());
    let run = test_box.isolate(&["--run", "--", "/bin/true"]);
    run.assert_refused(2, "This box was not initialized properly");
    test_box.cleanup();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_that_cannot_be_made_is_not_there() {
    let test_box = TestBox::new();
    // A quota that cannot be set ends --init when the directory exists already.
    assert_eq!(test_box.isolate(&["-q1,1", "--init"]).code, 2);
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_whose_directory_is_damaged_can_be_removed_and_made_anew() {
    let test_box = TestBox::new();
    let damages: [fn(&TestBox); 4] = [
        |damaged| fs::remove_dir_all(damaged.path()).unwrap(),
        |damaged| fs::remove_dir_all(damaged.inside()).unwrap(),
        |damaged| {
            fs::remove_dir_all(damaged.inside()).unwrap();
            symlink("/etc", damaged.inside()).unwrap();
        },
        |damaged| fs::set_permissions(damaged.path(), Permissions::from_mode(0o000)).unwrap(),
    ];
    for damage in damages {
        for command in ["--cleanup", "--init"] {
            test_box.isolate(&["--init"]).assert_success();
            damage(&test_box);
            test_box.isolate(&[command]).assert_success();
        }
        test_box.shell("exit 0").run().assert_ok();
        test_box.cleanup();
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_record_that_nobody_understands_is_refused_until_root_removes_the_box() {
    let test_box = TestBox::new();
    test_box.init();
    fs::write(test_box.lock_file(), "something else").unwrap();
    let path = test_box.lock_file().display().to_string();
    for command in [&["--run", "--", "/bin/true"][..], &["--init"]] {
        test_box.isolate(command).assert_refused(2, &path);
    }
    test_box.cleanup();
}

#[test]
#[ignore = "needs root: tests/run"]
fn while_a_program_runs_its_box_is_refused_to_others() {
    let test_box = TestBox::new();
    let running = test_box.shell("> ready; sleep 1000").spawn();
    running.wait_for_file("ready");
    for command in [
        &["--run", "--", "/bin/true"][..],
        &["--init"],
        &["--cleanup"],
    ] {
        test_box.isolate(command).assert_refused(2, BUSY);
    }
    running.signal(Signal::SIGTERM);
    running.finish().assert_verdict(1, "SG", "Interrupted");
    test_box.shell("exit 0").run().assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn with_wait_a_busy_box_is_waited_for() {
    let test_box = TestBox::new();
    let first = test_box.shell("> ready; sleep 1; > done").spawn();
    first.wait_for_file("ready");
    let second = test_box.shell("test -e done").options(&["--wait"]).run();
    second.assert_ok();
    first.finish().assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn runs_that_wait_come_one_after_the_other() {
    let test_box = TestBox::new();
    let script = "mkdir here && sleep 0.2 && rmdir here";
    let jobs: Vec<_> = (0..5)
        .map(|_| test_box.shell(script).options(&["--wait"]).spawn())
        .collect();
    for job in jobs {
        job.finish().assert_ok();
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_made_for_a_user_belongs_to_that_user() {
    let test_box = TestBox::new().options(&["--as-uid=1234", "--as-gid=1235"]);
    test_box.init();
    let inside = fs::metadata(test_box.inside()).unwrap();
    assert_eq!((inside.uid(), inside.gid()), (1234, 1235));
    let record = fs::read_to_string(test_box.lock_file()).unwrap();
    assert!(record.contains("1234"), "{record}");
    test_box.write("file", "");
    test_box.shell("> new; mkdir sub").run().assert_ok();
    for name in ["new", "sub", "."] {
        let found = fs::metadata(test_box.inside().join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (1234, 1235), "{name}");
    }
    // root's own file in a user's box stays root's.
    assert_eq!(
        fs::metadata(test_box.inside().join("file")).unwrap().uid(),
        0
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_meta_file_is_opened_with_the_rights_of_the_caller() {
    let test_box = TestBox::new().options(&["--as-uid=1234", "--as-gid=1235"]);
    let closed = test_box.make_dir("closed", 0, 0o755);
    let run = test_box.shell("> ran").meta(closed.join("meta")).run();
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("Permission denied"), "{run:?}");
    assert!(!closed.join("meta").exists() && !test_box.inside().join("ran").exists());
    let own = test_box.make_dir("own", 1234, 0o700);
    test_box
        .shell("exit 0")
        .meta(own.join("meta"))
        .run()
        .assert_ok();
    let meta = fs::metadata(own.join("meta")).unwrap();
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mode() & 0o777),
        (1234, 1235, 0o644)
    );
    let linked = own.join("link");
    symlink(test_box.config_file(), &linked).unwrap();
    let meta = format!("--meta={}", linked.display());
    let output = test_box.isolate(&[&*meta, "--run", "--", "/bin/true"]);
    output.assert_refused(2, "Permission denied");
    assert!(
        fs::read_to_string(test_box.config_file())
            .unwrap()
            .contains("[boxes]")
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn during_a_run_the_box_belongs_to_its_user_and_afterwards_to_the_caller() {
    let test_box = TestBox::new();
    test_box.write("file", "");
    fs::create_dir(test_box.inside().join("sub")).unwrap();
    test_box.write("sub/file", "");
    let owners = || {
        ["", "file", "sub", "sub/file"].map(|name| {
            let found = fs::metadata(test_box.inside().join(name)).unwrap();
            (found.uid(), found.gid())
        })
    };
    let door = || fs::metadata(test_box.path()).unwrap().mode() & 0o777;
    let running = test_box.shell("> ready; sleep 1000").spawn();
    running.wait_for_file("ready");
    assert_eq!(owners(), [(test_box.uid(), test_box.uid()); 4]);
    assert_eq!(door(), 0o750);
    running.signal(Signal::SIGINT);
    running.finish().assert_verdict(1, "SG", "Interrupted");
    assert_eq!(owners(), [(0, 0); 4]);
    assert_eq!(door(), 0o755);
}

#[test]
#[ignore = "needs root: tests/run"]
fn files_come_back_in_every_ending() {
    let test_box = TestBox::new();
    let script = |rest: &str| {
        format!("> new; chmod 000 new; mkdir -p closed; > closed/f; chmod 000 closed . ; {rest}")
    };
    // The files must be there before.
    let wall_time = if slow() { "-w30" } else { "-w2" };
    for (rest, option, code) in [
        ("exit 0", "-s", 0),
        ("exit 7", "-s", 1),
        ("kill -9 $$", "-s", 1),
        ("sleep 1000", wall_time, 1),
        ("exit 0", "--chdir=/absent", 2),
        ("exit 0", "--stdout=/absent/x", 2),
    ] {
        test_box.isolate(&["--init"]).assert_success();
        test_box.write("given", "");
        let run = test_box.shell(&script(rest)).options(&[option]).run();
        assert_eq!(run.code, code, "{run:?}");
        let inside = fs::metadata(test_box.inside()).unwrap();
        assert_eq!((inside.uid(), inside.mode() & 0o7777), (0, 0o700), "{rest}");
        for name in ["given", "new", "closed", "closed/f"] {
            let found = fs::symlink_metadata(test_box.inside().join(name));
            assert!(found.is_ok() || code == 2, "{rest}: {name}");
            assert!(
                found.is_err() || found.is_ok_and(|found| found.uid() == 0),
                "{rest}: {name}"
            );
        }
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn set_id_bits_do_not_come_out_of_a_box() {
    let test_box = TestBox::new();
    test_box.init();
    for (name, mode) in [("a", 0o4755), ("b", 0o2711), ("c", 0o2644)] {
        let file = test_box.inside().join(name);
        fs::copy("/bin/true", &file).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    }
    test_box.shell("true").run().assert_ok();
    for name in ["a", "b", "c"] {
        let found = fs::metadata(test_box.inside().join(name)).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o6000), (0, 0), "{name}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_hostile_tree_is_given_back_and_removed() {
    let test_box = TestBox::new();
    let outside = test_box.make_dir("outside", 4321, 0o755);
    fs::write(outside.join("file"), "kept").unwrap();
    test_box.init();
    test_box.install("make_tree");
    let run = test_box
        .command(&["./make_tree", "1200"])
        .options(&["--special-files"])
        .run();
    run.assert_ok();
    symlink(&outside, test_box.inside().join("way out")).unwrap();
    test_box.cleanup();
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept");
    assert_eq!(fs::metadata(outside.join("file")).unwrap().uid(), 0);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_link_in_the_box_does_not_give_away_what_it_leads_to() {
    let test_box = TestBox::new().options(&["--as-uid=1234", "--as-gid=1234", "--special-files"]);
    let secret = test_box.dir().join("secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    test_box.init();
    symlink(&secret, test_box.inside().join("symbolic")).unwrap();
    fs::hard_link(&secret, test_box.inside().join("hard")).unwrap();
    test_box.shell("exit 0").run().assert_ok();
    let found = fs::metadata(&secret).unwrap();
    assert_eq!(
        (found.uid(), found.gid(), found.mode() & 0o7777),
        (0, 0, 0o600)
    );
}

/// Root may give everything away, so nothing but the walk itself keeps files outside of the box from going.
#[test]
#[ignore = "needs root: tests/run"]
fn links_in_a_box_of_roots_give_nothing_away() {
    let test_box = TestBox::new().options(&["--special-files"]);
    let others = test_box.make_dir("others", 4321, 0o700);
    test_box.init();
    for name in ["symbolic", "hard"] {
        let file = others.join(name);
        fs::write(&file, "").unwrap();
        chown(&file, Some(4321), Some(4321)).unwrap();
    }
    symlink(others.join("symbolic"), test_box.inside().join("symbolic")).unwrap();
    fs::hard_link(others.join("hard"), test_box.inside().join("hard")).unwrap();
    test_box.shell("exit 0").run().assert_ok();
    for name in ["symbolic", "hard"] {
        let found = fs::metadata(others.join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (4321, 4321), "{name}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_killed_keeper_takes_its_program_along_and_leaves_a_usable_box() {
    let test_box = TestBox::new();
    let running = test_box
        .shell("> ready; setsid sleep 1000 & sleep 1000")
        .spawn();
    running.wait_for_file("ready");
    assert!(!running.processes().is_empty());
    running.signal(Signal::SIGKILL);
    wait_until("the program is dead", || running.processes().is_empty());
    assert_eq!(running.finish().code, -9);
    let again = test_box.shell("exit 0").options(&["--wait"]).run();
    again.assert_ok();
    assert_eq!(fs::metadata(test_box.inside()).unwrap().uid(), 0);
}

#[test]
#[ignore = "needs root: tests/run"]
fn an_interrupted_init_or_cleanup_is_made_good_by_the_next() {
    let test_box = TestBox::new();
    for command in ["--init", "--cleanup"] {
        for micros in [0, 200, 500, 1000, 2000, 5000, 10_000] {
            let mut interrupted = test_box.isolate_command(&[command]);
            interrupted.stdout(std::process::Stdio::null());
            interrupted.stderr(std::process::Stdio::null());
            let mut child = interrupted.spawn().unwrap();
            std::thread::sleep(Duration::from_micros(micros));
            child.kill().unwrap();
            child.wait().unwrap();
            test_box.isolate(&["--wait", "--init"]).assert_success();
            test_box.shell("exit 0").run().assert_ok();
        }
    }
    test_box.cleanup();
}

/// Runs the command in a mount namespace of its own, where the box has mounts of all kinds: a file
/// system, a directory and a file of somewhere else with `kept` in it, and one above the other.
/// Fails if anything is lost of what is mounted.
fn with_mounts(test_box: &TestBox, options: &[&str]) -> Output {
    let (inside, outside) = (test_box.inside(), test_box.root().join("outside"));
    for dir in [&inside.join("deep/er"), &inside.join("empty"), &outside] {
        fs::create_dir_all(dir).unwrap();
    }
    for file in [inside.join("file"), outside.join("kept")] {
        fs::write(file, "").unwrap();
    }
    // The mounts of this namespace are all private, and it sees what was there before.
    let script = "cd \"$0\" && mount -t tmpfs none empty && : >empty/file && mount --bind \"$1\" deep/er && \
        mount -t tmpfs none deep/er && mount --bind \"$1\" deep && mount --bind \"$1/kept\" file && \
        cd / && outside=$1 && shift && { \"$@\"; code=$?; test -e \"$outside/kept\" && exit $code; }";
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script]);
    command.args([&inside, &outside]);
    let isolate = test_box.isolate_command(options);
    command.arg(isolate.get_program()).args(isolate.get_args());
    let output = finish(command);
    fs::remove_dir_all(outside).unwrap();
    output
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_mount_in_a_box_of_roots_is_detached_and_not_emptied() {
    let test_box = TestBox::new();
    test_box.init();
    let made = with_mounts(&test_box, &["--init"]);
    assert_eq!((made.code, &*made.stderr), (0, ""), "{made:?}");
    assert_eq!(entries(&test_box.inside()).count(), 0);
    test_box.shell("exit 0").run().assert_ok();
    with_mounts(&test_box, &["--cleanup"]).assert_silent_success();
    assert!(!test_box.path().exists());
}

/// A user may have mounted something there (fusermount(1)).
#[test]
#[ignore = "needs root: tests/run"]
fn a_mount_in_the_box_of_a_user_is_named_to_them_and_does_not_keep_root_from_removing_it() {
    let test_box = TestBox::new();
    let of_user = ["--as-uid=1234", "--as-gid=1235"];
    let users = |verb| [&of_user[..], &[verb]].concat();
    test_box.isolate(&users("--init")).assert_success();
    for verb in ["--cleanup", "--init"] {
        let refused = with_mounts(&test_box, &users(verb));
        refused.assert_refused(2, "is a mount point, which a box must not contain");
    }
    with_mounts(&test_box, &["--cleanup"]).assert_silent_success();
    assert!(!test_box.path().exists());
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_of_another_user_is_not_made_anew_by_the_way() {
    let test_box = TestBox::new();
    let of_user = ["--as-uid=1234", "--as-gid=1235"];
    let users = |args: &[&str]| test_box.isolate(&[&of_user[..], args].concat());
    users(&["--init"]).assert_success();
    fs::write(test_box.inside().join("kept"), "").unwrap();
    let refused = test_box.isolate(&["--init"]);
    refused.assert_refused(
        2,
        "belongs to user 1234: choose another number, or remove it by --cleanup",
    );
    refused.assert_refused(2, "ceilings.box_ids");
    assert!(test_box.inside().join("kept").exists());
    // Root runs in it, as before, and whose it is makes it anew.
    test_box
        .isolate(&["--run", "--", "/bin/true"])
        .assert_success();
    users(&["--init"]).assert_success();
    test_box.isolate(&["--cleanup"]).assert_silent_success();
    test_box.isolate(&["--init"]).assert_success();
    test_box.isolate(&["--cleanup"]).assert_silent_success();
}

/// Lock files are gone after a reboot, boxes are not.
#[test]
#[ignore = "needs root: tests/run"]
fn a_box_without_a_lock_file_is_cleaned_up() {
    let test_box = TestBox::new();
    test_box.init();
    fs::remove_file(test_box.lock_file()).unwrap();
    test_box.isolate(&["--cleanup"]).assert_silent_success();
    assert!(!test_box.path().exists());
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_limit_on_files_is_an_error_and_no_death() {
    let test_box = TestBox::new();
    let command = test_box.isolate_command(&["--init"]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -f 0; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    finish(shell).assert_refused(2, "File too large");
    test_box.isolate(&["--cleanup"]).assert_silent_success();
}

/// The lock of a killed keeper is free before its last process is dead.
#[test]
#[ignore = "needs root: tests/run"]
fn a_box_is_handed_on_when_the_last_process_of_a_killed_keeper_is_dead() {
    let test_box = TestBox::new();
    for _ in 0..10 {
        test_box.isolate(&["--init"]).assert_success();
        let sleepers = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 600 & done; wait";
        let running = test_box.shell(sleepers).spawn();
        wait_until("the program has children", || {
            running.processes().len() > 10
        });
        running.signal(nix::sys::signal::Signal::SIGKILL);
        drop(running.finish());
        test_box.isolate(&["--cleanup"]).assert_silent_success();
        assert_eq!(test_box.processes(), [] as [i32; 0]);
    }
}
