//! Boxes of users whose files stay theirs on disk during a run: the mounts that the program sees map ids.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::systemd::{Mounted, assert_nothing_left, let_go, private_mounts};
use crate::support::{ALICE, BOB, TestBox, entries, finish, wait_until};

/// A file system that every kernel can map ids on.
fn ext4() -> Mounted {
    Mounted::image(32, &["mkfs.ext4", "-q"], "rw")
}

fn users_box(mounted: &Mounted) -> TestBox {
    TestBox::new_in(mounted.path(), "systemd").called_by(ALICE)
}

/// Lets alice do something in her box.
fn by_alice(test_box: &TestBox, script: &str) {
    let mut shell = test_box.broker().program(ALICE, "/bin/sh");
    shell.args(["-ec", &format!("cd \"$0\"; {script}")]);
    shell.arg(test_box.inside());
    finish(shell).assert_success();
}

fn report(test_box: &TestBox) -> (String, PathBuf) {
    let path = test_box.out().join("report");
    (format!("--report={}", path.display()), path)
}

/// What made the files the program's, as the report says it.
fn files_in(report: &Path) -> String {
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    report["box"]["files"].as_str().unwrap().to_owned()
}

/// All that is below a directory, and itself.
fn all_below(top: &Path) -> Vec<PathBuf> {
    let mut all = vec![top.to_owned()];
    let mut next = 0;
    while next < all.len() {
        if all[next].symlink_metadata().unwrap().is_dir() {
            let below: Vec<_> = entries(&all[next]).collect();
            all.extend(below);
        }
        next += 1;
    }
    all
}

