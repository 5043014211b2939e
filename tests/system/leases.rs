//! Runs that lease CPUs: no two at the same time have one, each is told which it had, and nothing of a lease is left.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::batch::{Batch, results_of, shell};
use crate::support::systemd::{assert_nothing_left_in_slice, let_go, must, start};
use crate::support::{ALICE, TestBox, entries, finish, isolate_command, slow, wait_until};

/// Prints when it began, the CPUs that it may use, and when it ended.
const SPAN: &str = "date +%s%N; grep ^Cpus_allowed_list: /proc/self/status; sleep 0.1; date +%s%N";

/// A box of root's and the broker's of a user, whose runs lease cores.
fn leasing_box(more: &str) -> TestBox {
    TestBox::new_in(Path::new("/var/tmp"), "systemd")
        .called_by(ALICE)
        .config(&format!("[cpus]\nlease = 'core'\n{more}"))
}

/// `exec` of root or of the user.
fn exec(test_box: &TestBox, caller: Option<u32>, args: &[&str]) -> Command {
    let mut command = match caller {
        None => {
            let mut command = isolate_command(&["exec", "--config"]);
            command.arg(test_box.config_file());
            command
        }
        Some(uid) => {
            let mut command = test_box.broker().command(uid);
            command.arg("exec");
            command
        }
    };
    command.args(args);
    command
}

/// A run that has a CPU until it is told to end.
fn hold(test_box: &TestBox, caller: Option<u32>) -> Child {
    let args = ["--quiet", "--", "/bin/sh", "-c", "echo there; read word"];
    let mut command = exec(test_box, caller, &args);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = command.spawn().unwrap();
    let mut said = [0; 6];
    let stdout = holder.stdout.as_mut().unwrap();
    stdout.read_exact(&mut said).expect("the program runs");
    assert_eq!(&said, b"there\n");
    holder
}

fn processes(test_box: &TestBox) -> usize {
    crate::support::processes_among(test_box.uids()).len()
}

