//! The units, as systemd takes them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{binary, finish, source};
use system::must;

mod support;
mod system;

fn install(args: &[&str]) {
    let mut command = Command::new(source("install"));
    command.env("ISOLATE_RUN_BIN", binary()).args(args);
    finish(command).assert_success();
}

/// What judges look at before they start.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_service_that_judges_look_for_is_active_and_names_a_control_group_that_is_there() {
    install(&["--as-isolate"]);
    let unit = "/usr/local/lib/systemd/system/isolate.service";
    must("systemd-analyze", &["verify", unit]);
    must("systemctl", &["status", "isolate.service"]);
    must("systemctl", &["is-enabled", "isolate.service"]);

    let named = fs::read_to_string("/run/isolate/cgroup").unwrap();
    assert_eq!(must("/usr/local/bin/isolate", &["--print-cg-root"]), named);
    let cgroup = Path::new(named.trim_end());
    for file in [
        "cgroup.procs",
        "cpuset.cpus",
        "cpuset.mems",
        "memory.current",
    ] {
        assert!(cgroup.join(file).exists(), "{file}");
    }
    must("systemctl", &["restart", "isolate.service"]);
    assert_eq!(fs::read_to_string("/run/isolate/cgroup").unwrap(), named);

    install(&["--remove"]);
    assert!(!Path::new("/run/isolate/cgroup").exists());
    assert!(!Path::new(unit).exists());
    fs::remove_dir_all("/etc/isolate").unwrap();
}
