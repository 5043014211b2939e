//! `config import`: the TOML that means the same as a configuration file of isolate.

use std::fmt::{self, Display};

use toml::Value as Toml;

use super::file;
use super::format::IsolateFile;
use crate::config::error::{ConfigError, Place};
use crate::config::inputs::Inputs;
use crate::config::resolve;
use crate::config::subid::{IdRange, SubIds};
use crate::config::table::{Key, Table};
use crate::config::value::{COUNT_MAX, Located, Value};
use crate::request::ImportSource;

/// A configuration file of isolate whose values can be used. Prints as TOML.
#[derive(Debug)]
pub(crate) struct Imported {
    file: IsolateFile,
    from: Place,
}

/// Reads and checks a configuration file of isolate.
pub(crate) fn import(source: &ImportSource) -> Result<Imported, ConfigError> {
    let (file, from) = file::read(source)?;
    Imported::new(file, from)
}

impl Imported {
    /// Checks the values as if they were to hold here, with one exception: whether the subid user
    /// has ids, and how many, is checked where the result is read.
    pub(super) fn new(mut file: IsolateFile, from: Place) -> Result<Self, ConfigError> {
        let mut inputs = Inputs::default();
        inputs.override_with(file.fragment.clone());
        let every_id = IdRange {
            first: 1,
            count: COUNT_MAX,
        };
        resolve::resolve(&inputs, |_| {
            Ok(SubIds {
                uids: every_id,
                gids: every_id,
            })
        })?;
        file.fragment.sort_by_key(|(key, _)| *key);
        Ok(Self { file, from })
    }

    /// The lines that set nothing here, each with the reason.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = (String, &str)> {
        let left_out = self.file.left_out.iter();
        left_out.map(|one| (one.place.within_file(), one.reason.as_str()))
    }

    fn write_table(&self, f: &mut fmt::Formatter<'_>, table: Table) -> fmt::Result {
        let mut values = self
            .file
            .fragment
            .iter()
            .filter(|(key, _)| key.table() == table)
            .peekable();
        if values.peek().is_some() {
            writeln!(f, "\n[{}]", table.name())?;
        }
        values.try_for_each(|(key, at)| write_value(f, key.name(), at))
    }
}

impl Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, from } = self;
        writeln!(
            f,
            "# Configuration of isolate-run, made by config import of {from}."
        )?;
        writeln!(
            f,
            "# What is not set has its default; isolate.toml shows every key."
        )?;
        for (place, reason) in self.left_out() {
            writeln!(f, "# left out: {place}: {reason}")?;
        }
        for table in Table::SINGLE {
            self.write_table(f, table)?;
        }
        let pins = file.fragment.iter().filter(|(key, _)| *key == Key::PIN);
        for pin in pins.flat_map(|(_, at)| at.value.items()) {
            writeln!(f, "\n[[pin]]")?;
            for (name, at) in pin.value.entries() {
                write_value(f, name, at)?;
            }
        }
        Ok(())
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, name: &str, at: &Located) -> fmt::Result {
    let value = toml(&at.value);
    writeln!(f, "{name} = {value} # {}", at.place.within_file())
}

