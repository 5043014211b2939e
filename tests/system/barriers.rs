//! Without any of the barriers around programs, some test fails: the list is `tests/barriers.txt`. What takes them away is
//! another build of the program under test, `src/barrier.rs`.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::{fs, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::attacks::{ending, options_for};
use crate::support::barriers::{self, Barrier, Witness};
use crate::support::systemd::{CGROUPS, alone, any_box, must};
use crate::support::{TestBox, attacks, binary, finish, processes_among};

/// How many barriers are away at the same time, each in a sandbox of its own: some are noticed by waiting.
const AT_ONCE: usize = 3;

/// The program whose attacks are runs of their own.
const ENDS: &str = "attack_limits";

/// The tests of limits that control groups have.
const LIMITS: &str = "limits::";

/// The attack on the files of such limits.
const ON_LIMITS: &str = "group_flags";

/// The variable with the names of the barriers that are away.
const WITHOUT: &str = "ISOLATE_TEST_WITHOUT";

/// The program under test that takes barriers away.
fn weakened() -> PathBuf {
    binary().with_file_name("isolate-run-weakened")
}

/// What an attack may find outside of its box.
struct Outside {
    port: u16,
    name: String,
    _listeners: (TcpListener, UnixListener),
}

impl Outside {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("isolate-barriers-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self {
            port: listener.local_addr().unwrap().port(),
            name,
            _listeners: (listener, UnixListener::bind_addr(&address).unwrap()),
        }
    }
}

/// What comes of attacks of one program without these barriers.
fn attack(
    outside: &Outside,
    program: &str,
    names: &[&str],
    absent: &[&str],
) -> BTreeMap<String, String> {
    let ends = program == ENDS;
    let test_box = any_box();
    test_box.init();
    test_box.write("port", outside.port.to_string());
    test_box.write("abstract", &outside.name);
    let script = format!(
        "shift; exec env {WITHOUT}={} {} \"$@\"",
        absent.join(","),
        weakened().display()
    );
    let job = test_box.program(program).args(names);
    let job = job.options(&["--processes=30", "--core=0"]);
    let options = if ends {
        limits_of(names[0])
    } else {
        Vec::new()
    };
    let run = job.options(&options).through(&script).run();
    let outcomes = if ends {
        BTreeMap::from([(names[0].to_owned(), ending(&run))])
    } else {
        let words = run.stdout.lines().map(|line| line.split_once(' ').unwrap());
        words
            .map(|(name, word)| (name.into(), word.into()))
            .collect()
    };
    clear(&test_box);
    outcomes
}

/// The options of an attack that is a run of its own.
fn limits_of(name: &str) -> Vec<&'static str> {
    let all = attacks::of(ENDS);
    let attack = all.iter().find(|attack| attack.name == name).unwrap();
    options_for(attack.outcomes[0])
}

/// Stops scopes, of which some may go by themselves meanwhile.
fn stop(pattern: &str) {
    let mut command = Command::new("systemctl");
    command.args(["stop", pattern]);
    drop(finish(command));
}

