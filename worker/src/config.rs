//! `worker.toml` and its drop-ins: `/etc/isolate/worker.toml`, then `worker.toml.d/*.toml` of
//! `/usr/lib/isolate`, `/run/isolate` and `/etc/isolate`, as with `isolate.toml`: of files with one
//! name the last folder's counts, and all are read in the order of their names.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::Failure;
use crate::settings::Settings;

/// The main file.
const MAIN: &str = "/etc/isolate/worker.toml";
/// Where drop-ins are, the least important first.
const FOLDERS: [&str; 3] = [
    "/usr/lib/isolate/worker.toml.d",
    "/run/isolate/worker.toml.d",
    "/etc/isolate/worker.toml.d",
];

/// What holds, and which files say so.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) files: Vec<PathBuf>,
}

/// Reads this file alone, or the main one with its drop-ins. A file that is not there says nothing,
/// unless it was named.
///
/// # Errors
///
/// The file, the line and what is wrong there.
pub(crate) fn load(named: Option<&Path>) -> Result<Loaded, Failure> {
    let mut files = Vec::new();
    match named {
        Some(file) => files.push(file.to_owned()),
        None => {
            files.extend(Path::new(MAIN).exists().then(|| PathBuf::from(MAIN)));
            files.extend(drop_ins(&FOLDERS.map(Path::new))?);
        }
    }
    let mut texts = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file);
        texts.push(text.map_err(Failure::at(format!("cannot read {}", file.display())))?);
    }
    let pairs = files.iter().zip(&texts);
    let settings = merge(pairs.map(|(file, text)| (file.as_path(), text.as_str())))?;
    Ok(Loaded { settings, files })
}

/// The drop-ins in these folders.
fn drop_ins(folders: &[&Path]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = BTreeMap::new();
    for folder in folders {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(Failure::at(format!("cannot read {}", folder.display())))?,
        };
        for entry in entries {
            let entry = entry.map_err(Failure::at(format!("cannot read {}", folder.display())))?;
            let path = entry.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                found.insert(entry.file_name(), path);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// What these texts say together: the last one that names a key counts.
fn merge<'a>(texts: impl Iterator<Item = (&'a Path, &'a str)>) -> Result<Settings, Failure> {
    let mut all = toml::Table::new();
    for (file, text) in texts {
        // By itself first, so that a mistake has its place.
        let wrong = |error: toml::de::Error| {
            Failure::new(format!(
                "{}: {}",
                file.display(),
                error.to_string().trim_end()
            ))
        };
        toml::from_str::<Settings>(text).map_err(wrong)?;
        overlay(&mut all, toml::from_str(text).map_err(wrong)?);
    }
    let settings = Settings::deserialize(all);
    let settings = settings.map_err(Failure::at("the configuration"))?;
    settings.check()?;
    Ok(settings)
}

/// Tables are merged; everything else is replaced.
fn overlay(below: &mut toml::Table, above: toml::Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => overlay(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(texts: &[&str]) -> Result<Settings, String> {
        let texts = texts.iter().map(|text| (Path::new("worker.toml"), *text));
        merge(texts).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_last_one_that_names_a_key_counts() {
        let both = [
            "[machine]\nid = \"a\"\npool = \"p\"\n[queues.x]\n",
            "[machine]\nid = \"b\"\n[queues.y]\nweight = 3\n",
        ];
        let settings = settings(&both).unwrap();
        assert_eq!(
            (settings.machine.id.as_str(), settings.machine.pool.as_str()),
            ("b", "p")
        );
        assert_eq!(
            (
                settings.weight("x"),
                settings.weight("y"),
                settings.weight("z")
            ),
            (1, 3, 1)
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let mistakes = [
            ("[machine]\nname = \"a\"\n", "line 2"),
            ("[jobs]\nlease = 30\n", "line 2"),
            ("[jobs]\nlease = \"30 s\"\n", "no duration"),
            ("[machine]\nid = \"a.b\"\n", "machine.id"),
            ("[queues.\"a.b\"]\n", "queues"),
            ("[queues.a]\nweight = 0\n", "queues.a.weight"),
            ("[streams]\nreplicas = 2\n", "streams.replicas"),
            ("[jobs]\nmax_deliveries = 6\n", "jobs.max_deliveries"),
        ];
        for (text, part) in mistakes {
            let said = settings(&[text]).unwrap_err();
            assert!(said.contains(part), "{text}: {said}");
        }
    }

    #[test]
    fn the_file_that_is_shipped_says_what_holds_without_it() {
        let text = include_str!("../worker.toml");
        assert_eq!(settings(&[text]).unwrap(), Settings::default());
        let is_value = |line: &&str| !line.starts_with(' ');
        let lines = text
            .lines()
            .map(|line| line.strip_prefix('#').unwrap_or(line));
        let all: Vec<&str> = lines.filter(is_value).collect();
        let said = settings(&[&all.join("\n")]).unwrap();
        let defaults = Settings::default();
        assert_eq!((said.jobs, said.files), (defaults.jobs, defaults.files));
        assert_eq!(
            (said.streams, said.allow),
            (defaults.streams, defaults.allow)
        );
        assert_eq!(said.machine.state_dir, defaults.machine.state_dir);
    }
}
