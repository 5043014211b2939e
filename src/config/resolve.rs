//! Inputs to settings: each value read and checked. `[boxes]` is in `boxes.rs`, lists in `lists.rs`.

use crate::config::boxes;
use crate::config::ceilings;
use crate::config::error::ConfigError;
use crate::config::inputs::Inputs;
use crate::config::key::{Key, Limit};
use crate::config::lists;
use crate::config::settings::{CgroupSettings, Limits, Manager, Settings};
use crate::config::subid::SubIds;
use crate::config::value::{self, Value};

/// Reads and checks everything. `look_up` finds the ids of `subid_user`.
pub(super) fn resolve(
    inputs: &Inputs,
    look_up: impl FnOnce(&str) -> Result<SubIds, ConfigError>,
) -> Result<Settings, ConfigError> {
    let defaults = resolve_limits(inputs, Limits::default(), Key::Defaults)?;
    let exec = Limits {
        processes: Some(Limits::EXEC_PROCESSES),
        ..defaults.clone()
    };
    let built_in = Settings::default();
    Ok(Settings {
        boxes: boxes::boxes(inputs, look_up)?,
        cgroup: resolve_cgroup(inputs)?,
        defaults,
        exec: resolve_limits(inputs, exec, Key::Exec)?,
        ceilings: ceilings::ceilings(inputs)?,
        directories: lists::directories(inputs)?.unwrap_or(built_in.directories),
        syscalls: lists::syscalls(inputs)?.unwrap_or(built_in.syscalls),
        pins: lists::pins(inputs)?,
    })
}

fn resolve_cgroup(inputs: &Inputs) -> Result<CgroupSettings, ConfigError> {
    let mut cgroup = CgroupSettings::default();
    inputs.read(&mut cgroup.manager, Key::CgroupManager, manager)?;
    inputs.read(&mut cgroup.root, Key::CgroupRoot, |value| {
        value::path(value).map(Some)
    })?;
    inputs.read(&mut cgroup.slice, Key::CgroupSlice, slice)?;
    if let (Manager::Systemd | Manager::None, Some(place)) =
        (cgroup.manager, inputs.place(Key::CgroupRoot))
    {
        let chosen = inputs.place(Key::CgroupManager);
        let text = format!(
            "cannot be used with manager = \"{}\"{}; the managers auto and delegated are allowed",
            cgroup.manager.name(),
            chosen.map_or(String::new(), |chosen| format!(" at {chosen}"))
        );
        return Err(place.key_error(Key::CgroupRoot, text));
    }
    Ok(cgroup)
}

fn manager(value: &Value) -> Result<Manager, String> {
    let allowed = format!("{} are allowed", Manager::ALL.map(Manager::name).join(", "));
    let name = value.text(&allowed)?;
    Manager::ALL
        .into_iter()
        .find(|manager| manager.name() == name)
        .ok_or_else(|| format!("'{}' is no manager; {allowed}", value::excerpt(name)))
}

/// A slice's unit name, as systemd takes it: dashes are levels of the tree, so none may be empty.
/// See systemd.slice(5) and systemd.unit(5), "Description" (255 characters).
fn slice(value: &Value) -> Result<String, String> {
    let allowed = "NAME.slice of at most 255 letters, digits, ':', '_', '.', '-' is allowed, \
                   with single dashes inside of NAME";
    let name = value.text(allowed)?;
    let is_valid = name.len() <= 255
        && name.strip_suffix(".slice").is_some_and(|stem| {
            let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'.' | b'-');
            stem.bytes().all(known) && stem.split('-').all(|level| !level.is_empty())
        });
    if !is_valid {
        let shown = value::excerpt(name);
        return Err(format!("'{shown}' is no name of a slice; {allowed}"));
    }
    Ok(name.to_owned())
}

