//! Which limits hold: what was asked for, otherwise what is configured, below the ceilings of a
//! caller who has any. This is decided once for each call, before there is a box.

use super::Refusal;
use super::ceilings::{self, Amounts, Ceiling};
use crate::config::ceilings::Ceilings;
use crate::config::settings::{LeaseUnit, Limits, Settings};
use crate::quantity::DiskQuota;
use crate::remedy::Remedy;
use crate::request::{BoxCall, BoxCommand, RunKind};
use crate::way;

/// What a call is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    /// The limits of the run; those that are configured if the call has no run.
    pub(super) limits: Limits,
    quota: Option<DiskQuota>,
    amounts: Amounts,
}

impl Granted {
    /// The disk quota of the box. `None`: none was asked for, and none is needed.
    pub(crate) fn quota(&self) -> Option<DiskQuota> {
        self.quota
    }

    /// What the call takes of everything that has a ceiling, while it is under way.
    pub(crate) fn amounts(&self) -> Amounts {
        self.amounts
    }
}

/// Decides what a call gets. Root has no ceilings.
pub(crate) fn grant(
    call: &BoxCall,
    settings: &Settings,
    ceilings: Option<&Ceilings>,
) -> Result<Granted, Refusal> {
    let BoxCall { common, command } = call;
    refuse_what_takes_root(command, settings)?;
    let disk = ceilings.and_then(|ceilings| ceilings.disk);
    let quota = match disk {
        Some(most) => {
            let makes_box = matches!(
                command,
                BoxCommand::Init(_) | BoxCommand::Exec(_) | BoxCommand::Keep(_)
            );
            ceilings::quota(command.quota(), most, makes_box)?
        }
        None => command.quota(),
    };
    let Some((kind, program)) = command.program() else {
        return Ok(Granted {
            limits: settings.defaults.clone(),
            quota,
            amounts: Amounts::default(),
        });
    };
    let configured = match kind {
        RunKind::Run => &settings.defaults,
        RunKind::Exec => &settings.exec,
    };
    let asked = &program.limits;
    let most = ceilings.map(ceilings::of_run).unwrap_or_default();
    let wall_time = below(
        most.wall_time.as_ref(),
        asked.wall_time,
        configured.wall_time,
    )?;
    if let (Some(ceiling), false) = (&most.memory, common.cg || kind == RunKind::Exec) {
        return Err(ceiling.needs_cg());
    }
    let cg_mem = below(most.memory.as_ref(), asked.cg_mem, configured.cg_mem)?;
    let processes = below(
        most.processes.as_ref(),
        asked.processes,
        configured.processes,
    )?;
    let amounts = Amounts {
        runs: 1,
        memory: most.memory.and(cg_mem).map_or(0, |memory| memory.0),
        processes: most.processes.and(processes).unwrap_or(0),
    };
    Ok(Granted {
        limits: Limits {
            time: over(asked.time, configured.time),
            extra_time: over(asked.extra_time, configured.extra_time),
            wall_time,
            address_space: over(asked.address_space, configured.address_space),
            cg_mem,
            stack: over(asked.stack, configured.stack),
            // Whoever asks for a stack gets it, for the program's first thread, too.
            soft_stack: configured.soft_stack.filter(|_| asked.stack.is_none()),
            file_size: over(asked.file_size, configured.file_size),
            core: asked.core.unwrap_or(configured.core),
            open_files: over(asked.open_files, configured.open_files),
            processes,
        },
        quota,
        amounts,
    })
}

/// Refuses what a process cannot have that is root of a user namespace alone.
fn refuse_what_takes_root(command: &BoxCommand, settings: &Settings) -> Result<(), Refusal> {
    if way::rootless().is_none() {
        return Ok(());
    }
    let refusal = |what: &str| {
        let remedy = Remedy::AskRoot;
        Refusal(format!("{what} cannot be had without root: {remedy}"))
    };
    if command.quota().is_some() {
        return Err(refusal(
            "a disk quota (--quota), in whose place a tmpfs has a size (--dir=work=tmpfs:fs:size=SIZE),",
        ));
    }
    if settings.cpus.lease != LeaseUnit::None {
        return Err(refusal("a lease of CPUs ([cpus] lease)"));
    }
    Ok(())
}

/// What was asked for, otherwise what is configured. Zero is no limit, as in isolate.
fn over<T: Copy + PartialEq + Default>(asked: Option<T>, configured: Option<T>) -> Option<T> {
    asked.map_or(configured, |value| (value != T::default()).then_some(value))
}

