//! Directories that a user names are opened with their rights, and those that are configured with root's.

use crate::support;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::systemd::{must, private_mounts, same_for_both, user_box};
use crate::support::{ALICE, BOB, Output, Run, TestBox, finish};

/// Runs a script with these rules.
fn with_rules(test_box: &TestBox, rules: &[&str], script: &str) -> Run {
    let options: Vec<_> = rules.iter().map(|rule| format!("--dir={rule}")).collect();
    let job = test_box.shell(script).options(&options);
    job.options(&["--silent"]).run()
}

/// A directory of this user's with one for everybody inside, and a file in that.
fn private_with_child(test_box: &TestBox, name: &str, uid: u32) -> String {
    let child = test_box.make_dir(name, uid, 0o700).join("child");
    fs::create_dir(&child).unwrap();
    fs::write(child.join("file"), format!("{name}\n")).unwrap();
    child.to_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_the_caller_can_reach_can_be_shown_to_the_program() {
    let test_box = user_box();
    let child = private_with_child(&test_box, "own", ALICE);
    let parent = Path::new(&child).parent().unwrap().display().to_string();
    let link = test_box.out().join("link");
    symlink(&child, &link).unwrap();
    for source in [
        &*child,
        link.to_str().unwrap(),
        &format!("{child}/../child"),
    ] {
        let run = with_rules(&test_box, &[&format!("in={source}")], "cat /in/file");
        assert_eq!(run.assert_ok().stdout, "own\n", "{source}");
    }
    let file = with_rules(
        &test_box,
        &[&format!("etc/one={child}/file")],
        "cat /etc/one",
    );
    assert_eq!(file.assert_ok().stdout, "own\n");
    // The program's own rights are another matter.
    let closed = with_rules(
        &test_box,
        &[&format!("in={parent}")],
        "test -d /in && ! ls /in",
    );
    assert!(
        closed.assert_ok().stderr.contains("Permission denied"),
        "{closed:?}"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_the_caller_cannot_reach_cannot_be_shown() {
    let test_box = user_box();
    let of_root = private_with_child(&test_box, "of_root", 0);
    let of_bob = private_with_child(&test_box, "of_bob", BOB);
    let link = test_box.out().join("link");
    symlink(&of_root, &link).unwrap();
    for source in [&*of_root, &of_bob, link.to_str().unwrap(), "/root/x"] {
        let rule = format!("in={source}");
        for options in ["", ":rw", ":norec"] {
            let run = with_rules(&test_box, &[&format!("{rule}{options}")], "true");
            let words = format!("cannot bind '{source}' on 'in': Permission denied");
            run.assert_failed(&words);
        }
        let rule = format!("{rule}:maybe");
        with_rules(&test_box, &[&rule], "test ! -e /in").assert_ok();
    }
    // As with root acting for the same user.
    let as_alice = [format!("--as-uid={ALICE}"), format!("--as-gid={ALICE}")];
    let root = TestBox::with_manager("systemd").options(&as_alice);
    let rule = format!("in={of_bob}");
    with_rules(&root, &[&rule], "true").assert_failed("Permission denied");
    let rule = format!("{rule}:maybe");
    with_rules(&root, &[&rule], "test ! -e /in").assert_ok();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_path_that_is_not_there_is_an_error_unless_it_may_be_missing() {
    let found = same_for_both(|test_box| {
        let absent = with_rules(test_box, &["in=/no/such"], "true");
        let maybe = with_rules(test_box, &["in=/no/such:maybe"], "test ! -e /in");
        let part = with_rules(test_box, &["in=/etc/passwd/x:maybe"], "test ! -e /in");
        [absent, maybe, part].map(|run| (run.code, run.stderr))
    });
    let words = "cannot bind '/no/such' on 'in': No such file or directory\n";
    assert_eq!(found[0], (2, words.to_owned()));
    assert_eq!(found[1], (0, String::new()));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn relative_paths_are_as_for_root() {
    for source in [
        "child",
        "./child",
        "../out",
        ".",
        "./box",
        "box",
        "./",
        "../../etc",
    ] {
        let found = same_for_both(|test_box| {
            // Beside the box's own directories, and where the caller is.
            let here = test_box.make_dir("here", ALICE, 0o755).join("child");
            fs::create_dir_all(&here).unwrap();
            fs::write(here.join("file"), "").unwrap();
            let job = test_box.shell("ls -d /in/* | sort").options(&["--silent"]);
            let job = job.options(&[format!("--dir=in={source}")]);
            let script = format!("cd {}/here && exec \"$@\"", test_box.dir().display());
            let run = job.through(&script).run();
            let words = run
                .stderr
                .replace(&*test_box.dir().to_string_lossy(), "DIR");
            (run.code, words, run.stdout.contains("/in/file"))
        });
        assert!([0, 1, 2].contains(&found.0), "{found:?}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn every_mount_is_as_for_root() {
    for rules in [
        &[][..],
        &["in=/usr/share"],
        &["in=/usr/share:noexec"],
        &["in=/usr/share:norec"],
        &["in=/usr/share:maybe"],
        &["in=/var/tmp:rw"],
        &["in=/var/tmp:rw,noexec,norec"],
        &["in:tmp"],
        &["in=:"],
        &["dev/shm="],
        &["in=proc:fs"],
        &["in=./box:rw"],
    ] {
        let found = same_for_both(|test_box| {
            let script = "cut -d' ' -f2-4 /proc/mounts; touch /in/new 2>/dev/null && echo written; \
                          rm -f /in/new; touch /dev/shm/x 2>/dev/null && echo shared";
            let run = with_rules(test_box, rules, script);
            // That of a user's box may map ids, which the other need not.
            (run.code, run.stderr, run.stdout.replace(",idmapped", ""))
        });
        assert!(
            found.0 == 2 || found.2.contains("/box "),
            "{rules:?}: {found:?}"
        );
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_writable_directory_of_the_callers_gets_the_programs_files() {
    let test_box = user_box();
    let shared = test_box.make_dir("private", ALICE, 0o700).join("shared");
    fs::create_dir(&shared).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&shared, open).unwrap();
    let rule = format!("in={}", shared.display());
    let read_only = with_rules(&test_box, &[&rule], "echo new >/in/file");
    assert_eq!(read_only.meta.get("status"), Some("RE"), "{read_only:?}");
    let rule = format!("{rule}:rw");
    with_rules(&test_box, &[&rule], "echo new >/in/file").assert_ok();
    assert_eq!(fs::read_to_string(shared.join("file")).unwrap(), "new\n");
}

/// As on NFS with root_squash, where root's way there ends: here the directory is below a mount, where no path leads
/// any more, and the caller has it open.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_directory_that_only_the_callers_own_process_can_reach_is_shown() {
    private_mounts();
    let test_box = user_box();
    let dir = test_box.make_dir("covered", ALICE, 0o755);
    fs::write(dir.join("file"), "below\n").unwrap();
    test_box.init();
    let at = dir.to_str().unwrap();
    let ready = test_box.out().join("ready");
    let script = format!(
        "exec 9<{at} && : >{0} && while [ -e {0} ]; do sleep 0.05; done && cd /proc/self/fd/9 && \"$@\"",
        ready.display()
    );
    for source in ["/proc/self/fd/9", "/proc/self/cwd"] {
        let job = test_box.shell("cat /in/file").options(&["--silent"]);
        let job = job.options(&[format!("--dir=in={source}:norec")]);
        let running = job.through(&script).spawn();
        support::wait_until("the caller has it open", || ready.exists());
        must("mount", &["-t", "tmpfs", "-o", "mode=700", "tmpfs", at]);
        fs::remove_file(&ready).unwrap();
        let run = running.finish();
        must("umount", &[at]);
        assert_eq!(run.assert_ok().stdout, "below\n", "{source}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn directories_of_the_configuration_are_opened_with_roots_rights() {
    let place = tempfile::TempDir::new().unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(place.path(), closed).unwrap();
    let child = place.path().join("child");
    fs::create_dir(&child).unwrap();
    fs::write(child.join("file"), "configured\n").unwrap();
    let rules = format!(
        "[directories]\nrules = ['box=./box:rw', 'bin', 'lib', 'lib64:maybe', 'usr', 'data={}', 'gone=/no/such:maybe', 'etc=/etc']\n",
        child.display()
    );
    let test_box = user_box().config(&rules);
    let run = with_rules(&test_box, &[], "cat /data/file; test -e /etc/passwd");
    assert_eq!(run.assert_ok().stdout, "configured\n");
    // The caller may do without, or have something else there, but not show it somewhere else.
    let rules = ["data="];
    with_rules(&test_box, &rules, "test ! -e /data").assert_ok();
    let own = private_with_child(&test_box, "own", ALICE);
    let run = with_rules(&test_box, &[&format!("data={own}")], "cat /data/file");
    assert_eq!(run.assert_ok().stdout, "own\n");
    let rule = format!("in={}", child.display());
    with_rules(&test_box, &[&rule], "true").assert_failed("Permission denied");
    let rule = format!("data={}:rw", child.display());
    with_rules(&test_box, &[&rule], "true").assert_failed("Permission denied");
}

/// A command in a mount namespace of its own, after a script of root's there, whose `$0` is `dir`.
fn in_own_mounts(command: &Command, script: &str, dir: &Path) -> Output {
    let mut unshare = Command::new("unshare");
    let script = format!("{script} && exec \"$@\"");
    unshare.args(["--mount", "sh", "-c", &script]).arg(dir);
    unshare.arg(command.get_program()).args(command.get_args());
    let set = |(name, value): (_, Option<_>)| Some((name, value?));
    unshare.envs(command.get_envs().filter_map(set));
    finish(unshare)
}

/// As in a service with `PrivateTmp=yes` or `InaccessiblePaths=`.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_caller_with_mounts_of_their_own_shows_what_they_see_and_nothing_else() {
    let test_box = user_box();
    test_box.init();
    let outer = test_box.make_dir("outer", ALICE, 0o755);
    let inner = outer.join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("file"), "the host's\n").unwrap();
    let run = |rule: String, options: &[&str], script: &str, own: &str| {
        let rule = format!("--dir=in={rule}");
        let job = test_box
            .shell(script)
            .options(&[&*rule, "-s"])
            .options(options);
        in_own_mounts(&job.to_command(), own, &inner)
    };
    let mount = "mount -t tmpfs -o mode=755 own \"$0\" && echo own >\"$0\"/file";
    let (outer, inner) = (outer.display(), inner.display());
    let own = run(inner.to_string(), &[], "cat /in/file", mount);
    assert_eq!((own.code, &*own.stdout), (0, "own\n"), "{own:?}");
    let below = run(outer.to_string(), &[], "cat /in/inner/file", mount);
    assert_eq!((below.code, &*below.stdout), (0, "own\n"), "{below:?}");
    let private = run(outer.to_string(), &[], "cat /in/inner/file", "true");
    assert_eq!(
        (private.code, &*private.stdout),
        (0, "the host's\n"),
        "{private:?}"
    );
    // Read-only stays read-only, and writable is what is and is asked for.
    let script = "echo new >/in/new; cat /in/new";
    let writable = format!("{mount} && chmod 777 \"$0\"");
    let written = run(format!("{inner}:rw"), &[], script, &writable);
    assert_eq!(
        (written.code, &*written.stdout),
        (0, "new\n"),
        "{written:?}"
    );
    let closed = format!("{writable} && mount -o remount,ro \"$0\"");
    let refused = run(format!("{inner}:rw"), &[], script, &closed);
    assert!(refused.stderr.contains("Read-only"), "{refused:?}");
    // What is covered is not uncovered.
    let uncovered = run(format!("{outer}:norec"), &[], "cat /in/inner/file", mount);
    assert_eq!(
        (uncovered.code, &*uncovered.stdout),
        (2, ""),
        "{uncovered:?}"
    );
    assert!(
        uncovered.stderr.contains("leave 'norec' out"),
        "{uncovered:?}"
    );
    assert!(
        fs::read_dir(test_box.dir().join("outer/inner"))
            .unwrap()
            .count()
            == 1
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn mounts_of_a_user_namespace_are_not_shown() {
    let test_box = user_box();
    test_box.init();
    let dir = test_box.make_dir("shown", ALICE, 0o755);
    let rule = format!("--dir=in={}", dir.display());
    let job = test_box.command(&["/bin/true"]).options(&[&rule]);
    let script = "exec unshare --user --map-current-user --mount \"$@\"";
    let refused = job.through(script).run();
    refused.assert_failed("in a user namespace");
    // Without directories of their own they may call.
    test_box
        .command(&["/bin/true"])
        .through(script)
        .run()
        .assert_ok();
}
