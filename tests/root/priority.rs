//! The program starts as an ordinary process, whatever its caller is.

use crate::support::TestBox;

/// Policy, I/O class, score, timer slack, niceness, and limits of priorities, one on a line.
const LOOK: &str = "chrt -p $$ | sed -n 's/.*policy: //p'
ionice -p $$ | cut -d: -f1
cat /proc/self/oom_score_adj
cat /proc/self/timerslack_ns
nice
sed -n 's/^Max .* priority  *\\([0-9]*\\) .*/\\1/p' /proc/self/limits";

/// What it is like for a program whose caller comes through a script.
fn seen(script: &str) -> Vec<String> {
    let job = TestBox::new().shell(LOOK).options(&["-p9"]);
    let run = job.through(script).run();
    run.assert_ok();
    run.stdout.lines().map(str::to_owned).collect()
}

/// Whether this process has CAP_SYS_RESOURCE, number 24.
fn has_sys_resource() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let effective = lines.find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(effective.trim(), 16).unwrap() >> 24 & 1 == 1
}

const ORDINARY: [&str; 7] = ["SCHED_OTHER", "none", "0", "50000", "0", "0", "0"];

#[test]
#[ignore = "needs root: tests/run"]
fn what_a_caller_has_beyond_an_ordinary_process_is_not_the_programs() {
    let mut scripts = vec![
        "exec \"$@\"",
        "exec chrt --fifo 10 ionice -c1 -n0 \"$@\"",
        "exec chrt --reset-on-fork --rr 3 \"$@\"",
    ];
    // A container may not let root have such a score and such limits. Where it does, both are there.
    if has_sys_resource() {
        scripts.push("echo -900 >/proc/self/oom_score_adj && exec \"$@\"");
        scripts.push("prlimit --pid $$ --rtprio=5 --nice=30 && exec chrt --rr 3 \"$@\"");
    }
    for script in scripts {
        assert_eq!(seen(script), ORDINARY, "{script}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_makes_a_caller_less_than_an_ordinary_process_is_the_programs_too() {
    let script = "exec chrt --batch 0 ionice -c3 nice -n 5 choom -n 300 -- \"$@\"";
    let found = seen(script);
    assert_eq!(found[..5], ["SCHED_BATCH", "idle", "300", "50000", "5"]);
    let real_time = "exec nice -n 7 chrt --fifo 10 \"$@\"";
    assert_eq!(seen(real_time)[4], "7");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_caller_of_real_time_does_not_lift_the_limits() {
    // The program would go on for 5 s; the kernel's own limit of CPU time ends it after 2 s. How long a busy machine
    // takes for 0.3 s of that is another matter.
    for (limit, figure, most) in [
        ("--time=0.3", "time", 1.0),
        ("--wall-time=0.3", "time-wall", 4.0),
    ] {
        let job = TestBox::new().program("burn_cpu").args(&["5000"]);
        // The keeper has no other CPU to run on than its program.
        let cpu = "exec timeout -s KILL 20 chrt --fifo 10 taskset -c \"$(taskset -cp $$ | sed 's/.*[ ,-]//')\" \"$@\"";
        let run = job.options(&[limit]).through(cpu).run();
        assert_eq!(run.meta.get("status"), Some("TO"), "{run:?}");
        assert!(run.meta.number(figure) < most, "{run:?}");
    }
}
