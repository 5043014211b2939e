//! The configuration: `isolate.toml` and its drop-ins, or else the file of isolate, in three
//! stages. What the settings mean for a run is decided by others.
//!
//! * a *fragment* is what one file says: keys, values, lines (`fragment.rs`, or `isolate/format.rs`
//!   for isolate's file; read by `files.rs`);
//! * the *inputs* are all fragments merged key by key, where the later file wins (`inputs.rs`);
//! * the *settings* are read, checked and complete (`resolve.rs`, `boxes.rs`, `lists.rs`). The rest
//!   of the program sees only these, and the text of `--check-config` (`print.rs`).
//!
//! Without a file nothing is parsed: then the settings are their `Default`.

#[cfg(test)]
mod acceptance;
pub(crate) mod box_set;
mod boxes;
pub(crate) mod ceilings;
pub(crate) mod error;
mod field;
mod files;
mod fragment;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod inputs;
pub(crate) mod isolate;
mod lists;
#[cfg(test)]
mod machine;
mod pins;
mod print;
mod resolve;
pub(crate) mod settings;
mod spelling;
mod subid;
mod table;
mod value;

use std::path::{Path, PathBuf};

pub(crate) use error::ConfigError;
use error::Place;
use fragment::Fragment;
use inputs::Inputs;
use settings::Settings;
use subid::SubIds;
use table::Table;

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
        /// `/etc/isolate/isolate.toml.d`.
        drop_ins: PathBuf,
        /// Where isolate has its configuration. The first file that exists is read if there is no
        /// TOML file.
        old: Vec<PathBuf>,
    },
    /// One file that must exist (`--config`), and no drop-ins.
    Only(PathBuf),
}

impl ConfigSource {
    /// What `--config` says, or else the machine's configuration.
    pub(crate) fn new(config: Option<&Path>) -> Self {
        Self {
            files: match config {
                Some(file) => ConfigFiles::Only(file.to_owned()),
                None => ConfigFiles::Installed {
                    main: "/etc/isolate/isolate.toml".into(),
                    drop_ins: "/etc/isolate/isolate.toml.d".into(),
                    old: vec!["/etc/isolate".into(), "/usr/local/etc/isolate".into()],
                },
            },
            subuid: "/etc/subuid".into(),
            subgid: "/etc/subgid".into(),
        }
    }
}

/// A configuration that was read and is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// The settings that hold.
    pub(crate) settings: Settings,
    /// The files that were read, in order.
    files: Vec<PathBuf>,
    /// Where each value is from.
    inputs: Inputs,
}

/// Reads, merges and checks the configuration.
pub(crate) fn load(source: &ConfigSource) -> Result<Loaded, ConfigError> {
    let fragments = read(&source.files)?;
    let files = fragments.iter().map(|(path, _)| path.clone()).collect();
    let mut inputs = Inputs::default();
    for (_, fragment) in fragments {
        inputs.override_with(fragment);
    }
    let settings = resolve::resolve(&inputs, |user| {
        let range = |path: &Path| subid::first_range(&files::read(path)?, user, &Place::file(path));
        Ok(SubIds {
            uids: range(&source.subuid)?,
            gids: range(&source.subgid)?,
        })
    })?;
    Ok(Loaded {
        settings,
        files,
        inputs,
    })
}

/// The names of all keys, as in `boxes.count`.
pub(crate) fn keys() -> Vec<String> {
    let tables = Table::SINGLE.into_iter().chain([Table::Pin]);
    let keys = tables.flat_map(Table::keys);
    keys.map(|key| key.to_string()).collect()
}

