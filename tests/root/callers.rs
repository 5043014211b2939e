//! Callers who are not root: root acts for them (`--as-uid`), and their permissions count. A set-user-ID copy is refused.

use crate::support;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::process::Command;

use crate::support::{Output, TestBox, finish};

/// Runs the sandbox on behalf of the user `uid`.
fn called_for<S: AsRef<OsStr>>(uid: u32, test_box: &TestBox, args: &[S]) -> Output {
    let mut all: Vec<OsString> = vec![
        format!("--as-uid={uid}").into(),
        format!("--as-gid={uid}").into(),
    ];
    all.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
    test_box.isolate(&all)
}

/// Runs the sandbox with root's rights by the calling user `uid`, as a set-user-ID program is run.
fn called_by<S: AsRef<OsStr>>(uid: u32, test_box: &TestBox, args: &[S]) -> Output {
    let command = test_box.isolate_command(args);
    let mut setpriv = Command::new("setpriv");
    setpriv
        .arg(format!("--ruid={uid}"))
        .arg(format!("--rgid={uid}"));
    setpriv.arg("--clear-groups").arg(command.get_program());
    setpriv.args(command.get_args());
    finish(setpriv)
}

const RUN: [&str; 3] = ["--run", "--", "/bin/true"];

#[test]
#[ignore = "needs root: tests/run"]
fn a_user_can_use_a_box_of_their_own() {
    let test_box = TestBox::new();
    called_for(1234, &test_box, &["--init"]).assert_success();
    called_for(1234, &test_box, &RUN).assert_success();
    called_for(1234, &test_box, &["--init"]).assert_success();
    called_for(1234, &test_box, &["--cleanup"]).assert_silent_success();
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_of_another_user_is_refused_with_its_owner() {
    let test_box = TestBox::new();
    called_for(1234, &test_box, &["--init"]).assert_success();
    for args in [&RUN[..], &["--init"], &["--cleanup"]] {
        let refused = called_for(4321, &test_box, args);
        refused.assert_refused(2, "This box belongs to a different user (uid 1234)");
    }
    // Root may use it, and what it had stays that user's.
    test_box.isolate(&RUN).assert_success();
    called_for(1234, &test_box, &RUN).assert_success();
    test_box.cleanup();
    test_box.init();
    let refused = called_for(1234, &test_box, &RUN);
    refused.assert_refused(2, "This box belongs to a different user (uid 0)");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_caller_with_borrowed_rights_is_refused() {
    let test_box = TestBox::new();
    for args in [
        &["--init"][..],
        &RUN,
        &["--as-uid=0", "--as-gid=0", "--init"],
    ] {
        called_by(1234, &test_box, args).assert_refused(2, "must not be set-user-ID");
    }
    // Its errors would show what is in files that only root may read.
    let mut import = Command::new("setpriv");
    import.args(["--ruid=1234", "--rgid=1234", "--clear-groups"]);
    import.arg(support::binary());
    import.args(["config", "import", "/etc/shadow"]);
    finish(import).assert_refused(2, "must not be set-user-ID");
    test_box.assert_gone();
}

#[test]
#[ignore = "needs root: tests/run"]
fn root_makes_boxes_for_others_where_only_root_may() {
    let test_box = TestBox::new();
    let text = fs::read_to_string(test_box.config_file()).unwrap();
    let text = text.replace("[cgroup]", "only_root_inits = true\n[cgroup]");
    fs::write(test_box.config_file(), text).unwrap();
    called_for(1234, &test_box, &["--init"]).assert_success();
    called_for(1234, &test_box, &RUN).assert_success();
    test_box.cleanup();
}

/// A process of another user is the door to where it stands, for whoever may trace it.
#[test]
#[ignore = "needs root: tests/run"]
fn the_directories_of_other_users_processes_cannot_be_bound() {
    let test_box = TestBox::new();
    let private = test_box.make_dir("private", 4321, 0o700);
    fs::create_dir(private.join("sub")).unwrap();
    let mut sleeper = Command::new("setpriv");
    sleeper.args(["--reuid=4321", "--regid=4321", "--clear-groups", "--"]);
    sleeper
        .args(["sleep", "600"])
        .current_dir(private.join("sub"));
    let mut sleeper = sleeper.spawn().unwrap();
    let path = format!("/proc/{}", sleeper.id());
    support::wait_until("the sleeper is another user", || {
        fs::read_to_string(format!("{path}/status")).is_ok_and(|text| text.contains("Uid:\t4321"))
    });
    called_for(1234, &test_box, &["--init"]).assert_success();
    for door in ["cwd", "root"] {
        let rule = format!("--dir=in={path}/{door}");
        let refused = called_for(1234, &test_box, &[&[&*rule], &RUN[..]].concat());
        refused.assert_refused(2, "Permission denied");
    }
    called_for(1234, &test_box, &["--cleanup"]).assert_silent_success();
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_box_that_cannot_be_given_to_the_program_stays_the_callers() {
    let test_box = TestBox::new();
    called_for(1234, &test_box, &["--init"]).assert_success();
    let mount = test_box.inside().join("mount");
    fs::create_dir(&mount).unwrap();
    let command =
        test_box.isolate_command(&[&["--as-uid=1234", "--as-gid=1234"], &RUN[..]].concat());
    // The mount is made in a namespace that ends with this run.
    let script = format!("mount -t tmpfs none {} && exec \"$@\"", mount.display());
    let mut shell = Command::new("unshare");
    shell
        .args(["-m", "sh", "-c", &script, "sh"])
        .arg(command.get_program());
    shell.args(command.get_args());
    finish(shell).assert_refused(2, "mount");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(test_box.inside()).unwrap());
    assert_eq!(owner, 1234);
    called_for(1234, &test_box, &RUN).assert_success();
    called_for(1234, &test_box, &["--cleanup"]).assert_silent_success();
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_a_user_may_not_read_cannot_be_bound() {
    let test_box = TestBox::new();
    let closed = test_box.make_dir("closed", 0, 0o700);
    fs::create_dir(closed.join("sub")).unwrap();
    called_for(1234, &test_box, &["--init"]).assert_success();
    let rule = format!("--dir=in={}", closed.join("sub").display());
    let refused = called_for(1234, &test_box, &[&[&*rule], &RUN[..]].concat());
    refused.assert_refused(2, "Permission denied");
    called_for(1234, &test_box, &["--cleanup"]).assert_silent_success();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_meta_file_where_a_user_may_not_write_is_refused() {
    let test_box = TestBox::new();
    called_for(1234, &test_box, &["--init"]).assert_success();
    let meta = format!("--meta={}", test_box.dir().join("meta").display());
    let refused = called_for(1234, &test_box, &[&[&*meta], &RUN[..]].concat());
    refused.assert_refused(2, "Permission denied");
    assert!(!test_box.dir().join("meta").exists());
    called_for(1234, &test_box, &["--cleanup"]).assert_silent_success();
}

/// A script by which a caller starts the sandbox, with these soft limits (prlimit(1)).
fn with_limits(limits: &str) -> String {
    format!("exec prlimit {limits} -- \"$@\"")
}

#[test]
#[ignore = "needs root: tests/run"]
fn low_limits_of_the_caller_are_the_programs_and_not_the_keepers() {
    let test_box = TestBox::new();
    test_box.init();
    // All but that of CPU time would end a keeper that had them.
    let limits =
        "--sigpending=0: --nofile=8: --fsize=0: --cpu=100: --as=200000000: --stack=524288:";
    let job = test_box.command(&["/bin/cat", "/proc/self/limits"]);
    let run = job
        .options(&["-n0", "-w60", "--dir=a=/usr", "--dir=b=/usr"])
        .through(&with_limits(limits))
        .run();
    let seen = &run.assert_ok().stdout;
    for (name, soft) in [
        ("pending signals", "0"),
        ("open files", "8"),
        ("file size", "0"),
        ("cpu time", "100"),
        ("address space", "200000000"),
        // This one is always set.
        ("stack size", "unlimited"),
    ] {
        let line = seen
            .lines()
            .find(|line| line.contains(&format!("Max {name} ")));
        let words: Vec<&str> = line.unwrap().split_whitespace().collect();
        assert_eq!(words[1 + name.split(' ').count()], soft, "{seen}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_caller_without_directory_umask_or_descriptors_is_served() {
    let test_box = TestBox::new();
    for script in [
        "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"",
        "umask 777; exec \"$@\"",
        "exec \"$@\" <&- >&- 2>&-",
        "exec \"$@\" <&-",
    ] {
        let script = format!("cd {} && {script}", test_box.out().display());
        let job = test_box
            .init()
            .shell("umask; cat; echo x >new; ls -l new >&2");
        let run = job.options(&["-p9"]).through(&script).run();
        assert_eq!(
            (run.code, run.meta.get("exitcode")),
            (0, Some("0")),
            "{script}: {run:?}"
        );
        if !script.contains(">&-") {
            assert_eq!(run.stdout, "0022\n", "{script}");
            assert!(run.stderr.starts_with("-rw-r--r-- "), "{script}: {run:?}");
        }
    }
}
