//! A submitter that is under way while something happens to its servers.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::{Extra, PATIENCE, World};

/// By this it is among the workers.
pub const NAME: &str = "submitter";

/// Submits jobs from a process that reaches the servers as this says; `words` are its options.
pub fn submit(world: &mut World, extra: &Extra<'_>, words: &[&str], ids: &[&str]) {
    let config = world.config(NAME, extra);
    let name = format!("{}.jsonl", ids[0]);
    let file = world.jobs(&name, ids.iter().map(|id| (*id).to_owned()));
    let child = Command::new(env!("CARGO_BIN_EXE_isolate-run-worker"))
        .arg("--config")
        .arg(&config)
        .arg("submit")
        .args(words)
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(fs::File::create(world.path("submitter.out")).unwrap())
        .spawn();
    // It goes with the others, whatever fails.
    world.workers.insert(NAME.to_owned(), child.unwrap());
}

/// What it has written.
pub fn output(world: &World) -> String {
    fs::read_to_string(world.path("submitter.out")).unwrap()
}

/// Its exit code, if it has ended.
pub fn code(world: &mut World) -> Option<i32> {
    let submitter = world.workers.get_mut(NAME).unwrap();
    submitter.try_wait().unwrap()?.code()
}

/// Its exit code, once it has ended.
pub fn ended(world: &mut World, patience: Duration) -> i32 {
    let end = Instant::now() + patience;
    loop {
        if let Some(code) = code(world) {
            return code;
        }
        assert!(Instant::now() < end, "the submitter does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a job is under way.
pub fn wait_until_begun(world: &World, id: &str) {
    let end = Instant::now() + PATIENCE;
    while !world.ran().contains_key(id) {
        assert!(Instant::now() < end, "{id} does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
}