/// Reads what each file says, in the order in which they count.
fn read(files: &ConfigFiles) -> Result<Vec<(PathBuf, Fragment)>, ConfigError> {
    let parse = |path: PathBuf, text: String| {
        let fragment = fragment::parse(&text, &Place::file(&path))?;
        Ok((path, fragment))
    };
    let mut fragments = Vec::new();
    match files {
        ConfigFiles::Only(path) => fragments.push(parse(path.clone(), files::read(path)?)?),
        ConfigFiles::Installed {
            main,
            drop_ins,
            old,
        } => {
            if let Some(text) = files::read_if_present(main)? {
                fragments.push(parse(main.clone(), text)?);
            }
            for path in files::drop_ins(drop_ins)? {
                let text = files::read(&path)?;
                fragments.push(parse(path, text)?);
            }
            if fragments.is_empty() {
                fragments.extend(isolate::read_installed(old)?);
            }
        }
    }
    Ok(fragments)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::machine::Machine;

    #[test]
    fn no_file_at_all_is_the_default() {
        let loaded = Machine::new().load().unwrap();
        assert_eq!(loaded.settings, Settings::default());
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_no_toml() {
        let machine = Machine::new().write("old", "box_root = /var/local/lib/isolate\n");
        let loaded = machine.load_files(ConfigFiles::Installed {
            main: machine.path().join("old/isolate.toml"),
            drop_ins: machine.path().join("old/isolate.toml.d"),
            old: vec![machine.path().join("old")],
        });
        assert_eq!(loaded.unwrap().files, [machine.path().join("old")]);
    }

    #[test]
    fn drop_ins_override_in_the_order_of_their_names() {
        let machine = Machine::new()
            .main("[boxes]\ncount = 1\nfirst_uid = 5\nfirst_gid = 6\n")
            .drop_in("90-last.toml", "boxes.count = 90\n")
            .drop_in("10-first.toml", "boxes.count = 10\nboxes.first_gid = 10\n")
            .drop_in("99-other.conf", "not read\n")
            .drop_in(".#hidden.toml", "not read\n");
        let boxes = machine.load().unwrap().settings.boxes;
        assert_eq!((boxes.count, boxes.first_uid, boxes.first_gid), (90, 5, 10));
    }

    #[test]
    fn one_file_alone_is_read_without_drop_ins_and_must_exist() {
        let machine = Machine::new()
            .write("mine.toml", "boxes.count = 5\n")
            .drop_in("10-x.toml", "boxes.count = 10\n");
        assert_eq!(
            machine.load_only("mine.toml").unwrap().settings.boxes.count,
            5
        );
        assert_eq!(
            machine.load_only("none.toml").unwrap_err(),
            "DIR/none.toml: cannot open: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn only_regular_files_are_read_and_links_are_followed() {
        let machine = Machine::new().write("real", "boxes.count = 5\n");
        symlink("real", machine.path().join("link.toml")).unwrap();
        assert_eq!(
            machine.load_only("link.toml").unwrap().settings.boxes.count,
            5
        );
        nix::unistd::mkfifo(&machine.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["", "fifo", "../../../../../../../../dev/zero"] {
            let error = machine.load_only(name).unwrap_err();
            assert!(
                error.ends_with(": not a regular file; only regular files are read"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_drop_in_that_cannot_be_read_and_a_directory_that_is_none_are_errors() {
        let machine = Machine::new().drop_in("a.toml", "");
        symlink("nowhere", machine.path().join("isolate.toml.d/b.toml")).unwrap();
        let error = machine.load().unwrap_err();
        assert!(
            error.starts_with("DIR/isolate.toml.d/b.toml: cannot open"),
            "{error}"
        );
        let machine = Machine::new().write("isolate.toml.d", "");
        let error = machine.load().unwrap_err();
        assert!(
            error.starts_with("DIR/isolate.toml.d: cannot read the directory"),
            "{error}"
        );
    }

    #[test]
    fn two_files_in_conflict_are_both_named() {
        let machine = Machine::new()
            .main("[boxes]\nfirst_uid = 70000\n")
            .drop_in("1.toml", "\n[boxes]\nsubid_user = 'isolate'\n");
        assert_eq!(
            machine.load().unwrap_err(),
            "DIR/isolate.toml.d/1.toml:3: boxes.subid_user: stands beside boxes.first_uid at \
             DIR/isolate.toml:2; either subid_user or first_uid and first_gid are allowed"
        );
    }

    #[test]
    fn a_link_to_nowhere_is_not_an_absent_file() {
        let machine = Machine::new();
        symlink("nowhere", machine.path().join("isolate.toml")).unwrap();
        let error = machine.load().unwrap_err();
        assert!(
            error.starts_with("DIR/isolate.toml: cannot open: No such file"),
            "{error}"
        );
    }

    #[test]
    fn a_subid_user_without_a_range_names_both_files() {
        let machine = Machine::new().main("boxes.subid_user = 'ann'");
        assert_eq!(
            machine.load().unwrap_err(),
            "DIR/isolate.toml:1: boxes.subid_user: DIR/subuid: no range of ids for user 'ann'; \
             a line 'ann:FIRST:COUNT' is needed"
        );
        std::fs::remove_file(machine.path().join("subuid")).unwrap();
        assert_eq!(
            machine.load().unwrap_err(),
            "DIR/isolate.toml:1: boxes.subid_user: DIR/subuid: cannot open: \
             No such file or directory (os error 2)"
        );
    }
}
