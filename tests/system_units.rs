//! The units, as systemd takes them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use support::{binary, finish, isolate_command, source};
use system::must;

mod support;
mod system;

/// What judges look at before they start.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_service_that_judges_look_for_is_active_and_names_a_control_group_that_is_there() {
    let unit = fs::read_to_string(source("units/isolate.service")).unwrap();
    let installed = "/usr/local/bin/isolate-run";
    assert!(unit.contains(installed));
    let unit = unit.replace(installed, binary().to_str().unwrap());
    let path = Path::new("/run/systemd/system/isolate.service");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, unit).unwrap();
    must("systemd-analyze", &["verify", path.to_str().unwrap()]);
    must("systemctl", &["daemon-reload"]);
    must("systemctl", &["start", "isolate.service"]);
    must("systemctl", &["status", "isolate.service"]);

    let named = fs::read_to_string("/run/isolate/cgroup").unwrap();
    let printed = finish(isolate_command(&["--print-cg-root"]));
    printed.assert_success();
    assert_eq!(printed.stdout, named);
    let cgroup = Path::new(named.trim_end());
    for file in [
        "cgroup.procs",
        "cpuset.cpus",
        "cpuset.mems",
        "memory.current",
    ] {
        assert!(cgroup.join(file).exists(), "{file}");
    }

    must("systemctl", &["stop", "isolate.service"]);
    assert!(!Path::new("/run/isolate/cgroup").exists());
    fs::remove_file(path).unwrap();
    must("systemctl", &["daemon-reload"]);
}
