//! The process that keeps a scope ends while a run takes the scope up.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};

use super::kept::{boxes, is_there, kept};
use crate::support::systemd::assert_nothing_left;
use crate::support::wait_until;

fn pipe_of_one_page() -> (File, File) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let room = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096));
    assert_eq!(room, Ok(4096));
    (reader.into(), writer.into())
}

/// Whether its time was over or it was killed: from then on systemd takes the scope away.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_scope_is_not_used_whose_holder_ends_while_a_run_begins() {
    let test_box = &boxes()[0];
    test_box.init();
    let step = "everything is laid out";
    let job = || test_box.shell("cat /proc/self/cgroup").options(&["-vv"]);
    kept(test_box);
    let said = job().run().stderr;
    let before = said.find(step).expect(&said);
    // The run is held up as it says so, for want of room.
    let (mut reader, mut writer) = pipe_of_one_page();
    let filling = 4096 - before - step.len() / 2;
    writer.write_all(&vec![b'.'; filling]).unwrap();
    let (scope, holder) = kept(test_box);
    let mut run = {
        let mut command = job().to_command();
        command.stdout(Stdio::null()).stderr(writer);
        command.spawn().unwrap()
    };
    let leaf = scope.join("box");
    wait_until("the run has taken the scope", || leaf.exists());
    // Otherwise systemd takes it away before the run is in it, or in the very moment.
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    let beside = scope.join("beside");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("cgroup.procs"), stranger.id().to_string()).unwrap();
    kill(holder, Signal::SIGKILL).unwrap();
    wait_until("the holder has ended", || !is_there(holder));
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert!(said.contains("asking for another scope"), "{said}");
    assert!(run.wait().unwrap().success(), "{said}");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    test_box.cleanup();
    assert_nothing_left(test_box);
}