/// Reads the keys of `[defaults]` or `[exec]` over `limits`.
fn resolve_limits(
    inputs: &Inputs,
    mut limits: Limits,
    table: fn(Limit) -> Key,
) -> Result<Limits, ConfigError> {
    let (time, size, count) = (value::time_limit, value::size_limit, value::count_limit);
    inputs.read(&mut limits.time, table(Limit::Time), time)?;
    inputs.read(&mut limits.extra_time, table(Limit::ExtraTime), time)?;
    inputs.read(&mut limits.wall_time, table(Limit::WallTime), time)?;
    inputs.read(&mut limits.address_space, table(Limit::Mem), size)?;
    inputs.read(&mut limits.cg_mem, table(Limit::CgMem), size)?;
    inputs.read(&mut limits.stack, table(Limit::Stack), size)?;
    inputs.read(&mut limits.file_size, table(Limit::Fsize), size)?;
    inputs.read(&mut limits.core, table(Limit::Core), value::size)?;
    inputs.read(&mut limits.open_files, table(Limit::OpenFiles), count)?;
    inputs.read(&mut limits.processes, table(Limit::Processes), count)?;
    Ok(limits)
}

/// Settings of one text, in which the subid user `isolate` has 5000 uids from 200000 and 3000 gids
/// from 300000 on.
#[cfg(test)]
pub(super) fn resolve_text(text: &str) -> Result<Settings, String> {
    use crate::config::subid::IdRange;
    let file = crate::config::error::Place::file(std::path::Path::new("f"));
    let range = |first, count| IdRange { first, count };
    let mut inputs = Inputs::default();
    crate::config::fragment::parse(text, &file)
        .and_then(|fragment| {
            inputs.override_with(fragment);
            resolve(&inputs, |user| match user {
                "isolate" => Ok(SubIds {
                    uids: range(200_000, 5000),
                    gids: range(300_000, 3000),
                }),
                _ => Ok(SubIds {
                    uids: range(0, 10),
                    gids: range(1, 0),
                }),
            })
        })
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::quantity::Bytes;

    fn refusal(text: &str) -> String {
        resolve_text(text).unwrap_err()
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        for text in ["", "[boxes]\n[exec]\n", "[defaults]", "\u{feff}[boxes]\r\n"] {
            assert_eq!(resolve_text(text), Ok(Settings::default()), "{text:?}");
        }
    }

    #[test]
    fn exec_goes_over_defaults_key_by_key() {
        let settings = resolve_text(
            "[defaults]\ntime = 2\nwall_time = '1min'\nprocesses = 3\nmem = '64M'\n\
             [exec]\ntime = 'unlimited'\nmem = 1024\n",
        )
        .unwrap();
        let (run, exec) = (settings.defaults, settings.exec);
        assert_eq!(run.time, Some(Duration::from_secs(2)));
        assert_eq!(exec.time, None);
        assert_eq!(exec.wall_time, Some(Duration::from_secs(60)));
        assert_eq!(
            (run.address_space, exec.address_space),
            (Some(Bytes(64 << 20)), Some(Bytes(1 << 20)))
        );
        // Not 3: the built-in value of `exec` is a value of `exec`.
        assert_eq!((run.processes, exec.processes), (Some(3), Some(256)));
    }

    #[test]
    fn a_cgroup_root_needs_a_manager_that_uses_it() {
        for manager in ["auto", "delegated"] {
            let text = format!("[cgroup]\nroot = '/sys/fs/cgroup/x'\nmanager = '{manager}'");
            assert!(resolve_text(&text).is_ok());
        }
        assert_eq!(
            refusal("[cgroup]\nmanager = 'none'\nroot = '/sys/fs/cgroup/x'"),
            "f:3: cgroup.root: cannot be used with manager = \"none\" at f:2; \
             the managers auto and delegated are allowed"
        );
        assert_eq!(
            refusal("cgroup.manager = 'cgroupfs'"),
            "f:1: cgroup.manager: 'cgroupfs' is no manager; auto, systemd, delegated, none are allowed"
        );
    }

    #[test]
    fn slices_are_unit_names_without_empty_levels() {
        for good in ["isolate.slice", "judge-isolate.slice", "a:b_c.d.slice"] {
            assert!(
                resolve_text(&format!("cgroup.slice = '{good}'")).is_ok(),
                "{good}"
            );
        }
        let long = format!("{}.slice", "a".repeat(250));
        for bad in [
            "",
            ".slice",
            "-.slice",
            "a",
            "a.scope",
            "a--b.slice",
            "-a.slice",
            "a-.slice",
            "a/b.slice",
            "é.slice",
            &long,
        ] {
            assert!(
                refusal(&format!("cgroup.slice = '{bad}'")).contains("no name of a slice"),
                "{bad}"
            );
        }
    }
}
