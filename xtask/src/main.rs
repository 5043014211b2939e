//! Runs the tests of isolate-run: builds, chooses, counts and sums up. `tests/run` calls it, and the scripts in
//! `tests/guest` boot what tests run in.
//!
//! ```text
//! tests/run -> xtask -> orders -> build -> payload -> stages, guests -> counts -> what failed, "N passed, N failed"
//! ```

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Instant;

use build::Built;
use orders::{Orders, RELEASES};
use screen::Spent;
use stages::{Run, answer};

mod build;
mod counts;
mod dependencies;
mod failures;
mod guests;
mod installed;
mod job;
mod orders;
mod payload;
mod screen;
mod sources;
mod stages;

const HELP: &str = include_str!("help.txt");

/// The tests that take barriers away.
const BARRIERS: &str = "system::barriers";
/// The tests with a fleet's worker.
const FLEET: &str = "system::fleet";

/// How much a run needs on the disk of its folder, in MiB.
const WORK_DISK: u32 = 3072;

fn main() -> ExitCode {
    let orders = match Orders::parse(env::args().skip(1)) {
        Ok(orders) => orders,
        Err(mistake) => {
            eprintln!("tests/run: {mistake}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    match prepared(orders) {
        Ok(run) => finished(&run),
        Err(error) => {
            eprintln!("tests/run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The environment that `tests/run` makes: `XTASK_WORK`, a folder for this run, `XTASK_TARGET`, where cargo builds, and
/// `XTASK_CARGO`, options of every cargo command, one a line.
fn prepared(mut orders: Orders) -> io::Result<Run> {
    let variable = |name: &str| {
        let value = env::var_os(name);
        value.ok_or_else(|| io::Error::other(format!("{name} is not set: call tests/run")))
    };
    let work = PathBuf::from(variable("XTASK_WORK")?);
    let target = PathBuf::from(variable("XTASK_TARGET")?);
    let cargo = variable("XTASK_CARGO")?;
    let cargo = cargo.to_string_lossy().lines().map(str::to_owned).collect();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let top = top.canonicalize()?;
    if let Some(word) = orders.filter.as_ref().filter(|_| orders.chosen_here) {
        let mut binaries = sources::binaries_with(&top, word)?;
        if binaries.is_empty() {
            return Err(io::Error::other(format!("no test has {word} in its name")));
        }
        orders.unit = binaries.contains(&"isolate_run") || binaries.contains(&"user");
        orders.root = binaries.contains(&"root");
        if binaries.contains(&"system") {
            orders.guests = vec![RELEASES[0]];
        }
        orders.weakened = sources::has_test(&top, BARRIERS, word)?;
        orders.fleet = sources::has_test(&top, FLEET, word)?;
        // Tests of both notice.
        if orders.weakened {
            binaries.extend(payload::SUITES);
            binaries.sort_unstable();
            binaries.dedup();
        }
        orders.binaries = Some(binaries);
    }
    Ok(Run::new(orders, top, work, target, cargo))
}

/// Runs all of it, prints the table, and says whether all is well.
fn finished(run: &Run) -> ExitCode {
    if let Err(error) = go(run) {
        run.failure("tests/run", "here", &error.to_string());
    }
    let rows = run.rows();
    let passed: usize = rows.iter().map(|row| row.passed).sum();
    let mut failed: usize = rows.iter().map(|row| row.failed).sum();
    let say = |text: &str| run.screen.last(text);
    say("\n=== summary");
    say(&format!(
        "{:<38} {:<10} {:>7} {:>7} {:>8} {:>8}",
        "part", "where", "passed", "failed", "seconds", "CPU"
    ));
    for row in &rows {
        say(&row.to_string());
    }
    say(&format!(
        "\n{:<38} {:>8} {:>8}",
        "command", "seconds", "CPU"
    ));
    for Spent { label, wall, cpu } in run.screen.all_spent() {
        say(&format!(
            "{label:<38} {:>8} {:>8}",
            wall.as_secs(),
            cpu.as_secs()
        ));
    }
    let failures = run.screen.all_failures();
    if failed > 0 {
        say("\n=== what failed");
        let rows = rows.iter().filter(|row| row.failed > 0);
        rows.for_each(|row| say(&row.to_string()));
    } else if !failures.is_empty() {
        say("\n=== what failed once, and not when it was tried again");
    }
    failures.iter().for_each(|line| say(line));
    if passed + failed == 0 {
        say("PROBLEM: no test ran");
        failed = 1;
    }
    say(&format!("\n{passed} passed, {failed} failed"));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What the shell's functions in `tests/lib.sh` do.
fn shell(run: &Run, call: &str) -> io::Result<String> {
    let script = format!("set -euo pipefail; . tests/lib.sh; {call}");
    let mut command = Command::new("bash");
    payload::must(command.current_dir(&run.top).args(["-c", &script]))
}

fn check_machine(run: &Run) -> io::Result<()> {
    let orders = &run.orders;
    if orders.need_root() {
        let id = payload::must(Command::new("id").arg("-u"))?;
        if id.trim() != "0" {
            let advice = "needs root. Without root: tests/run --unit";
            return Err(io::Error::other(advice));
        }
    }
    if orders.here || orders.installed {
        installed::check(orders, &run.top)?;
    }
    let has_guests = orders.needs_a_richer_image() || orders.arm64 || !orders.guests.is_empty();
    if orders.compiler || orders.soak || has_guests {
        shell(run, "need_guest_tools; mkdir -p \"$(cache_dir)\"")?;
    }
    if orders.unit && orders.filter.is_none() {
        // Where they cannot be installed, the part that needs them says what it is about.
        shell(run, "! can_install || (need_manual_tools) || true")?;
    }
    let work = run.work.display();
    shell(
        run,
        &format!("need_disk {WORK_DISK} '{work}' 'running the tests'"),
    )?;
    if !orders.guests.is_empty() {
        let count = u32::try_from(orders.guests.len()).unwrap_or(u32::MAX);
        let containers = if orders.soak { 768 } else { 0 };
        let needed = count.saturating_mul(guests::GUEST_MEMORY) + 512 + containers;
        shell(
            run,
            &format!("need_memory {needed} '{count} guests at the same time'"),
        )?;
    }
    Ok(())
}

/// All parts that were ordered. Images are built while cargo builds.
fn go(run: &Run) -> io::Result<()> {
    check_machine(run)?;
    let orders = &run.orders;
    let mut wanted: Vec<&str> = Vec::new();
    if orders.soak {
        wanted.extend(RELEASES);
    }
    wanted.extend(&orders.guests);
    wanted.sort_unstable();
    wanted.dedup();
    let image = |name: &str| answer(run.script("image"), vec![name.to_owned()]);
    let images: Vec<_> = wanted
        .iter()
        .map(|name| ((*name).to_owned(), image(name)))
        .collect();
    let compiler = orders.compiler.then(|| image("compiler"));
    let mut options = vec!["-w".to_owned()];
    if orders.emulated {
        options.extend(["-k".into(), "emulated".into()]);
    }
    let has_guests = orders.languages || orders.engines || !orders.guests.is_empty();
    let kind = has_guests.then(|| answer(run.script("boot"), options));

    let built = build(run)?;
    let payload = run.work.join("payload");
    let suites = orders.root || orders.installed || orders.need_package();
    if suites {
        let _running = run.screen.begin("payload");
        let start = Instant::now();
        let installed = orders.installed.then(|| installed::program(&run.top));
        let installed = installed.transpose()?;
        let built_here = built.checked.as_deref().or(built.program.as_deref());
        let program = installed.as_deref().or(built_here);
        let program = program.ok_or_else(|| io::Error::other("cargo built no isolate-run"))?;
        payload::pack(
            &run.top,
            &payload,
            &run.tools(),
            program,
            &built,
            orders.need_package(),
        )?;
        if orders.engines {
            payload::add_rpm(&run.top, &payload)?;
            payload::add_worker(&run.top, &payload)?;
        }
        run.row("payload", "here", (0, 0), start);
    }
    thread::scope(|scope| {
        let run_ref = run;
        let payload_ref = &payload;
        scope.spawn(move || {
            if run_ref.orders.unit && run_ref.orders.filter.is_none() {
                run_ref.lints();
            }
            if let Some(image) = &compiler {
                run_ref.compiler(image);
            }
        });
        // Tests in containers and many of those here wait for most of their time, which guests compute through.
        let (images_ref, built_ref) = (&images, &built);
        let waiting = [
            scope.spawn(move || {
                if run_ref.orders.unit {
                    if run_ref.orders.filter.is_none() {
                        run_ref.manuals(built_ref);
                    }
                    run_ref.unit(built_ref);
                }
                if run_ref.orders.root {
                    run_ref.root(payload_ref);
                }
                if run_ref.orders.here {
                    run_ref.here(payload_ref);
                }
                if run_ref.orders.installed {
                    run_ref.installed(payload_ref);
                }
            }),
            scope.spawn(move || {
                if run_ref.orders.soak {
                    run_ref.containers(payload_ref, images_ref);
                }
            }),
        ];
        for (name, is_wanted) in [("languages", orders.languages), ("engines", orders.engines)] {
            if let Some(kind) = kind.as_ref().filter(|_| is_wanted) {
                run.richer(name, &payload, kind);
            }
        }
        if orders.arm64 {
            run.arm64(&payload);
        }
        if orders.dbus_broker {
            run.dbus_broker(&payload);
        }
        if let Some(kind) = kind.as_ref().filter(|_| !orders.guests.is_empty()) {
            run.guests(&payload, &images, kind);
        }
        for thread in waiting {
            if thread.join().is_err() {
                run.failure("tests", "here", "a thread that waits for them panicked");
            }
        }
        if orders.soak && !orders.guests.is_empty() && orders.filter.is_none() {
            run.nothing_was_left_out(&built);
        }
    });
    Ok(())
}

/// The test binaries that the parts need.
fn build(run: &Run) -> io::Result<Built> {
    let _running = run.screen.begin("build");
    let start = Instant::now();
    let binaries = run.orders.binaries.as_deref();
    let mut built = build::build(&run.screen, &run.top, &run.work, &run.cargo, binaries)?;
    if run.orders.need_package() && run.orders.filter.is_none() {
        let checked = build::checked(&run.screen, &run.top, &run.work, &run.cargo)?;
        built.checked = Some(checked);
    }
    if run.orders.weakened {
        let weakened = build::weakened(&run.screen, &run.top, &run.work, &run.cargo)?;
        built.weakened = Some(weakened);
    }
    if run.orders.fleet {
        let worker = build::worker(&run.screen, &run.top, &run.work, &run.cargo)?;
        built.worker = Some(worker);
    }
    run.row("build", "here", (0, 0), start);
    Ok(built)
}
