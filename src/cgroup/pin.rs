//! What a leaf is bound to. The kernel grants CPUs and memory nodes in part or, when there are none
//! left, others: only the effective set tells (cgroup-v2.rst, cpuset.cpus.effective).

use std::io;

use super::{Cgroup, CgroupError};
use crate::quantity::CpuList;

/// CPUs or memory nodes that a leaf is bound to.
#[derive(Debug)]
pub(super) struct Pin {
    kind: Kind,
    list: CpuList,
}

/// What a leaf can be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Cpus,
    LeasedCpus,
    Nodes,
}

impl Kind {
    /// The file that takes the list.
    fn file(self) -> &'static str {
        match self {
            Self::Cpus | Self::LeasedCpus => "cpuset.cpus",
            Self::Nodes => "cpuset.mems",
        }
    }

    /// The file that has what the kernel makes of it.
    fn effective(self) -> &'static str {
        match self {
            Self::Cpus | Self::LeasedCpus => "cpuset.cpus.effective",
            Self::Nodes => "cpuset.mems.effective",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Cpus | Self::LeasedCpus => "CPUs",
            Self::Nodes => "memory nodes",
        }
    }

    /// What in the configuration binds a run to it.
    fn key(self) -> &'static str {
        match self {
            Self::Cpus | Self::Nodes => "[[pin]]",
            Self::LeasedCpus => "[cpus] lease",
        }
    }

    /// What limits the set of a cgroup, for people.
    fn remedy(self) -> &'static str {
        match self {
            Self::Cpus | Self::LeasedCpus => {
                "one is offline (/sys/devices/system/cpu/online), or the slices and cgroups above \
                 may not use it (AllowedCPUs=)"
            }
            Self::Nodes => {
                "one has no memory that is online, or the slices and cgroups above may not use it \
                 (AllowedMemoryNodes=)"
            }
        }
    }
}

impl Pin {
    /// Binds a cgroup, or says what the kernel grants instead.
    pub(super) fn set(cgroup: &Cgroup, kind: Kind, list: &CpuList) -> Result<Self, CgroupError> {
        cgroup.write(kind.file(), list.as_str()).map_err(|error| {
            match error.source.raw_os_error() {
                Some(libc::ERANGE | libc::EINVAL) => CgroupError {
                    source: io::Error::other(format!(
                        "this machine does not have all these {}; see {} in the configuration",
                        kind.words(),
                        kind.key()
                    )),
                    ..error
                },
                _ => error,
            }
        })?;
        let pin = Self {
            kind,
            list: list.clone(),
        };
        pin.check(cgroup)?;
        Ok(pin)
    }

    /// Fails unless the kernel keeps to the list, the whole list, and nothing but the list.
    pub(super) fn check(&self, cgroup: &Cgroup) -> Result<(), CgroupError> {
        let Self { kind, list } = self;
        let granted = cgroup.read(kind.effective())?;
        let granted = granted.trim_end();
        if list.names_what(granted) {
            return Ok(());
        }
        let shown = match granted {
            "" => "none",
            granted => granted,
        };
        Err(CgroupError::new(
            format!(
                "the run is bound to the {} {} by {}, but the kernel grants {shown} ({} of {})",
                kind.words(),
                list.as_str(),
                kind.key(),
                kind.effective(),
                cgroup.path().display()
            ),
            io::Error::other(kind.remedy()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A directory in the place of a cgroup, in which the kernel grants this.
    fn bind(list: &str, granted: &str) -> Result<Pin, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cpuset.cpus"), "").unwrap();
        fs::write(dir.path().join("cpuset.cpus.effective"), granted).unwrap();
        let cgroup = Cgroup::open(dir.path()).unwrap();
        let list = CpuList::parse(list).unwrap();
        let pin = Pin::set(&cgroup, Kind::Cpus, &list);
        let written = fs::read_to_string(dir.path().join("cpuset.cpus")).unwrap();
        assert_eq!(written, list.as_str());
        pin.map_err(|error| crate::error::chain(&error))
    }

    #[test]
    fn what_is_granted_is_the_pin_and_nothing_else() {
        for (list, granted) in [("1", "1\n"), ("0-3", "0-3\n"), ("2,0,1", "0-2\n")] {
            bind(list, granted).unwrap();
        }
        for (list, granted) in [("1", "0\n"), ("0-1", "0\n"), ("1", "0-1\n"), ("1", "\n")] {
            let refused = bind(list, granted).unwrap_err();
            let shown = match granted.trim_end() {
                "" => "none",
                other => other,
            };
            let both =
                format!("bound to the CPUs {list} by [[pin]], but the kernel grants {shown} (");
            assert!(refused.contains(&both), "{refused}");
            assert!(refused.contains("AllowedCPUs="), "{refused}");
        }
    }

    #[test]
    fn a_pin_that_is_lost_later_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let effective = dir.path().join("cpuset.mems.effective");
        fs::write(dir.path().join("cpuset.mems"), "").unwrap();
        fs::write(&effective, "1\n").unwrap();
        let cgroup = Cgroup::open(dir.path()).unwrap();
        let pin = Pin::set(&cgroup, Kind::Nodes, &CpuList::parse("1").unwrap()).unwrap();
        pin.check(&cgroup).unwrap();
        fs::write(&effective, "0\n").unwrap();
        let lost = pin.check(&cgroup).unwrap_err();
        assert!(lost.to_string().contains("memory nodes 1"), "{lost}");
    }
}
