//! Which directories a run sees: the configured rules, changed by those of the call. Pure.

use std::path::Path;

use super::Refusal;
use crate::cgroup::{LeafLimits, Place};
use crate::config::settings::Settings;
use crate::dir_rule::{self, DirFlags, DirRule, FileSystem, Source};
use crate::request::{ProgramRequest, RunKind};

/// The rules of a run, in order.
pub(super) fn directories(
    kind: RunKind,
    request: &ProgramRequest,
    settings: &Settings,
    leaf: &LeafLimits,
    place: &Place,
) -> Result<Vec<DirRule>, Refusal> {
    let configured = match request.no_default_dirs {
        true => Vec::new(),
        false => configured(kind, settings),
    };
    let mut rules = dir_rule::merge(configured, &request.dirs);
    rules.retain(|rule| !(is_cgroup(rule) && rule.flags.maybe && !leaf.controlled));
    let mut cgroups = rules.iter().filter(|rule| is_cgroup(rule));
    if let Some(rule) = cgroups.clone().find(|rule| rule.flags.writable) {
        return Err(Refusal(format!(
            "the control group at '{}' is read-only: leave out 'rw'",
            rule.inside.display()
        )));
    }
    if let (Some(rule), Place::Nowhere { reason }) = (cgroups.next(), place) {
        return Err(Refusal(format!(
            "the run has no control group to show as '{}': {reason}",
            rule.inside.display()
        )));
    }
    if let Some(second) = cgroups.next() {
        return Err(Refusal(format!(
            "the control group of the run can be shown once, and '{}' is the second place",
            second.inside.display()
        )));
    }
    if leaf.controlled {
        for rule in &mut rules {
            if let Source::FileSystem(FileSystem::Tmpfs(size @ None)) = &mut rule.source {
                // What is in it counts as memory of the run.
                *size = leaf.memory;
            }
        }
    }
    Ok(rules)
}

/// What is configured; for people at a shell with names inside, unless the rules say otherwise.
fn configured(kind: RunKind, settings: &Settings) -> Vec<DirRule> {
    let mut rules = settings.directories.clone();
    let etc = Path::new("etc");
    let is_open = || !rules.iter().any(|rule| rule.inside.starts_with(etc));
    if kind == RunKind::Exec && settings.exec_etc && is_open() {
        rules.push(DirRule {
            inside: etc.to_owned(),
            source: Source::FileSystem(FileSystem::Etc),
            flags: DirFlags::default(),
        });
    }
    rules
}

fn is_cgroup(rule: &DirRule) -> bool {
    rule.source == Source::FileSystem(FileSystem::Cgroup)
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::{given, nowhere, plan};
    use super::*;
    use crate::quantity::Bytes;

    /// The source of the rule for a place, if there is one.
    fn source(arguments: &[&str], place: Place, inside: &str) -> Option<Source> {
        let plan = plan(arguments, place).unwrap();
        let mut rules = plan.directories.iter();
        let rule = rules.find(|rule| rule.inside == Path::new(inside));
        rule.map(|rule| rule.source.clone())
    }

    #[test]
    fn directories_are_the_configured_ones_changed_by_rules() {
        let count = |arguments: &[&str]| plan(arguments, nowhere()).unwrap().directories.len();
        // Without control-group mode there is none to show.
        let all = Settings::default().directories.len() - 1;
        assert_eq!(count(&["--run", "a"]), all);
        assert_eq!(count(&["--dir=usr=", "--dir=x=/y", "--run", "a"]), all);
        assert_eq!(count(&["-D", "--dir=x=/y", "--run", "a"]), 1);
    }

    #[test]
    fn the_control_group_is_shown_where_it_keeps_the_limits() {
        let place = "sys/fs/cgroup";
        let shown = Some(Source::FileSystem(FileSystem::Cgroup));
        assert_eq!(source(&["--cg", "--run", "a"], given(), place), shown);
        assert_eq!(source(&["--run", "a"], given(), place), None);
        let without = ["--cg", "--dir=sys/fs/cgroup=", "--run", "a"];
        assert_eq!(source(&without, given(), place), None);
        let writable = ["--cg", "--dir=c=cgroup:fs:rw", "--run", "a"];
        let refusal = plan(&writable, given()).unwrap_err().to_string();
        assert!(refusal.contains("leave out 'rw'"), "{refusal}");
        let asked = ["--dir=c=cgroup:fs", "--run", "a"];
        assert_eq!(source(&asked, given(), "c"), shown);
        let refusal = plan(&asked, nowhere()).unwrap_err().to_string();
        assert!(refusal.contains("'c': no cgroup"), "{refusal}");
        let twice = ["--cg", "--dir=c=cgroup:fs", "--run", "a"];
        let refusal = plan(&twice, given()).unwrap_err().to_string();
        assert!(refusal.contains("'c' is the second place"), "{refusal}");
    }

    #[test]
    fn exec_has_names_inside_unless_rules_say_otherwise() {
        let etc = Some(Source::FileSystem(FileSystem::Etc));
        let host = Some(Source::Host("/etc".into()));
        for (arguments, expected) in [
            (&["exec", "a"][..], etc.clone()),
            (&["--run", "a"], None),
            (&["--etc=minimal", "--run", "a"], etc),
            (&["--etc=host", "--run", "a"], host.clone()),
            (&["exec", "--etc=host", "a"], host.clone()),
            (&["exec", "-d/etc", "a"], host),
            (&["exec", "--etc=none", "a"], None),
            (&["exec", "-D", "a"], None),
        ] {
            assert_eq!(
                source(arguments, nowhere(), "etc"),
                expected,
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn files_in_memory_may_fill_the_memory_of_the_run() {
        let size = |arguments: &[&str]| match source(arguments, given(), "dev/shm") {
            Some(Source::FileSystem(FileSystem::Tmpfs(size))) => size,
            other => panic!("{other:?}"),
        };
        assert_eq!(size(&["--run", "a"]), None);
        let limit = size(&["--cg", "--cg-mem=5M", "--run", "a"]);
        assert_eq!(limit, Some(Bytes(5 << 20)));
        let asked = "--dir=dev/shm=tmpfs:fs:rw:size=7M";
        let own = size(&["--cg", "--cg-mem=5M", asked, "--run", "a"]);
        assert_eq!(own, Some(Bytes(7 << 20)));
    }
}
