//! What programs may try in a box of a user without root: what comes of it is what the list says of root's boxes.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::attacks::compare;
use crate::support::rootless::Rootless;
use crate::support::systemd::has_controllers;
use crate::support::{attacks, finish, program};

/// Puts a file into box 0, as the user.
fn bring(user: &Rootless, name: &str, bytes: impl AsRef<[u8]>) {
    let copy = user.write(name, bytes, 0o755);
    let inside = user.inside(0);
    finish(user.program(&["cp".as_ref(), copy.as_os_str(), inside.as_os_str()]))
        .assert_silent_success();
}

/// All attacks of one program, in one run with these files beside it.
fn all_fail(attacker: &str, files: &[(&str, String)]) {
    let user = Rootless::new();
    let mode = if has_controllers() {
        &["--cg"][..]
    } else {
        &[]
    };
    let call = |args: &[&str]| user.call(&[mode, args].concat());
    call(&["--init"]).assert_success();
    bring(&user, attacker, fs::read(program(attacker)).unwrap());
    for (name, text) in files {
        bring(&user, name, text);
    }
    let path = format!("./{attacker}");
    let run = call(&["--processes=30", "--run", "--", &path]);
    assert_eq!(run.code, 0, "{run:?}");
    let tried: Vec<_> = run
        .stdout
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    compare("a user without root", &attacks::of(attacker), |attack| {
        let tried = tried.iter().find(|(tried, _)| *tried == attack.name);
        tried.map_or("not tried".to_owned(), |(_, word)| (*word).to_owned())
    });
    let next = call(&["--run", "--", "/bin/true"]);
    assert_eq!(next.code, 0, "{next:?}");
    call(&["--cleanup"]).assert_silent_success();
    user.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nothing_leads_out_of_the_file_system_of_a_box_without_root() {
    all_fail("attack_files", &[]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nothing_gives_a_program_of_a_user_without_root_other_ids_capabilities_or_namespaces() {
    all_fail("attack_rights", &[]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn no_call_and_no_file_reaches_into_the_kernel_without_root() {
    all_fail("attack_kernel", &[]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nothing_reaches_init_or_another_process_without_root() {
    all_fail("attack_processes", &[]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn no_socket_reaches_out_of_a_box_without_root() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let name = format!("isolate-attack-rootless-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    all_fail("attack_sockets", &[("port", port), ("abstract", name)]);
}
