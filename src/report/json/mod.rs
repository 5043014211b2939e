//! The report (`--report`): one JSON object with everything that is known of a run, in the form of
//! `docs/report.schema.json`. Units are in the names; a figure that is not known is left out, never
//! 0.

mod document;

use std::time::Duration;

use document::{
    BoxFacts, CgroupFacts, CpuFacts, Document, Figures, Held, LimitFacts, RestrictionFacts,
    StageFacts,
};
use nix::sys::resource::Resource;

use super::{Circumstances, Ending, Report, Usage, Verdict, limit_of};
use crate::clock::Moment;
use crate::way;

/// The number of this form of the report. It grows when readers have to change.
const FORMAT: u32 = 1;

/// The report of a run.
pub(crate) fn format(report: &Report, circumstances: &Circumstances) -> String {
    let ended = match &report.ending {
        Ending::Program(exit) => Some(*exit),
        Ending::Killed(_) | Ending::Failed(_) => None,
    };
    let verdict = report.verdict();
    let ended = ended.filter(|_| report.has_begun() || matches!(verdict, Verdict::Memory(_)));
    text(&Document {
        reason: report.reason().map(str::to_owned),
        exit_code: ended.and_then(|exit| exit.code()),
        signal: match verdict {
            Verdict::Interrupted(signal) => Some(signal),
            _ => ended.and_then(|exit| exit.signal()),
        },
        killed: report.was_killed(),
        oom_killed: report
            .usage
            .and_then(|usage| usage.leaf.oom_kills.map(|_| usage.leaf.was_oom())),
        figures: match report.has_begun() {
            true => report.usage.as_ref().map(figures),
            false => None,
        },
        held: Some(held(report, circumstances)),
        ..document(&verdict)
    })
}

/// The report of a call that was refused or failed before there was a run.
pub(crate) fn format_failure(message: &str) -> String {
    text(&document(&Verdict::Internal(message.to_owned())))
}

fn document(verdict: &Verdict) -> Document {
    Document {
        format: FORMAT,
        isolate_run: env!("CARGO_PKG_VERSION"),
        verdict: verdict.name(),
        status: verdict.status(),
        message: verdict.message(),
        reason: None,
        exit_code: None,
        signal: None,
        killed: false,
        oom_killed: None,
        figures: None,
        held: None,
    }
}

