//! Machines on which nothing works for a while, and leases that no server has any more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::world::{Extra, World};

/// A program that does not work while there is a file `broken`.
fn fragile(world: &World) {
    let script = fs::read_to_string(world.path("isolate-run")).unwrap();
    let check = format!(
        "[ ! -e {:?} ] || {{ say internal; continue; }}",
        world.path("broken")
    );
    let script = script.replace("  case $id in", &format!("  {check}\n  case $id in"));
    let program = world.path("fragile");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(world.path("broken"), "").unwrap();
}

fn extra() -> Extra<'static> {
    Extra {
        program: "fragile",
        ..Extra::default()
    }
}

#[test]
fn a_machine_on_which_nothing_worked_takes_jobs_again_by_itself() {
    let mut world = World::new(1, &["default"]);
    fragile(&world);
    world.start("a", &extra());
    world.submit("default", &["good-1", "good-2"]);
    world.wait_for_log("a", "draining: nothing works here");
    assert_eq!(world.messages("ISO_RESULTS"), 0);
    // It outlives the process.
    world.kill("a");
    world.start("a", &extra());
    world.wait_for_log("a", "still draining");
    fs::remove_file(world.path("broken")).unwrap();
    world.wait_for_log("a", "no longer draining");
    for id in ["good-1", "good-2"] {
        assert_eq!(world.result(id)["outcome"], "done");
    }
    world.wait_until_empty();
}

#[test]
fn a_machine_that_somebody_drains_stays_so_when_it_works_again() {
    let mut world = World::new(1, &["default"]);
    fragile(&world);
    world.start("a", &extra());
    world.submit("default", &["good-1"]);
    world.wait_for_log("a", "draining: nothing works here");
    let asker = world.config("asker", &Extra::default());
    world.told(&asker, &["drain", "a"]);
    fs::remove_file(world.path("broken")).unwrap();
    // More than it takes to see three times that it works.
    std::thread::sleep(Duration::from_secs(3));
    assert!(!world.told(&asker, &["status"]).contains("nothing works"));
    assert!(world.told(&asker, &["status"]).contains("drains: "));
    assert_eq!(world.messages("ISO_RESULTS"), 0);
    world.told(&asker, &["undrain", "a"]);
    assert_eq!(world.result("good-1")["outcome"], "done");
}

/// Has the program fail when it is asked for one of these times.
fn failing_at(world: &World, times: &str) {
    fragile(world);
    let script = fs::read_to_string(world.path("fragile")).unwrap();
    let broken = world.path("broken");
    let counted =
        format!("echo >>{broken:?}; case {times} in *,$(wc -l <{broken:?}),*) ! :;; esac || {{");
    let script = script.replace(&format!("[ ! -e {broken:?} ] || {{"), &counted);
    fs::write(world.path("fragile"), script).unwrap();
}

#[test]
fn what_does_not_work_for_a_moment_drains_no_machine() {
    let mut world = World::new(1, &["default"]);
    // A job, and the first try of the job that must work.
    failing_at(&world, ",1,2,");
    world.start("a", &extra());
    world.submit("default", &["good-1"]);
    let result = world.result("good-1");
    assert_eq!(
        (&result["outcome"], &result["delivery"]),
        (&"done".into(), &2.into())
    );
    assert!(!world.log("a").contains("draining"), "{}", world.log("a"));
}

#[test]
fn what_does_not_work_for_a_moment_on_two_machines_is_no_fault_of_the_job() {
    let mut world = World::new(1, &["default"]);
    // The job and the first probe on one, which works then; and the same on the other.
    failing_at(&world, ",1,2,4,5,");
    world.start("a", &extra());
    world.start("b", &extra());
    world.submit("default", &["good-1"]);
    let result = world.result("good-1");
    assert_eq!(
        (&result["outcome"], &result["delivery"]),
        (&"done".into(), &3.into())
    );
}

#[test]
fn a_lease_that_no_server_has_any_more_is_not_taken_for_renewed() {
    let mut world = World::new(1, &["default"]);
    world.start("a", &Extra::default());
    world.submit("default", &["long-1"]);
    while world.ran().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    world.runtime.block_on(async {
        let jobs = world.jetstream().await.get_stream("ISO_JOBS_default").await;
        let jobs = jobs.unwrap();
        jobs.delete_consumer("default_live_default").await.unwrap();
    });
    world.wait_for_log(
        "a",
        "cannot renew the lease of a job: no server has the queue",
    );
    assert_eq!(world.result("long-1")["outcome"], "done");
    world.wait_for_log("a", "the queue did not hear that job long-1 is done");
    // Whoever mends the queue: the job comes again, and has a result.
    world.set_up(&["default"], "");
    world.wait_until_empty();
    assert_eq!(world.messages("ISO_RESULTS"), 1);
}