/// The same below a ceiling, if there is one. A value above it is refused if it was asked for, and
/// otherwise replaced by the ceiling.
fn below<T: Copy + PartialOrd + Default>(
    ceiling: Option<&Ceiling<T>>,
    asked: Option<T>,
    configured: Option<T>,
) -> Result<Option<T>, Refusal> {
    let Some(ceiling) = ceiling else {
        return Ok(over(asked, configured));
    };
    let limit = match asked {
        None => configured.filter(|value| *value <= ceiling.most),
        Some(value) if value == T::default() || value > ceiling.most => {
            return Err(ceiling.refusal(over(asked, None)));
        }
        Some(value) => Some(value),
    };
    Ok(Some(limit.unwrap_or(ceiling.most)))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::time::Duration;

    use super::*;
    use crate::config::ceilings::Shares;
    use crate::quantity::Bytes;

    fn call(line: &str) -> BoxCall {
        let argv = ["isolate-run"].into_iter().chain(line.split(' '));
        crate::cli::parse(argv.map(OsString::from))
            .unwrap()
            .into_box_call()
    }

    fn settings() -> Settings {
        let shares = |memory: u64, processes| Shares {
            memory: Some(Bytes(memory << 20)),
            processes: Some(processes),
            ..Shares::default()
        };
        Settings {
            ceilings: Ceilings {
                user: shares(100, 300),
                total: shares(400, 200),
                wall_time: Some(Duration::from_secs(10)),
                disk: Some(Bytes(64 << 20)),
                box_ids: None,
            },
            ..Settings::default()
        }
    }

    fn granted(line: &str) -> Result<Granted, String> {
        let settings = settings();
        let granted = grant(&call(line), &settings, Some(&settings.ceilings));
        granted.map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_is_left_open_gets_the_ceiling_and_what_is_below_stays() {
        let open = granted("--cg --run a").unwrap();
        assert_eq!(open.limits.wall_time, Some(Duration::from_secs(10)));
        assert_eq!(open.limits.cg_mem, Some(Bytes(100 << 20)));
        let expected = Amounts {
            runs: 1,
            memory: 100 << 20,
            processes: 1,
        };
        assert_eq!(open.amounts, expected);
        let asked = granted("--cg --cg-mem=5M -w 3 -p7 --run a").unwrap();
        assert_eq!(asked.limits.wall_time, Some(Duration::from_secs(3)));
        assert_eq!(
            (asked.amounts.memory, asked.amounts.processes),
            (5 << 20, 7)
        );
        // The configured number of processes of exec is above the ceiling.
        let exec = granted("exec a").unwrap();
        assert_eq!(
            (exec.limits.processes, exec.amounts.processes),
            (Some(200), 200)
        );
    }

    #[test]
    fn what_is_above_is_refused_with_both_figures() {
        for (line, asked, most) in [
            (
                "--cg -w 11 --run a",
                "--wall-time: 11 s",
                "10 s (ceilings.wall_time)",
            ),
            ("--cg -w 0 --run a", "--wall-time: unlimited", "10 s"),
            (
                "--cg --cg-mem=101M --run a",
                "--cg-mem: 101M",
                "100M (ceilings.memory)",
            ),
            ("--cg --cg-mem=0 --run a", "--cg-mem: unlimited", "100M"),
            (
                "--cg -p201 --run a",
                "--processes: 201",
                "200 (ceilings.total_processes)",
            ),
            ("--cg -p --run a", "--processes: unlimited", "200"),
            ("--run a", "memory is limited to 100M", "use --cg"),
            ("--quota=65537,9 --init", "--quota: ", "64M (ceilings.disk)"),
            ("--quota=5,20000 --init", "--quota: 20000 files", "16384"),
        ] {
            let refusal = granted(line).unwrap_err();
            assert!(
                refusal.contains(asked) && refusal.contains(most),
                "{line}: {refusal}"
            );
        }
    }

    #[test]
    fn a_box_has_the_quota_that_it_is_allowed() {
        let quota = |blocks, inodes| Some(DiskQuota { blocks, inodes });
        let of = |line| granted(line).unwrap().quota;
        assert_eq!(of("--init"), quota(65_536, 16_384));
        assert_eq!(of("exec a"), quota(65_536, 16_384));
        assert_eq!(of("--quota=10,0 --init"), quota(10, 16_384));
        assert_eq!(of("--cg --run a"), None);
        assert_eq!(of("--cleanup"), None);
    }

    #[test]
    fn without_ceilings_nothing_changes() {
        let open = grant(&call("--run a"), &Settings::default(), None).unwrap();
        assert_eq!(open.limits, Settings::default().defaults);
        let amounts = open.amounts;
        assert_eq!((amounts.runs, amounts.memory, amounts.processes), (1, 0, 0));
        assert_eq!(granted("--cleanup").unwrap().amounts, Amounts::default());
    }
}
