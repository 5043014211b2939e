//! Jobs that are to blame themselves: they want more than a machine has, or end the process that
//! has them. Others go on.

use std::fs;
use std::process::Child;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;

use crate::submitter::wait_until_begun;
use crate::world::{Extra, PATIENCE, World};

/// How many files a machine has in its cache.
fn cached(world: &World, machine: &str) -> usize {
    let root = match nix::unistd::geteuid().is_root() {
        true => format!("cache-{machine}"),
        false => format!("cache-{machine}/isolate-run"),
    };
    let folders = fs::read_dir(world.path(&root).join("sha256")).into_iter();
    let files = folders
        .flatten()
        .flatten()
        .map(|folder| fs::read_dir(folder.path()));
    files.map(|files| files.unwrap().count()).sum()
}

#[test]
fn a_job_that_wants_more_than_a_machine_has_is_refused_and_nothing_of_it_comes() {
    let mut world = World::new(1, &["default"]);
    let extra = Extra {
        files: "cache_max = \"1M\"",
        ..Extra::default()
    };
    world.start("a", &extra);
    // One that is said to be 1 GiB, whatever it really is.
    let digest = "5".repeat(64);
    let object = format!(
        "{{\"name\":\"{digest}\",\"bucket\":\"iso-files-default\",\"nuid\":\"N\",\"size\":1073741824,\"chunks\":8192}}"
    );
    let name = BASE64_URL_SAFE.encode(&digest);
    world.publish(&format!("$O.iso-files-default.M.{name}"), &object);
    let job = format!(
        "{{\"format\":1,\"id\":\"huge-1\",\"attempt\":1,\"queue\":\"default\",\"pool\":\"default\",\"submitted\":1,\"files\":[{{\"name\":\"a\",\"sha256\":\"{digest}\"}}],\"steps\":[{{\"argv\":[\"x\"]}}]}}"
    );
    world.publish("iso.job.default.live.default", &job);
    // Each of four is small enough; together they would fill the cache, and another machine's.
    let mut files = Vec::new();
    for letter in ["p", "q", "r", "s"] {
        let place = world.path(letter);
        fs::write(&place, letter.repeat(300_000)).unwrap();
        files.push(format!(
            "{{\"name\":\"{letter}\",\"path\":\"{}\"}}",
            place.display()
        ));
    }
    let line = |id: &str, files: &[String]| {
        let files = files.join(",");
        format!("{{\"id\":\"{id}\",\"files\":[{files}],\"steps\":[{{\"argv\":[\"x\"]}}]}}\n")
    };
    let config = world.config("submitter", &Extra::default());
    let jobs = world.path("jobs.jsonl");
    fs::write(&jobs, line("many-1", &files) + &line("few-1", &files[..3])).unwrap();
    world.told(&config, &["submit", jobs.to_str().unwrap()]);
    // One that is too long for the queue.
    let text = "x".repeat(300_000);
    let long = format!(
        "{{\"id\":\"long\",\"steps\":[{{\"argv\":[\"x\"],\"stdin\":{{\"text\":\"{text}\"}}}}]}}\n"
    );
    fs::write(&jobs, long).unwrap();
    let output = world.call(&config, &["submit", jobs.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("262144 are allowed"),
        "{said}"
    );
    for (id, outcome, part) in [
        ("huge-1", "refused", "1073741824 bytes, and files.max"),
        (
            "many-1",
            "refused",
            "1200000 bytes together, and files.cache_max",
        ),
        ("few-1", "done", ""),
    ] {
        let result = world.result(id);
        assert_eq!(result["outcome"], outcome, "{result}");
        let reason = result["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(cached(&world, "a"), 3);
    assert!(!world.log("a").contains("draining"), "{}", world.log("a"));
    world.wait_until_empty();
}

#[test]
fn a_job_that_ends_whatever_process_has_it_is_a_poison_and_takes_no_other_along() {
    let mut world = World::new(1, &["killed", "panics"]);
    // By a panic that is the end of the process with all its jobs, as in a release, or of a task.
    let machines = [("killed", "killer-"), ("panics", "panic:killer-")].map(|(pool, killer)| {
        let env = [("ISOLATE_WORKER_KILLER", killer)];
        (pool, env)
    });
    for (pool, env) in &machines {
        let extra = Extra {
            pool,
            env,
            ..Extra::default()
        };
        world.start(pool, &extra);
        // It takes longer than the lease: without a rule the killer comes back each time while it
        // runs.
        world.submit(pool, &[&format!("long-{pool}")]);
        wait_until_begun(&world, &format!("long-{pool}"));
        world.submit(pool, &[&format!("killer-{pool}")]);
    }
    // As systemd would.
    let end = Instant::now() + PATIENCE;
    let mut deaths = 0;
    while world.messages("ISO_JOBS_") > 0 {
        let (pool, env) = &machines[0];
        let has_ended = |child: &mut Child| child.try_wait().unwrap().is_some();
        if has_ended(world.workers.get_mut(*pool).unwrap()) {
            deaths += 1;
            let extra = Extra {
                pool,
                env,
                ..Extra::default()
            };
            world.start(pool, &extra);
        }
        assert!(Instant::now() < end, "{deaths}: {}", world.log(pool));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(deaths >= 3, "{deaths}");
    for (pool, _) in machines {
        let result = world.result(&format!("killer-{pool}"));
        assert_eq!(result["outcome"], "poison", "{result}");
        let reason = result["reason"].as_str().unwrap();
        assert!(reason.contains("begun 3 times and never ended"), "{reason}");
        let result = world.result(&format!("long-{pool}"));
        assert_eq!(result["outcome"], "done", "{result}\n{}", world.log(pool));
    }
    assert_eq!(world.ran().get("long-panics"), Some(&1));
    assert_eq!(world.messages("ISO_RESULTS"), 4);
}

#[test]
fn a_job_is_not_to_blame_for_a_store_that_is_away() {
    let mut world = World::new(1, &["default"]);
    fs::write(world.path("input"), "3 4\n").unwrap();
    let place = world.path("input").display().to_string();
    let line = format!(
        "{{\"id\":\"good-1\",\"files\":[{{\"name\":\"in\",\"path\":\"{place}\"}}],\"steps\":[{{\"argv\":[\"x\"]}}]}}\n"
    );
    fs::write(world.path("jobs.jsonl"), line).unwrap();
    let config = world.config("submitter", &Extra::default());
    let jobs = world.path("jobs.jsonl");
    world.told(&config, &["submit", jobs.to_str().unwrap()]);
    // Its files come back later than its jobs do.
    let store = world.path("nats-0/jetstream/$G/streams/OBJ_iso-files-default");
    world.servers.kill(0);
    fs::rename(&store, world.path("away")).unwrap();
    world.servers.begin(0);
    world.servers.wait_until_up(0);
    for id in ["a", "b"] {
        world.start(id, &Extra::default());
        world.wait_for_log(id, "takes jobs");
    }
    std::thread::sleep(std::time::Duration::from_secs(3));
    world.servers.kill(0);
    fs::rename(world.path("away"), &store).unwrap();
    world.servers.begin(0);
    world.servers.wait_until_up(0);
    let result = world.result("good-1");
    assert_eq!(result["outcome"], "done", "{result}");
    world.wait_until_empty();
}
