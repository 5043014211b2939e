//! `install` puts things where they belong, and takes away what it brought. No privileges, nothing outside of a
//! temporary directory.

use crate::support;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Output, finish};

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

/// What is installed besides the configuration, with `prefix` and in the order of names.
fn installed(prefix: &str) -> Vec<PathBuf> {
    let below = [
        "bin/isolate-check-environment",
        "bin/isolate-run",
        "lib/systemd/catalog/isolate-run.catalog",
        "lib/systemd/system/isolate-metrics.service",
        "lib/systemd/system/isolate-metrics.timer",
        "lib/systemd/system/isolate-removal.path",
        "lib/systemd/system/isolate-removal.service",
        "lib/systemd/system/isolate.service",
        "lib/systemd/system/isolate.slice",
        "lib/systemd/system/isolate.socket",
        "lib/sysusers.d/isolate-run.conf",
        "lib/tmpfiles.d/isolate-run.conf",
        "share/bash-completion/completions/isolate-run",
        "share/fish/vendor_completions.d/isolate-run.fish",
        "share/isolate-run/apparmor",
        "share/isolate-run/isolate.toml.schema.json",
        match prefix {
            "usr" => "share/zsh/vendor-completions/_isolate-run",
            _ => "share/zsh/site-functions/_isolate-run",
        },
    ];
    let mut manual = Command::new(support::binary());
    let pages = finish({
        manual.arg("manual");
        manual
    });
    let pages = pages.stdout.lines().map(|page| {
        let section = page.rsplit('.').next().unwrap();
        format!("{prefix}/share/man/man{section}/{page}")
    });
    let mut found: Vec<_> = below
        .iter()
        .map(|name| Path::new(prefix).join(name))
        .chain(paths(&[
            "usr/share/polkit-1/actions/io.github.isolate_run.policy",
            "usr/share/polkit-1/rules.d/50-isolate-run.rules",
        ]))
        .chain(pages.map(PathBuf::from))
        .collect();
    found.sort();
    found
}

/// The same, with the configuration.
fn with_configuration(mut installed: Vec<PathBuf>) -> Vec<PathBuf> {
    installed.extend(paths(&["etc/isolate/isolate.toml"]));
    installed.sort();
    installed
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_is_installed_works_and_is_removed_but_for_the_configuration() {
    let root = tempfile::tempdir().unwrap();
    install(root.path(), &[]).assert_success();
    let expected = with_configuration(installed("usr/local"));
    assert_eq!(files(root.path()), expected);
    let program = root.path().join("usr/local/bin/isolate-run");
    for file in &expected {
        let file = root.path().join(file);
        let is_program = file.starts_with(program.parent().unwrap());
        let expected = if is_program { 0o755 } else { 0o644 };
        assert_eq!(mode(&file), expected, "{}", file.display());
    }
    let mut version = Command::new(&program);
    version.arg("--version");
    finish(version).assert_success();
    install(root.path(), &["--remove"]).assert_success();
    assert_eq!(files(root.path()), paths(&["etc/isolate/isolate.toml"]));
    install(root.path(), &["--remove"]).assert_success();
}

#[test]
fn the_profile_of_apparmor_is_for_parsers_that_know_user_namespaces() {
    let root = tempfile::tempdir().unwrap();
    let abi = root.path().join("etc/apparmor.d/abi");
    fs::create_dir_all(&abi).unwrap();
    let profile = root.path().join("etc/apparmor.d/isolate-run");
    fs::write(abi.join("3.0"), "").unwrap();
    install(root.path(), &[]).assert_success();
    assert!(!profile.exists());
    fs::write(abi.join("4.0"), "").unwrap();
    install(root.path(), &[]).assert_success();
    let text = fs::read_to_string(&profile).unwrap();
    assert!(text.contains("\n  userns,\n"), "{text}");
    assert_eq!(mode(&profile), 0o644);
    install(root.path(), &["--remove"]).assert_success();
    assert!(!profile.exists());
}

#[test]
fn the_service_runs_the_program_below_the_prefix_and_a_link_has_isolates_name() {
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
    let mut check = Command::new(bin.join("isolate-check-environment"));
    check.arg("--help");
    let output = finish(check);
    assert!(
        output
            .stdout
            .contains("isolate-check-environment [--execute]"),
        "{output:?}"
    );
    let unit = root
        .path()
        .join("opt/judge/lib/systemd/system/isolate.service");
    let unit = fs::read_to_string(unit).unwrap();
    for command in ["--print-cg-root", "broker"] {
        assert!(unit.contains(&format!("/opt/judge/bin/isolate-run {command}")));
    }
    assert!(!unit.contains("/usr/local"), "{unit}");
    let mut expected = with_configuration(installed("opt/judge"));
    expected.extend(paths(&["opt/judge/bin/isolate"]));
    expected.sort();
    assert_eq!(files(root.path()), expected);
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
fn a_service_of_another_isolate_is_in_the_way_and_stays() {
    let root = tempfile::tempdir().unwrap();
    let unit = "usr/lib/systemd/system/isolate.service";
    let path = root.path().join(unit);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let theirs = "[Service]\nExecStart=/usr/bin/isolate-cg-keeper\n";
    fs::write(&path, theirs).unwrap();
    let refused = install(root.path(), &[]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("another program"), "{refused:?}");
    for prefix in ["/usr", "/usr/local"] {
        install(root.path(), &["--prefix", prefix, "--remove"]).assert_success();
    }
    assert_eq!(files(root.path()), paths(&[unit]));
    assert_eq!(fs::read_to_string(path).unwrap(), theirs);
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
        let mut expected = installed("usr/local");
        expected.extend(paths(&[old]));
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
