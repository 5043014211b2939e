//! What users who are not root may ask for: requests above are refused before anything starts, with the figures. Pure.

use std::fmt::Display;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::config::ceilings::{Ceilings, Shares};
use crate::config::settings::{Limits, Settings};
use crate::quantity::{Bytes, DiskQuota};
use crate::request::{Command, LimitRequest, Request};

/// What a request takes as long as it is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Amounts {
    /// Runs.
    pub(crate) runs: u32,
    /// Memory in bytes; 0 where it has no ceiling.
    pub(crate) memory: u64,
    /// Processes; 0 where they have no ceiling.
    pub(crate) processes: u32,
}

/// The fewest files that a ceiling of disk space leaves,
const LEAST_FILES: u32 = 1000;
/// and how many KiB there are for each otherwise: what mke2fs(8) makes inodes for is four times as much.
const KIB_PER_FILE: u32 = 4;

/// Checks a request against the ceilings, and says what it takes. What it leaves open, and what would otherwise be above,
/// gets the ceiling as its limit.
pub(crate) fn apply(request: &mut Request, settings: &Settings) -> Result<Amounts, Refusal> {
    let ceilings = &settings.ceilings;
    apply_disk(request, ceilings)?;
    let configured = match request.command {
        Command::Run => &settings.defaults,
        Command::Exec => &settings.exec,
        _ => return Ok(Amounts::default()),
    };
    let has_cg = request.cg || request.command == Command::Exec;
    let limits = &mut request.limits;
    apply_wall_time(limits, configured, ceilings)?;
    Ok(Amounts {
        runs: 1,
        memory: apply_memory(limits, configured, ceilings, has_cg)?,
        processes: apply_processes(limits, configured, ceilings)?,
    })
}

/// Whether a user with so many boxes may have another one, when all users but root have so many.
pub(crate) fn check_boxes(
    uid: u32,
    theirs: u32,
    all: u32,
    ceilings: &Ceilings,
) -> Result<(), Refusal> {
    match (ceilings.user.boxes, ceilings.total.boxes) {
        (Some(most), _) if theirs >= most => Err(Refusal(format!(
            "user {uid} has {theirs} boxes, of at most {most} (limits.boxes): remove unused ones by --cleanup"
        ))),
        (_, Some(most)) if all >= most => Err(Refusal(format!(
            "all users together have {all} boxes, of at most {most} (limits.total_boxes)"
        ))),
        _ => Ok(()),
    }
}

fn apply_wall_time(
    limits: &mut LimitRequest,
    configured: &Limits,
    ceilings: &Ceilings,
) -> Result<(), Refusal> {
    let Some(most) = ceilings.wall_time else {
        return Ok(());
    };
    match limits.wall_time {
        None => {
            let time = configured.wall_time.map_or(most, |time| time.min(most));
            limits.wall_time = Some(time);
        }
        Some(Duration::ZERO) => {
            return Err(above(
                "--wall-time",
                "unlimited",
                seconds(most),
                "limits.wall_time",
            ));
        }
        Some(time) if time > most => {
            let most = seconds(most);
            return Err(above(
                "--wall-time",
                seconds(time),
                most,
                "limits.wall_time",
            ));
        }
        Some(_) => {}
    }
    Ok(())
}

fn apply_memory(
    limits: &mut LimitRequest,
    configured: &Limits,
    ceilings: &Ceilings,
    has_cg: bool,
) -> Result<u64, Refusal> {
    let Some((most, key)) = lower(ceilings, |shares| shares.memory, "memory") else {
        return Ok(0);
    };
    if !has_cg {
        return Err(Refusal(format!(
            "memory is limited to {most} ({key}), which nothing but a control group can keep: use --cg and --cg-mem"
        )));
    }
    let memory = match limits.cg_mem {
        None => configured.cg_mem.map_or(most, |memory| memory.min(most)),
        Some(Bytes(0)) => return Err(above("--cg-mem", "unlimited", most, &key)),
        Some(memory) if memory > most => return Err(above("--cg-mem", memory, most, &key)),
        Some(memory) => memory,
    };
    limits.cg_mem = Some(memory);
    Ok(memory.0)
}

fn apply_processes(
    limits: &mut LimitRequest,
    configured: &Limits,
    ceilings: &Ceilings,
) -> Result<u32, Refusal> {
    let Some((most, key)) = lower(ceilings, |shares| shares.processes, "processes") else {
        return Ok(0);
    };
    let processes = match limits.processes {
        None => configured
            .processes
            .map_or(most, |processes| processes.min(most)),
        Some(0) => return Err(above("--processes", "unlimited", most, &key)),
        Some(processes) if processes > most => {
            return Err(above("--processes", processes, most, &key));
        }
        Some(processes) => processes,
    };
    limits.processes = Some(processes);
    Ok(processes)
}

fn apply_disk(request: &mut Request, ceilings: &Ceilings) -> Result<(), Refusal> {
    let Some(most) = ceilings.disk else {
        return Ok(());
    };
    let blocks = u32::try_from(most.0 >> 10).unwrap_or(u32::MAX).max(1);
    let inodes = (blocks / KIB_PER_FILE).max(LEAST_FILES);
    let all = DiskQuota { blocks, inodes };
    let key = "limits.disk";
    match request.quota {
        Some(asked) if asked.blocks > blocks => {
            let asked = Bytes(u64::from(asked.blocks) << 10);
            Err(above("--quota", asked, most, key))
        }
        Some(asked) if asked.inodes > inodes => Err(above(
            "--quota",
            format_args!("{} files", asked.inodes),
            inodes,
            key,
        )),
        Some(asked) => {
            let inodes = if asked.inodes == 0 {
                inodes
            } else {
                asked.inodes
            };
            request.quota = Some(DiskQuota { inodes, ..asked });
            Ok(())
        }
        None => {
            if matches!(request.command, Command::Init | Command::Exec) {
                request.quota = Some(all);
            }
            Ok(())
        }
    }
}

