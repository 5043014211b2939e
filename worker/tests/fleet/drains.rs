//! A machine that drains while something else goes wrong: it takes nothing more, and nothing is
//! lost.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::submitter::{code, submit};
use crate::ways::Way;
use crate::world::{Extra, PATIENCE, World};

/// What goes wrong, and how it is mended.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    ServerDies,
    DiskIsFull,
    MachineDies,
    MachineSleeps,
    MachineIsCutOff,
}

const ALL: [Trouble; 5] = [
    Trouble::ServerDies,
    Trouble::MachineDies,
    Trouble::MachineSleeps,
    Trouble::MachineIsCutOff,
    Trouble::DiskIsFull,
];

/// Gives an order to a machine, which may be about to look for another server.
fn order(world: &World, words: &[&str], said: &str) {
    let config = world.config("asker", &Extra::default());
    let end = Instant::now() + PATIENCE;
    loop {
        let output = world.call(&config, words);
        if String::from_utf8_lossy(&output.stdout).contains(said) {
            return;
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(Instant::now() < end, "{words:?}: {told}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// How many jobs a machine has done.
fn done(world: &World, machine: &str) -> usize {
    let log = world.log(machine);
    log.lines().filter(|line| line.contains(": done; ")).count()
}

/// Waits until a machine has nothing under way; how many jobs it has done by then.
fn rested(world: &World, machine: &str) -> usize {
    let said = format!("{machine} takes no more jobs; under way: 0");
    order(world, &["drain", machine], &said);
    done(world, machine)
}

#[test]
fn a_machine_drains_whatever_else_goes_wrong() {
    let mut world = World::on_disks("48m");
    let urls = world.servers.urls();
    let ports = urls
        .iter()
        .map(|url| url.rsplit(':').next().unwrap().parse().unwrap());
    let ways: Vec<Way> = ports.map(Way::to).collect();
    let by_ways: Vec<String> = ways
        .iter()
        .map(|way| format!("nats://127.0.0.1:{}", way.port))
        .collect();
    let other = Extra {
        urls: Some(&by_ways),
        ..Extra::default()
    };
    world.start("drained", &Extra::default());
    world.start("other", &other);
    for id in ["drained", "other"] {
        world.wait_for_log(id, "takes jobs");
    }
    let ids: Vec<String> = ALL
        .iter()
        .flat_map(|trouble| (0..30).map(move |number| format!("slow-{trouble:?}-{number}")))
        .collect();
    for (index, trouble) in ALL.into_iter().enumerate() {
        let ids: Vec<&str> = ids[index * 30..][..30].iter().map(String::as_str).collect();
        let before = done(&world, "drained");
        submit(&mut world, &Extra::default(), &["--wait"], &ids);
        // It has some of them.
        let end = Instant::now() + PATIENCE;
        while done(&world, "drained") == before {
            assert!(
                Instant::now() < end,
                "{trouble:?}: {}",
                world.log("drained")
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let sleeper = Pid::from_raw(world.workers["other"].id().try_into().unwrap());
        match trouble {
            Trouble::ServerDies => world.servers.kill(index % 3),
            Trouble::DiskIsFull => world.servers.disks[0].fill(),
            Trouble::MachineDies => world.kill("other"),
            Trouble::MachineSleeps => kill(sleeper, Signal::SIGSTOP).unwrap(),
            Trouble::MachineIsCutOff => ways.iter().for_each(|way| way.cut(true)),
        }
        let rested_at = rested(&world, "drained");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(done(&world, "drained"), rested_at, "{trouble:?}");
        match trouble {
            Trouble::ServerDies => world.servers.begin(index % 3),
            Trouble::DiskIsFull => world.servers.disks[0].free(),
            Trouble::MachineDies => world.start("other", &other),
            Trouble::MachineSleeps => kill(sleeper, Signal::SIGCONT).unwrap(),
            Trouble::MachineIsCutOff => ways.iter().for_each(|way| way.cut(false)),
        }
        order(&world, &["undrain", "drained"], "drained takes jobs");
        let end = Instant::now() + PATIENCE;
        while code(&mut world).is_none() {
            assert!(
                Instant::now() < end,
                "{trouble:?}: {}",
                world.log("drained")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(code(&mut world), Some(0), "{trouble:?}");
    }
    world.wait_until_empty();
    let results = world.all_results(ids.len());
    assert!(results.iter().all(|result| result["outcome"] == "done"));
    assert_eq!(results.len(), ids.len());
}
