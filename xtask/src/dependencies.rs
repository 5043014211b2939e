//! Whether every crate that the program is built from has a license that `deny.toml` allows, and comes from crates.io. For
//! advisories, which need the network, there is cargo-deny.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::build::cargo;
use crate::payload;

/// The source of what comes from crates.io.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What is wrong with dependencies, a line each.
///
/// # Errors
///
/// `deny.toml` or the list of dependencies cannot be read.
pub(crate) fn problems(top: &Path) -> io::Result<Vec<String>> {
    let allowed = allowed(&fs::read_to_string(top.join("deny.toml"))?);
    let host = payload::must(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.unwrap_or_default();
    // What other systems need is not even here.
    let words = ["metadata", "--format-version=1", "--filter-platform", host];
    let metadata = payload::must(&mut cargo(top, &words, &[]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array();
    let packages = packages.ok_or_else(|| io::Error::other("cargo metadata lists no packages"))?;
    Ok(packages
        .iter()
        .filter_map(|package| problem(package, &allowed))
        .collect())
}

/// What is wrong with a package; what has no source is this repository's own.
fn problem(package: &Value, allowed: &[String]) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let source = package["source"].as_str()?;
    if source != CRATES_IO {
        return Some(format!("{name} comes from {source}"));
    }
    let license = package["license"].as_str().unwrap_or_default();
    let is_allowed = |name: &str| allowed.iter().any(|allowed| allowed == name);
    let holds = is_satisfied(license, &is_allowed);
    (!holds).then(|| format!("{name} has the license '{license}'"))
}

/// The licenses in the list `allow` of `deny.toml`, which is on one line.
fn allowed(text: &str) -> Vec<String> {
    let list = text.lines().find_map(|line| line.strip_prefix("allow = ["));
    let names = list.unwrap_or_default().split('"').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

/// Whether a license expression (SPDX; crates of old have a slash for OR) is satisfied by licenses that are allowed.
fn is_satisfied(expression: &str, is_allowed: &impl Fn(&str) -> bool) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let holds = any(&mut words, is_allowed);
    holds && words.peek().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, is_allowed: &impl Fn(&str) -> bool) -> bool {
    let mut holds = all(words, is_allowed);
    while words.next_if_eq(&"OR").is_some() {
        holds |= all(words, is_allowed);
    }
    holds
}

fn all(words: &mut Words<'_>, is_allowed: &impl Fn(&str) -> bool) -> bool {
    let mut holds = one(words, is_allowed);
    while words.next_if_eq(&"AND").is_some() {
        holds &= one(words, is_allowed);
    }
    holds
}

fn one(words: &mut Words<'_>, is_allowed: &impl Fn(&str) -> bool) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let holds = any(words, is_allowed);
        return words.next_if_eq(&")").is_some() && holds;
    }
    let Some(name) = words.next() else {
        return false;
    };
    match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
        Some(exception) => is_allowed(&format!("{name} WITH {exception}")),
        None => is_allowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_needs_what_it_says() {
        let is_allowed = |name: &str| ["MIT", "Apache-2.0"].contains(&name);
        for (expression, holds) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("", false),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("(MIT OR GPL-3.0) AND Apache-2.0", true),
            ("(MIT OR Apache-2.0) AND GPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception", false),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("(MIT", false),
            ("MIT GPL-3.0", false),
        ] {
            assert_eq!(is_satisfied(expression, &is_allowed), holds, "{expression}");
        }
    }

    #[test]
    fn the_file_says_what_is_allowed() {
        let names = allowed("[licenses]\nallow = [\"MIT\", \"MIT-0\"]\n");
        assert_eq!(names, ["MIT", "MIT-0"]);
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let own = fs::read_to_string(top.join("deny.toml")).unwrap_or_default();
        assert!(allowed(&own).iter().any(|name| name == "MIT"), "{own}");
    }

    #[test]
    fn a_package_of_another_place_or_license_is_told() {
        let package = |license: &str, source: &str| {
            let text = format!(r#"{{"name":"x","license":"{license}","source":"{source}"}}"#);
            serde_json::from_str::<Value>(&text).unwrap_or_default()
        };
        let allowed = ["MIT".to_owned()];
        assert_eq!(problem(&package("MIT", CRATES_IO), &allowed), None);
        for bad in [
            package("GPL-3.0", CRATES_IO),
            package("MIT", "git+https://x"),
        ] {
            assert!(problem(&bad, &allowed).is_some(), "{bad}");
        }
    }
}
