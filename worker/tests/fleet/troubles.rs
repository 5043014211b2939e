//! Machines that are cut off, full or wrong about the time, messages that vanish, and a queue that
//! is much longer than another.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::ways::Way;
use crate::world::{Extra, World};

#[test]
fn a_machine_that_is_cut_off_comes_too_late_with_its_result() {
    let mut world = World::new(1, &["default"]);
    let way = Way::to(world.servers.port());
    let urls = vec![format!("nats://127.0.0.1:{}", way.port)];
    let extra = Extra {
        urls: Some(&urls),
        ..Extra::default()
    };
    world.start("cut", &extra);
    world.submit("default", &["long-1"]);
    while world.ran().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    way.cut(true);
    world.start("other", &Extra::default());
    let result = world.result("long-1");
    assert_eq!(
        (&result["machine"]["id"], &result["delivery"]),
        (&"other".into(), &2.into())
    );
    // Its result waits on its disk, and is refused when the way is there again.
    way.cut(false);
    world.wait_for_log("cut", "it had a result already");
    assert_eq!(world.messages("ISO_RESULTS"), 1);
    world.wait_until_empty();
    world.kill("other");
    world.submit("default", &["good-1"]);
    assert_eq!(world.result("good-1")["machine"]["id"], "cut");
}

/// A program that starts a worker with a small file system in the place of one of its folders.
fn cramped(world: &World, name: &str, folder: &str, size: &str) -> PathBuf {
    let place = world.path(folder);
    fs::create_dir_all(&place).unwrap();
    let file = world.path(name);
    let namespaces = if nix::unistd::geteuid().is_root() {
        "-m"
    } else {
        "-Urm"
    };
    let script = format!(
        "#!/bin/sh\nexec unshare {namespaces} sh -c 'mount -t tmpfs -o size={size} tmpfs \"$0\" && exec \"$@\"' {place:?} {:?} \"$@\"\n",
        env!("CARGO_BIN_EXE_isolate-run-worker")
    );
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

#[test]
fn a_machine_without_room_drains_and_gives_no_verdict() {
    let mut world = World::new(1, &["spool", "cache"]);
    fs::write(world.path("input"), vec![b'x'; 700_000]).unwrap();
    for (pool, folder) in [("spool", "state-full-spool"), ("cache", "cache-full-cache")] {
        let worker = cramped(&world, &format!("worker-{pool}"), folder, "512k");
        let extra = Extra {
            pool,
            worker: Some(&worker),
            ..Extra::default()
        };
        world.start(&format!("full-{pool}"), &extra);
        let line = format!(
            "{{\"id\":\"large-{pool}\",\"files\":[{{\"name\":\"in\",\"path\":\"{}\"}}],\"steps\":[{{\"argv\":[\"x\"]}}]}}\n",
            world.path("input").display()
        );
        let file = world.path("large.jsonl");
        fs::write(&file, line).unwrap();
        let config = world.config(
            "submitter",
            &Extra {
                pool,
                ..Extra::default()
            },
        );
        world.told(&config, &["submit", file.to_str().unwrap()]);
        world.wait_for_log(&format!("full-{pool}"), "draining: ");
        assert_eq!(world.messages("ISO_RESULTS"), u64::from(pool == "cache"));
        world.start(
            &format!("roomy-{pool}"),
            &Extra {
                pool,
                ..Extra::default()
            },
        );
        let result = world.result(&format!("large-{pool}"));
        assert_eq!(
            (&result["outcome"], &result["machine"]["id"]),
            (&"done".into(), &format!("roomy-{pool}").into())
        );
    }
    world.wait_until_empty();
}

#[test]
fn a_machine_with_a_wrong_clock_lets_no_job_expire() {
    let mut world = World::new(1, &["default"]);
    // An hour ahead, and so much more that the first digits are known, whatever the way of a
    // question takes.
    let env = [("ISOLATE_WORKER_CLOCK", "3605000")];
    let extra = Extra {
        env: &env,
        ..Extra::default()
    };
    world.start("ahead", &extra);
    world.wait_for_log("ahead", "the servers' clock is -360");
    let config = world.config("submitter", &Extra::default());
    let file = world.jobs("one.jsonl", ["good-1".to_owned()]);
    world.told(
        &config,
        &["submit", "--within", "600", file.to_str().unwrap()],
    );
    assert_eq!(world.result("good-1")["outcome"], "done");
}

#[test]
fn a_job_that_vanished_from_the_queue_is_sent_again() {
    let mut world = World::new(1, &["default"]);
    let config = world.config("submitter", &Extra::default());
    let file = world.jobs("one.jsonl", ["good-1".to_owned()]);
    let mut submitter = std::process::Command::new(env!("CARGO_BIN_EXE_isolate-run-worker"))
        .arg("--config")
        .arg(&config)
        .args(["submit", "--wait", "--within", "1"])
        .arg(&file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while world.messages("ISO_JOBS_") == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    world.purge("ISO_JOBS_default");
    world.start("a", &Extra::default());
    let result = world.result("good-1");
    assert_eq!(
        (&result["outcome"], &result["attempt"]),
        (&"done".into(), &2.into())
    );
    assert!(submitter.wait().unwrap().success());
}

#[test]
fn ten_jobs_beside_a_thousand_do_not_wait_for_them() {
    let mut world = World::bare(1, |_| (Default::default(), Box::new(|_| String::new())));
    world.set_up(&["default"], "[queues.big]\n[queues.small]");
    let config = world.config("submitter", &Extra::default());
    for (queue, count) in [("big", 1000), ("small", 10)] {
        let ids = (0..count).map(|number| format!("{queue}-{number}"));
        let file = world.jobs(&format!("{queue}.jsonl"), ids);
        world.told(
            &config,
            &["submit", "--queue", queue, file.to_str().unwrap()],
        );
    }
    world.start("a", &Extra::default());
    for number in 0..10 {
        world.result(&format!("small-{number}"));
    }
    let ran = fs::read_to_string(world.path("ran")).unwrap();
    let last = ran.lines().position(|id| id == "small-9").unwrap();
    // In turn they are among the first 20; a server that is slow costs a queue its turn.
    assert!(last < 100, "the last of the ten was number {last}");
}
