//! The rules of the house that a compiler does not check: what may use what, where unsafe code is, how long a file may be,
//! and that no test is forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::compatibility::collect_tests;
use crate::support::source;

/// The modules of src, each layer above those that it may use. Modules of one layer do not use each other.
const LAYERS: &[&[&str]] = &[
    &[
        "answer",
        "barrier",
        "check_name",
        "error",
        "guess",
        "logging",
        "quantity",
        "screen",
        "sys",
        "syscall_set",
        "user",
        "way",
    ],
    &["clock", "dir_rule", "failure", "output", "remedy"],
    &["box_dir", "bus", "request", "rootless"],
    &["config", "polkit"],
    &["cgroup", "cpus"],
    &["systemd"],
    &["plan"],
    &["pool", "report", "status"],
    &["caller", "chronicle"],
    &["launch"],
    &["home"],
    &["keeper"],
    &["commands", "calibrate", "doctor"],
    &["cli"],
    &["broker"],
    &["session"],
    &["batch"],
    &["judge"],
    &["fuzzing", "lib", "main"],
];

/// Files that use a module above them all the same.
const UPWARDS: &[(&str, &str)] = &[];

/// Where sources are: of the program, and of those beside it in the workspace.
const SOURCES: [&str; 4] = ["src", "client/src", "worker/src", "worker/tests"];

/// The longest that a file may be.
const LINES: usize = 400;

/// The widest that a line of a comment may be, in characters: as wide as rustfmt makes code.
const COLUMNS: usize = 100;

/// The source files below a folder, as paths from the top of the repository.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(source(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            found.extend(files(&name));
        } else if name.ends_with(".rs") {
            found.push(name.into());
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(source(path.to_str().unwrap())).unwrap()
}

/// A file without comments, and without the modules for its unit tests, which are at its end.
fn code(path: &Path) -> String {
    let text = read(path);
    let lines: Vec<&str> = text.lines().collect();
    let is_end = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{');
    let end = lines.windows(2).position(is_end);
    let lines = lines[..end.unwrap_or(lines.len())].iter();
    let lines = lines.map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// `src/plan/limits.rs` and `src/plan.rs` are of the module `plan`.
fn module(path: &Path) -> String {
    let below = path.components().nth(1).unwrap();
    let name = below.as_os_str().to_str().unwrap();
    name.trim_end_matches(".rs").to_owned()
}

/// Tests may use what they like.
fn is_test(path: &Path) -> bool {
    let name = path.to_str().unwrap();
    name.contains("/tests") || name.contains("/fake_")
}

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("in which layer is {module}? See LAYERS"))
}

/// The modules of the crate that a text names.
fn used(code: &str) -> impl Iterator<Item = &str> {
    let rests = code.split("crate::").skip(1);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = rests.map(move |rest| rest.split(|c| !is_part(c)).next().unwrap());
    names.filter(|name| !name.is_empty())
}

