//! Which files a configuration is read from, in systemd's order: drop-ins of the administrator hide
//! those of the same name that were made for this boot, and these hide the vendor's; whatever
//! directory it is in, a drop-in counts after the main file.

use std::path::{Path, PathBuf};

use super::error::{ConfigError, Place};
use super::files::{self, DropIn};
use super::fragment::{self, Fragment};
use super::isolate;
use crate::way::{self, Rootless};

/// The files that a configuration is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigSource {
    /// The configuration's own.
    pub(crate) files: ConfigFiles,
    /// `/etc/subuid`, which is read for `[boxes] subid_user` alone.
    pub(crate) subuid: PathBuf,
    /// `/etc/subgid`, likewise.
    pub(crate) subgid: PathBuf,
}

/// The files of a configuration, but for those of the subid user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfigFiles {
    /// The machine's, each of which may be absent.
    Installed {
        /// `/etc/isolate/isolate.toml`.
        main: PathBuf,
        /// The directories of drop-ins; the administrator's, `/etc/isolate/isolate.toml.d`, is the
        /// first.
        drop_ins: [PathBuf; 3],
        /// Where isolate has its configuration. The first file that exists is read if the
        /// administrator has no TOML file.
        old: Vec<PathBuf>,
    },
    /// One file that must exist (`--config`), and no drop-ins.
    Only(PathBuf),
}

/// A text that is to take the place of a file's, to see what would come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The file: the main one, or a drop-in of the administrator's.
    pub(crate) path: PathBuf,
    /// Its new text.
    pub(crate) text: String,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What each file says, in the order in which they count.
    pub(super) fragments: Vec<(PathBuf, Fragment)>,
    /// Links to /dev/null in the place of a drop-in.
    pub(super) masks: Vec<PathBuf>,
    /// Whether isolate's own configuration is among them.
    pub(super) has_old: bool,
}

impl ConfigSource {
    /// What `--config` says, or else the machine's configuration.
    pub(crate) fn new(config: Option<&Path>) -> Self {
        Self {
            files: match config {
                Some(file) => ConfigFiles::Only(file.to_owned()),
                None => Self::installed(),
            },
            subuid: "/etc/subuid".into(),
            subgid: "/etc/subgid".into(),
        }
    }

    /// The machine's or the user's configuration.
    fn installed() -> ConfigFiles {
        match way::rootless() {
            None => ConfigFiles::Installed {
                main: "/etc/isolate/isolate.toml".into(),
                drop_ins: ["/etc", "/run", "/usr/lib"]
                    .map(|top| PathBuf::from(top).join("isolate/isolate.toml.d")),
                old: Self::old().into(),
            },
            Some(Rootless { config, locks, .. }) => ConfigFiles::Installed {
                main: config.join("isolate.toml"),
                drop_ins: [
                    config.join("isolate.toml.d"),
                    locks.join("isolate.toml.d"),
                    "/etc/isolate/rootless.toml.d".into(),
                ],
                old: Vec::new(),
            },
        }
    }

    /// Where isolate has its configuration.
    pub(super) fn old() -> [PathBuf; 2] {
        ["/etc/isolate".into(), "/usr/local/etc/isolate".into()]
    }

    /// The file that the administrator writes: the main one, or the drop-in of this name.
    pub(crate) fn own_file(&self, drop_in: Option<&str>) -> PathBuf {
        match (&self.files, drop_in) {
            (ConfigFiles::Only(path), _) => path.clone(),
            (ConfigFiles::Installed { main, .. }, None) => main.clone(),
            (ConfigFiles::Installed { drop_ins, .. }, Some(name)) => drop_ins[0].join(name),
        }
    }
}

