//! The text of `--check-config`: the values that hold, as valid TOML, and where each is from.
//!
//! Reading the text gives the same settings again. Every value has a comment `# FILE:LINE` or `#
//! default`.

use std::fmt::{self, Display};

use toml::Value;

use super::Loaded;
use super::error::{Place, one_line};
use super::field::Field;
use super::lists::PIN_KEYS;
use super::settings::{DIRECTORIES, Pin};
use super::table::{Key, Table};
use crate::quantity::CpuList;

const SUBID_USER: Key = Key::of(Table::Boxes, "subid_user");

impl Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.files.is_empty() {
            writeln!(f, "# no configuration file: every value is the default")?;
        }
        for file in &self.files {
            writeln!(f, "# read: {}", one_line(&file.to_string_lossy()))?;
        }
        for mask in &self.masks {
            writeln!(f, "# masked: {}", one_line(&mask.to_string_lossy()))?;
        }
        for table in Table::SINGLE {
            writeln!(f, "\n[{}]", table.name())?;
            for key in table.keys() {
                self.write_key(f, key)?;
            }
        }
        self.write_pins(f)
    }
}

impl Loaded {
    fn write_key(&self, f: &mut fmt::Formatter<'_>, key: Key) -> fmt::Result {
        let name = key.name();
        let Some(value) = self.shown(key) else {
            return writeln!(f, "# {name} is not set");
        };
        // A value that follows from subid_user would be refused beside it, so it is only a comment.
        let hidden = if self.follows_from_subid_user(key) {
            "# "
        } else {
            ""
        };
        match self.origin(key) {
            Some(place) => writeln!(f, "{hidden}{name} = {value} # {place}"),
            None => writeln!(f, "{hidden}{name} = {value} # default"),
        }
    }

    /// Where the value that holds for the key was set. `None`: nowhere, it is the default.
    pub(super) fn origin(&self, key: Key) -> Option<&Place> {
        if self.follows_from_subid_user(key) {
            return self.inputs.place(SUBID_USER);
        }
        let own = self.inputs.place(key);
        // `exec` has its own default for this key, which [defaults] does not reach.
        if key.table() != Table::Exec || key.name() == "processes" {
            return own;
        }
        own.or_else(|| self.inputs.place(key.within(Table::Defaults)))
    }

    fn follows_from_subid_user(&self, key: Key) -> bool {
        let is_of_boxes = key.table() == Table::Boxes;
        is_of_boxes
            && matches!(key.name(), "count" | "first_uid" | "first_gid")
            && self.inputs.place(SUBID_USER).is_some()
            && self.inputs.place(key).is_none()
    }

    /// The value that holds for a key, as TOML. `None`: there is none.
    pub(super) fn shown(&self, key: Key) -> Option<Value> {
        let mut settings = self.settings.clone();
        let field = key.field(&mut settings);
        match &field {
            Field::Rules(_) => Some(self.rules(key)),
            Field::Pins(pins) => shown_pins(pins),
            _ => field.shown(),
        }
    }

    /// Directory rules as the file has them.
    fn rules(&self, key: Key) -> Value {
        match self.inputs.get(key) {
            Some(at) => list(at.value.items().iter().map(|item| item.value.as_written())),
            None => list(DIRECTORIES),
        }
    }

    fn write_pins(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.settings.pins.is_empty() {
            return writeln!(f, "\n# [[pin]]: there is none");
        }
        let written = self.inputs.get(Key::PIN).map(|at| at.value.items());
        let pins = shown_pins(&self.settings.pins);
        let pins = pins
            .as_ref()
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for (pin, at) in pins.zip(written.unwrap_or_default()) {
            writeln!(f, "\n[[pin]]")?;
            for name in PIN_KEYS {
                let Some(value) = pin.get(name) else { continue };
                let mut entries = at.value.entries().iter();
                let own = entries.find(|(other, _)| other == name);
                let place = own.map_or(&at.place, |(_, own)| &own.place);
                writeln!(f, "{name} = {value} # {place}")?;
            }
        }
        Ok(())
    }
}

/// The pins as an array of tables; `None` where there is none.
fn shown_pins(pins: &[Pin]) -> Option<Value> {
    let shown = |pin: &Pin| {
        let list = |list: &Option<CpuList>| Some(list.as_ref()?.as_str().to_owned());
        let values = [
            Some(pin.boxes.to_string()),
            list(&pin.cpus),
            list(&pin.mems),
        ];
        let entries = PIN_KEYS.into_iter().zip(values);
        let entries = entries.filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
        Value::Table(entries.collect())
    };
    (!pins.is_empty()).then(|| Value::Array(pins.iter().map(shown).collect()))
}

fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> Value {
    Value::Array(texts.into_iter().map(Value::from).collect())
}

#[cfg(test)]
mod tests {
    use crate::config::machine::Machine;

    const FULL: &str = r#"
[boxes]
root = "/srv/boxes"
only_root_inits = true
count = 10
[cgroup]
root = "/sys/fs/cgroup/judge"
[defaults]
time = 0.3
cg_mem = "64M"
processes = 7
[exec]
stack = 1
[limits]
memory = "4G"
cpu_quota = "150%"
total_runs = 3
[directories]
rules = ["usr", "x=/y \"z\":maybe"]
[syscalls]
deny = []
[doctor.silence]
smt = 'no "core" is shared'
[[pin]]
boxes = "0-3"
cpus = "0"
[[pin]]
boxes = 4
mems = 1
"#;

    #[test]
    fn the_text_read_again_gives_the_same_settings() {
        for text in [
            "",
            FULL,
            "boxes.subid_user = 'isolate'\n",
            "boxes.subid_user = 'isolate'\nboxes.count = 7\n",
        ] {
            let loaded = Machine::new().main(text).load().unwrap();
            let printed = loaded.to_string();
            let again = Machine::new().main(&printed).load();
            assert_eq!(
                again.map(|again| again.settings),
                Ok(loaded.settings),
                "{printed}"
            );
        }
    }

    #[test]
    fn every_value_says_where_it_is_from() {
        let machine = Machine::new()
            .main(FULL)
            .drop_in("50-here.toml", "[boxes]\ncount = 20\n");
        let printed = machine.load().unwrap().to_string();
        for line in [
            "# read: DIR/isolate.toml",
            "# read: DIR/isolate.toml.d/50-here.toml",
            "root = \"/srv/boxes\" # DIR/isolate.toml:3",
            "locks = \"/run/isolate/locks\" # default",
            "count = 20 # DIR/isolate.toml.d/50-here.toml:2",
            "# subid_user is not set",
            "time = \"0.3s\" # DIR/isolate.toml:9",
            "cg_mem = \"64M\" # DIR/isolate.toml:10",
            "processes = 7 # DIR/isolate.toml:11",
            "processes = 256 # default",
            "stack = \"1K\" # DIR/isolate.toml:13",
            "core = \"0B\" # default",
            "wall_time = \"unlimited\" # default",
            "memory = \"4G\" # DIR/isolate.toml:15",
            "cpu_quota = \"150%\" # DIR/isolate.toml:16",
            "runs = 64 # default",
            "deny = [] # DIR/isolate.toml:21",
            "silence = { smt = 'no \"core\" is shared' } # DIR/isolate.toml:22",
            "boxes = \"4\" # DIR/isolate.toml:28",
            "mems = \"1\" # DIR/isolate.toml:29",
        ] {
            let line = line.replace("DIR", machine.path().to_str().unwrap());
            assert!(
                printed.lines().any(|other| other == line),
                "{line}\n{printed}"
            );
        }
        let time = printed
            .lines()
            .filter(|line| line.starts_with("time = \"0.3s\""));
        assert_eq!(time.count(), 2, "[exec] shows what it has from [defaults]");
    }

    #[test]
    fn ids_of_a_subid_user_are_shown_as_comments() {
        let machine = Machine::new().main("boxes.subid_user = 'isolate'");
        let printed = machine.load().unwrap().to_string();
        let place = format!("{}/isolate.toml:1", machine.path().display());
        for line in [
            "# first_uid = 200000",
            "# count = 3000",
            "subid_user = \"isolate\"",
        ] {
            assert!(
                printed.contains(&format!("\n{line} # {place}\n")),
                "{printed}"
            );
        }
    }

    #[test]
    fn without_files_every_value_is_the_default() {
        let printed = Machine::new().load().unwrap().to_string();
        assert!(printed.starts_with("# no configuration file"), "{printed}");
        let values = printed.lines().filter(|line| line.contains(" = "));
        assert!(values.clone().count() > 25);
        assert!(
            values.into_iter().all(|line| line.ends_with(" # default")),
            "{printed}"
        );
    }
}
