//! Machines and servers that are killed at random while jobs go through.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{Extra, PATIENCE, Who, World};

const SUBMITTER: &str = "submitter";
const WORKERS: [&str; 4] = ["w0", "w1", "w2", "w3"];

/// How many jobs: more where somebody wants to know.
pub fn jobs_or(short: usize) -> usize {
    let wanted = std::env::var("ISOLATE_TEST_FLEET_JOBS");
    wanted.map_or(short, |count| {
        count.parse().expect("ISOLATE_TEST_FLEET_JOBS is a number")
    })
}

/// What all machines said of a job.
fn said_of(world: &World, id: &str) -> Vec<String> {
    let word = format!("job {id} ");
    let lines = |machine: &&str| {
        let log = world.log(machine);
        let lines = log.lines().filter(|line| line.contains(&word));
        lines
            .map(|line| format!("{machine}: {line}"))
            .collect::<Vec<_>>()
    };
    WORKERS.iter().flat_map(lines).collect()
}

#[test]
fn each_job_has_one_result_while_machines_and_servers_are_killed() {
    let count = jobs_or(200);
    let mut world = World::bare(3, |_| (Who::default(), Box::new(|_| String::new())));
    // So many machines die that a job may well have been on three of them. A lease that is as long
    // as the pause between two would have a job come to a machine just when that is killed.
    let extra = Extra {
        jobs: "max_deliveries = 5\nlease = \"3s\"",
        ..Extra::default()
    };
    world.set_up(&["default"], extra.jobs);
    for id in WORKERS {
        world.start(id, &extra);
    }
    let ids: BTreeSet<String> = (0..count).map(|number| format!("slow-{number}")).collect();
    let file = world.jobs("chaos.jsonl", ids.iter().cloned());
    let config = world.config("submitter", &Extra::default());
    let mut command = Command::new(env!("CARGO_BIN_EXE_isolate-run-worker"));
    command
        .arg("--config")
        .arg(config)
        .args(["submit", "--wait"])
        .arg(file);
    let out = std::fs::File::create(world.path("waited.jsonl")).unwrap();
    let submitter = command.stdout(out).stdin(Stdio::null()).spawn().unwrap();
    // Whatever fails here, it goes with the others.
    world.workers.insert(SUBMITTER.to_owned(), submitter);
    let start = Instant::now();
    let limit = PATIENCE + Duration::from_millis(200 * count as u64);
    // A short run is over before a long one has begun to be interesting. A server that is back
    // needs a while until it has what it missed: two of three must not be away.
    let (pause, server_pause) = match count {
        ..=1000 => (Duration::from_millis(500), Duration::from_secs(12)),
        _ => (Duration::from_secs(2), Duration::from_secs(20)),
    };
    let (mut kills, mut server_kills) = (0, 0);
    let (mut next_kill, mut next_server) = (pause, Duration::from_secs(1));
    let mut down: Option<(usize, Duration)> = None;
    let status = loop {
        let submitter = world.workers.get_mut(SUBMITTER).unwrap();
        if let Some(status) = submitter.try_wait().unwrap() {
            break status;
        }
        let now = start.elapsed();
        assert!(
            now < limit,
            "not done in {now:?}: {}",
            world.log(WORKERS[0])
        );
        if now >= next_kill {
            let id = WORKERS[kills % WORKERS.len()];
            world.kill(id);
            world.start(id, &extra);
            (kills, next_kill) = (kills + 1, now + pause);
        }
        match down {
            None if now >= next_server => {
                let server = server_kills % 3;
                world.servers.kill(server);
                down = Some((server, now + Duration::from_secs(2)));
                next_server = now + server_pause;
                server_kills += 1;
            }
            Some((server, until)) if now >= until => {
                world.servers.begin(server);
                down = None;
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if let Some((server, _)) = down {
        world.servers.begin(server);
    }
    let waited = std::fs::read_to_string(world.path("waited.jsonl")).unwrap();
    let waited: Vec<Value> = waited
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ran = world.ran();
    let others: Vec<String> = waited
        .iter()
        .filter(|result| result["outcome"] != "done")
        .map(|result| {
            let id = result["id"].as_str().unwrap();
            let [outcome, reason, delivery] =
                ["outcome", "reason", "delivery"].map(|key| &result[key]);
            let begun = ran.get(id).copied().unwrap_or_default();
            let said = said_of(&world, id).join("\n  ");
            format!("\n{id} {outcome} {reason} {delivery}, begun {begun} times:\n  {said}")
        })
        .collect();
    assert!(
        status.success(),
        "{} of {count} have a result, and these are not done: {}",
        waited.len(),
        others.concat()
    );
    let told: BTreeSet<String> = waited
        .iter()
        .map(|result| result["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((waited.len(), &told), (count, &ids), "each is told once");
    world.wait_until_empty();
    let results = world.results();
    let found: BTreeSet<String> = results
        .iter()
        .map(|result| result["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((results.len(), found), (count, ids), "each has one result");
    assert!(results.iter().all(|result| result["outcome"] == "done"));
    assert!(
        kills > 0 && server_kills > 0,
        "nothing is shown: {kills}, {server_kills}"
    );
    let twice = ran.values().filter(|times| **times > 1).count();
    let sorted = |from: &str| {
        let time = |result: &Value, key: &str| result["times"][key].as_u64().unwrap();
        let spans = results.iter();
        let mut spans: Vec<u64> = spans
            .map(|one| time(one, "ended") - time(one, from))
            .collect();
        spans.sort_unstable();
        (spans[count / 2], spans[count * 99 / 100])
    };
    // For whoever looks on; what it takes depends on the machine.
    println!(
        "{count} jobs in {:?}, kills: {kills} of machines, {server_kills} of servers; begun more than once: {twice}; ms from \
         submit to end p50, p99: {:?}; on the machine: {:?}",
        start.elapsed(),
        sorted("submitted"),
        sorted("received")
    );
}
