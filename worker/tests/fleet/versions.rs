//! A fleet that is upgraded one machine after the other: workers, submitters, jobs, results and
//! records of two versions at the same time.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};

use crate::submitter::{ended, output, submit};
use crate::world::{Extra, PATIENCE, World};

/// What is told of a worker of the next version.
const NEXT: [(&str, &str); 2] = [
    ("ISOLATE_WORKER_FORMAT", "2"),
    ("ISOLATE_WORKER_VERSION", "99.0.0"),
];

/// A job of a queue, as a newer submitter writes it.
fn send(world: &World, format: u32, id: &str, more: &str) {
    let job = format!(
        "{{\"format\":{format},\"id\":\"{id}\",\"attempt\":1,\"queue\":\"default\",\"pool\":\"default\",\"submitted\":1,{more}\"steps\":[{{\"argv\":[\"x\"]}}]}}"
    );
    world.publish("iso.job.default.live.default", &job);
}

#[test]
fn a_job_that_is_too_new_for_a_machine_is_left_to_one_that_knows_it() {
    let mut world = World::new(1, &["default"]);
    for id in ["old-1", "old-2"] {
        world.start(id, &Extra::default());
    }
    let next = Extra {
        env: &NEXT,
        ..Extra::default()
    };
    world.start("new", &next);
    for id in ["old-1", "old-2", "new"] {
        world.wait_for_log(id, "takes jobs");
    }
    let ids = ["next-1", "next-2", "next-3", "next-4"];
    for id in ids {
        send(&world, 2, id, "");
    }
    // A key that is not known in a form that is known is a mistake: nobody has to wait for that.
    send(&world, 1, "odd-1", "\"gpu\":{},");
    world.submit("default", &["good-1", "good-2"]);
    for id in ids {
        let result = world.result(id);
        let found = (&result["outcome"], &result["machine"]["id"]);
        assert_eq!(found, (&"done".into(), &"new".into()), "{result}");
    }
    assert_eq!(world.result("odd-1")["outcome"], "refused");
    for id in ["good-1", "good-2"] {
        assert_eq!(world.result(id)["outcome"], "done");
    }
    world.wait_until_empty();

    // Each sees the others, whatever they say of themselves.
    let strange = "{\"machine\":{\"id\":\"later\",\"pool\":\"default\",\"gpu\":1},\"worker\":\"100\",\"cores\":[1]}";
    world.publish("$KV.iso-machines.later", strange);
    world.publish("$KV.iso-machines.latest", "{\"machine\":7}");
    let config = world.config("asker", &Extra::default());
    let output = world.call(&config, &["fleet"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("new differs: worker is '99.0.0'"), "{told}");
    assert!(told.contains("later differs: worker is '100'"), "{told}");
    assert!(!told.contains("old-1 differs"), "{told}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("machine latest says of itself"), "{said}");
    assert!(world.told(&config, &["status"]).contains("old-2"));

    // Without it nobody can, and whoever waits is told what to do.
    let mut child = world.workers.remove("new").unwrap();
    let id = Pid::from_raw(child.id().try_into().unwrap());
    kill(id, Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    send(&world, 2, "next-5", "");
    send(&world, 2, "late-1", "\"not_after\":1000,");
    let result = world.result("next-5");
    let reason = result["reason"].as_str().unwrap();
    assert_eq!(result["outcome"], "refused", "{result}");
    assert!(reason.contains("no machine of its pool knows"), "{reason}");
    assert_eq!(world.result("late-1")["outcome"], "expired");
    assert!(!world.ran().contains_key("next-5"));
    world.wait_until_empty();
}

#[test]
fn results_of_a_newer_worker_are_written_as_they_came() {
    let mut world = World::new(1, &["default"]);
    submit(
        &mut world,
        &Extra::default(),
        &["--wait"],
        &["a", "b", "c", "d"],
    );
    while world.messages("ISO_JOBS_") < 4 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let result = |id: &str, more: &str| {
        let text = format!("{{\"format\":2,\"id\":\"{id}\",{more},\"energy_joules\":3}}");
        world.publish(&format!("iso.result.default.{id}"), &text);
    };
    // The second is stored as a file that is not there yet.
    let file = "{\"format\":1,\"id\":\"b\",\"outcome\":\"done\",\"steps\":[],\"gpu\":\"none\"}";
    let digest: String = Sha256::digest(file)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    result("a", "\"outcome\":\"throttled\"");
    result(
        "b",
        &format!("\"outcome\":\"done\",\"stored\":{{\"sha256\":\"{digest}\",\"size\":1}}"),
    );
    world.publish("iso.result.default.c", "no result at all");
    result("d", "\"outcome\":\"done\"");
    let wait_for = |line: &str| {
        let end = std::time::Instant::now() + PATIENCE;
        while !output(&world).contains(line) {
            assert!(
                std::time::Instant::now() < end,
                "no {line}: {}",
                output(&world)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for("{\"format\":2,\"id\":\"a\",\"outcome\":\"throttled\",\"energy_joules\":3}\n");
    wait_for("\"id\":\"d\"");
    fs::write(world.path("whole"), file).unwrap();
    let jobs = world.path("carrier.jsonl");
    let place = world.path("whole").display().to_string();
    let line = format!(
        "{{\"id\":\"carrier\",\"files\":[{{\"name\":\"x\",\"path\":\"{place}\"}}],\"steps\":[{{\"argv\":[\"x\"]}}]}}\n"
    );
    fs::write(&jobs, line).unwrap();
    let config = world.config("other", &Extra::default());
    world.told(&config, &["submit", jobs.to_str().unwrap()]);
    wait_for("\"gpu\":\"none\"");
    // What nobody can read is told of, and is not the end of all others.
    assert_eq!(ended(&mut world, PATIENCE), 1);
    assert_eq!(output(&world).lines().count(), 3);
}
