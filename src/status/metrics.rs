//! A snapshot as figures for monitoring, in the text format of OpenMetrics.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::table::{owner, state};
use super::{Snapshot, User};

/// The labels of a figure.
type Labels = Vec<(&'static str, String)>;

/// The text.
pub(super) fn metrics(snapshot: &Snapshot, verdicts: &[(&'static str, i64)]) -> String {
    let mut registry = Registry::with_prefix("isolate");
    count(&mut registry, snapshot);
    measure(&mut registry, snapshot);
    encoded(registry, verdicts, snapshot.isolate_run.clone())
}

/// The same where boxes cannot be seen.
pub(super) fn of_machine(verdicts: &[(&'static str, i64)]) -> String {
    let registry = Registry::with_prefix("isolate");
    encoded(registry, verdicts, env!("CARGO_PKG_VERSION").to_owned())
}

fn encoded(mut registry: Registry, verdicts: &[(&'static str, i64)], version: String) -> String {
    judge(&mut registry, verdicts);
    let info = vec![("version", version)];
    registry.register(
        "build",
        "The program that counts",
        prometheus_client::metrics::info::Info::new(info),
    );
    let mut text = String::new();
    // Writing to a string cannot fail.
    encode(&mut text, &registry).ok();
    text
}

/// What was counted since the boot.
fn count(registry: &mut Registry, snapshot: &Snapshot) {
    let runs = Family::<Labels, Counter>::default();
    let refused = Family::<Labels, Counter>::default();
    let failures = Family::<Labels, Counter>::default();
    let cpu = Family::<Labels, Counter<f64, std::sync::atomic::AtomicU64>>::default();
    for of_user in &snapshot.counts {
        // Strangers have no name.
        let user = of_user.user.as_ref().map(owner).unwrap_or_default();
        let with = |name, value: &str| vec![("user", user.clone()), (name, value.to_owned())];
        for (name, number) in &of_user.counts {
            match name.split_once('.').unwrap_or((name, "")) {
                ("runs", verdict) => {
                    runs.get_or_create(&with("verdict", verdict))
                        .inc_by(*number);
                }
                ("refused", by) => {
                    refused.get_or_create(&with("by", by)).inc_by(*number);
                }
                ("failed", _) => {
                    let labels = vec![("user", user.clone())];
                    failures.get_or_create(&labels).inc_by(*number);
                }
                ("cpu_us", _) => {
                    let labels = vec![("user", user.clone())];
                    cpu.get_or_create(&labels).inc_by(*number as f64 / 1e6);
                }
                _ => {}
            }
        }
    }
    registry.register("runs", "Runs by verdict", runs);
    registry.register("refused", "Commands that were refused", refused);
    registry.register("failures", "Commands that failed otherwise", failures);
    registry.register_with_unit("cpu", "CPU time of programs", Unit::Seconds, cpu);
}

/// What is there now.
fn measure(registry: &mut Registry, snapshot: &Snapshot) {
    let boxes = Family::<Labels, Gauge>::default();
    let disk = Family::<Labels, Gauge>::default();
    let memory = Family::<Labels, Gauge>::default();
    let processes = Family::<Labels, Gauge>::default();
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    for seen in &snapshot.boxes {
        let user: fn(&User) -> String = owner;
        let labels = vec![("user", user(&seen.owner))];
        let of_state = [&labels[..], &[("state", state(seen.state).to_owned())]].concat();
        boxes.get_or_create(&of_state).inc();
        if let Some(held) = seen.disk {
            disk.get_or_create(&labels).inc_by(number(held.bytes));
        }
        if let Some(run) = &seen.run {
            let used = run.memory_bytes.map_or(0, number);
            memory.get_or_create(&labels).inc_by(used);
            let there = run.processes.map_or(0, number);
            processes.get_or_create(&labels).inc_by(there);
        }
    }
    registry.register("boxes", "Boxes by what happens with them", boxes);
    registry.register_with_unit("disk", "What boxes hold on disk", Unit::Bytes, disk);
    registry.register_with_unit("memory", "Memory of programs", Unit::Bytes, memory);
    registry.register("processes", "Processes and threads of programs", processes);
}

/// What doctor says of the machine.
fn judge(registry: &mut Registry, verdicts: &[(&'static str, i64)]) {
    let levels = Family::<Labels, Gauge>::default();
    for (check, level) in verdicts {
        let labels = vec![("check", (*check).to_owned())];
        levels.get_or_create(&labels).set(*level);
    }
    let help = "Verdicts of checks of the machine: 0 ok, 1 note, 2 warning, 3 error";
    registry.register("doctor_verdict", help, levels);
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use super::*;

    #[test]
    fn figures_have_users_verdicts_and_units() {
        let text = metrics(&snapshot(), &[("swap", 2), ("aslr", 0)]);
        for line in [
            "# TYPE isolate_runs counter",
            "isolate_runs_total{user=\"alice\",verdict=\"ok\"} 5",
            "isolate_runs_total{user=\"alice\",verdict=\"internal_error\"} 1",
            "isolate_refused_total{user=\"\",by=\"polkit\"} 7",
            "isolate_cpu_seconds_total{user=\"alice\"} 1.5",
            "isolate_boxes{user=\"alice\",state=\"running\"} 1",
            "isolate_boxes{user=\"0\",state=\"stray\"} 1",
            "isolate_disk_bytes{user=\"alice\"} 1300000",
            "isolate_memory_bytes{user=\"alice\"} 35651584",
            "isolate_processes{user=\"alice\"} 3",
            "isolate_doctor_verdict{check=\"swap\"} 2",
            "isolate_doctor_verdict{check=\"aslr\"} 0",
            "isolate_build_info{version=\"0.1.0\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
