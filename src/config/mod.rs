//! The configuration: `isolate.toml` and its drop-ins, or else the file of isolate, in three
//! stages. What the settings mean for a run is decided by others.
//!
//! * a *fragment* is what one file says: keys, values, lines (`fragment.rs`, or `isolate/format.rs`
//!   for isolate's file; found by `sources.rs`, read by `files.rs`);
//! * the *inputs* are all fragments merged key by key, where the later file wins (`inputs.rs`);
//! * the *settings* are read, checked and complete (`resolve.rs`, `boxes.rs`, `lists.rs`). The rest
//!   of the program sees only these, and the text of `--check-config` (`print.rs`).
//!
//! Without a file nothing is parsed: then the settings are their `Default`.
//!
//! What `config` needs beside that: values by their keys (`listing.rs`), a key changed in a text
//! (`draft.rs`), a mistake in its line (`mistake.rs`), and the schema for editors (`schema.rs`).

#[cfg(test)]
mod acceptance;
pub(crate) mod box_set;
mod boxes;
pub(crate) mod ceilings;
mod comments;
mod cpu_settings;
pub(crate) mod draft;
pub(crate) mod error;
mod field;
mod files;
mod fragment;
mod full_name;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod inputs;
pub(crate) mod isolate;
pub(crate) mod listing;
mod lists;
#[cfg(test)]
mod machine;
mod mistake;
mod pins;
mod print;
mod resolve;
mod schema;
mod scope_life;
pub(crate) mod settings;
pub(crate) mod shipped;
mod sources;
mod spelling;
mod subid;
mod table;
mod value;

use std::path::{Path, PathBuf};

pub(crate) use error::ConfigError;
use error::Place;
pub(crate) use full_name::key;
use inputs::Inputs;
pub(crate) use schema::schema;
use settings::Settings;
pub(crate) use sources::{ConfigFiles, ConfigSource, Draft};
use subid::SubIds;
pub(crate) use table::Key;
use table::Table;

/// A configuration that was read and is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// The settings that hold.
    pub(crate) settings: Settings,
    /// The files that were read, in order.
    files: Vec<PathBuf>,
    /// Links to /dev/null in the place of a drop-in.
    masks: Vec<PathBuf>,
    /// Whether the first of the files is isolate's own configuration.
    has_old: bool,
    /// Where each value is from.
    inputs: Inputs,
}

impl Loaded {
    /// What holds where there is no file at all.
    pub(crate) fn defaults() -> Self {
        Self {
            settings: Settings::default(),
            files: Vec::new(),
            masks: Vec::new(),
            has_old: false,
            inputs: Inputs::default(),
        }
    }

    /// isolate's own configuration, if that is what was read.
    pub(crate) fn old_file(&self) -> Option<&Path> {
        self.files
            .first()
            .map(PathBuf::as_path)
            .filter(|_| self.has_old)
    }
}

/// Reads, merges and checks the configuration.
pub(crate) fn load(source: &ConfigSource) -> Result<Loaded, ConfigError> {
    load_with(source, None)
}

/// The same as it would be with this draft.
pub(crate) fn load_with(
    source: &ConfigSource,
    draft: Option<&Draft>,
) -> Result<Loaded, ConfigError> {
    let found = sources::read(&source.files, draft)?;
    let mut files = Vec::new();
    let mut inputs = Inputs::default();
    for (path, fragment) in found.fragments {
        files.push(path);
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
        masks: found.masks,
        has_old: found.has_old,
        inputs,
    })
}

/// The names of all keys, as in `boxes.count`.
pub(crate) fn keys() -> Vec<String> {
    all_keys().map(|key| key.to_string()).collect()
}

/// All keys, in the order of the table.
fn all_keys() -> impl Iterator<Item = Key> {
    let tables = Table::SINGLE.into_iter().chain([Table::Pin]);
    tables.flat_map(Table::keys)
}

/// The text of a configuration file; `None` if there is none.
pub(crate) fn text(path: &Path) -> Result<Option<String>, ConfigError> {
    files::read_if_present(path)
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
            drop_ins: ["old", "run", "lib"]
                .map(|name| machine.path().join(name).join("isolate.toml.d")),
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
