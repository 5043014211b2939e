//! The form of the report, as types; `docs/report.schema.json` explains it.

use serde::Serialize;

use crate::cpus::Leased;

#[derive(Serialize)]
pub(super) struct Document {
    pub(super) format: u32,
    pub(super) isolate_run: &'static str,
    pub(super) verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signal: Option<i32>,
    pub(super) killed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oom_killed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) figures: Option<Figures>,
    #[serde(flatten)]
    pub(super) held: Option<Held>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) struct Held {
    pub(super) way: &'static str,
    #[serde(rename = "box")]
    pub(super) box_: BoxFacts,
    pub(super) cgroup: CgroupFacts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpus: Option<CpuFacts>,
    pub(super) limits: LimitFacts,
    pub(super) restrictions: RestrictionFacts,
    pub(super) stages: StageFacts,
}

/// What the run used.
#[derive(Serialize)]
pub(super) struct Figures {
    pub(super) cpu_time_us: u64,
    pub(super) cpu_user_us: u64,
    pub(super) cpu_system_us: u64,
    pub(super) wall_time_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oom_kills: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) processes_peak: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) processes_refused: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) voluntary_context_switches: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) forced_context_switches: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct BoxFacts {
    pub(super) id: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) files: &'static str,
}

#[derive(Serialize)]
pub(super) struct CgroupFacts {
    pub(super) manager: &'static str,
    pub(super) control_group_mode: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
}

/// The CPUs that were leased.
#[derive(Serialize)]
pub(super) struct CpuFacts {
    pub(super) lease: &'static str,
    pub(super) leased: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<String>,
    pub(super) others_on_core: u64,
    pub(super) others_on_cache: u64,
}

impl CpuFacts {
    pub(super) fn of(leased: &Leased) -> Self {
        Self {
            lease: leased.unit.name(),
            leased: leased.cpus.as_str().to_owned(),
            idle: leased.idle.as_ref().map(|list| list.as_str().to_owned()),
            class: leased.class.clone(),
            others_on_core: leased.on_core,
            others_on_cache: leased.on_cache,
        }
    }
}

/// The limits in force.
#[derive(Serialize)]
pub(super) struct LimitFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_time_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_kill_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wall_time_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) processes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address_space_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stack_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) soft_stack_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) core_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) open_files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disk_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disk_files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpus: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_nodes: Option<String>,
}

/// What was enforced besides limits. Whatever is not listed here holds for every run.
#[derive(Serialize)]
pub(super) struct RestrictionFacts {
    pub(super) network: &'static str,
    pub(super) system_calls_denied: Vec<&'static str>,
}

/// When each stage was reached, counted from the moment at which the run was asked for.
#[derive(Serialize)]
pub(super) struct StageFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) laid_out_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) root_built_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cgroup_ready_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) begun_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended_us: Option<u64>,
}
