//! `contrib/python` with the Python and the compilers of the guest, as root and as a user.

use std::process::Command;

use crate::support::{binary, finish, source};

/// Runs the tests in a folder of the package, as this user.
fn unittest(user: &str, folder: &str) {
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--", "env", "PYTHONDONTWRITEBYTECODE=1"]);
    command.arg("PYTHONPATH=src");
    command.arg(format!("ISOLATE_RUN={}", binary().display()));
    command.args(["python3", "-W", "error", "-m", "unittest", "discover"]);
    command.args(["-s", folder, "-t", "."]);
    command.current_dir(source("contrib/python"));
    let output = finish(command);
    assert_eq!(output.code, 0, "{user}, {folder}: {output:?}");
    let ran = output.stderr.lines().find(|line| line.starts_with("Ran "));
    let ran = ran.unwrap().split(' ').nth(1).unwrap();
    assert_ne!(ran, "0", "{user}, {folder}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_package_of_python_judges_the_problem_of_the_tutorial() {
    unittest("alice", "tests");
    for user in ["root", "alice"] {
        unittest(user, "system_tests");
    }
}