fn send(pid: u32, signal: Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

/// Lets it end.
fn release(mut holder: Child) {
    holder.stdin.take().unwrap().write_all(b"end\n").unwrap();
    let ended = holder.wait().unwrap();
    assert!(ended.success(), "{ended:?}");
}

/// What a run printed: its CPU, and from when to when it was there.
fn span(printed: &str) -> (u32, u128, u128) {
    let words: Vec<&str> = printed.split_whitespace().collect();
    let [began, _, cpu, ended] = words[..] else {
        panic!("{printed}");
    };
    (
        cpu.parse().unwrap(),
        began.parse().unwrap(),
        ended.parse().unwrap(),
    )
}

fn report(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn eight_callers_on_two_cpus_have_one_each_in_turn_and_are_told_which() {
    let test_box = leasing_box("");
    let rounds = if slow() { 2 } else { 5 };
    test_box.broker();
    let mut spans = Vec::new();
    std::thread::scope(|scope| {
        let callers = (0..8).map(|caller| {
            let test_box = &test_box;
            scope.spawn(move || {
                let mut spans = Vec::new();
                for round in 0..rounds {
                    let path = test_box.out().join(format!("report-{caller}-{round}"));
                    let uid = (caller % 2 == 1).then_some(ALICE);
                    let to = format!("--report={}", path.display());
                    let args = ["--wait", "--quiet", &to, "--", "/bin/sh", "-c", SPAN];
                    let done = finish(exec(test_box, uid, &args));
                    assert_eq!(done.code, 0, "{done:?}");
                    let span = span(&done.stdout);
                    let report = report(&path);
                    let cpus = &report["cpus"];
                    assert_eq!(cpus["lease"], "core", "{report}");
                    assert_eq!(cpus["leased"], span.0.to_string(), "{report}");
                    assert_eq!(cpus["others_on_core"], 0, "{report}");
                    assert_eq!(report["limits"]["cpus"], cpus["leased"], "{report}");
                    spans.push(span);
                }
                spans
            })
        });
        let callers: Vec<_> = callers.collect();
        for caller in callers {
            spans.extend(caller.join().unwrap());
        }
    });
    spans.sort_unstable();
    assert_eq!(spans.len(), 8 * rounds);
    for pair in spans.windows(2) {
        let [(cpu, _, ended), (other, began, _)] = pair else {
            unreachable!()
        };
        assert!(cpu < other || ended <= began, "{spans:?}");
    }
    assert_eq!(spans.first().unwrap().0, 0, "{spans:?}");
    assert_eq!(spans.last().unwrap().0, 1, "{spans:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn without_a_free_core_a_run_is_refused_and_with_wait_it_waits_and_can_be_interrupted() {
    let test_box = leasing_box("");
    let holders = [hold(&test_box, None), hold(&test_box, Some(ALICE))];
    for caller in [None, Some(ALICE)] {
        let refused = finish(exec(&test_box, caller, &["--", "/bin/true"]));
        assert_eq!(refused.code, 125, "{refused:?}");
        let reason = "no core is free: all 2 that this run can lease are in use by other runs; --wait waits for one";
        assert!(refused.stderr.contains(reason), "{refused:?}");
    }
    let waiting = |caller| {
        let mut command = exec(&test_box, caller, &["-v", "--wait", "--", "/bin/true"]);
        let command = command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut waiting = command.spawn().unwrap();
        let mut stderr = BufReader::new(waiting.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("all CPUs are leased to other runs; waiting") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it has not waited");
        }
        (waiting, stderr)
    };
    let interrupted = [waiting(None), waiting(Some(ALICE))];
    let waits = [waiting(None), waiting(Some(ALICE))];
    for (mut waiting, mut stderr) in interrupted {
        assert!(waiting.try_wait().unwrap().is_none());
        send(waiting.id(), Signal::SIGTERM);
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        let ended = waiting.wait().unwrap();
        assert!(!ended.success(), "{ended:?}: {said}");
    }
    let [first, second] = holders;
    release(first);
    for (mut waiting, mut stderr) in waits {
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        let ended = waiting.wait().unwrap();
        assert!(ended.success(), "{ended:?}: {said}");
    }
    release(second);
    // Whoever is killed while they wait leaves the lock file of a box, empty: nobody has that box.
    for path in entries(&test_box.locks()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.parse::<u32>().is_ok() {
            assert_eq!(fs::metadata(&path).unwrap().len(), 0, "{path:?}");
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_lease_ends_when_everybody_who_has_it_is_killed() {
    let test_box = leasing_box("");
    for _ in 0..3 {
        let mut holders = [hold(&test_box, None), hold(&test_box, Some(ALICE))];
        for keeper in test_box.broker().keepers() {
            send(u32::try_from(keeper).unwrap(), Signal::SIGKILL);
        }
        for holder in &mut holders {
            holder.kill().unwrap();
            holder.wait().unwrap();
        }
        // Both CPUs, at the same time.
        let next = [hold(&test_box, Some(ALICE)), hold(&test_box, None)];
        next.into_iter().for_each(release);
    }
    wait_until("no process is left", || processes(&test_box) == 0);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_pin_a_slice_and_what_is_reserved_bound_a_lease() {
    const SLICE: &str = "testlease1.slice";
    let new = |cpus: &str, more: &str| {
        let test_box = TestBox::new_in(Path::new("/var/tmp"), "systemd");
        let id = test_box.id();
        let pin = match more {
            "" => String::new(),
            list => format!("[[pin]]\nboxes = {id}\ncpus = '{list}'\n"),
        };
        test_box.config(&format!("slice = '{SLICE}'\n[cpus]\n{cpus}\n{pin}"))
    };
    let pinned = new("lease = 'core'", "1");
    assert_eq!(pinned.program("list_cpus").run().assert_ok().stdout, "1 \n");
    let reserving = new("lease = 'thread'\nreserve = 0", "");
    let list = || reserving.program("list_cpus").run();
    assert_eq!(list().assert_ok().stdout, "1 \n");
    must(
        "systemctl",
        &["set-property", "--runtime", SLICE, "AllowedCPUs=0"],
    );
    let reason = "there is no thread that this run can lease ([cpus] in the configuration): online are 0-1, \
                  the control groups of runs may use 0, reserved are 0";
    list().assert_failed(reason);
    pinned
        .command(&["/bin/true"])
        .run()
        .assert_failed("there is no core that this run can lease");
    let third = new("lease = 'core'", "");
    assert_eq!(third.program("list_cpus").run().assert_ok().stdout, "0 \n");
    assert_nothing_left_in_slice(&pinned, SLICE);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_lease_that_is_lost_during_a_run_fails_it() {
    const SLICE: &str = "testlease2.slice";
    let test_box = TestBox::new_in(Path::new("/var/tmp"), "systemd");
    let test_box = test_box.config(&format!(
        "slice = '{SLICE}'\n[cpus]\nlease = 'core'\nreserve = 0\n"
    ));
    let running = start(&test_box);
    must(
        "systemctl",
        &["set-property", "--runtime", SLICE, "AllowedCPUs=0"],
    );
    let_go(&test_box);
    let run = running.finish();
    run.assert_failed("bound to the CPUs 1 by [cpus] lease, but the kernel grants 0 (");
    assert_nothing_left_in_slice(&test_box, SLICE);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_scope_that_is_kept_ready_serves_whatever_cpu_is_leased() {
    let test_box = TestBox::new_in(Path::new("/var/tmp"), "systemd");
    let test_box = test_box.config("keep_ready = 5\n[cpus]\nlease = 'core'\n");
    let other = hold(&test_box, None);
    for _ in 0..3 {
        let run = test_box.program("list_cpus").run();
        assert_eq!(run.assert_ok().stdout, "1 \n");
    }
    release(other);
    test_box.cleanup();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_batch_has_as_many_jobs_at_a_time_as_there_are_leases_and_those_of_others_wait() {
    let test_box = leasing_box("reserve = 1\n");
    let job = |id: u32| serde_json::json!({"id": id.to_string(), "steps": [shell(SPAN)]});
    for caller in [None, Some(ALICE)] {
        let mut under_way = Batch::start(&test_box, caller, &[]);
        (0..4).for_each(|id| under_way.send(&job(id)));
        let mut most = 0;
        let done = std::thread::scope(|scope| {
            let done = scope.spawn(|| under_way.finish());
            while !done.is_finished() {
                most = most.max(entries(&test_box.root()).count());
            }
            done.join().unwrap()
        });
        assert_eq!((done.0, &*done.2), (0, ""), "{done:?}");
        if caller.is_none() {
            // A user's batch goes by the installed configuration.
            assert_eq!(most, 1);
        }
        let mut ended = 0;
        let results = results_of(&done.1);
        let mut spans: Vec<_> = results
            .values()
            .map(|result| span(result["steps"][0]["stdout"]["text"].as_str().unwrap()))
            .collect();
        assert_eq!(spans.len(), 4);
        spans.sort_unstable();
        for (cpu, from, to) in spans {
            assert_eq!(cpu, 0);
            assert!(ended <= from);
            ended = to;
        }
    }
}