fn text(document: &Document) -> String {
    // The document has only strings and numbers, so this cannot fail.
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

fn figures(usage: &Usage) -> Figures {
    let processes = usage.processes.as_ref();
    Figures {
        cpu_time_us: micros(usage.cpu.total),
        cpu_user_us: micros(usage.cpu.user),
        cpu_system_us: micros(usage.cpu.system),
        wall_time_us: micros(usage.wall),
        memory_peak_bytes: usage.leaf.memory_peak.map(|peak| peak.0),
        oom_kills: usage.leaf.oom_group_kills,
        processes_peak: usage.leaf.processes_peak,
        processes_refused: usage.leaf.processes_refused,
        max_rss_bytes: processes.map(|used| used.max_rss_kib.saturating_mul(1024)),
        voluntary_context_switches: processes.map(|used| used.voluntary_switches),
        forced_context_switches: processes.map(|used| used.forced_switches),
    }
}

fn held(report: &Report, circumstances: &Circumstances) -> Held {
    let Circumstances {
        box_id,
        ids,
        handover,
        manager,
        why_no_cgroup,
        unit,
        cgroup,
        leaf,
        leased,
        rlimits,
        quota,
        syscalls,
        share_net,
        asked,
        stages,
    } = circumstances;
    let rlimit = |which| limit_of(rlimits, which);
    let soft_stack = rlimits.iter().find(|rlimit| rlimit.soft < rlimit.hard);
    let since = |moment: Option<Moment>| moment.map(|moment| micros(moment.since(*asked)));
    let deadlines = &report.deadlines;
    Held {
        way: way::name(),
        box_: BoxFacts {
            id: box_id.0,
            uid: ids.uid,
            gid: ids.gid,
            files: handover.name(),
        },
        cgroup: CgroupFacts {
            manager: manager.name(),
            control_group_mode: leaf.controlled,
            reason: why_no_cgroup.clone(),
            unit: unit.clone(),
            path: cgroup.as_ref().map(|path| path.display().to_string()),
        },
        cpus: leased.as_ref().map(CpuFacts::of),
        limits: LimitFacts {
            cpu_time_us: deadlines.cpu.map(micros),
            cpu_kill_us: deadlines.cpu_kill().map(micros),
            wall_time_us: deadlines.wall.map(micros),
            memory_bytes: leaf.memory.filter(|_| leaf.controlled).map(|bytes| bytes.0),
            processes: leaf.processes.map(u64::from),
            address_space_bytes: rlimit(Resource::RLIMIT_AS),
            stack_bytes: rlimit(Resource::RLIMIT_STACK),
            soft_stack_bytes: soft_stack.map(|rlimit| rlimit.soft),
            file_size_bytes: rlimit(Resource::RLIMIT_FSIZE),
            // One byte stands for none.
            core_bytes: rlimit(Resource::RLIMIT_CORE)
                .map(|bytes| if bytes == 1 { 0 } else { bytes }),
            open_files: rlimit(Resource::RLIMIT_NOFILE),
            disk_bytes: quota
                .filter(|quota| quota.blocks > 0)
                .map(|quota| u64::from(quota.blocks) * 1024),
            disk_files: quota
                .filter(|quota| quota.inodes > 0)
                .map(|quota| u64::from(quota.inodes)),
            cpus: leaf.cpus.as_ref().map(|list| list.as_str().to_owned()),
            memory_nodes: leaf.mems.as_ref().map(|list| list.as_str().to_owned()),
        },
        restrictions: RestrictionFacts {
            network: if *share_net { "shared" } else { "none" },
            system_calls_denied: syscalls.names().collect(),
        },
        stages: StageFacts {
            laid_out_us: since(stages.laid_out),
            root_built_us: since(stages.root_built),
            cgroup_ready_us: since(stages.cgroup_ready),
            begun_us: since(stages.begun).filter(|_| report.has_begun()),
            ended_us: since(stages.ended),
        },
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use boon::{Compiler, Schemas};
    use nix::sys::resource::RLIM_INFINITY;
    use serde_json::Value;

    use super::super::tests::{report, usage};
    use super::super::{KillReason, Stages, Unstarted};
    use super::*;
    use crate::box_dir::Handover;
    use crate::cgroup::{LeafLimits, LeafUsage};
    use crate::config::settings::{LeaseUnit, Manager};
    use crate::cpus::Leased;
    use crate::plan::Rlimit;
    use crate::quantity::{BoxId, Bytes, CpuList, DiskQuota, Ids};
    use crate::sys::process::Exit;
    use crate::syscall_set::SyscallSet;

    pub(crate) fn circumstances() -> Circumstances {
        let at = |micros: u64| Some(Moment::from_nanoseconds(micros * 1000));
        Circumstances {
            box_id: BoxId(3),
            ids: Ids {
                uid: 60_003,
                gid: 60_003,
            },
            handover: Handover::IdMapped,
            manager: Manager::Systemd,
            why_no_cgroup: None,
            unit: Some("isolate-3-0.scope".into()),
            cgroup: Some("/sys/fs/cgroup/isolate.slice/isolate-3-0.scope".into()),
            leaf: LeafLimits {
                controlled: true,
                memory: Some(Bytes(64 << 20)),
                processes: Some(2),
                cpus: CpuList::parse("0-1").ok(),
                mems: None,
                leases_cpus: true,
            },
            leased: CpuList::parse("0-1").ok().map(|cpus| Leased {
                unit: LeaseUnit::Core,
                cpus,
                idle: CpuList::parse("4-5").ok(),
                class: Some("cpu_core".into()),
                on_core: 0,
                on_cache: 3,
            }),
            rlimits: vec![
                Rlimit {
                    resource: Resource::RLIMIT_STACK,
                    soft: 64 << 20,
                    hard: RLIM_INFINITY,
                },
                Rlimit::firm(Resource::RLIMIT_CORE, 1),
            ],
            quota: Some(DiskQuota {
                blocks: 10,
                inodes: 0,
            }),
            syscalls: SyscallSet::default(),
            share_net: false,
            asked: Moment::from_nanoseconds(1_000_000),
            stages: Stages {
                laid_out: at(1500),
                begun: at(2000),
                ..Stages::default()
            },
        }
    }

    /// Forbids keys that a schema does not name, which readers have to pass over.
    fn close(schema: &mut Value) {
        match schema {
            Value::Object(keys) => {
                keys.values_mut().for_each(close);
                // `properties` itself holds names of keys, and none of them is called so.
                if keys.contains_key("properties") {
                    keys.insert("additionalProperties".to_owned(), false.into());
                }
            }
            Value::Array(items) => items.iter_mut().for_each(close),
            _ => {}
        }
    }

    /// Parses the text and checks it against the schema, which must have all its keys.
    fn valid(text: &str) -> Value {
        let schema = include_str!("../../../docs/report.schema.json");
        assert!(
            !schema.contains("additionalProperties"),
            "new keys may come"
        );
        let mut schema = serde_json::from_str(schema).unwrap();
        close(&mut schema);
        let value: Value = serde_json::from_str(text).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let name = "report.schema.json";
        compiler.add_resource(name, schema).unwrap();
        let index = compiler.compile(name, &mut schemas).unwrap();
        if let Err(error) = schemas.validate(&value, index) {
            panic!("{error:#}\n{text}");
        }
        value
    }

    #[test]
    fn every_ending_is_as_the_schema_says() {
        for (ending, used, verdict) in [
            (Ending::Program(Exit::Code(0)), Some(usage(1, 2)), "ok"),
            (
                Ending::Program(Exit::Code(3)),
                Some(usage(1, 2)),
                "exit_code",
            ),
            (
                Ending::Program(Exit::Signal(11)),
                Some(usage(1, 2)),
                "signal",
            ),
            (
                Ending::Killed(KillReason::CpuTime),
                Some(usage(1001, 2)),
                "cpu_time_limit",
            ),
            (
                Ending::Killed(KillReason::WallTime),
                Some(usage(1, 2)),
                "wall_time_limit",
            ),
            (
                Ending::Killed(KillReason::Interrupted(2)),
                None,
                "interrupted",
            ),
            (Ending::Failed("a: b\nc".into()), None, "internal_error"),
        ] {
            let value = valid(&format(&report(ending, used), &circumstances()));
            assert_eq!(value["verdict"], verdict);
        }
        assert_eq!(valid(&format_failure("x: y"))["message"], "x: y");
    }

    #[test]
    fn what_never_began_has_a_reason_and_no_figures() {
        let of = |ending, unstarted| {
            let report = Report {
                unstarted: Some(unstarted),
                ..report(ending, Some(usage(1, 2)))
            };
            valid(&format(&report, &circumstances()))
        };
        let not_executed = of(
            Ending::Program(Exit::Code(127)),
            Unstarted::NotExecuted("why".into()),
        );
        let waited = of(
            Ending::Killed(KillReason::WallTime),
            Unstarted::NotOpened("why".into()),
        );
        for (value, status) in [(not_executed, "RE"), (waited, "TO")] {
            assert_eq!(value["verdict"], "not_started");
            assert_eq!(value["reason"], "why");
            assert_eq!(value["status"], status);
            for path in ["/exit_code", "/figures", "/stages/begun_us"] {
                assert_eq!(value.pointer(path), None, "{path}");
            }
        }
    }

    #[test]
    fn a_kill_for_memory_is_a_verdict_of_its_own() {
        let told = |cpu_ms, starved| {
            let mut usage = usage(cpu_ms, 2);
            usage.leaf = LeafUsage {
                oom_kills: Some(2),
                oom_group_kills: Some(1),
                oom_events: Some(1),
                starved,
                ..usage.leaf
            };
            let report = report(Ending::Program(Exit::Signal(9)), Some(usage));
            valid(&format(&report, &circumstances()))
        };
        let killed = told(1, false);
        assert_eq!(killed["verdict"], "memory_limit");
        assert_eq!(killed["figures"]["oom_kills"], 1);
        assert_eq!(killed["oom_killed"], true);
        assert_eq!(killed["signal"], 9);
        assert_eq!(told(1001, false)["verdict"], "memory_and_time_limit");
        let starved = told(1, true);
        assert_eq!(starved["verdict"], "memory_limit");
        assert!(starved["reason"].as_str().unwrap().contains("too small"));
        assert_eq!(starved.pointer("/figures"), None);
    }

    #[test]
    fn figures_limits_and_stages_have_their_units_in_their_names() {
        let ok = report(Ending::Program(Exit::Code(0)), Some(usage(12, 345)));
        let value = valid(&format(&ok, &circumstances()));
        for (path, expected) in [
            ("/exit_code", 0),
            ("/figures/cpu_time_us", 12_000),
            ("/figures/wall_time_us", 345_000),
            ("/figures/max_rss_bytes", 1234 * 1024),
            ("/limits/cpu_kill_us", 2_000_000),
            ("/limits/memory_bytes", 64 << 20),
            ("/limits/soft_stack_bytes", 64 << 20),
            ("/limits/core_bytes", 0),
            ("/limits/disk_bytes", 10_240),
            ("/box/uid", 60_003),
            ("/stages/laid_out_us", 500),
            ("/stages/begun_us", 1000),
        ] {
            let found = value.pointer(path).and_then(Value::as_u64);
            assert_eq!(found, Some(expected), "{path}");
        }
        for path in [
            "/limits/stack_bytes",
            "/limits/disk_files",
            "/stages/ended_us",
            "/figures/oom_kills",
        ] {
            assert_eq!(value.pointer(path), None, "{path}");
        }
    }
}
