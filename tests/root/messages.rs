//! What is wrong with the machine, or with a path, is said with what to do about it.

use std::process::Command;

use crate::support::{Output, TestBox, binary, finish};

/// Calls the sandbox from a shell script, as its `"$@"`.
fn through(test_box: &TestBox, script: &str, args: &[&str]) -> Output {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh"]).arg(binary());
    command.arg("--config").arg(test_box.config_file());
    command
        .arg(format!("--box-id={}", test_box.id()))
        .args(args);
    finish(command)
}

/// A script that goes on in a user namespace of its own with the first so many ids, and does this there before.
fn in_user_namespace(ids: &str, before: &str) -> String {
    // The second shell has the rights of the namespace's root, who is there by then.
    format!(
        "unshare --user --mount sh -c 'until [ $(id -u) = 0 ]; do sleep 0.01; done; exec \"$@\"' sh \
             sh -c '{before}; exec \"$@\"' sh \"$@\" &
         own=$(readlink /proc/self/ns/user)
         while [ \"$(readlink /proc/$!/ns/user)\" = \"$own\" ]; do sleep 0.01; done
         echo 0 0 {ids} >/proc/$!/gid_map
         echo 0 0 {ids} >/proc/$!/uid_map
         wait $!"
    )
}

const ALL: &str = "2000000000";

#[test]
#[ignore = "needs root: tests/run"]
fn a_file_that_would_go_with_the_box_of_exec_is_refused() {
    let test_box = TestBox::new();
    for (option, said) in [
        ("-oout.txt", "let the shell open yours (> out.txt)"),
        ("-iin.txt", "which is empty when the program begins"),
    ] {
        let refused = test_box.exec(&[option, "/bin/true"]);
        refused.assert_refused(125, said);
    }
    test_box.assert_gone();
    let here = test_box.out();
    let rule = format!("--dir=here={}:rw", here.display());
    let kept = test_box.exec(&[&*rule, "-o/here/out.txt", "/bin/echo", "hi"]);
    kept.assert_success();
    assert_eq!(
        std::fs::read_to_string(here.join("out.txt")).unwrap(),
        "hi\n"
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn boxes_where_no_program_can_be_executed_are_told_of_by_init() {
    let test_box = TestBox::new();
    let mount = |options: &str| {
        format!(
            "mkdir -p {0} && exec unshare --mount sh -c 'mount -t tmpfs -o {options} none {0} && exec \"$@\"' sh \"$@\"",
            test_box.root().display()
        )
    };
    let told = through(&test_box, &mount("mode=755,noexec"), &["--init"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(told.stdout, format!("{}\n", test_box.path().display()));
    let said = "is on a file system that is mounted noexec: no program in the box can be executed; mount it with exec";
    assert!(told.stderr.contains(said), "{told:?}");
    test_box.isolate(&["--cleanup"]).assert_success();
    let silent = through(&test_box, &mount("mode=755"), &["--init"]);
    assert_eq!((silent.code, &*silent.stderr), (0, ""), "{silent:?}");
    test_box.isolate(&["--cleanup"]).assert_success();
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_path_of_the_host_and_a_directory_of_others_are_named_as_what_they_are() {
    let test_box = TestBox::new();
    test_box.init();
    let host = format!("--stdout={}/out.txt", test_box.inside().display());
    let run = test_box.command(&["/bin/true"]).options(&[host]).run();
    run.assert_failed("No such file or directory (this is a path inside of the sandbox, where a file of the box is /box/NAME");
    let theirs = test_box.make_dir("theirs", 0, 0o755);
    let rule = format!("--dir=d={}:rw", theirs.display());
    let run = test_box
        .command(&["/bin/true"])
        .options(&[&*rule, "--stdout=/d/x"])
        .run();
    run.assert_failed("Permission denied (it is opened as the user of the box");
    let run = test_box
        .command(&["/bin/true"])
        .options(&[&*rule, "-v"])
        .run();
    let said = format!(
        "the program, which is user {0}, may not write to '{1}', unless an ACL lets it: that belongs to 0:0 and has mode \
         0755; let it in by: setfacl -m u:{0}:rwx {1}",
        test_box.uid(),
        theirs.display()
    );
    assert!(run.stderr.contains(&said), "{run:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn limits_of_namespaces_are_named() {
    for limit in ["pid", "net", "uts", "cgroup"] {
        let test_box = TestBox::new();
        test_box.init();
        let none = format!("echo 0 >/proc/sys/user/max_{limit}_namespaces");
        let script = in_user_namespace(ALL, &none);
        let output = through(&test_box, &script, &["--run", "--", "/bin/true"]);
        assert_eq!(output.code, 2, "{output:?}");
        let said = "No space left on device (a limit of namespaces is reached: raise the sysctl";
        assert!(output.stderr.contains(said), "{limit}: {output:?}");
        assert!(
            output.stderr.contains(said_of(limit)),
            "{limit}: {output:?}"
        );
    }
}

/// The settings that are named for a limit.
fn said_of(limit: &str) -> &'static str {
    match limit {
        "pid" => "user.max_mnt_namespaces and user.max_pid_namespaces",
        "cgroup" => "user.max_cgroup_namespaces",
        _ => "user.max_ipc_namespaces, user.max_uts_namespaces and user.max_net_namespaces",
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn ids_that_a_user_namespace_does_not_have_are_named() {
    let test_box = TestBox::new();
    test_box.init();
    let script = in_user_namespace("1", ":");
    let output = through(&test_box, &script, &["--run", "--", "/bin/true"]);
    assert_eq!(output.code, 2, "{output:?}");
    let said = "Invalid argument (the ids of the box are not mapped in this user namespace, see /proc/self/uid_map";
    assert!(output.stderr.contains(said), "{output:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_capability_that_is_missing_is_named() {
    for (capability, said) in [
        (
            "sys_admin",
            "(this container does not allow mounts; it needs CAP_SYS_ADMIN",
        ),
        ("net_admin", "lacks CAP_NET_ADMIN)"),
        ("setpcap", "lacks CAP_SETPCAP)"),
        ("chown", "lacks CAP_CHOWN)"),
    ] {
        let test_box = TestBox::new();
        test_box.init();
        let script = format!("exec setpriv --bounding-set=-{capability} \"$@\"");
        let output = through(&test_box, &script, &["--run", "--", "/bin/true"]);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(
            output.stderr.contains("Operation not permitted (") && output.stderr.contains(said),
            "{output:?}"
        );
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn more_directories_than_open_files_are_counted() {
    let test_box = TestBox::new();
    test_box.init();
    let rules: Vec<_> = (0..300).map(|n| format!("--dir=d{n}=/usr")).collect();
    let mut args: Vec<_> = rules.iter().map(String::as_str).collect();
    args.extend(["--run", "--", "/bin/true"]);
    let output = through(&test_box, "ulimit -n 200; exec \"$@\"", &args);
    assert_eq!(output.code, 2, "{output:?}");
    let said = "of the 300 directories (--dir): Too many open files (the limit of open files is reached, and each";
    assert!(output.stderr.contains(said), "{output:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn without_a_proc_no_ids_are_leased() {
    let test_box = TestBox::new();
    let elsewhere = "exec unshare --mount sh -c 'mount -t tmpfs none /proc; exec \"$@\"' sh \"$@\"";
    let output = through(&test_box, elsewhere, &["--init"]);
    assert_eq!(output.code, 2, "{output:?}");
    // What misses it first depends on the machine: whether there are control groups.
    let said = "mount -t proc proc /proc";
    assert!(output.stderr.contains(said), "{output:?}");
}