fn toml(value: &Value) -> Toml {
    match value {
        Value::Boolean(value) => (*value).into(),
        Value::List(items) => Toml::Array(items.iter().map(|item| toml(&item.value)).collect()),
        Value::Integer(number) => number
            .parse()
            .map_or_else(|_| number.as_str().into(), Toml::Integer),
        other => other.as_written().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::format;
    use super::super::key::Cgroups;
    use super::*;
    use crate::config::machine::Machine;

    /// The file as TOML, on a machine where `/sys/fs/cgroup/judge` is a cgroup.
    fn import(text: &str) -> Result<String, String> {
        let place = Place::file(Path::new("/etc/isolate"));
        format::parse(text.as_bytes(), &place, &MACHINE)
            .and_then(|file| Imported::new(file, place))
            .map(|imported| imported.to_string())
            .map_err(|error| error.to_string())
    }

    const MACHINE: Cgroups<'_> = Cgroups {
        is_there: &|path| path == Path::new("/sys/fs/cgroup/judge"),
        named_in: &|path| {
            (path == Path::new("/run/named")).then(|| "/sys/fs/cgroup/judge".to_owned())
        },
    };

    const FULL: &str = "\
# The boxes

box_root = /srv/boxes
lock_root = /run/locks
cg_root = /sys/fs/cgroup/judge
cg_parent = boxes
first_uid = 70000
first_gid = 80000
num_boxes = 5
restricted_init = 1
syscall_flags = 20
box0.cpus = 0-1
box3.mems = 1
box0.mems = 0
num_boxes = 50
";

    #[test]
    fn each_value_says_which_line_it_is_from_and_what_is_left_out_says_why() {
        let expected = "\
# Configuration of isolate-run, made by config import of /etc/isolate.
# What is not set has its default; isolate.toml shows every key.
# left out: line 6, cg_parent: of isolate 1.x; each run has a cgroup of its own anyway
# left out: line 9, num_boxes: line 15 says otherwise

[boxes]
root = \"/srv/boxes\" # line 3, box_root
locks = \"/run/locks\" # line 4, lock_root
count = 50 # line 15, num_boxes
first_uid = 70000 # line 7, first_uid
first_gid = 80000 # line 8, first_gid
only_root_inits = true # line 10, restricted_init

[cgroup]
manager = \"delegated\" # line 5, cg_root
root = \"/sys/fs/cgroup/judge\" # line 5, cg_root

[syscalls]
deny = [\"file-locks\", \"foreign-arch\", \"user-namespaces\", \"rare-sockets\", \"file-events\", \"huge-pages\", \"native-aio\"] # line 11, syscall_flags

[[pin]]
boxes = 0 # line 12, box0.cpus
cpus = \"0-1\" # line 12, box0.cpus
mems = \"0\" # line 14, box0.mems

[[pin]]
boxes = 3 # line 13, box3.mems
mems = \"1\" # line 13, box3.mems
";
        assert_eq!(import(FULL).unwrap(), expected);
    }

    /// The settings of a file of isolate's as it is, and those of the TOML that `import` makes of
    /// it.
    fn both_ways(text: &str) -> [Result<crate::config::settings::Settings, String>; 2] {
        let settings = |inputs: &Inputs| {
            let range = |first| IdRange { first, count: 3000 };
            let ids = SubIds {
                uids: range(200_000),
                gids: range(300_000),
            };
            resolve::resolve(inputs, |_| Ok(ids)).map_err(|error| error.to_string())
        };
        let place = Place::file(Path::new("f"));
        let mut direct = Inputs::default();
        let file = format::parse(text.as_bytes(), &place, &MACHINE).unwrap();
        direct.override_with(file.fragment);
        let toml = import(text).unwrap();
        let mut imported = Inputs::default();
        let fragment = crate::config::fragment::parse(&toml, &place);
        imported.override_with(fragment.unwrap_or_else(|error| panic!("{error}\n{toml}")));
        [settings(&direct), settings(&imported)]
    }

    #[test]
    fn the_toml_gives_the_settings_that_the_file_gives() {
        const CHOICES: [&[&str]; 10] = [
            &[
                "",
                "box_root = /srv/b oxes # \"x\"\\'\n",
                "box_root=/a\u{e9}//b/\n",
            ],
            &["", "lock_root = /run/l\n"],
            &[
                "",
                "cg_root = auto:/run/isolate/cgroup\n",
                "cg_root = auto:/run/named\n",
                "cg_root = /sys/fs/cgroup\n",
                "cg_root = /sys/fs/cgroup/judge\n",
            ],
            &[
                "",
                "subid_user = isolate\n",
                "first_uid = 1\nfirst_gid = 2\n",
                "subid_user = 1000\n",
            ],
            &["", "num_boxes = 7\n", "num_boxes=1000\nnum_boxes = 007\n"],
            &["", "restricted_init = 0\n", "restricted_init = 2\n"],
            &[
                "",
                "syscall_flags = 0\n",
                "syscall_flags = 65535\n",
                "syscall_flags = 21\n",
            ],
            &[
                "",
                "box0.cpus = 4-7\n",
                "box2147483647.cpus = 0\nbox01.mems = 0\nbox1.cpus=3\n",
            ],
            &["", "cg_parent = boxes\n"],
            &["", "# note\n\n \t\r\n"],
        ];
        // Every choice meets every other one: the steps and the numbers of choices have no common
        // factor.
        for round in 0..1000_usize {
            let steps = [1, 5, 7, 11, 13, 17, 19, 23, 29, 31];
            let lines = CHOICES.iter().zip(steps);
            let text: String = lines
                .map(|(choices, step)| choices[round / step % choices.len()])
                .collect();
            let [direct, imported] = both_ways(&text);
            assert!(direct.is_ok(), "{text}\n{direct:?}");
            assert_eq!(direct, imported, "{text}");
        }
        let [direct, imported] = both_ways(FULL);
        assert_eq!(direct, imported);
    }

    #[test]
    fn a_machine_that_reads_the_toml_is_set_as_one_that_reads_the_file() {
        let text = format!("{}subid_user = isolate\n", FULL.replace("first_", "#"));
        let old = Machine::new().isolate_file(&text);
        let new = Machine::new().main(import(&text.replace("judge", "none")).unwrap());
        let (old, new) = (old.load().unwrap(), new.load().unwrap());
        assert_eq!(old.settings, new.settings);
        assert_eq!(old.settings.boxes.first_uid, 200_000);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_name_that_the_file_has_for_it() {
        for (text, error) in [
            (
                "box_root = srv",
                "/etc/isolate:1: box_root: 'srv' cannot be used; an absolute path below / without '..' is allowed",
            ),
            (
                "\nbox1.cpus = all",
                "/etc/isolate:2: box1.cpus: 'all' is no list; numbers up to 65535 as in 3, \"0-3\" or \"0-3,8\" are allowed",
            ),
            (
                "subid_user = a\nfirst_uid = 5",
                "/etc/isolate:1: subid_user: stands beside boxes.first_uid at /etc/isolate:2; \
                 either subid_user or first_uid and first_gid are allowed",
            ),
        ] {
            assert_eq!(import(text).unwrap_err(), error);
        }
    }
}