/// The lower of the ceilings of a user and of all, with its key.
fn lower<T: Copy + PartialOrd>(
    ceilings: &Ceilings,
    of: impl Fn(&Shares) -> Option<T>,
    name: &str,
) -> Option<(T, String)> {
    let user = of(&ceilings.user).map(|most| (most, format!("limits.{name}")));
    let total = of(&ceilings.total).map(|most| (most, format!("limits.total_{name}")));
    match (user, total) {
        (Some(user), Some(total)) => Some(if total.0 < user.0 { total } else { user }),
        (user, total) => user.or(total),
    }
}

fn above(option: &str, asked: impl Display, most: impl Display, key: &str) -> Refusal {
    Refusal(format!(
        "{option}: {asked} is above what is allowed, {most} ({key}); an administrator may raise it in isolate.toml"
    ))
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn request(line: &str) -> Request {
        let argv = ["isolate-run"].into_iter().chain(line.split(' '));
        crate::cli::parse(argv.map(OsString::from))
            .unwrap()
            .into_request()
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
            },
            ..Settings::default()
        }
    }

    fn applied(line: &str) -> Result<(Request, Amounts), String> {
        let mut request = request(line);
        let amounts = apply(&mut request, &settings());
        amounts
            .map(|amounts| (request, amounts))
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_is_left_open_gets_the_ceiling_and_what_is_below_stays() {
        let (open, amounts) = applied("--cg --run a").unwrap();
        assert_eq!(open.limits.wall_time, Some(Duration::from_secs(10)));
        assert_eq!(open.limits.cg_mem, Some(Bytes(100 << 20)));
        let expected = Amounts {
            runs: 1,
            memory: 100 << 20,
            processes: 1,
        };
        assert_eq!(amounts, expected);
        let (asked, amounts) = applied("--cg --cg-mem=5M -w 3 -p7 --run a").unwrap();
        assert_eq!(asked.limits.wall_time, Some(Duration::from_secs(3)));
        assert_eq!((amounts.memory, amounts.processes), (5 << 20, 7));
        // The configured number of processes of exec is above.
        let (exec, amounts) = applied("exec a").unwrap();
        assert_eq!((exec.limits.processes, amounts.processes), (Some(200), 200));
    }

    #[test]
    fn what_is_above_is_refused_with_both_figures() {
        for (line, asked, most) in [
            (
                "--cg -w 11 --run a",
                "--wall-time: 11 s",
                "10 s (limits.wall_time)",
            ),
            ("--cg -w 0 --run a", "--wall-time: unlimited", "10 s"),
            (
                "--cg --cg-mem=101M --run a",
                "--cg-mem: 101M",
                "100M (limits.memory)",
            ),
            ("--cg --cg-mem=0 --run a", "--cg-mem: unlimited", "100M"),
            (
                "--cg -p201 --run a",
                "--processes: 201",
                "200 (limits.total_processes)",
            ),
            ("--cg -p --run a", "--processes: unlimited", "200"),
            ("--run a", "memory is limited to 100M", "use --cg"),
            ("--quota=65537,9 --init", "--quota: ", "64M (limits.disk)"),
            ("--quota=5,20000 --init", "--quota: 20000 files", "16384"),
        ] {
            let refusal = applied(line).unwrap_err();
            assert!(
                refusal.contains(asked) && refusal.contains(most),
                "{line}: {refusal}"
            );
        }
    }

    #[test]
    fn a_box_has_the_quota_that_it_is_allowed() {
        let quota = |blocks, inodes| Some(DiskQuota { blocks, inodes });
        let of = |line| applied(line).unwrap().0.quota;
        assert_eq!(of("--init"), quota(65_536, 16_384));
        assert_eq!(of("exec a"), quota(65_536, 16_384));
        assert_eq!(of("--quota=10,0 --init"), quota(10, 16_384));
        assert_eq!(of("--cg --run a"), None);
        assert_eq!(of("--cleanup"), None);
    }

    #[test]
    fn without_ceilings_nothing_changes() {
        let mut asked = request("--run a");
        let amounts = apply(&mut asked, &Settings::default()).unwrap();
        assert_eq!(asked, request("--run a"));
        assert_eq!((amounts.runs, amounts.memory, amounts.processes), (1, 0, 0));
        assert_eq!(applied("--cleanup").unwrap().1, Amounts::default());
    }

    #[test]
    fn boxes_are_counted_for_each_and_for_all() {
        let ceilings = Ceilings {
            total: Shares {
                boxes: Some(120),
                ..Shares::default()
            },
            ..Ceilings::default()
        };
        assert!(check_boxes(7, 99, 119, &ceilings).is_ok());
        let refusal = check_boxes(7, 100, 100, &ceilings).unwrap_err().to_string();
        assert!(
            refusal.starts_with("user 7 has 100 boxes, of at most 100"),
            "{refusal}"
        );
        let refusal = check_boxes(7, 1, 120, &ceilings).unwrap_err().to_string();
        assert!(refusal.contains("limits.total_boxes"), "{refusal}");
    }
}
