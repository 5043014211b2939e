//! What users who are not root may ask for: a request above a ceiling is refused before anything
//! starts, with the figures. Pure.

use std::fmt::Display;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::config::ceilings::{Ceilings, Shares};
use crate::quantity::{BoxId, Bytes, DiskQuota};
use crate::user::Who;

/// What a request takes while it is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Amounts {
    /// Runs.
    pub(crate) runs: u32,
    /// Memory in bytes; 0 where it has no ceiling.
    pub(crate) memory: u64,
    /// Processes; 0 where they have no ceiling.
    pub(crate) processes: u32,
}

/// The fewest files that a ceiling of disk space allows.
const LEAST_FILES: u32 = 1000;
/// Above that there is a file for every so many KiB of the ceiling; mke2fs(8) makes an inode for
/// four times as much.
const KIB_PER_FILE: u32 = 4;

/// Refuses another box to a user who has `theirs`, while all users but root have `all`.
pub(crate) fn check_boxes(
    uid: u32,
    theirs: u32,
    all: u32,
    ceilings: &Ceilings,
) -> Result<(), Refusal> {
    match (ceilings.user.boxes, ceilings.total.boxes) {
        (Some(most), _) if theirs >= most => Err(Refusal(format!(
            "{} has {theirs} boxes, of at most {most} (ceilings.boxes): remove unused ones by --cleanup",
            Who(uid)
        ))),
        (_, Some(most)) if all >= most => Err(Refusal(format!(
            "all users together have {all} boxes, of at most {most} (ceilings.total_boxes)"
        ))),
        _ => Ok(()),
    }
}

/// Whether a user's box may have this number.
pub(crate) fn check_number(id: BoxId, ceilings: &Ceilings) -> Result<(), Refusal> {
    match &ceilings.box_ids {
        Some(ids) if !ids.contains(id) => Err(Refusal(format!(
            "box {id} is not for users, who may have {ids} (ceilings.box_ids in isolate.toml): choose one of these by --box-id=ID, \
             or let --init --box-id=auto choose"
        ))),
        _ => Ok(()),
    }
}

/// The most that may be asked for, and the key that says so.
#[derive(Debug)]
pub(super) struct Ceiling<T> {
    option: &'static str,
    /// The most.
    pub(super) most: T,
    key: String,
    shown: fn(T) -> String,
}

/// The ceilings of one run.
#[derive(Debug, Default)]
pub(super) struct RunCeilings {
    pub(super) wall_time: Option<Ceiling<Duration>>,
    pub(super) memory: Option<Ceiling<Bytes>>,
    pub(super) processes: Option<Ceiling<u32>>,
}

impl<T: Copy> Ceiling<T> {
    /// The refusal of this; `None` asks for no limit.
    pub(super) fn refusal(&self, asked: Option<T>) -> Refusal {
        let asked = asked.map_or_else(|| "unlimited".to_owned(), self.shown);
        above(self.option, asked, (self.shown)(self.most), &self.key)
    }

    /// The refusal of a run without a control group.
    pub(super) fn needs_cg(&self) -> Refusal {
        let most = (self.shown)(self.most);
        Refusal(format!(
            "memory is limited to {most} ({}), which nothing but a control group can keep: use --cg and --cg-mem",
            self.key
        ))
    }
}

/// The ceilings of one run: the lower ones of a user's and of all users'.
pub(super) fn of_run(ceilings: &Ceilings) -> RunCeilings {
    let memory = lower(ceilings, |shares| shares.memory, "memory");
    let processes = lower(ceilings, |shares| shares.processes, "processes");
    RunCeilings {
        wall_time: ceilings.wall_time.map(|most| Ceiling {
            option: "--wall-time",
            most,
            key: "ceilings.wall_time".to_owned(),
            shown: |time| format!("{} s", time.as_secs_f64()),
        }),
        memory: memory.map(|(most, key)| Ceiling {
            option: "--cg-mem",
            most,
            key,
            shown: |memory| memory.to_string(),
        }),
        processes: processes.map(|(most, key)| Ceiling {
            option: "--processes",
            most,
            key,
            shown: |processes| processes.to_string(),
        }),
    }
}

/// The disk quota of a box with this ceiling: what was asked for, if it is not above, and the whole
/// ceiling for a box that is made.
pub(super) fn quota(
    asked: Option<DiskQuota>,
    most: Bytes,
    makes_box: bool,
) -> Result<Option<DiskQuota>, Refusal> {
    let blocks = u32::try_from(most.0 >> 10).unwrap_or(u32::MAX).max(1);
    let inodes = (blocks / KIB_PER_FILE).max(LEAST_FILES);
    let (option, key) = ("--quota", "ceilings.disk");
    match asked {
        Some(asked) if asked.blocks > blocks => {
            let asked = Bytes(u64::from(asked.blocks) << 10);
            Err(above(option, asked, most, key))
        }
        Some(asked) if asked.inodes > inodes => {
            let asked = format!("{} files", asked.inodes);
            Err(above(option, asked, inodes, key))
        }
        Some(asked) if asked.inodes == 0 => Ok(Some(DiskQuota { inodes, ..asked })),
        Some(asked) => Ok(Some(asked)),
        None => Ok(makes_box.then_some(DiskQuota { blocks, inodes })),
    }
}

/// The lower one of the ceilings of a user and of all users, with its key.
fn lower<T: Copy + PartialOrd>(
    ceilings: &Ceilings,
    of: impl Fn(&Shares) -> Option<T>,
    name: &str,
) -> Option<(T, String)> {
    let user = of(&ceilings.user).map(|most| (most, format!("ceilings.{name}")));
    let total = of(&ceilings.total).map(|most| (most, format!("ceilings.total_{name}")));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::box_set::BoxSet;

    #[test]
    fn a_number_that_is_not_for_users_is_told_with_those_that_are() {
        let mut ceilings = Ceilings::default();
        assert!(check_number(BoxId(0), &ceilings).is_ok());
        ceilings.box_ids = BoxSet::parse("7,1000-1999");
        assert!(check_number(BoxId(1000), &ceilings).is_ok());
        let refusal = check_number(BoxId(8), &ceilings).unwrap_err().to_string();
        assert!(
            refusal.contains("box 8 is not for users, who may have 7,1000-1999"),
            "{refusal}"
        );
    }

    #[test]
    fn boxes_are_counted_for_each_and_for_all() {
        const UID: u32 = 4_100_000_000;
        let ceilings = Ceilings {
            total: Shares {
                boxes: Some(120),
                ..Shares::default()
            },
            ..Ceilings::default()
        };
        assert!(check_boxes(UID, 99, 119, &ceilings).is_ok());
        let refusal = check_boxes(UID, 100, 100, &ceilings)
            .unwrap_err()
            .to_string();
        assert!(
            refusal.starts_with("user 4100000000 has 100 boxes, of at most 100"),
            "{refusal}"
        );
        let refusal = check_boxes(UID, 1, 120, &ceilings).unwrap_err().to_string();
        assert!(refusal.contains("ceilings.total_boxes"), "{refusal}");
    }
}