/// Removes what a box without a barrier may have left.
fn clear(test_box: &TestBox) {
    stop(&format!("isolate-{}-*.scope", test_box.id()));
    for pid in test_box.processes() {
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
}

/// All attacks that come out otherwise without these barriers, but for those that are runs of their own.
fn all_that_notice(outside: &Outside, absent: &[&str]) -> Vec<String> {
    let mut noticed = Vec::new();
    for (program, listed) in attacks::all() {
        if program == ENDS {
            continue;
        }
        let found = attack(outside, program, &[], absent);
        for attack in listed {
            let word = found.get(attack.name).map_or("not tried", |word| word);
            if !attack.outcomes.contains(&word) {
                noticed.push(format!("{}: {word}", attack.name));
            }
        }
    }
    noticed
}

/// Whether a test passes without these barriers.
#[expect(clippy::print_stdout, reason = "why one fails that should not")]
fn passes(binary: &str, name: &str, absent: &[&str]) -> bool {
    let program = std::env::current_exe().unwrap().with_file_name(binary);
    let mut command = Command::new(program);
    command.args(["--include-ignored", "--exact", name]);
    command.env("ISOLATE_RUN_BIN", weakened());
    command.env(WITHOUT, absent.join(","));
    if !absent.is_empty() {
        // It is expected to wait in vain.
        command.env("ISOLATE_TEST_PATIENCE", "20");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let counts = if output.status.success() {
        "ok. 1 passed; 0 failed"
    } else {
        "FAILED. 0 passed; 1 failed"
    };
    assert!(said.contains(counts), "{binary}::{name}: {said}");
    if absent.is_empty() && !output.status.success() {
        println!("{said}");
    }
    output.status.success()
}

/// What comes out without these barriers, in a word, and whether it is what should.
fn look(outside: &Outside, witness: Witness, absent: &[&str]) -> (String, bool) {
    match witness {
        Witness::Attack(program, name) => {
            let mut found = attack(outside, program, &[name], absent);
            let word = found.remove(name).unwrap_or("not tried".into());
            let is_listed = attacks::of(program)
                .iter()
                .any(|attack| attack.name == name && attack.outcomes.contains(&&*word));
            (word, is_listed)
        }
        Witness::Test(binary, name) => {
            let passes = passes(binary, name, absent);
            let word = if passes { "passed" } else { "failed" };
            (word.to_owned(), passes)
        }
    }
}

/// What is wrong with the barrier's line in the list, if anything is.
#[expect(clippy::print_stdout, reason = "a test that fails shows each by name")]
fn judge(outside: &Outside, barrier: &Barrier) -> Option<String> {
    let Barrier {
        name,
        beside,
        witness,
        ..
    } = barrier;
    let mut absent = beside.clone();
    // Most attacks were all tried before, when nothing was away.
    let is_known = matches!(witness, Witness::Attack(program, _) if *program != ENDS);
    let is_known = is_known && beside.is_empty();
    // Others disturb it, each without a barrier of its own: once is enough.
    let before = (!is_known).then(|| {
        let mut looks = (0..3).map(|_| look(outside, *witness, &absent));
        let held = looks.find(|(_, is_held)| *is_held);
        held.unwrap_or_else(|| ("failed three times".to_owned(), false))
    });
    absent.push(name);
    let (word, is_held) = look(outside, *witness, &absent);
    println!("without {absent:?}: {witness:?}: {word}");
    if std::env::var_os("ISOLATE_TEST_EVERY_ATTACK").is_some() {
        println!("{absent:?}: {:?}", all_that_notice(outside, &absent));
    }
    match before {
        Some((word, false)) => Some(format!("{name}: {witness:?} without {beside:?}: {word}")),
        _ if is_held => Some(format!("{name}: {witness:?} does not notice: {word}")),
        _ => None,
    }
}

/// Whether it takes the controllers of a leaf to notice.
fn is_limit(barrier: &Barrier) -> bool {
    match barrier.witness {
        Witness::Attack(program, name) => {
            let all = attacks::of(program);
            let attack = all.iter().find(|attack| attack.name == name).unwrap();
            name == ON_LIMITS || attack.outcomes[0] == "memory"
        }
        Witness::Test(_, name) => name.starts_with(LIMITS),
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn somebody_notices_each_limit_that_is_taken_away() {
    each_is_noticed(is_limit);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn somebody_notices_each_other_barrier_that_is_taken_away() {
    each_is_noticed(|barrier| !is_limit(barrier));
}

/// Takes each of the chosen barriers away.
fn each_is_noticed(chosen: impl Fn(&Barrier) -> bool) {
    let _alone = alone();
    let outside = Outside::new();
    // Groups that a caller may have, which a service has not.
    nix::unistd::setgroups(&[4.into(), 27.into()]).unwrap();
    let mounted = must("findmnt", &["--noheadings", "--output=OPTIONS", CGROUPS]);
    let mounted = mounted.trim();
    let mut all = barriers::all();
    all.retain(chosen);
    assert!(!all.is_empty());
    // With all barriers, that build is like any other.
    let mut expected = BTreeMap::<_, Vec<_>>::new();
    for barrier in &all {
        match barrier.witness {
            Witness::Attack(program, name) if program != ENDS => {
                expected.entry(program).or_default().push(name);
            }
            _ => {}
        }
    }
    for (program, names) in expected {
        let found = attack(&outside, program, &names, &[]);
        for attack in attacks::of(program) {
            if names.contains(&attack.name) {
                let word = &found[attack.name];
                assert!(attack.outcomes.contains(&&**word), "{attack:?}: {word}");
            }
        }
    }
    let left = Mutex::new(all.iter());
    let next = || left.lock().unwrap().next();
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(barrier) = next() {
                    wrong.lock().unwrap().extend(judge(&outside, barrier));
                }
            });
        }
    });
    // What tests that failed have left. Who mounts control groups outside of a namespace of theirs has changed the options
    // of all mounts of them.
    let options = format!("remount,{mounted}");
    must("mount", &["-o", &options, CGROUPS]);
    stop("isolate-*.scope");
    for pid in processes_among(1 << 20..u32::MAX) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn no_program_but_the_one_for_this_has_the_switch() {
    let has_switch = |path: &PathBuf| {
        let program = fs::read(path).unwrap();
        let mut parts = program.windows(WITHOUT.len());
        parts.any(|part| part == WITHOUT.as_bytes())
    };
    let installed = PathBuf::from("/usr/bin/isolate-run");
    assert!(has_switch(&weakened()));
    assert!(!has_switch(&binary()));
    assert!(!has_switch(&installed));
}
