//! What programs may try, by root's hand and by a user's: the list is `tests/attacks.txt`.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::thread;

use crate::support::attacks::{self, Attack};
use crate::support::systemd::{any_box, assert_nothing_left, in_any_mode, scopes, user_box};
use crate::support::{Run, TestBox, processes_of, slow, wait_until};

/// Fails with all that came out otherwise, if anything did.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a test that fails shows each by name")]
pub(crate) fn compare(who: &str, attacks: &[Attack], mut found: impl FnMut(&Attack) -> String) {
    let mut wrong = String::new();
    for attack in attacks {
        let found = found(attack);
        let Attack {
            name,
            outcomes,
            what,
        } = attack;
        println!("{who}: {name}: {found}");
        if !outcomes.contains(&found.as_str()) {
            writeln!(wrong, "{name} ({what}): {found}, not {outcomes:?}").unwrap();
        }
    }
    assert_eq!(wrong, "", "{who}");
}

/// All attacks of one program, in one run; `prepare` gets the box before.
fn all_fail(program: &str, prepare: impl Fn(&TestBox)) {
    for (who, test_box) in [("root", any_box()), ("a user", user_box())] {
        prepare(test_box.init());
        let run = test_box.program(program).options(&["--processes=30"]).run();
        run.assert_ok();
        let words = |line: &str| {
            let (name, word) = line.split_once(' ').unwrap();
            (name.to_owned(), word.to_owned())
        };
        let tried: Vec<_> = run.stdout.lines().map(words).collect();
        let attacks = attacks::of(program);
        for (name, word) in &tried {
            let is_listed = attacks.iter().any(|attack| attack.name == name);
            assert!(is_listed, "{name} ({word}) is not in attacks.txt");
        }
        compare(who, &attacks, |attack| {
            let tried = tried.iter().find(|(tried, _)| tried == attack.name);
            tried.map_or("not tried".to_owned(), |(_, word)| word.clone())
        });
        // And whoever comes next finds a box like any other.
        let next = test_box.command(&["/bin/true"]).run();
        next.assert_ok();
        assert_nothing_left(&test_box);
        test_box.isolate(&["--init"]).assert_success();
        let left = test_box.shell("ls -A").run();
        assert_eq!(left.assert_ok().stdout, "", "{who}");
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nothing_leads_out_of_the_file_system_of_a_box() {
    all_fail("attack_files", |_| {});
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nothing_gives_a_program_other_ids_capabilities_or_namespaces() {
    all_fail("attack_rights", |_| {});
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn no_call_and_no_file_reaches_into_the_kernel() {
    all_fail("attack_kernel", |_| {});
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn no_socket_reaches_out_of_a_box() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = format!("isolate-attack-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    all_fail("attack_sockets", |test_box| {
        test_box.write("port", port.to_string());
        test_box.write("abstract", &name);
    });
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nothing_reaches_init_or_another_process() {
    all_fail("attack_processes", |_| {});
}

/// How a run ended, in the words of the list. What is ended by a limit of time is ended by the keeper, at once; what has no
/// memory left by the kernel, all of it.
pub(crate) fn ending(run: &Run) -> String {
    let status = run.meta.get("status");
    let was_killed = run.meta.get("killed").is_some();
    let was_oom = run.meta.get("cg-oom-killed").is_some();
    match (status, run.meta.get("message")) {
        (Some("SG"), _) if was_oom && !was_killed => "memory".to_owned(),
        _ if was_oom => "memory of some".to_owned(),
        (Some("TO"), Some("Time limit exceeded")) if was_killed => "time".to_owned(),
        (Some("TO"), Some("Time limit exceeded (wall clock)")) if was_killed => "wall".to_owned(),
        (Some("SG"), _) => format!("signal-{}", run.meta.get("exitsig").unwrap()),
        (Some("RE"), _) => format!("code-{}", run.meta.get("exitcode").unwrap()),
        (None, _) if run.meta.get("exitcode") == Some("0") => "ok".to_owned(),
        _ => format!("{run:?}"),
    }
}

/// The limits of those attacks of `attack_limits` that have this outcome.
pub(crate) fn options_for(outcome: &str) -> Vec<&'static str> {
    match outcome {
        "memory" => vec!["--cg-mem=16M", "--stack=256M", "--wall-time=120"],
        "time" => vec!["--time=0.3", "--extra-time=0.1", "--wall-time=120"],
        "wall" if slow() => vec!["--wall-time=3"],
        "wall" => vec!["--wall-time=1"],
        _ => vec!["--fsize=4M", "--wall-time=120"],
    }
}

/// Root's box, or a user's.
type Make = fn() -> TestBox;

fn users_box() -> TestBox {
    in_any_mode(user_box())
}

const BOTH: [(&str, Make); 2] = [("root", any_box), ("a user", users_box)];

/// What comes of an attack of `attack_limits` in this box.
fn ends_as(test_box: &TestBox, attack: &Attack) -> String {
    let job = test_box.program("attack_limits").args(&[attack.name]);
    let limits = options_for(attack.outcomes[0]);
    let options = [&["--processes=30", "--core=0"], &limits[..]].concat();
    let found = ending(&job.options(&options).run());
    // They are gone when the sandbox says so, not later.
    let left = processes_of(test_box.uid());
    if left.is_empty() {
        found
    } else {
        format!("{found}, and {left:?} are left")
    }
}

/// Those attacks of `attack_limits` that `chosen` chooses by their first outcome, each a run of its own.
fn chosen(chosen: impl Fn(&str) -> bool) -> Vec<Attack> {
    let mut attacks = attacks::of("attack_limits");
    attacks.retain(|attack| chosen(attack.outcomes[0]));
    assert!(!attacks.is_empty());
    attacks
}

/// One after the other, in one box.
fn all_are_ended(attacks: &[Attack]) {
    for (who, make) in BOTH {
        let test_box = make();
        compare(who, attacks, |attack| ends_as(&test_box, attack));
        let listed = test_box.shell("ls").run();
        assert!(!listed.assert_ok().stdout.contains("core"), "{listed:?}");
        assert_nothing_left(&test_box);
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn memory_of_every_kind_is_counted() {
    all_are_ended(&chosen(|outcome| outcome == "memory"));
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn time_is_counted_whoever_uses_it() {
    all_are_ended(&chosen(|outcome| outcome == "time"));
}

/// All at the same time: they sleep, each in a box of its own.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn no_program_stays_beyond_its_wall_clock() {
    let attacks = chosen(|outcome| outcome == "wall");
    for (who, make) in BOTH {
        let ends = |attack: &Attack| {
            let test_box = make();
            let end = ends_as(&test_box, attack);
            wait_until("no scope is left", || scopes(&test_box).is_empty());
            end
        };
        let ends = thread::scope(|scope| {
            let started: Vec<_> = attacks
                .iter()
                .map(|attack| scope.spawn(move || ends(attack)))
                .collect();
            let ends = started.into_iter().map(|run| run.join().unwrap());
            ends.collect::<Vec<_>>()
        });
        let mut ends = ends.into_iter();
        compare(who, &attacks, |_| ends.next().unwrap());
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn an_end_is_what_it_looks_like_and_nothing_outlives_it() {
    all_are_ended(&chosen(|outcome| {
        !["memory", "time", "wall"].contains(&outcome)
    }));
}
