//! `doctor` on machines that are made of files (`--root`): what it finds, mends and takes back. No privileges.

use std::fs;
use std::path::Path;
use std::process::Command;

use boon::{Compiler, Schemas};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{self, Output, finish, isolate_command};

/// A machine of files, one bad thing in each line: the check, the file, what is in it, and what it becomes.
const BAD: [(&str, &str, &str, &str); 12] = [
    (
        "core-pattern",
        "proc/sys/kernel/core_pattern",
        "|/usr/lib/systemd/systemd-coredump %P",
        "core",
    ),
    ("hard-links", "proc/sys/fs/protected_hardlinks", "0", "1"),
    ("hard-links", "proc/sys/fs/protected_symlinks", "0", "1"),
    (
        "huge-pages",
        "sys/kernel/mm/transparent_hugepage/enabled",
        "[always] madvise never",
        "madvise",
    ),
    (
        "governor",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "powersave",
        "performance",
    ),
    (
        "governor",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
        "schedutil",
        "performance",
    ),
    (
        "boost",
        "sys/devices/system/cpu/intel_pstate/no_turbo",
        "0",
        "1",
    ),
    ("smt", "sys/devices/system/cpu/smt/control", "on", "off"),
    ("aslr", "proc/sys/kernel/randomize_va_space", "2", "0"),
    (
        "clock-source",
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "hpet",
        "tsc",
    ),
    ("zram", "sys/module/zswap/parameters/enabled", "Y", "N"),
    (
        "swap",
        "proc/swaps",
        "Filename Type Size Used Priority\n/swap file 1000 0 -2",
        "Filename Type Size Used Priority\n/swap file 1000 0 -2",
    ),
];

/// What the checks look at besides.
const BESIDES: [(&str, &str); 5] = [
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_available_governors",
        "performance powersave",
    ),
    (
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_available_governors",
        "performance schedutil",
    ),
    (
        "sys/devices/system/clocksource/clocksource0/available_clocksource",
        "tsc hpet acpi_pm",
    ),
    ("proc/sys/kernel/osrelease", "6.12.0"),
    (
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nann:x:60007:100::/:/bin/sh\n",
    ),
];

fn bad_machine() -> TempDir {
    let root = TempDir::new().unwrap();
    let bad = BAD.iter().map(|(_, file, before, _)| (*file, *before));
    for (file, text) in bad.chain(BESIDES) {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn doctor(root: &Path, options: &[&str]) -> Output {
    let mut command = isolate_command(&["doctor", "--root"]);
    command.arg(root).args(options);
    finish(command)
}

#[track_caller]
fn json(output: &Output) -> Value {
    let value: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let schema = support::schemas::closed("doctor");
    compiler.add_resource("doctor.json", schema).unwrap();
    let index = compiler.compile("doctor.json", &mut schemas).unwrap();
    schemas
        .validate(&value, index)
        .unwrap_or_else(|error| panic!("{error}"));
    value
}

fn verdict(document: &Value, check: &str) -> String {
    let mut checks = document["checks"].as_array().unwrap().iter();
    let check = checks.find(|found| found["name"] == check).unwrap();
    check["verdict"].as_str().unwrap().to_owned()
}

fn files(root: &Path) -> Vec<String> {
    let text = |file: &str| fs::read_to_string(root.join(file)).unwrap();
    BAD.iter().map(|(_, file, _, _)| text(file)).collect()
}

#[test]
fn a_machine_made_bad_is_found_mended_and_put_back() {
    let root = bad_machine();
    let root = root.path();
    let before = files(root);
    let found = doctor(root, &["--json"]);
    assert_eq!(found.code, 3, "{found:?}");
    let found = json(&found);
    assert_eq!(found["worst"], "error");
    assert_eq!(verdict(&found, "ids"), "error");
    for (check, ..) in BAD {
        let expected = if check == "aslr" { "note" } else { "warning" };
        assert_eq!(verdict(&found, check), expected, "{check}");
    }
    assert_eq!(files(root), before, "it only looks");

    let fixed = json(&doctor(root, &["--fix", "--json", "--skip", "ids"]));
    for (check, ..) in BAD {
        let expected = match check {
            "smt" | "boost" | "swap" => "warning",
            "aslr" => "note",
            _ => "ok",
        };
        assert_eq!(verdict(&fixed, check), expected, "{check}");
    }
    let changes = fixed["changes"].as_array().unwrap();
    let failed: Vec<_> = changes
        .iter()
        .filter(|change| change["done"] == false)
        .collect();
    // No command is run for a machine that is made of files.
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["command"], "swapoff /swap");
    json(&doctor(
        root,
        &["--fix", "--json", "--only", "smt,aslr,boost"],
    ));
    let wanted = BAD.iter().map(|(_, _, _, after)| *after);
    assert_eq!(files(root), wanted.collect::<Vec<_>>());
    let sysctls = fs::read_to_string(root.join("etc/sysctl.d/99-isolate-run-doctor.conf")).unwrap();
    assert!(
        sysctls.contains("\nkernel.core_pattern = core\n"),
        "{sysctls}"
    );
    let others = fs::read_to_string(root.join("etc/tmpfiles.d/isolate-run-doctor.conf")).unwrap();
    assert!(
        others.contains("w /sys/devices/system/cpu/smt/control - - - - off\n"),
        "{others}"
    );

    let undone = json(&doctor(root, &["--undo", "--json"]));
    for (index, (_, file, before, _)) in BAD.iter().enumerate() {
        // The kernel would show the choice among the others.
        let chosen = before
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next());
        assert_eq!(files(root)[index], chosen.unwrap_or(before), "{file}");
    }
    assert_eq!(undone["changes"].as_array().unwrap().len(), 11);
    assert!(
        !root
            .join("etc/sysctl.d/99-isolate-run-doctor.conf")
            .exists()
    );
    assert!(!root.join("var/lib/isolate/doctor.json").exists());
    let again = doctor(root, &["--undo"]);
    assert!(
        again.stdout.starts_with("Nothing was changed by doctor"),
        "{again:?}"
    );
}

