//! A scope that is kept and must not be used: whoever keeps it ends while a run takes it up, or it is that of another box.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::mount::{MsFlags, mount, umount};
use nix::sys::signal::{Signal, kill};

use super::kept::{boxes, holder, is_there, kept};
use crate::support::systemd::{
    alone, assert_nothing_left, assert_nothing_left_of, scopes, scopes_of, units,
};
use crate::support::{BOXES, TestBox, finish, isolate_command, wait_until};

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

/// Whose record says so, whoever wrote it.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_scope_of_another_box_is_not_used_though_the_record_names_it() {
    let [mine, another, _] = boxes();
    for test_box in [&mine, &another] {
        test_box.init();
    }
    let (theirs, _) = kept(&another);
    let (_, holder) = kept(&mine);
    let [own, others] = [&mine, &another].map(|test_box| test_box.lock_file());
    let [own_text, others_text] = [&own, &others].map(|file| fs::read_to_string(file).unwrap());
    let line = |text: &str| text[text.find("holder ").unwrap()..].to_owned();
    fs::write(
        &own,
        own_text.replace(&line(&own_text), &line(&others_text)),
    )
    .unwrap();
    let run = mine.shell("cat /proc/self/cgroup").options(&["-vv"]).run();
    let said = &run.assert_ok().stderr;
    let theirs = theirs.file_name().unwrap().to_str().unwrap();
    assert!(!said.contains(theirs), "{said}");
    assert!(said.contains(&format!("/isolate-{}-", mine.id())), "{said}");
    kill(holder, Signal::SIGTERM).unwrap();
    for test_box in [&mine, &another] {
        test_box.cleanup();
        assert_nothing_left(test_box);
    }
}

/// It has other locks, so nobody keeps two boxes with one number apart.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_scope_of_a_box_of_another_configuration_with_the_same_number_is_not_used() {
    let both = [(); 2].map(|()| TestBox::with_manager("systemd").config("keep_ready = 60\n"));
    let [one, other] = &both;
    // That which exec takes.
    let id = other.id() + BOXES - 1;
    let of_one = |command: &str| {
        let mut words = isolate_command(&["--config"]);
        words.arg(one.config_file());
        finish({
            words.arg(format!("--box-id={id}")).arg(command);
            words
        })
        .assert_success();
    };
    of_one("--init");
    let all = || scopes_of(id);
    let kept_ones = |count: usize| {
        wait_until("scopes are kept", || {
            let all = all();
            all.len() == count && all.iter().all(|scope| holder(scope).is_some())
        });
        all()
    };
    let first = kept_ones(1).remove(0);
    let keeps_it = holder(&first);
    assert_eq!(other.exec(&["true"]).code, 0);
    let second = kept_ones(2).into_iter().find(|scope| *scope != first);
    assert_eq!(other.exec(&["true"]).code, 0);
    assert_eq!(kept_ones(2).len(), 2);
    assert_eq!(holder(&first), keeps_it);
    of_one("--cleanup");
    kill(holder(&second.unwrap()).unwrap(), Signal::SIGTERM).unwrap();
    assert_nothing_left_of(other, id);
    assert!(scopes(one).is_empty());
}

fn unit_of(scope: &Path) -> String {
    scope.file_name().unwrap().to_string_lossy().into_owned()
}

/// A scope that systemd has forgotten without removing its control group: a mount on that is in its way, as somebody is who
/// comes in that very moment.
fn forgotten(test_box: &TestBox) -> PathBuf {
    test_box.shell("true").run().assert_ok();
    let (scope, holder) = kept(test_box);
    let bind = MsFlags::MS_BIND;
    mount(Some(&scope), &scope, None::<&str>, bind, None::<&str>).unwrap();
    kill(holder, Signal::SIGKILL).unwrap();
    wait_until("systemd has forgotten it", || {
        units(&unit_of(&scope)).is_empty()
    });
    umount(&scope).unwrap();
    assert!(scope.exists());
    scope
}

/// A scope whose end systemd has not noticed: its control group is made anew when the kernel has told it something a moment
/// ago, and waits with what comes next.
fn unnoticed(test_box: &TestBox) -> PathBuf {
    for _ in 0..50 {
        test_box.shell("true").run().assert_ok();
        let (scope, holder) = kept(test_box);
        for frozen in ["1", "0"] {
            fs::write(scope.join("cgroup.freeze"), frozen).unwrap();
        }
        kill(holder, Signal::SIGKILL).unwrap();
        let begun = Instant::now();
        let mut removed = false;
        while !removed && scope.exists() && begun.elapsed() < Duration::from_secs(1) {
            removed = fs::remove_dir(&scope).is_ok();
        }
        if !removed {
            continue;
        }
        fs::create_dir(&scope).unwrap();
        sleep(Duration::from_millis(200));
        if !units(&unit_of(&scope)).is_empty() {
            return scope;
        }
        // It has noticed, and taken it away.
        drop(fs::remove_dir(&scope));
    }
    panic!("systemd notices each end");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_scope_that_is_over_and_was_not_taken_away_goes_with_the_next_run_or_by_gc() {
    let _alone = alone();
    for test_box in &boxes() {
        test_box.init();
        let scope = forgotten(test_box);
        test_box.shell("true").run().assert_ok();
        wait_until("the next run has it removed", || !scope.exists());
        test_box.cleanup();
        assert_nothing_left(test_box);
    }
    let test_box = &boxes()[0];
    test_box.init();
    for make in [forgotten, unnoticed] {
        let scope = make(test_box);
        let unit = unit_of(&scope);
        let would = test_box.verb("gc", &["--dry-run"]);
        let line = format!("would remove {unit}, which stands empty\n");
        assert!(would.code == 0 && would.stdout.contains(&line), "{would:?}");
        assert!(scope.exists());
        let done = test_box.verb::<&str>("gc", &[]);
        let line = format!("removed {unit}, which stood empty\n");
        assert!(done.code == 0 && done.stdout.contains(&line), "{done:?}");
        wait_until("it is gone", || !scope.exists() && units(&unit).is_empty());
    }
    // One that is of use stays.
    test_box.shell("true").run().assert_ok();
    let (scope, holder) = kept(test_box);
    test_box.verb::<&str>("gc", &[]).assert_success();
    assert!(is_there(holder) && scope.exists());
    test_box.cleanup();
    assert_nothing_left(test_box);
}
