//! What this machine is, as it is told in each result and in the list of machines.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use isolate_run_client::Machine;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::names::is_name;
use crate::settings::{Settings, SlotSettings};

/// A machine in the list. Machines of other versions are in it, too, and say more or less.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    /// What does not change.
    pub(crate) machine: Machine,
    /// How many jobs it runs at a time, and now.
    pub(crate) slots: usize,
    pub(crate) busy: usize,
    /// Why it takes no more jobs, if so.
    pub(crate) draining: Option<String>,
    /// Results that are not published yet.
    pub(crate) spool: usize,
    /// The worker's version, and the newest form of jobs that it knows.
    pub(crate) worker: String,
    pub(crate) format: u32,
    /// In milliseconds since 1970.
    pub(crate) since: u64,
}

/// What can be found out.
///
/// # Errors
///
/// It has no name that a machine can have, or the program that runs jobs does not work.
pub(crate) fn of_this(settings: &Settings) -> Result<Machine, Failure> {
    let program = &settings.machine.program;
    let said = run(program, &["--version"])?;
    let version = said.lines().last().unwrap_or_default();
    let version = version.trim_start_matches("isolate-run ").split(',').next();
    let shown = run(program, &["config", "show", "--json"]);
    let shown: Value = shown
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    Ok(Machine {
        id: id(settings)?,
        pool: settings.machine.pool.clone(),
        cpu_model: cpuinfo("model name"),
        microcode: cpuinfo("microcode"),
        kernel: first_line("/proc/sys/kernel/osrelease"),
        version: version.unwrap_or_default().to_owned(),
        config_digest: shown["digest"].as_str().unwrap_or_default().to_owned(),
        calibration: Value::Null,
    })
}

/// What the fleet calls this machine.
///
/// # Errors
///
/// The host's name is none that a machine can have.
pub(crate) fn id(settings: &Settings) -> Result<String, Failure> {
    if !settings.machine.id.is_empty() {
        return Ok(settings.machine.id.clone());
    }
    let name = first_line("/proc/sys/kernel/hostname");
    let name = name.split('.').next().unwrap_or_default();
    match is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(Failure::new(format!(
            "the host's name '{name}' cannot be that of a machine: set machine.id in worker.toml"
        ))),
    }
}

fn run(program: &Path, words: &[&str]) -> Result<String, Failure> {
    let what = format!("cannot run {} {}", program.display(), words.join(" "));
    let output = Command::new(program)
        .args(words)
        .output()
        .map_err(Failure::at(&what))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Failure::new(format!(
            "{what}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

fn first_line(file: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

fn cpuinfo(key: &str) -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.split_once(':'));
    value
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

/// How many jobs run at a time.
pub(crate) fn slots(settings: &SlotSettings) -> usize {
    if let Some(count) = settings.count {
        return count;
    }
    let ours = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    let cpus: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| ours.is_set(*cpu).unwrap_or(false))
        .collect();
    let siblings = |cpu: usize| {
        let file = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let text = first_line(&file);
        // Where nobody tells, each CPU is a core.
        if text.is_empty() {
            cpu.to_string()
        } else {
            text
        }
    };
    cores(&cpus, siblings, settings.share_cores)
        .saturating_sub(settings.reserve)
        .max(1)
}

/// How many cores these CPUs are. `siblings` is the same text for all threads of a core.
fn cores(cpus: &[usize], siblings: impl Fn(usize) -> String, share: bool) -> usize {
    match share {
        true => cpus.len(),
        false => cpus
            .iter()
            .map(|cpu| siblings(*cpu))
            .collect::<BTreeSet<_>>()
            .len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_core_are_one_core_unless_they_are_shared() {
        let siblings = |cpu: usize| format!("{}-{}", cpu / 2 * 2, cpu / 2 * 2 + 1);
        assert_eq!(cores(&[0, 1, 2, 3], siblings, false), 2);
        assert_eq!(cores(&[0, 1, 2, 3], siblings, true), 4);
        let settings = SlotSettings {
            count: None,
            reserve: 1000,
            share_cores: false,
        };
        assert_eq!(slots(&settings), 1);
    }
}
