//! From inputs to settings: reads each value into its field, and checks what must hold between
//! keys.

use super::boxes;
use super::error::ConfigError;
use super::inputs::Inputs;
use super::settings::{CgroupSettings, Limits, Manager, Settings};
use super::subid::SubIds;
use super::table::{Key, Table};

const MANAGER: Key = Key::of(Table::Cgroup, "manager");
const ROOT: Key = Key::of(Table::Cgroup, "root");

/// Reads and checks everything. `look_up` finds the ids of `subid_user`.
pub(super) fn resolve(
    inputs: &Inputs,
    look_up: impl FnOnce(&str) -> Result<SubIds, ConfigError>,
) -> Result<Settings, ConfigError> {
    let mut settings = Settings::default();
    let read = |settings: &mut Settings, (key, at)| Key::field(key, settings).read(&key, at);
    let (exec, others) = inputs
        .iter()
        .partition::<Vec<_>, _>(|(key, _)| key.table() == Table::Exec);
    others
        .into_iter()
        .try_for_each(|set| read(&mut settings, set))?;
    // What [exec] leaves open is as in [defaults], except for its own default.
    settings.exec = Limits {
        processes: settings.exec.processes,
        ..settings.defaults.clone()
    };
    exec.into_iter()
        .try_for_each(|set| read(&mut settings, set))?;
    boxes::take_subids(&mut settings.boxes, inputs, look_up)?;
    boxes::check(&settings.boxes, inputs)?;
    check_cgroup(&settings.cgroup, inputs)?;
    Ok(settings)
}

/// Refuses a root for managers that make one themselves.
fn check_cgroup(cgroup: &CgroupSettings, inputs: &Inputs) -> Result<(), ConfigError> {
    if let (Manager::Systemd | Manager::None, Some(place)) = (cgroup.manager, inputs.place(ROOT)) {
        let chosen = inputs.place(MANAGER);
        let text = format!(
            "cannot be used with manager = \"{}\"{}; the managers auto and delegated are allowed",
            cgroup.manager.name(),
            chosen.map_or(String::new(), |chosen| format!(" at {chosen}"))
        );
        return Err(place.key_error(ROOT, text));
    }
    Ok(())
}

/// The settings of one text. The subid user `isolate` has 5000 uids from 200000 on and 3000 gids
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
        // The number is not 3: the built-in value of `exec` counts as one that `exec` has.
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
}
