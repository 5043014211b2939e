//! The units, as systemd takes them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::support::systemd::{assert_systemd_accepts, main_pid, must, package, property};
use crate::support::{binary, finish, source};

const SERVICE: &str = "isolate.service";
const SOCKET: &str = "isolate.socket";
const REMOVAL: &str = "isolate-removal.path";
const PATH_OF_SOCKET: &str = "/run/isolate/broker.sock";

fn install(args: &[&str]) {
    let mut command = Command::new(source("install"));
    command.env("ISOLATE_RUN_BIN", binary()).args(args);
    finish(command).assert_success();
}

fn group_is_there() -> bool {
    let mut command = Command::new("getent");
    command.args(["group", "isolate"]);
    finish(command).code == 0
}

/// What judges look at before they start.
fn assert_what_judges_look_at() {
    must("systemctl", &["status", SERVICE]);
    must("systemctl", &["is-enabled", SERVICE]);
    let named = fs::read_to_string("/run/isolate/cgroup").unwrap();
    assert_eq!(must("/usr/local/bin/isolate", &["--print-cg-root"]), named);
    let mode = fs::metadata("/run/isolate/cgroup").unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o644);
    assert!(Path::new(named.trim_end()).join("cgroup.procs").exists());
}

fn assert_socket_is_there_for_everybody() {
    let socket = fs::metadata(PATH_OF_SOCKET).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o666);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_group_of_the_service_has_the_controllers_that_judges_look_for() {
    must("systemctl", &["restart", SERVICE]);
    let named = fs::read_to_string("/run/isolate/cgroup").unwrap();
    let cgroup = Path::new(named.trim_end());
    for file in ["cpuset.cpus", "cpuset.mems", "memory.current"] {
        assert!(cgroup.join(file).exists(), "{file}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn install_brings_the_service_that_judges_look_for_and_the_brokers_socket_and_takes_them_away() {
    let _package = package::Aside::take();
    let had_configuration = Path::new("/etc/isolate").exists();
    let had_group = group_is_there();

    install(&["--as-isolate"]);
    let units = Path::new("/usr/local/lib/systemd/system");
    for name in [
        SERVICE,
        SOCKET,
        REMOVAL,
        "isolate.slice",
        "isolate-removal.service",
    ] {
        let unit = units.join(name);
        assert_systemd_accepts(&unit);
        assert_eq!(Path::new(&property(name, "FragmentPath")), unit);
    }
    assert_what_judges_look_at();
    for unit in [SOCKET, REMOVAL] {
        must("systemctl", &["is-active", unit]);
        must("systemctl", &["is-enabled", unit]);
    }
    let place = "/var/local/lib/isolate.removed";
    let mode = fs::metadata(place).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    assert_socket_is_there_for_everybody();
    assert!(group_is_there());

    must("systemctl", &["restart", SERVICE]);
    assert_what_judges_look_at();
    // Installed again, over what runs.
    let before = main_pid(SERVICE);
    install(&["--as-isolate"]);
    assert_ne!(main_pid(SERVICE), before);
    assert_what_judges_look_at();
    assert_socket_is_there_for_everybody();

    install(&["--remove"]);
    for gone in ["/run/isolate/cgroup", PATH_OF_SOCKET, place] {
        assert!(!Path::new(gone).exists(), "{gone}");
    }
    for unit in [SERVICE, SOCKET, REMOVAL] {
        assert!(!units.join(unit).exists(), "{unit}");
        assert_eq!(property(unit, "LoadState"), "not-found", "{unit}");
    }
    if !had_configuration {
        fs::remove_dir_all("/etc/isolate").unwrap();
    }
    if !had_group {
        must("groupdel", &["isolate"]);
    }
}
