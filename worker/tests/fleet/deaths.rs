//! A machine that dies, or sleeps, at any step of a job: another one takes over, and there is one
//! result.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{Extra, World};

/// The steps of a job, in their order.
const POINTS: [&str; 7] = [
    "received",
    "files",
    "ended",
    "spooled",
    "uploaded",
    "published",
    "acknowledged",
];

#[test]
fn a_machine_that_dies_at_any_step_of_a_job_loses_nothing() {
    let mut world = World::new(1, &POINTS);
    for point in POINTS {
        let env = [("ISOLATE_WORKER_FAIL", point)];
        let extra = Extra {
            pool: point,
            env: &env,
            ..Extra::default()
        };
        world.start(&format!("dies-{point}"), &extra);
        let id = format!(
            "{}-{point}",
            if point == "uploaded" { "large" } else { "job" }
        );
        world.submit(point, &[&id]);
    }
    for point in POINTS {
        // It must really have died there, or nothing is shown by what follows.
        let mut child = world.workers.remove(&format!("dies-{point}")).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9),
            "{point}"
        );
    }
    for point in POINTS {
        let extra = Extra {
            pool: point,
            ..Extra::default()
        };
        world.start(&format!("other-{point}"), &extra);
        // What was spooled is published by the machine that has it, when it is back.
        world.start(&format!("dies-{point}"), &extra);
    }
    for point in POINTS {
        let id = format!(
            "{}-{point}",
            if point == "uploaded" { "large" } else { "job" }
        );
        assert_eq!(world.result(&id)["outcome"], "done", "{point}");
    }
    world.wait_until_empty();
    assert_eq!(world.messages("ISO_RESULTS"), POINTS.len() as u64);
    let ran = world.ran();
    assert_eq!(ran.get("job-acknowledged"), Some(&1), "{ran:?}");
    assert_eq!(ran.get("job-ended"), Some(&2), "{ran:?}");
    for point in POINTS {
        let spool = world.path(&format!("state-dies-{point}/spool"));
        assert_eq!(std::fs::read_dir(spool).unwrap().count(), 0, "{point}");
    }
}

#[test]
fn a_machine_that_sleeps_comes_too_late_with_its_result() {
    let mut world = World::new(1, &["default"]);
    world.submit("default", &["long-1"]);
    assert_eq!(world.first_job()["id"], "long-1");
    world.start("sleeper", &Extra::default());
    while world.ran().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let sleeper = Pid::from_raw(world.workers["sleeper"].id().try_into().unwrap());
    kill(sleeper, Signal::SIGSTOP).unwrap();
    world.start("other", &Extra::default());
    let result = world.result("long-1");
    assert_eq!(
        (&result["machine"]["id"], &result["delivery"]),
        (&"other".into(), &2.into())
    );
    kill(sleeper, Signal::SIGCONT).unwrap();
    world.wait_for_log("sleeper", "it had a result already");
    assert_eq!(world.messages("ISO_RESULTS"), 1);
    world.wait_until_empty();
}

#[test]
fn a_machine_that_is_stopped_ends_what_it_has_begun() {
    let mut world = World::new(1, &["default"]);
    world.start("a", &Extra::default());
    world.submit("default", &["long-1", "long-2", "slow-3"]);
    while world.ran().len() < 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut child = world.workers.remove("a").unwrap();
    kill(
        Pid::from_raw(child.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(child.wait().unwrap().success(), "{}", world.log("a"));
    assert_eq!(world.messages("ISO_RESULTS"), 2, "{}", world.log("a"));
    assert_eq!(world.messages("ISO_JOBS_"), 1);
    world.start("b", &Extra::default());
    assert_eq!(world.result("slow-3")["delivery"], 1);
    world.wait_until_empty();
    // Nor does it wait for servers that are away, once it has nothing to tell them.
    world.servers.kill(0);
    let mut child = world.workers.remove("b").unwrap();
    kill(
        Pid::from_raw(child.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(child.wait().unwrap().success(), "{}", world.log("b"));
}
