//! How long a scope of systemd's lives: `[cgroup] scope`, and `[batch] scope`.

use super::settings::Settings;

/// How long a scope of systemd's lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScopeLife {
    /// For one run.
    Run,
    /// For the runs that follow each other in a box, each of which has a leaf of its own in it.
    Box,
}

impl ScopeLife {
    /// Every choice.
    pub(crate) const ALL: [Self; 2] = [Self::Box, Self::Run];

    /// The name in `[cgroup] scope`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Box => "box",
        }
    }

    /// The name in `[batch] scope`: each box is a slot's.
    pub(crate) fn name_of_batch(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Box => "slot",
        }
    }
}

/// For how many seconds a scope that a batch keeps for several runs lives at least, if scopes are
/// kept at all.
const LEAST_OF_BATCH: u32 = 60;

impl Settings {
    /// Whether the scope of a run is also for those that follow in its box.
    pub(crate) fn scope_outlasts_runs(&self, of_batch: bool) -> bool {
        let life = match of_batch {
            true => self.batch.scope,
            false => self.cgroup.scope,
        };
        life == ScopeLife::Box && self.keep_ready(of_batch) > 0
    }

    /// For how many seconds the scope of a box's next run is kept ready; 0: there is none.
    pub(crate) fn keep_ready(&self, of_batch: bool) -> u32 {
        let outlasts = of_batch && self.batch.scope == ScopeLife::Box;
        match self.cgroup.keep_ready {
            0 => 0,
            seconds if outlasts => seconds.max(LEAST_OF_BATCH),
            seconds => seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_for_several_runs_where_somebody_keeps_it() {
        let mut settings = Settings::default();
        assert!(settings.scope_outlasts_runs(false));
        assert!(settings.scope_outlasts_runs(true));
        assert_eq!(settings.keep_ready(true), LEAST_OF_BATCH);
        settings.cgroup.keep_ready = 0;
        assert!(!settings.scope_outlasts_runs(false));
        assert!(!settings.scope_outlasts_runs(true));
        assert_eq!(settings.keep_ready(true), 0);
        settings.cgroup.keep_ready = 61;
        settings.cgroup.scope = ScopeLife::Run;
        assert!(!settings.scope_outlasts_runs(false));
        assert_eq!(
            (settings.keep_ready(false), settings.keep_ready(true)),
            (61, 61)
        );
        settings.batch.scope = ScopeLife::Run;
        assert!(!settings.scope_outlasts_runs(true));
    }
}