/// Fails unless everything below is this user's, without set-user-ID and set-group-ID bits.
#[track_caller]
fn assert_all_of(top: &Path, uid: u32) {
    for path in all_below(top) {
        let found = path.symlink_metadata().unwrap();
        let ids = (found.uid(), found.gid(), found.mode() & 0o6000);
        assert_eq!(ids, (uid, uid, 0), "{}", path.display());
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn files_of_a_users_box_stay_theirs_on_disk_and_are_the_programs_inside() {
    private_mounts();
    let mounted = ext4();
    let test_box = users_box(&mounted);
    test_box.init();
    by_alice(
        &test_box,
        "umask 077; echo mine >own; mkdir sub; ln -s own link",
    );
    let script = "stat -c '%u %g' . own sub; cat own; echo more >>own; chmod 777 . sub; echo x >sub/new; \
                  touch sub; ln -s own out; mkfifo sub/fifo; [ -L link ] && echo linked; \
                  : >started; while [ ! -e go ]; do sleep 0.1; done";
    let (option, told) = report(&test_box);
    let running = test_box.shell(script).options(&[option]).spawn();
    running.wait_for_file("started");
    let uid = test_box.uid();
    assert_all_of(&test_box.inside(), ALICE);
    let door = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(door(&test_box.path()), 0o700);
    by_root_nothing_of(&test_box, uid);
    let_go(&test_box);
    let run = running.finish();
    run.assert_ok();
    let ids = format!("{uid} {uid}\n");
    assert_eq!(run.stdout, format!("{}mine\n", ids.repeat(3)));
    assert_eq!(files_in(&told), "id_mapped");

    fs::remove_file(test_box.inside().join("go")).unwrap();
    assert_all_of(&test_box.inside(), ALICE);
    assert_eq!(door(&test_box.inside()), 0o700);
    assert_eq!(door(&test_box.path()), 0o755);
    assert_eq!(test_box.read("own"), "mine\nmore\n");
    for name in ["out", "sub/fifo"] {
        assert!(test_box.inside().join(name).symlink_metadata().is_err());
    }
    by_alice(&test_box, "rm -r sub own");
    test_box.cleanup();
    assert_nothing_left(&test_box);
}

/// Nothing in `box` is the box user's on disk.
#[track_caller]
fn by_root_nothing_of(test_box: &TestBox, uid: u32) {
    for path in all_below(&test_box.inside()) {
        let found = path.symlink_metadata().unwrap();
        assert!(
            found.uid() != uid && found.gid() != uid,
            "{}",
            path.display()
        );
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_writable_directory_of_the_callers_stays_theirs_and_one_of_others_is_what_it_was() {
    private_mounts();
    let mounted = ext4();
    let test_box = users_box(&mounted);
    let own = test_box.make_dir("own", ALICE, 0o700);
    let shown = test_box.make_dir("shown", ALICE, 0o700);
    let theirs = test_box.make_dir("theirs", BOB, 0o777);
    let rule = |name: &str, path: &Path, how: &str| format!("--dir={name}={}{how}", path.display());
    let script = "echo x >/own/new; mkdir /own/sub; echo x >/theirs/new; ls /shown/. && echo listed; \
                  stat -c %u /own /theirs/new";
    let run = test_box
        .shell(script)
        .options(&[
            rule("own", &own, ":rw"),
            rule("shown", &shown, ""),
            rule("theirs", &theirs, ":rw"),
        ])
        .run();
    let uid = test_box.uid();
    assert_eq!(run.assert_ok().stdout, format!("{uid}\n{uid}\n"), "{run:?}");
    assert_all_of(&own, ALICE);
    assert!(own.join("sub").is_dir());
    assert_eq!(fs::metadata(theirs.join("new")).unwrap().uid(), uid);
    assert_eq!(fs::metadata(&theirs).unwrap().uid(), BOB);
}

/// What the program makes is the owner's on disk, and the disk is not mounted nosuid.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn no_program_makes_a_set_user_id_file_of_the_owner_of_its_box() {
    private_mounts();
    let mounted = ext4();
    let test_box = users_box(&mounted);
    test_box.init();
    let own = test_box.make_dir("own", ALICE, 0o755);
    let rule = format!("--dir=own={}:rw", own.display());
    test_box.install("attack_rights");
    let (option, told) = report(&test_box);
    for directory in ["/box", "/own"] {
        let chdir = format!("--chdir={directory}");
        let job = test_box.command(&["/box/attack_rights"]);
        let options = [&*rule, &chdir, &option, "--processes=30"];
        let run = job.options(&options).run();
        run.assert_ok();
        assert_eq!(files_in(&told), "id_mapped");
        let tried = run.stdout.lines().filter(|line| line.contains("suid_"));
        let tried: Vec<_> = tried.collect();
        assert!(tried.len() > 9, "{run:?}");
        for line in tried {
            let failed = line.ends_with("EPERM") || line.ends_with("ENOSYS");
            assert!(failed, "{line}");
        }
        fs::remove_file(test_box.inside().join("attack_rights")).unwrap();
        assert_all_of(&test_box.inside(), ALICE);
        assert_all_of(&own, ALICE);
        test_box.install("attack_rights");
    }
    // Nobody sees what io_uring opens: then the files are not the owner's.
    let lifted = users_box(&mounted).config("[syscalls]\ndeny = []\n");
    let (option, told) = report(&lifted);
    lifted.shell("true").options(&[option]).run().assert_ok();
    assert_eq!(files_in(&told), "given");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_others_own_in_the_box_of_a_user_is_not_the_programs() {
    private_mounts();
    let mounted = ext4();
    let test_box = users_box(&mounted);
    test_box.init();
    for (name, uid) in [("roots", 0), ("bobs", BOB)] {
        let path = test_box.inside().join(name);
        fs::write(&path, format!("{name}\n")).unwrap();
        chown(&path, Some(uid), Some(uid)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }
    let everybodys = test_box.inside().join("roots");
    fs::set_permissions(&everybodys, Permissions::from_mode(0o666)).unwrap();
    let script = "cat roots bobs; for name in roots bobs; do echo more >>$name && echo wrote; chmod 777 $name && \
                  echo changed; done; rm -f roots; ls roots";
    let (option, told) = report(&test_box);
    let run = test_box.shell(script).options(&[option]).run();
    assert_eq!(run.assert_ok().stdout, "roots\nbobs\nroots\n", "{run:?}");
    assert_eq!(files_in(&told), "id_mapped");
    for (name, uid, mode) in [("roots", 0, 0o666), ("bobs", BOB, 0o644)] {
        let found = fs::metadata(test_box.inside().join(name)).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777), (uid, mode), "{name}");
        assert_eq!(test_box.read(name), format!("{name}\n"));
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_descriptor_that_the_owner_kept_leads_to_nothing_but_files_of_their_own() {
    private_mounts();
    let mounted = ext4();
    let test_box = users_box(&mounted);
    test_box.init();
    by_alice(&test_box, "umask 0; mkdir open");
    let script = "cd \"$0\" && exec 8<box/open && : >\"$1\" && read go && find /proc/self/fd/8/. -printf '%U %m %f\\n'; \
                  ls \"$0\"/box || echo closed";
    let ready = test_box.out().join("ready");
    let mut keeper = test_box.broker().program(ALICE, "/bin/sh");
    keeper.args(["-c", script]).arg(test_box.path()).arg(&ready);
    keeper.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut keeper = keeper.stderr(Stdio::null()).spawn().unwrap();
    wait_until("the directory is open", || ready.exists());
    let script = "cp /bin/true open/tool; chmod 6777 open/tool 2>/dev/null; umask 0; mkdir open/sub; : >started; \
                  while [ ! -e go ]; do sleep 0.1; done";
    let running = test_box.shell(script).spawn();
    running.wait_for_file("started");
    keeper.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut told = String::new();
    let mut stdout = keeper.stdout.take().unwrap();
    stdout.read_to_string(&mut told).unwrap();
    keeper.wait().unwrap();
    let_go(&test_box);
    running.finish().assert_ok();
    let mut lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.pop(), Some("closed"), "{told}");
    assert_eq!(lines.len(), 3, "{told}");
    for line in lines {
        let [uid, mode, _] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{told}");
        };
        assert_eq!((uid, mode.len()), ("1000", 3), "{told}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_killed_keeper_leaves_no_file_of_another_owner() {
    private_mounts();
    let mounted = ext4();
    let test_box = users_box(&mounted);
    let script = "mkdir sub; echo x >sub/file; chmod 777 .; : >started; sleep 1000";
    let running = test_box.init().shell(script).spawn();
    running.wait_for_file("started");
    for pid in test_box.broker().keepers() {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    wait_until("the program is dead", || test_box.processes().is_empty());
    assert_eq!(running.finish().code, 2);
    assert_all_of(&test_box.inside(), ALICE);
    // Nobody gets in whom the program let in, until a command has looked after the box.
    assert_eq!(fs::metadata(test_box.path()).unwrap().mode() & 0o777, 0o700);
    let again = test_box.shell("cat sub/file").options(&["--wait"]).run();
    assert_eq!(again.assert_ok().stdout, "x\n");
    let inside = fs::metadata(test_box.inside()).unwrap();
    assert_eq!((inside.uid(), inside.mode() & 0o7777), (ALICE, 0o700));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn where_ids_cannot_be_mapped_files_are_given_and_come_back() {
    private_mounts();
    let ramfs = Mounted::ramfs("mode=755");
    let ext4 = ext4();
    for (mounted, options) in [(&ramfs, &[][..]), (&ext4, &["--dir=whole=./"])] {
        let test_box = users_box(mounted);
        test_box.init();
        by_alice(&test_box, "umask 077; echo mine >own; mkdir sub");
        let (option, told) = report(&test_box);
        let script = "cat own; echo more >>own; stat -c %u own; echo x >sub/new";
        let job = test_box.shell(script).options(&[option]).options(options);
        let run = job.run();
        let said = format!("mine\n{}\n", test_box.uid());
        assert_eq!(run.assert_ok().stdout, said);
        assert_eq!(files_in(&told), "given");
        assert_all_of(&test_box.inside(), ALICE);
    }
    // Root's are given in any case.
    let test_box = TestBox::new_in(ext4.path(), "systemd");
    let (option, told) = report(&test_box);
    test_box.shell("true").options(&[option]).run().assert_ok();
    assert_eq!(files_in(&told), "given");
}
