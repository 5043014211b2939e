//! A queue that is much longer than what machines take from it.

use std::fs;
use std::time::{Duration, Instant};

use crate::chaos::jobs_or;
use crate::submitter::{NAME, code, output, submit};
use crate::world::{Extra, World};

/// The most memory that a process has had, in KiB; of one that has ended, none.
fn peak(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.map(|line| line.trim().trim_end_matches(" kB"));
    number.map_or(0, |number| number.parse().unwrap())
}

#[test]
fn a_long_queue_costs_a_machine_nothing_and_is_told_of_at_once() {
    let count = jobs_or(1000);
    let mut world = World::new(1, &["default"]);
    let ids: Vec<String> = (0..count).map(|number| format!("job-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let start = Instant::now();
    submit(&mut world, &Extra::default(), &["--wait"], &ids);
    let each = Duration::from_millis(30) * u32::try_from(count).unwrap();
    let limit = Duration::from_secs(120) + each;
    while world.messages("ISO_JOBS_") < count as u64 {
        assert!(start.elapsed() < limit, "not all are there");
        std::thread::sleep(Duration::from_millis(100));
    }
    let queued = start.elapsed();
    let config = world.config("asker", &Extra::default());
    let begin = Instant::now();
    let told = world.told(&config, &["status"]);
    let asked = begin.elapsed();
    assert!(told.contains(&format!("  {count:7}        0")), "{told}");

    for id in ["a", "b"] {
        world.start(id, &Extra::default());
    }
    let mut most = 0;
    let mut peaks = [0; 3];
    while code(&mut world).is_none() {
        assert!(start.elapsed() < limit, "{}", world.log("a"));
        let held = world.consumers();
        most = most.max(held.iter().map(|one| one.num_ack_pending).sum());
        for (peaked, name) in peaks.iter_mut().zip(["a", "b", NAME]) {
            *peaked = peak(world.workers[name].id()).max(*peaked);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(code(&mut world), Some(0), "{}", world.log("a"));
    assert_eq!(output(&world).lines().count(), count);
    assert_eq!(world.ran().len(), count);
    world.wait_until_empty();
    println!(
        "{count} jobs: queued in {queued:?}, status in {asked:?}, done in {:?}; jobs out at a time {most}; KiB of workers and \
         submitter {peaks:?}, of the server {}",
        start.elapsed(),
        peak(world.servers.process(0))
    );
    // Two machines have two slots each, and nothing in reserve. What was asked for on a busy
    // machine may come a moment late.
    assert!((1..=8).contains(&most), "{most} jobs are out at a time");
    let [a, b, submitter] = peaks;
    assert!(a.max(b) < 100 << 10, "{peaks:?}");
    assert!(submitter < (100 << 10) + 8 * count as u64, "{peaks:?}");
}
