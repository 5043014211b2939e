//! Where a run's cgroup comes from.

use std::path::PathBuf;

use crate::config::settings::Manager;
use crate::remedy::Remedy;
use crate::way;

/// Where the cgroup of a run comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A transient scope, asked for over D-Bus.
    Systemd {
        /// The mount point of cgroup2.
        mount_point: PathBuf,
        /// Whether this kernel offers the memory controller in cgroup v2.
        has_memory: bool,
    },
    /// Below a cgroup that was given to us.
    Delegated {
        /// That cgroup.
        root: PathBuf,
        /// Whether it offers the memory controller.
        has_memory: bool,
    },
    /// Nowhere: rlimits and rusage.
    Nowhere {
        /// Why there is none, and what to do about it.
        reason: String,
    },
}

impl Place {
    /// Who makes the cgroup.
    pub(crate) fn manager(&self) -> Manager {
        match self {
            Self::Systemd { .. } => Manager::Systemd,
            Self::Delegated { .. } => Manager::Delegated,
            Self::Nowhere { .. } => Manager::None,
        }
    }

    /// Why there is no cgroup, where there is none.
    pub(crate) fn why_none(&self) -> Option<&str> {
        match self {
            Self::Nowhere { reason } => Some(reason),
            Self::Systemd { .. } | Self::Delegated { .. } => None,
        }
    }

    /// Refuses `--cg` where it cannot be kept, with what to do instead.
    pub(crate) fn require_memory(&self) -> Result<(), String> {
        let (cgroup, has_memory) = match self {
            Self::Systemd {
                mount_point,
                has_memory,
            } => (mount_point, has_memory),
            Self::Delegated { root, has_memory } => (root, has_memory),
            Self::Nowhere { reason } => return Err(format!("{reason}; or run without --cg")),
        };
        if *has_memory {
            return Ok(());
        }
        if way::rootless().is_some() {
            let text = format!("there is no memory controller; {}", Remedy::DelegateToUser);
            return Err(text);
        }
        Err(format!(
            "the cgroup {} has no memory controller; {}",
            cgroup.display(),
            Remedy::EnableMemory
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_group_mode_is_refused_where_memory_cannot_be_limited() {
        let place = |has_memory| Place::Delegated {
            root: "/cg/own".into(),
            has_memory,
        };
        assert_eq!(place(true).require_memory(), Ok(()));
        assert!(
            place(false)
                .require_memory()
                .unwrap_err()
                .contains("/cg/own has no memory controller")
        );
        assert_eq!(
            Place::Nowhere {
                reason: "why".into()
            }
            .require_memory(),
            Err("why; or run without --cg".into())
        );
    }
}
