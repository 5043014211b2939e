//! The ids of users' boxes: nobody chooses them, nobody else has them, and what they own is out of
//! its caller's reach during a run, whatever the caller kept.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use crate::support::systemd::let_go;
use crate::support::{ALICE, TestBox, finish, isolate_command, processes_of, wait_until};

fn test_box() -> TestBox {
    TestBox::with_manager("systemd").called_by(ALICE)
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_boxes_of_a_user_go_round_the_ids_whatever_their_numbers() {
    let test_box = test_box();
    let mut seen = Vec::new();
    for number in [test_box.id(), test_box.id(), test_box.id() + 1] {
        let isolate = |args: &[&str]| {
            let mut command = test_box.broker().command(ALICE);
            command.arg(format!("--box-id={number}")).args(args);
            let output = finish(command);
            output.assert_success();
            output.stdout
        };
        isolate(&["--init"]);
        // Made anew it keeps its own.
        isolate(&["--init"]);
        let ids = [
            "--processes=2",
            "--run",
            "--",
            "/bin/sh",
            "-c",
            "id -u; id -g",
        ];
        let ids = isolate(&ids);
        isolate(&["--cleanup"]);
        assert!(!seen.contains(&ids), "{ids} again, after {seen:?}");
        seen.push(ids);
    }
    test_box.assert_gone();
}

/// A process that does not die keeps those waiting who need its ids, and nobody else.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_that_cannot_be_removed_yet_does_not_keep_others_from_making_boxes() {
    let test_box = test_box();
    let uid = test_box.first_uid();
    let config = format!(
        "[boxes]\nroot = '{}'\nlocks = '{}'\ncount = 1\nfirst_uid = {uid}\nfirst_gid = {uid}\n",
        test_box.root().display(),
        test_box.locks().display(),
    );
    fs::write(test_box.config_file(), config).unwrap();
    let number = test_box.id() + 1;
    let mut exec = isolate_command(&["exec", "--config"]);
    exec.arg(test_box.config_file());
    exec.arg(format!("--box-id={number}"));
    let mut exec = exec.args(["/bin/sleep", "600"]).spawn().unwrap();
    wait_until("the program runs", || !processes_of(uid).is_empty());
    exec.kill().unwrap();
    exec.wait().unwrap();
    wait_until("the program is dead", || processes_of(uid).is_empty());
    let mut straggler = Command::new("setpriv");
    straggler.args([&format!("--reuid={uid}"), "--clear-groups", "sleep", "600"]);
    let mut straggler = straggler.spawn().unwrap();
    wait_until("it is there", || !processes_of(uid).is_empty());

    // Looked at and not taken: who wants it meanwhile would be refused.
    let is_held = |name: &str| {
        let lock = fs::metadata(test_box.locks().join(name)).unwrap().ino();
        let held = fs::read_to_string("/proc/locks").unwrap();
        held.contains(&format!(":{lock} 0 EOF"))
    };
    let mut init = test_box.broker().command(ALICE);
    init.arg(format!("--box-id={}", test_box.id()));
    let mut init = init.arg("--init").spawn().unwrap();
    wait_until("the other box is being removed, in nobody's turn", || {
        is_held(&number.to_string()) && !is_held("turn")
    });
    straggler.kill().unwrap();
    straggler.wait().unwrap();
    assert!(init.wait().unwrap().success());
    test_box.cleanup();
    test_box.assert_gone();
}

/// A process of the caller's that keeps what it opened in the box, and tries it when it is told to.
struct Keeper(Child);

impl Keeper {
    /// What it tries, each with the words for a success.
    const TRIES: &str = "exec 8<box/open 9<box/open/under; : >ready; read go; at=/proc/self/fd
        cat $at/8/made && echo read; echo >$at/8/new && echo made; ls $at/9/. && echo listed
        $at/8/tool && echo executed; mv $at/8/made out/stolen && echo moved; chmod 777 $at/8/. && echo opened
        echo >$at/9/new && echo made; echo over";

    fn start(test_box: &TestBox) -> Self {
        let script = format!(
            "cd '{}' && ln -s '{}' out/box && cd out && {}",
            test_box.dir().display(),
            test_box.inside().display(),
            Self::TRIES
                .replace("out/", "")
                .replace(": >ready", ": >ready-to-try"),
        );
        let mut command = test_box.broker().program(ALICE, "/bin/sh");
        command.args(["-c", &script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let new = Self(command.stderr(Stdio::null()).spawn().unwrap());
        let ready = test_box.out().join("ready-to-try");
        wait_until("the directories are open", || ready.exists());
        new
    }

    /// What succeeded.
    fn tell(mut self) -> String {
        self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let mut told = String::new();
        let mut stdout = self.0.stdout.take().unwrap();
        stdout.read_to_string(&mut told).unwrap();
        self.0.wait().unwrap();
        told
    }
}

/// Where the files are given to the program: a rule that shows all of the box's directory is one reason.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_descriptor_of_a_box_that_its_owner_kept_leads_nowhere_during_a_run() {
    let test_box = test_box();
    test_box.init();
    let mut make = test_box.broker().program(ALICE, "/bin/sh");
    let script = "umask 0; cd \"$0\" && mkdir -p open/under && cp /bin/true open/tool && chmod 777 open open/under";
    make.args(["-c", script]).arg(test_box.inside());
    finish(make).assert_success();
    let keeper = Keeper::start(&test_box);

    let script = "umask 0; echo secret >open/made; chmod 777 open open/under 2>/dev/null; mkdir -p open/own; \
                  : >started; while [ ! -e go ]; do sleep 0.1; done; ls open open/under";
    let job = test_box.shell(script).options(&["--dir=whole=./"]);
    let running = job.spawn();
    running.wait_for_file("started");
    assert_eq!(keeper.tell(), "over\n");
    let_go(&test_box);
    let run = running.finish();
    run.assert_ok();
    assert_eq!(run.stdout, "open:\nmade\nown\ntool\nunder\n\nopen/under:\n");

    // Afterwards all of it is the caller's again.
    let owner = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(test_box.inside().join(name)).unwrap().uid()
    };
    for name in [".", "open", "open/made", "open/own", "open/under"] {
        assert_eq!(owner(name), ALICE, "{name}");
    }
    assert!(!test_box.out().join("stolen").exists());
}
