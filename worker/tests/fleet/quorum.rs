//! Servers of which too few are left to decide anything, or none.

use std::time::{Duration, Instant};

use crate::submitter::{code, ended, submit};
use crate::world::{Extra, PATIENCE, World};

#[test]
fn what_too_few_servers_cannot_take_is_not_said_to_be_taken_and_what_all_had_is_done() {
    let mut world = World::new(3, &["default"]);
    world.submit("default", &["kept-1", "kept-2"]);
    for server in [1, 2] {
        world.servers.kill(server);
    }
    submit(&mut world, &Extra::default(), &[], &["late-3"]);
    std::thread::sleep(Duration::from_secs(3));
    world.servers.kill(0);
    std::thread::sleep(Duration::from_secs(1));
    assert_ne!(code(&mut world), Some(0), "nobody can have taken it");
    for server in 0..3 {
        world.servers.begin(server);
    }
    let config = world.config("asker", &Extra::default());
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
    if ended(&mut world, 2 * PATIENCE) != 0 {
        world.submit("default", &["late-3"]);
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