#[test]
fn the_exit_code_is_that_of_the_worst_and_silence_has_a_reason() {
    let root = bad_machine();
    let config = root.path().join("etc/isolate/isolate.toml");
    fs::create_dir(config.parent().unwrap()).unwrap();
    fs::write(
        &config,
        "[doctor]\nsilence = { ids = \"ann is gone soon\" }\n",
    )
    .unwrap();
    let with = |options: &[&str]| doctor(root.path(), options);
    assert_eq!(with(&["--only", "kernel"]).code, 0);
    assert_eq!(with(&["--only", "aslr"]).code, 0);
    assert_eq!(with(&["--only", "boost"]).code, 1);
    let silenced = with(&["--only", "ids"]);
    assert_eq!(silenced.code, 0);
    let text = silenced
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(text.contains("silenced ids error;"), "{silenced:?}");
    assert!(
        text.contains("ann is gone soon") && text.contains("1 silenced"),
        "{silenced:?}"
    );
    fs::write(&config, "[doctor]\nsilence = { smtt = \"x\" }\n").unwrap();
    assert_eq!(with(&["--only", "boost,ids"]).code, 3);
    let without = with(&["--only", "boost", "--only", "ids", "--skip", "ids"]);
    assert_eq!(without.code, 1);
    let refused = with(&["--only", "config"]);
    assert_eq!(refused.code, 3);
    let text = refused
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(text.contains("did you mean smt?"), "{refused:?}");
}

#[test]
fn quiet_says_only_what_needs_somebody_and_lines_fit_a_terminal() {
    let root = bad_machine();
    let quiet = doctor(root.path(), &["--quiet", "--only", "kernel,aslr"]);
    assert_eq!((quiet.code, quiet.stdout.as_str()), (0, ""));
    let all = doctor(root.path(), &["-v"]);
    for line in all.stdout.lines() {
        // A command is one line, however long.
        let is_command = line.trim_start().starts_with(['#', 'o']);
        assert!(line.chars().count() <= 80 || is_command, "{line}");
    }
    assert!(
        all.stdout.contains("\nwarning  boost           on\n"),
        "{}",
        all.stdout
    );
    assert!(
        all.stdout
            .contains("# sysctl -w kernel.core_pattern=core\n"),
        "{}",
        all.stdout
    );
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    for (options, text) in [
        (
            &["--only", "nonsense"][..],
            "--only: 'nonsense' is no check; there are config, kernel",
        ),
        (&["--fix", "--undo"], "--fix and --undo exclude each other"),
        (&["swap"], "doctor --only=swap"),
        (&["everything"], "doctor takes no operands"),
    ] {
        let mut command = isolate_command(&["doctor"]);
        command.args(options);
        let output = finish(command);
        assert_eq!(output.code, 2);
        assert!(output.stderr.contains(text), "{output:?}");
    }
}

#[test]
fn every_check_is_explained_in_the_documentation_as_it_explains_itself() {
    let root = TempDir::new().unwrap();
    let document = json(&doctor(root.path(), &["--json"]));
    let page = fs::read_to_string(support::source("docs/doctor.md")).unwrap();
    let (_, page) = page.split_once("\n## The checks\n").unwrap();
    let rows: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let checks = document["checks"].as_array().unwrap();
    for check in checks {
        let text = |key: &str| check[key].as_str().unwrap();
        let row = format!(
            "| `{}` | {} | {} |",
            text("name"),
            text("looks_at"),
            text("why")
        );
        assert!(
            rows.iter().any(|line| line.starts_with(&row)),
            "docs/doctor.md has no line {row}"
        );
    }
    assert_eq!(rows.len(), checks.len());
}

#[test]
fn isolates_name_for_it_is_a_link_with_isolates_options_and_exit_codes() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("isolate-check-environment");
    std::os::unix::fs::symlink(support::binary(), &link).unwrap();
    let called = |options: &[&str]| {
        let mut command = Command::new(&link);
        command.args(options);
        finish(command)
    };
    let all = called(&[]);
    assert!(all.code <= 1, "{all:?}");
    let quiet = called(&["-q"]);
    assert_eq!(quiet.code, all.code);
    assert_eq!(quiet.stdout.is_empty(), all.code == 0, "{quiet:?}");
    let help = called(&["--help"]);
    assert!(
        help.code == 0 && help.stdout.contains("-e, --execute"),
        "{help:?}"
    );
    let wrong = called(&["--init"]);
    assert_eq!(wrong.code, 2);
    let hint = "Try 'isolate-check-environment --help' for more information.";
    assert!(wrong.stderr.contains(hint), "{wrong:?}");
}
