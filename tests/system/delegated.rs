//! Without systemd's help: the control groups of runs are made in one that was delegated, by configuration or because
//! this process is in it.

use crate::support::systemd;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::systemd::{CGROUPS, must, private_mounts, read_cgroup};
use crate::support::{CG_FIGURES, Run, TestBox, binary, entries, finish, wait_until};
use nix::sys::signal::Signal;

/// A control group as an administrator makes it beforehand.
struct Delegated(PathBuf);

impl Delegated {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("testjudge-{}-{number}", std::process::id());
        let outer = Path::new(CGROUPS).join(name);
        fs::create_dir(&outer).unwrap();
        // In a group of its own: systemd may enable more controllers in that of the machine.
        for cgroup in [Path::new(CGROUPS), &outer] {
            fs::write(cgroup.join("cgroup.subtree_control"), "+memory +pids").unwrap();
        }
        let path = outer.join("judge");
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A box whose runs are in here.
    fn test_box(&self, manager: &str) -> TestBox {
        let root = format!("root = '{}'\n", self.0.display());
        TestBox::with_manager(manager)
            .config(&root)
            .options(&["--cg"])
    }

    /// The group of a box, there or not.
    fn group(&self, test_box: &TestBox) -> PathBuf {
        self.0.join(format!("isolate-{}", test_box.id()))
    }

