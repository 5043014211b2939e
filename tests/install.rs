//! `install` puts things where they belong, and takes away what it brought. No privileges, nothing outside of a
//! temporary directory.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Output, finish};

mod support;

fn install(destdir: &Path, args: &[&str]) -> Output {
    let script = support::source("install");
    let mut command = Command::new(script);
    command.env("ISOLATE_RUN_BIN", support::binary());
    command.arg("--destdir").arg(destdir).args(args);
    finish(command)
}

/// What is there, directories aside, relative to `root`.
fn files(root: &Path) -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), found),
                false => found.push(entry.path()),
            }
        }
    }
    let mut found = Vec::new();
    walk(root, &mut found);
    let relative = |path: PathBuf| path.strip_prefix(root).unwrap().to_owned();
    let mut found: Vec<_> = found.into_iter().map(relative).collect();
    found.sort();
    found
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

#[test]
fn what_is_installed_works_and_is_removed_but_for_the_configuration() {
    let root = tempfile::tempdir().unwrap();
    install(root.path(), &[]).assert_success();
    let expected = paths(&["etc/isolate/isolate.toml", "usr/local/bin/isolate-run"]);
    assert_eq!(files(root.path()), expected);
    let program = root.path().join("usr/local/bin/isolate-run");
    assert_eq!(
        program.metadata().unwrap().permissions().mode() & 0o7777,
        0o755
    );
    let mut version = Command::new(&program);
    version.arg("--version");
    finish(version).assert_success();
    install(root.path(), &["--remove"]).assert_success();
    assert_eq!(files(root.path()), paths(&["etc/isolate/isolate.toml"]));
    install(root.path(), &["--remove"]).assert_success();
}

#[test]
fn under_isolates_name_there_are_a_link_and_the_service_with_the_right_path() {
    let root = tempfile::tempdir().unwrap();
    let options = ["--prefix", "/opt/judge", "--as-isolate"];
    for _ in 0..2 {
        install(root.path(), &options).assert_success();
    }
    let bin = root.path().join("opt/judge/bin");
    let link = fs::read_link(bin.join("isolate")).unwrap();
    assert_eq!(link, Path::new("isolate-run"));
    let mut version = Command::new(bin.join("isolate"));
    version.arg("--version");
    let output = finish(version);
    assert!(
        output.stdout.starts_with("The process isolator "),
        "{output:?}"
    );
    let unit = root
        .path()
        .join("opt/judge/lib/systemd/system/isolate.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(unit.contains("/opt/judge/bin/isolate-run --print-cg-root"));
    install(root.path(), &["--prefix", "/opt/judge", "--remove"]).assert_success();
    assert_eq!(files(root.path()), paths(&["etc/isolate/isolate.toml"]));
}

#[test]
fn what_is_not_ours_stays_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let bin = root.path().join("usr/local/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(root.path().join("etc/isolate")).unwrap();
    let config = root.path().join("etc/isolate/isolate.toml");
    fs::write(&config, "# mine\n").unwrap();
    for link in [Some("/opt/isolate"), None] {
        match link {
            Some(target) => symlink(target, bin.join("isolate")).unwrap(),
            None => fs::write(bin.join("isolate"), "another program").unwrap(),
        }
        let refused = install(root.path(), &["--as-isolate"]);
        assert!(refused.stderr.contains("not ours"), "{refused:?}");
        assert_ne!(refused.code, 0);
        assert!(!bin.join("isolate-run").exists());
        if link.is_some() {
            fs::remove_file(bin.join("isolate")).unwrap();
        }
    }
    install(root.path(), &["--remove"]).assert_success();
    let kept = fs::read_to_string(bin.join("isolate")).unwrap();
    assert_eq!(kept, "another program");
    assert_eq!(fs::read_to_string(&config).unwrap(), "# mine\n");
}

#[test]
fn a_configuration_of_isolate_is_left_in_force() {
    for old in ["etc/isolate", "usr/local/etc/isolate"] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(old);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "num_boxes = 5\n").unwrap();
        let output = install(root.path(), &[]);
        output.assert_success();
        assert!(output.stderr.contains("config import"), "{output:?}");
        let mut expected = paths(&[old, "usr/local/bin/isolate-run"]);
        expected.sort();
        assert_eq!(files(root.path()), expected);
    }
}

#[test]
fn mistakes_are_refused_before_anything_is_done() {
    let root = tempfile::tempdir().unwrap();
    for args in [&["--what"][..], &["--prefix", "usr"], &["--prefix"], &["x"]] {
        assert_ne!(install(root.path(), args).code, 0, "{args:?}");
    }
    assert!(files(root.path()).is_empty());
}