#[test]
fn a_module_uses_only_those_below_it() {
    let mut wrong = Vec::new();
    for path in files("src").iter().filter(|path| !is_test(path)) {
        let (file, own) = (path.to_str().unwrap(), module(path));
        for other in used(&code(path)).filter(|other| *other != own) {
            let is_known = UPWARDS.contains(&(file, other));
            // What is no module is a macro or an item of the crate's root.
            let is_module = LAYERS.iter().any(|layer| layer.contains(&other));
            if is_module && !is_known && layer(&own) <= layer(other) {
                wrong.push(format!("{file} uses {other}"));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_a_layer_and_every_exception_is_one() {
    let sources = files("src");
    for path in &sources {
        layer(&module(path));
    }
    for name in LAYERS.iter().copied().flatten() {
        assert!(
            sources.iter().any(|path| module(path) == *name),
            "no {name}"
        );
    }
    for (file, other) in UPWARDS {
        let code = code(Path::new(file));
        assert!(used(&code).any(|name| name == *other), "{file} is mended");
    }
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // And the name of the function that the C library calls.
    let main = Path::new("src/main.rs");
    for path in files("src")
        .iter()
        .filter(|path| module(path) != "sys" && *path != main)
    {
        let text = read(path);
        let lines = text.lines().map(|line| line.split("//").next().unwrap());
        for line in lines {
            let mut words = line.split(|c| !is_part(c));
            let is_lifted =
                line.contains("allow(unsafe_code") || line.contains("expect(unsafe_code");
            assert!(
                !is_lifted && !words.any(|word| word == "unsafe"),
                "{}: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn no_file_is_too_long_to_be_read() {
    for path in SOURCES.into_iter().flat_map(files) {
        let lines = read(&path).lines().count();
        assert!(lines <= LINES, "{} has {lines} lines", path.display());
    }
}

#[test]
fn no_comment_is_too_wide_to_be_read() {
    let mut found = Vec::new();
    for path in SOURCES.into_iter().flat_map(files) {
        let name = path.to_str().unwrap();
        let is_wide =
            |line: &str| line.trim_start().starts_with("//") && line.chars().count() > COLUMNS;
        for (index, line) in read(&path).lines().enumerate() {
            if is_wide(line) {
                found.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_test_file_is_forgotten() {
    for entry in fs::read_dir(source("tests")).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            path.extension().is_none_or(|extension| extension != "rs"),
            "{} is a test binary of its own: make it a module of user, root or system",
            path.display()
        );
    }
    for binary in ["user", "root", "system"] {
        let main = read(Path::new(&format!("tests/{binary}/main.rs")));
        for path in files(&format!("tests/{binary}")) {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let line = format!("mod {name};");
            let is_there = main.lines().any(|other| other == line);
            assert!(
                name == "main" || is_there,
                "{} is in no binary",
                path.display()
            );
        }
    }
}

#[test]
fn every_test_says_what_it_needs() {
    for (binary, reason) in [
        ("root", Some("needs root: tests/run")),
        ("system", Some("needs systemd and cgroup v2: tests/run")),
        ("user", None),
    ] {
        for path in files(&format!("tests/{binary}")) {
            let text = read(&path);
            let mut lines = text.lines().map(str::trim);
            while let Some(line) = lines.next() {
                let is_ignored = line.starts_with("#[ignore");
                assert!(!is_ignored, "{}: after #[test]: {line}", path.display());
                if line != "#[test]" {
                    continue;
                }
                let next = lines.next().unwrap();
                let wanted = reason.map(|reason| format!("#[ignore = \"{reason}\"]"));
                match wanted {
                    Some(wanted) => assert_eq!(next, wanted, "{}", path.display()),
                    None => assert!(!next.starts_with("#[ignore"), "{}", path.display()),
                }
            }
        }
    }
}

/// Lines of `tests/kernel_files.txt`: a file of the kernel's, the source that writes it, a test.
fn kernel_files() -> Vec<[String; 3]> {
    let list = read(Path::new("tests/kernel_files.txt"));
    let lines = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let lines = lines.map(|line| words(line).try_into());
    lines.map(|line| line.expect("three words")).collect()
}

#[test]
fn whatever_is_written_to_the_kernel_has_a_test_that_shows_it_in_force() {
    let list = kernel_files();
    let mut tests = BTreeSet::new();
    collect_tests(&source("tests"), &mut tests);
    for [file, writer, test] in &list {
        let code = code(&Path::new("src").join(writer));
        let is_named = code.contains(file.as_str()) || file == "(doctor)";
        assert!(is_named, "{writer} does not write {file}");
        let name = test.rsplit("::").next().unwrap();
        assert!(tests.contains(name), "no such test: {test}");
    }
    // By the functions that write to a cgroup, or to any path.
    let mut found = 0;
    for path in files("src").iter().filter(|path| !is_test(path)) {
        let code = code(path);
        let below = path.strip_prefix("src").unwrap().to_str().unwrap();
        let of_source = || list.iter().filter(|[_, writer, _]| writer == below);
        if below.starts_with("cgroup/") {
            for text in code.split(".write(\"").skip(1) {
                let file = text.split('"').next().unwrap();
                assert!(of_source().any(|line| line[0] == file), "{below}: {file}");
                found += 1;
            }
        }
        // Of others, these modules write nothing but files of the kernel's.
        let modules = ["home", "keeper", "launch", "cpus", "sys", "systemd"];
        if modules.contains(&module(path).as_str()) && code.contains("fs::write(") {
            assert!(of_source().next().is_some(), "{below}");
            found += 1;
        }
    }
    assert!(found >= 9, "{found}");
}