    fn groups(&self) -> Vec<PathBuf> {
        entries(&self.0).filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // A test that failed may have left anything.
        drop(fs::write(self.0.join("cgroup.kill"), "1"));
        let remove = || {
            for group in self.groups() {
                for child in entries(&group).filter(|path| path.is_dir()) {
                    drop(fs::remove_dir(child));
                }
                drop(fs::remove_dir(group));
            }
            fs::remove_dir(&self.0)
                .and_then(|()| fs::remove_dir(self.0.parent().unwrap_or(&self.0)))
        };
        for _ in 0..100 {
            if remove().is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn assert_held(run: &Run, holder: &str) {
    run.assert_ok();
    assert!(run.stderr.contains(holder), "{run:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_run_is_in_the_delegated_group_with_init_and_program_apart() {
    let delegated = Delegated::new();
    let test_box = delegated.test_box("delegated");
    let printed = test_box.isolate(&["--print-cg-root"]).stdout;
    assert_eq!(Path::new(printed.trim_end()), delegated.0);
    let script = "cat /proc/self/cgroup; : >started; exec sleep 600";
    let running = test_box
        .shell(script)
        .options(&["--cg-mem=32M", "--processes=4"])
        .spawn();
    running.wait_for_file("started");
    let group = delegated.group(&test_box);
    assert_eq!(
        read_cgroup(&group.join("init"), "cgroup.procs")
            .lines()
            .count(),
        1
    );
    assert_eq!(
        read_cgroup(&group.join("box"), "memory.max"),
        (32 << 20).to_string()
    );
    assert_eq!(read_cgroup(&group.join("box"), "pids.max"), "4");
    assert!(
        systemd::scopes(&test_box).is_empty(),
        "no scope is asked for"
    );
    running.signal(Signal::SIGTERM);
    let run = running.finish();
    run.assert_verdict(1, "SG", "Interrupted");
    assert_eq!(run.stdout, "0::/\n");
    assert_eq!(delegated.groups(), [] as [PathBuf; 0]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn limits_and_figures_are_those_of_a_scope() {
    let delegated = Delegated::new();
    let test_box = delegated.test_box("delegated");
    let bomb = test_box.program("memory_bomb").args(&["3", "12"]);
    let run = bomb.options(&["--cg-mem=24M", "--processes=10"]).run();
    run.assert_verdict(1, "SG", "Caught fatal signal 9");
    let ending = ["cg-oom-killed", "exitsig", "status", "message"];
    run.assert_keys(&[&CG_FIGURES[..], &ending].concat());
    assert!(run.meta.number("cg-mem") <= 24_576.0, "{run:?}");

    let run = test_box
        .program("burn_daemon")
        .args(&["200"])
        .options(&["--processes=3"])
        .run();
    run.assert_ok()
        .assert_keys(&[&CG_FIGURES[..], &["exitcode"]].concat());
    assert!(run.meta.number("time") >= 0.2, "{run:?}");
    assert!(run.meta.number("cg-mem") < 16_384.0, "{run:?}");

    let run = test_box
        .program("count_threads")
        .args(&["20"])
        .options(&["--processes=5"])
        .run();
    assert_eq!(run.stdout, "5\n");
    assert_eq!(delegated.groups(), [] as [PathBuf; 0]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_a_killed_keeper_left_is_removed_by_the_next_run_and_by_cleanup() {
    let delegated = Delegated::new();
    let test_box = delegated.test_box("delegated");
    let leave = || {
        let running = test_box.shell(": >started; exec sleep 600").spawn();
        running.wait_for_file("started");
        running.signal(Signal::SIGKILL);
        assert_eq!(running.finish().code, -9);
        wait_until("the program is dead", || test_box.processes().is_empty());
        assert!(
            delegated.group(&test_box).exists(),
            "nobody was left to remove it"
        );
        fs::remove_file(test_box.inside().join("started")).unwrap();
    };
    leave();
    test_box.command(&["/bin/true"]).run().assert_ok();
    assert_eq!(delegated.groups(), [] as [PathBuf; 0]);
    leave();
    test_box.cleanup();
    assert_eq!(delegated.groups(), [] as [PathBuf; 0]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn processes_in_a_stale_group_are_killed() {
    let delegated = Delegated::new();
    let test_box = delegated.test_box("delegated");
    test_box.init();
    let leaf = delegated.group(&test_box).join("box");
    for command in [&["--run", "--", "/bin/true"][..], &["--cleanup"]] {
        fs::create_dir_all(&leaf).unwrap();
        let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(leaf.join("cgroup.procs"), sleeper.id().to_string()).unwrap();
        test_box.isolate(command).assert_success();
        assert!(!sleeper.wait().unwrap().success());
        assert_eq!(delegated.groups(), [] as [PathBuf; 0]);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_service_that_systemd_delegates_to_needs_no_root_in_the_configuration() {
    let test_box = TestBox::with_manager("delegated").options(&["--cg"]);
    // --init works where --run will, and the second run where the first was.
    let script = format!(
        "{program} --config={config} --box-id={id} --cg --init && \
         {program} --config={config} --box-id={id} --cg --cg-mem=32M --run -- /bin/cat /proc/self/cgroup && \
         {program} --config={config} --box-id={id} --cg --cg-mem=32M --run -- /bin/cat /proc/self/cgroup && \
         {program} --config={config} --print-cg-root && cat /proc/self/cgroup; ls -d /sys/fs/cgroup$(dirname $(sed s/0::// /proc/self/cgroup))/isolate-*; \
         {program} --config={config} --box-id={id} --cg --cleanup",
        program = binary().display(),
        config = test_box.config_file().display(),
        id = test_box.id(),
    );
    let unit = format!("--unit=testjudge-{}", std::process::id());
    let options = [
        &unit,
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        "--property=Delegate=yes",
    ];
    let said = must(
        "systemd-run",
        &[&options[..], &["/bin/sh", "-c", &script]].concat(),
    );
    let lines: Vec<_> = said.lines().collect();
    let [path, first, second, root, shell, groups @ ..] = &lines[..] else {
        panic!("{said}");
    };
    assert_eq!(Path::new(path), test_box.path());
    assert_eq!((*first, *second), ("0::/", "0::/"));
    // A process that was moved out of the way is not the owner of where it is.
    assert!(root.ends_with(".service"), "{said}");
    // The shell was in the way of controllers for the groups beside it.
    assert!(shell.ends_with(".service/isolate-rest"), "{said}");
    let [rest] = groups else {
        panic!("groups are left: {said}");
    };
    assert!(rest.ends_with("/isolate-rest"), "{said}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_first_process_of_a_container_makes_its_group_ready_once() {
    let test_box = TestBox::with_manager("delegated").options(&["--cg"]);
    let run = format!(
        "{program} --config={config} --box-id={id} --cg",
        program = binary().display(),
        config = test_box.config_file().display(),
        id = test_box.id(),
    );
    // In a cgroup namespace of its own, as in a container.
    let script = format!(
        "cat /proc/self/cgroup /sys/fs/cgroup/cgroup.subtree_control; {run} --init && \
         {run} -v --run -- /bin/true; {run} --cleanup; ls -d /sys/fs/cgroup/isolate-*; exit 7"
    );
    let inside = format!(
        "umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec {} container-init --config={} -- /bin/sh -c '{script}'",
        binary().display(),
        test_box.config_file().display(),
    );
    let mut command = Command::new("systemd-run");
    command.args([
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        "--property=Delegate=yes",
    ]);
    command.args(["unshare", "--cgroup", "--mount"]);
    command.args(["/bin/sh", "-c", &inside]);
    let output = finish(command);
    assert_eq!(output.code, 7, "{output:?}");
    let mut lines = output.stdout.lines();
    assert_eq!(lines.next(), Some("0::/isolate-rest"), "{output:?}");
    let enabled = lines.next().unwrap();
    for controller in ["cpu", "memory", "pids"] {
        assert!(enabled.contains(controller), "{enabled}");
    }
    assert_eq!(lines.next().map(Path::new), Some(test_box.path().as_path()));
    assert_eq!(lines.next(), Some("/sys/fs/cgroup/isolate-rest"));
    assert_eq!(lines.next(), None);
    let held = format!(
        "held by the cgroup /sys/fs/cgroup/isolate-{}",
        test_box.id()
    );
    assert!(output.stderr.contains(&held), "{output:?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_group_that_cannot_limit_memory_is_refused_with_what_is_missing() {
    let delegated = Delegated::new();
    // No controllers are enabled for the children of the delegated group.
    let bare = delegated.0.join("bare");
    fs::create_dir(&bare).unwrap();
    let root = format!("root = '{}'\n", bare.display());
    let test_box = TestBox::with_manager("delegated").config(&root);
    let refused = test_box.isolate(&["--cg", "--init"]);
    refused.assert_refused(2, "bare has no memory controller");
    test_box.assert_gone();
    // Without --cg it will do: to kill, and to count CPU time.
    test_box
        .program("burn_daemon")
        .args(&["100"])
        .options(&["--processes=3"])
        .run()
        .assert_ok();
    assert_eq!(entries(&bare).filter(|path| path.is_dir()).count(), 0);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_group_that_is_not_there_is_refused_by_name() {
    let test_box =
        TestBox::with_manager("delegated").config("root = '/sys/fs/cgroup/testjudge-none'\n");
    let refused = test_box.isolate(&["--cg", "--init"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("/sys/fs/cgroup/testjudge-none"),
        "{refused:?}"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_pin_needs_the_controller_for_it() {
    let delegated = Delegated::new();
    let test_box = delegated.test_box("delegated");
    let pin = format!("[[pin]]\nboxes = {}\ncpus = '1'\n", test_box.id());
    let test_box = test_box.config(&pin);
    let run = test_box.command(&["/bin/true"]).run();
    run.assert_failed("the cpuset controller is not available");
    assert_eq!(delegated.groups(), [] as [PathBuf; 0]);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn without_a_manager_control_group_mode_is_refused_with_the_reason() {
    let test_box = TestBox::with_manager("none");
    for command in [&["--cg", "--init"][..], &["--print-cg-root"]] {
        test_box
            .isolate(command)
            .assert_refused(2, "[cgroup] manager is none");
    }
    test_box.command(&["/bin/true"]).run().assert_ok();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn where_systemd_runs_it_is_chosen_before_a_delegated_group() {
    let delegated = Delegated::new();
    let test_box = delegated.test_box("auto");
    let run = test_box.command(&["/bin/true"]).options(&["-v"]).run();
    assert_held(&run, &format!("isolate.slice/isolate-{}-", test_box.id()));
    let run = test_box.exec(&["-v", "--", "/bin/true"]);
    assert!(
        run.stderr.contains("held by the systemd scope isolate-"),
        "{run:?}"
    );
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn where_systemd_does_not_run_the_delegated_group_is_chosen() {
    let delegated = Delegated::new();
    private_mounts();
    must("mount", &["-t", "tmpfs", "tmpfs", "/run/systemd"]);
    let test_box = delegated.test_box("auto");
    let printed = test_box.isolate(&["--print-cg-root"]).stdout;
    assert_eq!(Path::new(printed.trim_end()), delegated.0);
    test_box.command(&["/bin/true"]).run().assert_ok();

    let systemd = TestBox::with_manager("systemd");
    systemd
        .isolate(&["--init"])
        .assert_refused(2, "[cgroup] manager is systemd, but");
    // The tests are in a group among others, which nobody gave away.
    let auto = TestBox::with_manager("auto");
    auto.isolate(&["--cg", "--init"])
        .assert_refused(2, "name a delegated cgroup in [cgroup] root");
    auto.command(&["/bin/true"]).run().assert_ok();
}

/// The configuration of isolate names the group; nobody else made it.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_group_that_a_configuration_of_isolate_names_is_used_and_no_other_place() {
    let delegated = Delegated::new();
    let test_box = delegated.test_box("delegated");
    let given = delegated.0.display().to_string();
    let name = test_box.dir().join("named");
    fs::write(&name, format!("{given}\n")).unwrap();
    let import = |root: &str| {
        let old = test_box.dir().join("old");
        fs::write(&old, format!("cg_root = {root}\n")).unwrap();
        let mut command = Command::new(binary());
        command.args(["config", "import"]).arg(old);
        let output = finish(command);
        output.assert_success();
        let set = output.stdout.lines().filter(|line| line.contains(" = "));
        let set = set.filter(|line| !line.starts_with('#'));
        set.map(str::to_owned).collect::<Vec<_>>()
    };
    let root = format!("root = \"{given}\" # line 1, cg_root");
    let manager = "manager = \"delegated\" # line 1, cg_root".to_owned();
    assert_eq!(import(&given), [manager, root.clone()]);
    assert_eq!(import(&format!("auto:{}", name.display())), [root]);
    for other in [CGROUPS, "/sys/fs/cgroup/absent", "auto:/absent", "/tmp"] {
        assert!(import(other).is_empty(), "{other}");
    }
}
