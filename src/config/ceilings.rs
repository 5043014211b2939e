//! `[ceilings]`: what users who are not root may have, each of them and all together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::box_set::BoxSet;
use crate::quantity::Bytes;

/// All ceilings. `None` is no ceiling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ceilings {
    /// What each user may have.
    pub(crate) user: Shares,
    /// What all users together may have.
    pub(crate) total: Shares,
    /// Wall time of one run.
    pub(crate) wall_time: Option<Duration>,
    /// Disk space of one box.
    pub(crate) disk: Option<Bytes>,
    /// The numbers that their boxes may have. They are not sent on: the list may be long, and
    /// nobody adds numbers up.
    #[serde(skip)]
    pub(crate) box_ids: Option<BoxSet>,
}

/// The ceilings of what adds up. No figure is ever zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shares {
    /// Boxes that exist.
    pub(crate) boxes: Option<u32>,
    /// Runs at the same time.
    pub(crate) runs: Option<u32>,
    /// Memory that these runs may use, by their limits.
    pub(crate) memory: Option<Bytes>,
    /// Processes that these runs may have, by their limits.
    pub(crate) processes: Option<u32>,
    /// CPU time that these runs may use per unit of time, in percent of one CPU.
    pub(crate) cpu_quota: Option<u32>,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self {
            user: Shares {
                boxes: Some(100),
                runs: Some(64),
                ..Shares::default()
            },
            total: Shares::default(),
            wall_time: None,
            disk: None,
            box_ids: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve::resolve_text;

    #[test]
    fn every_ceiling_is_read_and_may_be_lifted() {
        let text = "[ceilings]\nboxes = 5\nruns = 0\nmemory = '4G'\nprocesses = 100\ncpu_quota = '150%'\n\
                    wall_time = '1h'\ndisk = '1M'\ntotal_boxes = 50\ntotal_runs = 6\ntotal_memory = '8G'\n\
                    total_processes = 200\ntotal_cpu_quota = '300%'\nbox_ids = '7,1000-1999'\n";
        let ceilings = resolve_text(text).unwrap().ceilings;
        let shares = |boxes, runs, memory: u64, processes, cpu_quota| Shares {
            boxes: Some(boxes),
            runs,
            memory: Some(Bytes(memory << 30)),
            processes: Some(processes),
            cpu_quota: Some(cpu_quota),
        };
        assert_eq!(ceilings.user, shares(5, None, 4, 100, 150));
        assert_eq!(ceilings.total, shares(50, Some(6), 8, 200, 300));
        assert_eq!(ceilings.wall_time, Some(Duration::from_secs(3600)));
        assert_eq!(ceilings.disk, Some(Bytes(1 << 20)));
        assert_eq!(ceilings.box_ids.unwrap().to_string(), "7,1000-1999");
        let lifted = resolve_text("[ceilings]\nboxes = 'unlimited'\ncpu_quota = 'unlimited'\n");
        assert_eq!(lifted.unwrap().ceilings.user.boxes, None);
    }

    #[test]
    fn what_is_no_ceiling_is_refused() {
        for (line, reason) in [
            ("boxes = -1", "out of range"),
            ("memory = 'much'", "is not a size"),
            ("wall_time = 'long'", "is not a time"),
            ("cpu_quota = 150", "is no string"),
            ("cpu_quota = '150'", "is no CPU quota"),
            ("cpu_quota = '0%'", "is no CPU quota"),
            ("cpu_quota = '+5%'", "is no CPU quota"),
            ("cpu_quota = '5000000%'", "is no CPU quota"),
            ("box_ids = '9-1'", "is no list of boxes"),
            ("run = 5", "did you mean runs?"),
        ] {
            let refusal = resolve_text(&format!("[ceilings]\n{line}\n")).unwrap_err();
            assert!(refusal.contains(reason), "{line}: {refusal}");
        }
    }

    #[test]
    fn the_old_name_of_the_table_is_read_but_no_key_twice() {
        let old = resolve_text("[limits]\nboxes = 5\n[ceilings]\nruns = 6\n");
        let user = old.unwrap().ceilings.user;
        assert_eq!((user.boxes, user.runs), (Some(5), Some(6)));
        for (text, error) in [
            (
                "[ceilings]\nboxes = 5\n[limits]\nboxes = 6\n",
                "f:4: limits.boxes: set at f:2 already; one of the two is allowed",
            ),
            (
                "[limits]\nboxes = -1\n",
                "f:2: limits.boxes: -1 is out of range; whole numbers from 0 to 2147483647 are allowed, and \"unlimited\"",
            ),
        ] {
            assert_eq!(resolve_text(text).unwrap_err(), error);
        }
    }
}
