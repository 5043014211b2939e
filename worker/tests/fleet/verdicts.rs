//! What is a result and what is not: an internal error never is.

use std::fs;
use std::time::{Duration, Instant};

use crate::submitter::wait_until_begun;
use crate::world::{Extra, PATIENCE, World};

#[test]
fn an_internal_error_is_no_result_and_a_job_that_has_them_everywhere_is_a_poison() {
    let mut world = World::new(1, &["default"]);
    world.start("a", &Extra::default());
    world.start("b", &Extra::default());
    world.submit("default", &["internal-1", "good-1"]);
    assert_eq!(world.result("good-1")["outcome"], "done");
    let result = world.result("internal-1");
    assert_eq!(result["outcome"], "poison");
    let reason = result["reason"].as_str().unwrap();
    assert!(reason.contains("as it is called"), "{reason}");
    world.wait_until_empty();
    let config = world.config("asker", &Extra::default());
    let list = world.told(&config, &["dead", "list"]);
    assert!(
        list.contains("internal-1") && !list.contains("good-1"),
        "{list}"
    );
    assert!(
        world
            .told(&config, &["dead", "show", "internal-1"])
            .contains("/bin/true")
    );
    // Now it works: the same id has another result.
    let script = fs::read_to_string(world.path("isolate-run")).unwrap();
    let mended = script.replace("internal-*) say internal", "internal-*) say done");
    fs::write(world.path("isolate-run.new"), mended).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(world.path("isolate-run.new"), mode).unwrap();
    fs::rename(world.path("isolate-run.new"), world.path("isolate-run")).unwrap();
    world.kill("a");
    world.kill("b");
    world.start("c", &Extra::default());
    world.told(&config, &["dead", "retry", "internal-1"]);
    let end = Instant::now() + PATIENCE;
    loop {
        let found = world
            .results()
            .into_iter()
            .find(|result| result["id"] == "internal-1");
        if found.is_some_and(|result| result["outcome"] == "done" && result["attempt"] == 2) {
            break;
        }
        assert!(Instant::now() < end, "{}", world.log("c"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(world.told(&config, &["dead", "list"]), "");
}

#[test]
fn a_machine_on_which_nothing_works_drains_and_another_one_goes_on() {
    let mut world = World::new(1, &["default"]);
    let broken = world.path("broken");
    let script = fs::read_to_string(world.path("isolate-run")).unwrap();
    fs::write(
        &broken,
        script.replace("*) say done ;;\n  esac", "*) say internal ;;\n  esac"),
    )
    .unwrap();
    fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.start(
        "bad",
        &Extra {
            program: "broken",
            ..Extra::default()
        },
    );
    let ids = ["j1", "j2", "j3", "j4", "j5"];
    world.submit("default", &ids);
    world.wait_for_log("bad", "draining: nothing works here");
    world.start("good", &Extra::default());
    for id in ids {
        let result = world.result(id);
        assert_eq!(
            (&result["outcome"], &result["machine"]["id"]),
            (&"done".into(), &"good".into())
        );
    }
    let asker = world.config("asker", &Extra::default());
    assert!(
        world
            .told(&asker, &["status"])
            .contains("drains: nothing works here")
    );
    assert!(
        world
            .told(&asker, &["undrain", "bad"])
            .contains("bad takes jobs")
    );
}

#[test]
fn what_is_refused_expired_or_cancelled_is_a_result() {
    let mut world = World::new(1, &["default"]);
    let job = |id: &str, more: &str| {
        format!(
            "{{\"format\":1,\"id\":\"{id}\",\"attempt\":1,\"queue\":\"default\",\"pool\":\"default\",\"submitted\":1,{more}\"steps\":[{{\"argv\":[\"x\"]}}]}}"
        )
    };
    let subject = "iso.job.default.live.default";
    world.publish(subject, &job("late", "\"not_after\":1000,"));
    world.publish(
        subject,
        &job(
            "path",
            "\"files\":[{\"name\":\"a\",\"path\":\"/etc/shadow\"}],",
        ),
    );
    world.publish(
        subject,
        &job("elsewhere", "").replace("\"queue\":\"default\"", "\"queue\":\"other\""),
    );
    world.publish(subject, "{\"id\":\"half\",");
    world.publish(subject, "{\"id\":\"odd\",\"steps\":7}");
    world.submit("default", &["refused-1", "ended-1"]);
    let config = world.config("asker", &Extra::default());
    world.told(&config, &["cancel", "early"]);
    world.submit("default", &["early"]);
    world.start("a", &Extra::default());
    for (id, outcome) in [
        ("late", "expired"),
        ("path", "refused"),
        ("elsewhere", "refused"),
        ("odd", "refused"),
        ("refused-1", "refused"),
        ("early", "cancelled"),
    ] {
        let result = world.result(id);
        assert_eq!(result["outcome"], outcome, "{result}");
    }
    world.submit("default", &["hang-1"]);
    wait_until_begun(&world, "hang-1");
    world.told(&config, &["cancel", "hang-1"]);
    assert_eq!(world.result("hang-1")["outcome"], "cancelled");
    // A batch that was ended from outside says the same, and that is no result.
    assert_eq!(world.result("ended-1")["outcome"], "poison");
    world.wait_until_empty();
    let ran = world.ran();
    assert!(
        !ran.contains_key("late") && !ran.contains_key("path") && !ran.contains_key("early"),
        "{ran:?}"
    );
    // What has no id has no result, and is kept for those who look.
    assert!(world.messages("ISO_DEAD") > 0);
}

#[test]
fn files_come_by_their_digest_and_results_of_any_length_go_back() {
    let mut world = World::new(1, &["default"]);
    world.start("a", &Extra::default());
    fs::write(world.path("input"), "3 4\n").unwrap();
    let place = world.path("input");
    let line = format!(
        "{{\"id\":\"large-1\",\"files\":[{{\"name\":\"in\",\"path\":\"{0}\"}}],\"steps\":[{{\"argv\":[\"x\"],\"stdin\":{{\"path\":\"{0}\"}}}}]}}\n",
        place.display()
    );
    fs::write(world.path("jobs.jsonl"), line).unwrap();
    let config = world.config("asker", &Extra::default());
    let said = world.told(
        &config,
        &[
            "submit",
            "--wait",
            world.path("jobs.jsonl").to_str().unwrap(),
        ],
    );
    let result: serde_json::Value = serde_json::from_str(&said).unwrap();
    let text = result["result"]["steps"][0]["stdout"]["text"]
        .as_str()
        .unwrap();
    assert_eq!(text.len(), 1_500_000);
    // The same content twice is one entry.
    let root = if nix::unistd::geteuid().is_root() {
        "cache-a"
    } else {
        "cache-a/isolate-run"
    };
    let folders = fs::read_dir(world.path(root).join("sha256")).unwrap();
    let entries = folders
        .flatten()
        .flat_map(|folder| fs::read_dir(folder.path()).unwrap())
        .count();
    assert_eq!(entries, 1);
    // One that nobody has uploaded: another machine may see it, and in the end the job is to blame.
    let job = format!(
        "{{\"format\":1,\"id\":\"lacks\",\"attempt\":1,\"queue\":\"default\",\"pool\":\"default\",\"submitted\":1,\"files\":[{{\"name\":\"a\",\"sha256\":\"{}\"}}],\"steps\":[{{\"argv\":[\"x\"]}}]}}",
        "0".repeat(64)
    );
    world.publish("iso.job.default.live.default", &job);
    let result = world.result("lacks");
    assert_eq!(result["outcome"], "poison");
    assert!(
        result["reason"]
            .as_str()
            .unwrap()
            .contains("is not in the object store"),
        "{result}"
    );
    world.wait_until_empty();
}
