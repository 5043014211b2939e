//! Who makes the cgroups of runs on this machine: `[cgroup] manager`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::cgroup::{Cgroup, Place, delegated_to, hierarchy};
use crate::config::settings::{CgroupSettings, Manager};
use crate::error::chain;
use crate::failure::Explained;
use crate::remedy::Remedy;
use crate::systemd;

/// Why a manager that the configuration demands cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlaceError(String);

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PlaceError {}

impl Explained for PlaceError {}

/// What the choice depends on.
#[derive(Debug, Clone)]
struct Surroundings {
    /// systemd is PID 1 here and can be asked.
    has_systemd: bool,
    /// The mount point of cgroup2, and whether it offers the memory controller.
    mount: Option<(PathBuf, bool)>,
    /// The cgroup that this process is in, if it can make children there; or why it cannot.
    own: Result<OwnCgroup, String>,
    /// Whether a cgroup offers the memory controller.
    offers_memory: fn(&Path) -> bool,
}

#[derive(Debug, Clone)]
struct OwnCgroup {
    path: PathBuf,
    /// Whether it is all that this process sees: the root of a cgroup namespace, or of the machine.
    is_root: bool,
    has_memory: bool,
}

/// Examines the machine and chooses.
pub(crate) fn find_place(settings: &CgroupSettings) -> Result<Place, PlaceError> {
    let surroundings = look_around(settings.manager).map_err(|error| {
        let has_proc = Path::new("/proc/self").exists();
        let error = Remedy::beside((!has_proc).then_some(Remedy::MountProc), error);
        PlaceError(format!(
            "cannot find the cgroup of this process: {}",
            chain(&error)
        ))
    })?;
    choose(settings, &surroundings)
}

/// The cgroup that those of runs are made in; a slice without runs has none yet.
pub(crate) fn cgroup_of_runs(
    place: &Place,
    settings: &CgroupSettings,
) -> Result<PathBuf, PlaceError> {
    match place {
        Place::Systemd { mount_point, .. } => {
            let manager = mount_point.join(systemd::manager_path());
            Ok(manager.join(systemd::slice_path(&settings.slice)))
        }
        Place::Delegated { root, .. } => Ok(root.clone()),
        Place::Nowhere { reason } => Err(PlaceError(format!(
            "CPUs are leased to each run ([cpus] lease in the configuration), which needs a cgroup: {reason}"
        ))),
    }
}

fn look_around(manager: Manager) -> io::Result<Surroundings> {
    // This is sd_booted(3).
    let has_systemd = Path::new("/run/systemd/system").is_dir() && systemd::is_there();
    let mount = hierarchy::mount_point()?.map(|path| {
        let has_memory = offers_memory(&path.join(systemd::manager_path()));
        (path, has_memory)
    });
    // This is left out where it does not matter, since it happens before every run.
    let matters = manager == Manager::Delegated || !has_systemd;
    let own = match &mount {
        Some((mount_point, _)) if matters => own_cgroup(mount_point)?,
        _ => Err("cgroup v2 is not mounted".to_owned()),
    };
    Ok(Surroundings {
        has_systemd,
        mount,
        own,
        offers_memory,
    })
}

fn own_cgroup(mount_point: &Path) -> io::Result<Result<OwnCgroup, String>> {
    let Some(own) = hierarchy::cgroup_of("self")? else {
        return Ok(Err("this process is in no cgroup v2 directory".to_owned()));
    };
    let below = delegated_to(&own);
    // The root has no name, and the path of it no slash at its end.
    let is_root = below.as_os_str().is_empty();
    let path = match is_root {
        true => mount_point.to_owned(),
        false => mount_point.join(below),
    };
    if let Err(errno) = nix::unistd::access(&path, nix::unistd::AccessFlags::W_OK) {
        let (path, why) = (path.display(), errno.desc());
        return Ok(Err(format!(
            "the cgroup {path} of this process cannot be written ({why})"
        )));
    }
    let has_memory = offers_memory(&path);
    Ok(Ok(OwnCgroup {
        path,
        is_root,
        has_memory,
    }))
}

/// Whether the memory controller can be enabled below a cgroup. One that cannot be read offers
/// none; the attempt to use it says why.
fn offers_memory(path: &Path) -> bool {
    Cgroup::open(path)
        .and_then(|cgroup| cgroup.controllers())
        .is_ok_and(|controllers| controllers.iter().any(|name| name == "memory"))
}