/// Reads what each file says; the draft counts in the place of its file.
pub(super) fn read(files: &ConfigFiles, draft: Option<&Draft>) -> Result<Found, ConfigError> {
    let mut found = Found::default();
    let drafted = |path: &Path| draft.filter(|draft| draft.path == path);
    let text = |path: &Path| match drafted(path) {
        Some(draft) => Ok(draft.text.clone()),
        None => files::read(path),
    };
    let ConfigFiles::Installed {
        main,
        drop_ins,
        old,
    } = files
    else {
        let ConfigFiles::Only(path) = files else {
            return Ok(found);
        };
        found.add(path, &text(path)?)?;
        return Ok(found);
    };
    let main_text = match drafted(main) {
        Some(draft) => Some(draft.text.clone()),
        None => files::read_if_present(main)?,
    };
    let mut listed = files::drop_ins(drop_ins)?;
    if let Some(Draft { path, .. }) = draft.filter(|draft| draft.path.starts_with(&drop_ins[0])) {
        if let Some(name) = path.file_name() {
            let (path, is_mask) = (path.clone(), false);
            listed.insert(name.to_owned(), DropIn { path, is_mask });
        }
    }
    let is_own = |drop_in: &DropIn| !drop_in.is_mask && drop_in.path.starts_with(&drop_ins[0]);
    match main_text {
        Some(text) => found.add(main, &text)?,
        None if listed.values().any(is_own) => {}
        None => {
            let old = isolate::read_installed(old)?;
            found.has_old = old.is_some();
            found.fragments.extend(old);
        }
    }
    for DropIn { path, is_mask } in listed.into_values() {
        if is_mask {
            found.masks.push(path);
        } else {
            found.add(&path, &text(&path)?)?;
        }
    }
    Ok(found)
}

impl Found {
    fn add(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let fragment = fragment::parse(text, &Place::file(path))?;
        self.fragments.push((path.to_owned(), fragment));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use crate::config::machine::Machine;

    fn count(machine: &Machine) -> u32 {
        machine.load().unwrap().settings.boxes.count
    }

    #[test]
    fn drop_ins_of_all_directories_count_in_the_order_of_their_names() {
        let machine = Machine::new()
            .main("boxes.count = 1\n")
            .vendor("lib", "20-vendor.toml", "boxes.count = 20\n")
            .vendor("run", "10-boot.toml", "boxes.count = 10\n")
            .drop_in("15-own.toml", "boxes.count = 15\n");
        assert_eq!(count(&machine), 20);
        let machine = machine.drop_in("30-own.toml", "boxes.count = 30\n");
        assert_eq!(count(&machine), 30);
    }

    #[test]
    fn a_drop_in_hides_those_of_its_name_that_are_less_important() {
        let machine = Machine::new().vendor("lib", "50-x.toml", "boxes.count = 1\nnonsense = 1\n");
        assert!(machine.load().is_err());
        let machine = machine.vendor("run", "50-x.toml", "boxes.count = 2\n");
        assert_eq!(count(&machine), 2);
        let machine = machine.drop_in("50-x.toml", "boxes.count = 3\n");
        assert_eq!(count(&machine), 3);
    }

    #[test]
    fn a_link_to_dev_null_masks_and_an_empty_file_hides_too() {
        let machine = Machine::new()
            .vendor("lib", "50-x.toml", "boxes.count = 1\n")
            .drop_in("60-other.toml", "boxes.first_uid = 5\n");
        let mask = machine.path().join("isolate.toml.d/50-x.toml");
        symlink("/dev/null", &mask).unwrap();
        let loaded = machine.load().unwrap();
        assert_eq!(loaded.settings.boxes.count, 1000);
        let shown = loaded.to_string();
        let line = format!("# masked: {}\n", mask.display());
        assert!(shown.contains(&line), "{shown}");
        fs::remove_file(&mask).unwrap();
        fs::write(&mask, "").unwrap();
        assert_eq!(count(&machine), 1000);
        fs::remove_file(&mask).unwrap();
        assert_eq!(count(&machine), 1);
    }

    #[test]
    fn isolates_file_stands_in_the_place_of_the_main_file_under_the_vendors() {
        let machine = Machine::new()
            .isolate_file("num_boxes = 7\nrestricted_init = 1\n")
            .vendor("lib", "50-x.toml", "boxes.count = 9\n");
        let boxes = machine.load().unwrap().settings.boxes;
        assert_eq!((boxes.count, boxes.only_root_inits), (9, true));
        // A mask says nothing, and so is no TOML file of the administrator's.
        let machine = machine.drop_in("a.toml", "");
        let own = machine.path().join("isolate.toml.d/a.toml");
        assert!(!machine.load().unwrap().settings.boxes.only_root_inits);
        fs::remove_file(&own).unwrap();
        symlink("/dev/null", own).unwrap();
        assert!(machine.load().unwrap().settings.boxes.only_root_inits);
    }
}
