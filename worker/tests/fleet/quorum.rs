//! Servers of which too few are left to decide anything, or none.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::{Extra, PATIENCE, World};

#[test]
fn what_too_few_servers_cannot_take_is_not_said_to_be_taken_and_what_all_had_is_done() {
    let mut world = World::new(3, &["default"]);
    world.submit("default", &["kept-1", "kept-2"]);
    for server in [1, 2] {
        world.servers.kill(server);
    }
    let config = world.config("late", &Extra::default());
    let file = world.jobs("late.jsonl", ["late-3".to_owned()]);
    let submitter = Command::new(env!("CARGO_BIN_EXE_isolate-run-worker"))
        .arg("--config")
        .arg(&config)
        .arg("submit")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    // It goes with the others, whatever fails.
    world.workers.insert("late".to_owned(), submitter.unwrap());
    std::thread::sleep(Duration::from_secs(3));
    world.servers.kill(0);
    std::thread::sleep(Duration::from_secs(1));
    let ended = world.workers.get_mut("late").unwrap().try_wait().unwrap();
    let claims = ended.is_some_and(|status| status.success());
    assert!(!claims, "nobody can have taken it");
    for server in 0..3 {
        world.servers.begin(server);
    }
    let end = Instant::now() + PATIENCE;
    while !world.call(&config, &["status"]).status.success() {
        assert!(Instant::now() < end, "the servers do not come back");
    }
    assert_eq!(world.messages("ISO_RESULTS"), 0);
    world.start("a", &Extra::default());
    for id in ["kept-1", "kept-2"] {
        assert_eq!(world.result(id)["outcome"], "done");
    }
    // Whoever has not given up by now is heard.
    let end = Instant::now() + 2 * PATIENCE;
    let status = loop {
        let submitter = world.workers.get_mut("late").unwrap();
        if let Some(status) = submitter.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < end, "the submitter does not end");
        std::thread::sleep(Duration::from_millis(50));
    };
    if !status.success() {
        world.told(&config, &["submit", file.to_str().unwrap()]);
    }
    assert_eq!(world.result("late-3")["outcome"], "done");
    world.wait_until_empty();
    assert_eq!(world.messages("ISO_RESULTS"), 3);
}

#[test]
fn a_job_that_is_in_its_queue_twice_has_one_result() {
    let mut world = World::new(1, &["default"]);
    world.submit("default", &["slow-1"]);
    let job = world.first_job().to_string();
    // As if it had been sent again when the server no longer knew its number.
    world.publish("iso.job.default.live.default", &job);
    assert_eq!(world.messages("ISO_JOBS_"), 2);
    for id in ["a", "b"] {
        world.start(id, &Extra::default());
    }
    assert_eq!(world.result("slow-1")["outcome"], "done");
    world.wait_until_empty();
    assert_eq!(world.messages("ISO_RESULTS"), 1);
}