fn choose(settings: &CgroupSettings, here: &Surroundings) -> Result<Place, PlaceError> {
    let systemd = match &here.mount {
        Some((mount_point, has_memory)) if here.has_systemd => Some(Place::Systemd {
            mount_point: mount_point.clone(),
            has_memory: *has_memory,
        }),
        _ => None,
    };
    let delegated = |root: &Path| Place::Delegated {
        root: root.to_owned(),
        has_memory: (here.offers_memory)(root),
    };
    match settings.manager {
        Manager::Systemd => systemd.ok_or_else(|| {
            PlaceError(format!(
                "[cgroup] manager is systemd, but systemd with cgroup v2 does not run here; {}",
                Remedy::OtherManager
            ))
        }),
        Manager::Delegated => match (&settings.root, &here.own) {
            (Some(root), _) => Ok(delegated(root)),
            (None, Ok(own)) => Ok(delegated(&own.path)),
            (None, Err(why)) => Err(PlaceError(format!(
                "[cgroup] manager is delegated, but {why}; {}",
                Remedy::GiveCgroup
            ))),
        },
        Manager::None => Ok(Place::Nowhere {
            reason: format!("[cgroup] manager is none; {}", Remedy::ManagerAuto),
        }),
        Manager::Auto => Ok(match (systemd, &settings.root, &here.own) {
            (Some(systemd), _, _) => systemd,
            (None, Some(root), _) => delegated(root),
            // A cgroup among others belongs to its owner; only one that is all we see is plainly
            // ours to use.
            (None, None, Ok(own)) if own.is_root && own.has_memory => delegated(&own.path),
            (None, None, own) => Place::Nowhere {
                reason: format!(
                    "systemd does not run here, and {}; {}",
                    why_not(own.as_ref()),
                    Remedy::BootSystemd
                ),
            },
        }),
    }
}

/// Why `auto` does not make cgroups below the one of this process.
fn why_not(own: Result<&OwnCgroup, &String>) -> String {
    match own {
        Err(why) => why.clone(),
        Ok(own) if own.has_memory => format!(
            "the cgroup {} of this process is one among others, which nobody has given away",
            own.path.display()
        ),
        Ok(own) => format!(
            "the cgroup {} of this process has no memory controller",
            own.path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(manager: Manager, root: Option<&str>) -> CgroupSettings {
        CgroupSettings {
            manager,
            root: root.map(PathBuf::from),
            ..CgroupSettings::default()
        }
    }

    fn none() -> Result<OwnCgroup, String> {
        Err("it is read-only".to_owned())
    }

    fn own(is_root: bool, has_memory: bool) -> Result<OwnCgroup, String> {
        Ok(OwnCgroup {
            path: "/cg/own".into(),
            is_root,
            has_memory,
        })
    }

    fn here(has_systemd: bool, own: Result<OwnCgroup, String>) -> Surroundings {
        Surroundings {
            has_systemd,
            mount: Some(("/cg".into(), true)),
            own,
            offers_memory: |_| true,
        }
    }

    #[test]
    fn auto_takes_the_first_that_works() {
        let auto = settings(Manager::Auto, None);
        let systemd = Place::Systemd {
            mount_point: "/cg".into(),
            has_memory: true,
        };
        assert_eq!(choose(&auto, &here(true, none())), Ok(systemd.clone()));
        assert_eq!(
            choose(&auto, &here(false, own(true, true))),
            Ok(Place::Delegated {
                root: "/cg/own".into(),
                has_memory: true
            })
        );
        let rooted = settings(Manager::Auto, Some("/cg/given"));
        assert_eq!(choose(&rooted, &here(true, none())), Ok(systemd));
        assert_eq!(
            choose(&rooted, &here(false, none())),
            Ok(Place::Delegated {
                root: "/cg/given".into(),
                has_memory: true
            })
        );
    }

    #[test]
    fn auto_leaves_cgroups_alone_that_are_not_plainly_ours() {
        for (own, why) in [
            (none(), "and it is read-only; "),
            (own(true, false), "has no memory controller; "),
            (own(false, true), "is one among others, "),
        ] {
            let place = choose(&settings(Manager::Auto, None), &here(false, own)).unwrap();
            assert!(matches!(&place, Place::Nowhere { reason } if reason.contains(why)));
        }
    }

    #[test]
    fn a_manager_that_is_demanded_is_had_or_refused() {
        assert!(
            choose(
                &settings(Manager::Systemd, None),
                &here(false, own(true, true))
            )
            .is_err()
        );
        assert!(choose(&settings(Manager::Delegated, None), &here(false, none())).is_err());
        let delegated = choose(
            &settings(Manager::Delegated, None),
            &here(true, own(false, false)),
        );
        assert_eq!(
            delegated,
            Ok(Place::Delegated {
                root: "/cg/own".into(),
                has_memory: true
            })
        );
        let none = choose(&settings(Manager::None, None), &here(true, own(true, true))).unwrap();
        assert!(matches!(none, Place::Nowhere { .. }));
    }
}
