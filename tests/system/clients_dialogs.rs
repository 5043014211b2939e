//! Interactive tasks in control-group mode, as their systems set them up.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use crate::support::clients::dialog::{ANSWER, ASK};
use crate::support::clients::{get, meta, put, under_both_names};
use crate::support::systemd::assert_nothing_left;
use crate::support::{Started, TestBox};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pipe2};

fn boxes() -> TestBox {
    TestBox::with_manager("systemd")
}

/// Two users, each with a directory of FIFOs, and a manager that has both directories.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn cms_lets_a_manager_talk_to_two_users_through_fifos() {
    under_both_names(boxes, |client| {
        let ids = [client.id(), client.id() + 1, client.id() + 2];
        let everybody = || fs::Permissions::from_mode(0o777);
        for n in [0, 1] {
            let dir = client.test_box.make_dir(&format!("fifo{n}"), 0, 0o755);
            for name in [format!("m_to_u{n}"), format!("u{n}_to_m")] {
                mkfifo(&dir.join(&name), Mode::S_IRWXU).unwrap();
                fs::set_permissions(dir.join(&name), everybody()).unwrap();
            }
        }
        let at = client.test_box.dir().display().to_string();
        let outers = ids.map(|id| {
            client
                .call(&format!("--box-id={id} --cg --cleanup"))
                .assert_silent_success();
            client.init(&format!("--box-id={id} --cg --init"));
            let outer = client.test_box.make_dir(&format!("outer{id}"), 0, 0o755);
            fs::create_dir(outer.join("home")).unwrap();
            fs::set_permissions(outer.join("home"), everybody()).unwrap();
            outer
        });
        let start = |n: usize, fifos: &str, more: &str, program: &str| {
            let (id, outer) = (ids[n], outers[n].display());
            Started::new(
                client.command(&format!(
                    "--cg --box-id={id} --chdir=/tmp --dir=/tmp={outer}/home:rw --dir=/dev/shm:tmp {fifos} \
                     --env=HOME=/tmp --cg-mem=524288 {more} --processes=1 --stderr=/tmp/stderr.txt --time=30 \
                     --wall-time=90 --meta={outer}/run.meta.0 --run -- /bin/sh {program}"
                )),
                Some(b""),
            )
        };
        let talk = |n: u32| {
            format!("exec 3>/fifo{n}/m_to_u{n} 4</fifo{n}/u{n}_to_m\n{ASK}exec 3>&- 4<&-\n")
        };
        put(
            &outers[0].join("home/manager"),
            &format!("{}{}echo 1.0", talk(0), talk(1)),
            0o644,
        );
        let both = format!("--dir=/fifo0={at}/fifo0:rw --dir=/fifo1={at}/fifo1:rw");
        let mut all = vec![start(0, &both, "--stdout=/tmp/output.txt", "manager")];
        for n in [0, 1] {
            put(&outers[n + 1].join("home/user"), ANSWER, 0o644);
            let fifos = format!("--dir=/fifo{n}={at}/fifo{n}:rw");
            let streams = format!("--stdin=/fifo{n}/m_to_u{n} --stdout=/fifo{n}/u{n}_to_m");
            all.push(start(n + 1, &fifos, &streams, "user"));
        }
        for (started, outer) in all.into_iter().zip(&outers) {
            let output = started.finish();
            assert_eq!((output.code, &*output.stdout), (0, ""), "{output:?}");
            let report = meta(&outer.join("run.meta.0"), true);
            assert_eq!(report.get("exitcode"), Some("0"));
            assert_eq!(get(&outer.join("home/stderr.txt")), "");
        }
        assert_eq!(get(&outers[0].join("home/output.txt")), "1.0\n");
        for id in ids {
            client
                .call(&format!("--box-id={id} --cg --cleanup"))
                .assert_silent_success();
        }
        for made in ["fifo0".into(), "fifo1".into()]
            .into_iter()
            .chain(ids.map(|id| format!("outer{id}")))
        {
            fs::remove_dir_all(client.test_box.dir().join(made)).unwrap();
        }
        assert_nothing_left(&client.test_box);
    });
}

/// Each of two sandboxes has the other's output as its standard input, through pipes that the caller has made.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn judgels_connects_two_sandboxes_by_pipes() {
    under_both_names(boxes, |client| {
        let ids = [client.id(), client.id() + 1];
        let [contestant, communicator] =
            ids.map(|id| client.init(&format!("-b{id} --cg --init")).join("box"));
        put(&contestant.join("main"), ANSWER, 0o644);
        put(
            &communicator.join("main"),
            &format!("exec 3>&1 4<&0\n{ASK}"),
            0o644,
        );
        let pipe = || pipe2(OFlag::O_CLOEXEC).unwrap();
        let (to_one, to_other) = (pipe(), pipe());
        let start = |id: u32, inside: &Path, input: OwnedFd, output: OwnedFd| {
            let at = inside.display();
            let mut command = client.command(&format!(
                "-b{id} --dir=/etc -e --cg --cg-timing -p50 -t10.0 -w60.0 --cg-mem=65536 -r_error.out \
                 -M{at}/_isolate.meta --run -- /bin/sh main"
            ));
            command.stdin(input).stdout(output).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let one = start(ids[0], &contestant, to_one.0, to_other.1);
        let other = start(ids[1], &communicator, to_other.0, to_one.1);
        for (mut child, inside) in [(one, &contestant), (other, &communicator)] {
            assert!(child.wait().unwrap().success());
            let result = meta(&inside.join("_isolate.meta"), true);
            assert_eq!(result.get("exitcode"), Some("0"));
            assert_eq!(get(&inside.join("_error.out")), "");
        }
        for id in ids {
            client
                .call(&format!("-b{id} --cleanup"))
                .assert_silent_success();
        }
    });
}
