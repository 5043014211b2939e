//! `config`: what it tells of a file, and how it changes one. For everybody, with files of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::{self, Output, finish, finish_with_input, isolate_command, source};

/// A configuration file in a directory of its own.
struct Machine {
    directory: TempDir,
}

impl Machine {
    fn with(text: &str) -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("isolate.toml"), text).unwrap();
        Self { directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("isolate.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    /// `config` with these words, about the file.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = isolate_command(&["config", "--config"]);
        command.arg(self.file()).args(words);
        command
    }

    fn config(&self, words: &[&str]) -> Output {
        finish(self.command(words))
    }

    /// `config edit` with a shell command as the editor, in which `$1` is the copy.
    fn edit(&self, editor: &str) -> Output {
        let script = self.directory.path().join("editor");
        fs::write(&script, format!("#!/bin/sh\n{editor}\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = self.command(&["edit"]);
        command.env("SYSTEMD_EDITOR", format!("'{}' ", script.display()));
        command
            .env("TMPDIR", self.directory.path())
            .env("EDITOR", "false");
        finish(command)
    }

    /// The copies that were left.
    fn copies(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let is_copy = |path: &PathBuf| path.to_string_lossy().contains("/isolate-run-");
        paths.filter(is_copy).collect()
    }
}

#[test]
fn what_was_told_as_set_is_set_whoever_else_sets_something() {
    let machine = Machine::with("");
    let keys = [
        "boxes.count",
        "boxes.first_uid",
        "boxes.first_gid",
        "cgroup.keep_ready",
        "ceilings.boxes",
        "ceilings.runs",
        "defaults.processes",
        "exec.processes",
    ];
    let set: Vec<_> = keys
        .iter()
        .map(|key| machine.command(&["set", key, "70"]))
        .map(|mut command| {
            command
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    let mut done = 0;
    for (key, mut child) in keys.iter().zip(set) {
        if child.wait().unwrap().success() {
            done += 1;
            assert_eq!(
                machine.config(&["get", key]).stdout,
                "70\n",
                "{key}: {}",
                machine.text()
            );
        }
    }
    assert!(done > 0);
    assert!(!machine.directory.path().join(".isolate.toml.new").exists());
}

#[test]
fn values_are_told_with_their_places_and_for_programs() {
    let machine = Machine::with("[boxes]\nroot = '/srv/b'\ncount = 7\n[defaults]\ntime = 2\n");
    let shown = machine.config(&["show"]);
    shown.assert_success();
    let line = format!("count = 7 # {}:3", machine.file().display());
    assert!(shown.stdout.lines().any(|other| other == line), "{shown:?}");
    for (key, value) in [
        ("boxes.root", "/srv/b"),
        ("boxes.count", "7"),
        ("exec.time", "2s"),
        ("boxes.only_root_inits", "false"),
    ] {
        let got = machine.config(&["get", key]);
        got.assert_success();
        assert_eq!(got.stdout, format!("{value}\n"));
    }
    let unset = machine.config(&["get", "boxes.subid_user"]);
    assert_eq!((unset.code, unset.stdout.as_str()), (1, ""), "{unset:?}");
    machine
        .config(&["get", "boxes.cuont"])
        .assert_refused(2, "did you mean boxes.count?");
    let json: Json = serde_json::from_str(&machine.config(&["show", "--json"]).stdout).unwrap();
    assert_eq!(json["values"]["boxes.count"]["value"], 7);
    assert_eq!(json["values"]["boxes.count"]["from"]["line"], 3);
    let got: Json =
        serde_json::from_str(&machine.config(&["get", "--json", "syscalls.deny"]).stdout).unwrap();
    assert!(got.as_array().unwrap().contains(&"vsock".into()), "{got}");
}

#[test]
fn a_difference_is_told_and_counts_as_one() {
    let machine = Machine::with("# nothing\n");
    machine.config(&["diff"]).assert_silent_success();
    fs::write(machine.file(), "[boxes]\ncount = 7\n").unwrap();
    let found = machine.config(&["diff"]);
    let place = machine.file().display().to_string();
    let expected = format!("-boxes.count = 1000\n+boxes.count = 7 # {place}:2\n");
    assert_eq!((found.code, found.stdout), (1, expected));
    let other = machine.directory.path().join("other.toml");
    fs::write(&other, "boxes.count = 7\nlog.runs = 'none'\n").unwrap();
    let words = ["config", "diff", place.as_str(), other.to_str().unwrap()];
    let found = finish(isolate_command(&words));
    assert_eq!(found.code, 1);
    assert!(
        found.stdout.starts_with(&format!(
            "-log.runs = \"all\"\n+log.runs = \"none\" # {}:2\n",
            other.display()
        )),
        "{found:?}"
    );
    let json = finish(isolate_command(&[&words[..], &["--json"]].concat()));
    let json: Json = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["key"], "log.runs");
    let none = [words[0], words[1], words[2], "/nowhere/x.toml"];
    finish(isolate_command(&none)).assert_refused(2, "/nowhere/x.toml: cannot open");
}

#[test]
fn the_digest_follows_the_values_alone() {
    let digest = |text: &str| {
        let digest = Machine::with(text).config(&["digest"]);
        digest.assert_success();
        digest.stdout
    };
    let first = digest("[boxes]\ncount = 7\n");
    assert_eq!(first.trim_end().len(), 64);
    assert_eq!(digest("# same\nboxes.count = 0x7\n"), first);
    assert_ne!(digest("boxes.count = 8\n"), first);
}

#[test]
fn a_key_is_set_and_unset_and_what_stands_around_it_stays() {
    let text = "# ours\n[boxes]\ncount = 7 # many\n\n# limits\n[defaults]\ntime = 1\n";
    let machine = Machine::with(text);
    fs::set_permissions(machine.file(), fs::Permissions::from_mode(0o640)).unwrap();
    let set = machine.config(&["set", "boxes.count", "9"]);
    set.assert_success();
    assert_eq!(
        set.stdout,
        format!("boxes.count = 9 # {}:3\n", machine.file().display())
    );
    assert_eq!(machine.text(), text.replace("= 7 #", "= 9 #"));
    let mode = fs::metadata(machine.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    machine
        .config(&["set", "defaults.mem", "64M"])
        .assert_success();
    assert!(
        machine.text().ends_with("time = 1\nmem = \"64M\"\n"),
        "{}",
        machine.text()
    );
    machine.config(&["unset", "defaults.mem"]).assert_success();
    machine
        .config(&["set", "boxes.count", "7"])
        .assert_success();
    assert_eq!(machine.text(), text);
    machine
        .config(&["unset", "defaults.mem"])
        .assert_refused(2, "defaults.mem is not set there");
    let names = fs::read_dir(machine.directory.path()).unwrap().count();
    assert_eq!(names, 1, "something was left");
}

#[test]
fn what_would_not_load_is_not_set() {
    let text = "[boxes]\nsubid_user = 'nobody-has-this-name'\n";
    // The whole is checked: here it was no configuration before.
    let machine = Machine::with(text);
    machine
        .config(&["set", "boxes.count", "5"])
        .assert_refused(2, "no range of ids");
    assert_eq!(machine.text(), text);
    let machine = Machine::with("[boxes]\nroot = '/a'\n");
    let before = machine.text();
    for (key, value, expected) in [
        ("boxes.count", "0", "whole numbers from 1 to"),
        ("boxes.count", "", "boxes.count: '' is out of range"),
        ("boxes.count", "1\n[boxes]", "is out of range"),
        ("boxes.locks", "/a/b", "lie one in the other"),
        ("defaults.time", "soon", "is not a time"),
        ("syscalls.deny", "[\"ptrace\"]", "is not a restriction"),
        ("cgroup.manager", "docker", "auto, systemd, delegated, none"),
        ("pin", "[{ boxes = 0, cpus = 65535 }]", "is not online"),
        (
            "boxes",
            "{}",
            "'boxes' is a table; its keys are boxes.root,",
        ),
        ("nonsense", "1", "'nonsense' is no key"),
        ("a\u{1b}[31m", "1", "is no key"),
    ] {
        let output = machine.config(&["set", "--", key, value]);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
        assert!(output.stderr.contains(expected), "{expected}: {output:?}");
        assert!(!output.stderr.contains('\x1b'), "{output:?}");
        assert_eq!(machine.text(), before);
    }
}

#[test]
fn a_mistake_is_shown_in_its_line() {
    let machine = Machine::with("[boxes]\n\nfirst_uuid = 5 # ours\n");
    let file = machine.file().display().to_string();
    let expected = format!(
        "error: boxes.first_uuid: unknown key
 --> {file}:3:1
  |
3 | first_uuid = 5 # ours
  | ^^^^^^^^^^
  = help: did you mean first_uid?
  = note: known here are root,"
    );
    let check = isolate_command(&["--check-config", "--config", &file]);
    for output in [
        machine.config(&["show"]),
        machine.config(&["digest"]),
        finish(check),
    ] {
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
        assert!(output.stderr.starts_with(&expected), "{}", output.stderr);
    }
}

#[test]
fn what_is_edited_takes_the_place_of_the_file_only_when_it_can_be_used() {
    let machine = Machine::with("[boxes]\ncount = 7\n");
    let edited = machine.edit("sed -i 's/7/8/' \"$1\"");
    edited.assert_success();
    assert!(edited.stdout.contains("is changed"), "{edited:?}");
    assert_eq!(machine.text(), "[boxes]\ncount = 8\n");
    for (editor, expected) in [
        (":", "is as it was.\n"),
        (": >\"$1\"", "is as it was: the text is empty"),
    ] {
        let same = machine.edit(editor);
        same.assert_success();
        assert!(same.stdout.contains(expected), "{same:?}");
    }
    machine
        .edit("echo x = >\"$1\"; exit 3")
        .assert_refused(2, "the editor failed (exit status: 3); nothing was changed");
    machine
        .edit("rm \"$1\"")
        .assert_refused(2, "the editor has removed the copy");
    assert_eq!(machine.text(), "[boxes]\ncount = 8\n");
    for copy in machine.copies() {
        fs::remove_dir_all(copy).unwrap();
    }
    let wrong = machine.edit("sed -i 's/8/many/' \"$1\"");
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(
        wrong.stderr.starts_with("error: not valid TOML: "),
        "{wrong:?}"
    );
    assert!(
        wrong
            .stderr
            .contains("isolate.toml is as it was; what was edited is in "),
        "{wrong:?}"
    );
    assert_eq!(machine.text(), "[boxes]\ncount = 8\n");
    let [copy] = &machine.copies()[..] else {
        panic!()
    };
    let kept = fs::read_to_string(copy.join("isolate.toml")).unwrap();
    assert_eq!(kept, "[boxes]\ncount = many\n");
}

#[test]
fn at_a_terminal_one_is_asked_whether_to_edit_again() {
    for (answer, text, code) in [
        ("n", "count = 7", 2),
        ("y", "count = 8", 0),
        ("", "count = 8", 0),
    ] {
        let machine = Machine::with("[boxes]\ncount = 7\n");
        let editor = machine.directory.path().join("editor");
        let script = "#!/bin/sh\nsed -i 's/coun =/count =/; t; s/count = 7/coun = 8/' \"$1\"\n";
        fs::write(&editor, script).unwrap();
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
        let (program, file) = (support::binary(), machine.file());
        let call = format!(
            "{} config edit --config {}",
            program.display(),
            file.display()
        );
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &call, "/dev/null"]);
        command
            .env("TMPDIR", machine.directory.path())
            .env("SYSTEMD_EDITOR", editor);
        let output = finish_with_input(command, format!("{answer}\n").as_bytes());
        assert_eq!(output.code, code, "{output:?}");
        assert!(output.stdout.contains("Edit again? [Y/n]"), "{output:?}");
        assert_eq!(
            output.stdout.matches("unknown key").count(),
            1,
            "{output:?}"
        );
        assert_eq!(machine.text(), format!("[boxes]\n{text}\n"));
        assert_eq!(machine.copies().len(), usize::from(code == 2));
    }
}

#[test]
fn a_file_with_a_mistake_can_be_edited_but_not_set() {
    let machine = Machine::with("[boxes]\ncount = many\n");
    let refused = machine.config(&["set", "boxes.count", "5"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.starts_with("error: not valid TOML"),
        "{refused:?}"
    );
    machine.edit("sed -i 's/many/5/' \"$1\"").assert_success();
    assert_eq!(machine.text(), "[boxes]\ncount = 5\n");
}

#[test]
fn what_another_has_written_meanwhile_is_not_overwritten() {
    let machine = Machine::with("[boxes]\ncount = 7\n");
    let file = machine.file().display().to_string();
    let edited = machine.edit(&format!(
        "echo '# theirs' >'{file}'; sed -i 's/7/8/' \"$1\""
    ));
    edited.assert_refused(2, "somebody else has changed it meanwhile");
    assert_eq!(machine.text(), "# theirs\n");
    assert_eq!(machine.copies().len(), 1);
}

#[test]
fn an_editor_that_is_not_there_changes_nothing() {
    let machine = Machine::with("");
    let mut command = machine.command(&["edit"]);
    command
        .env("SYSTEMD_EDITOR", "/nowhere/editor")
        .env("TMPDIR", machine.directory.path());
    finish(command).assert_refused(2, "the editor failed");
    let mut command = machine.command(&["edit"]);
    command
        .env_remove("SYSTEMD_EDITOR")
        .env("EDITOR", "")
        .env("VISUAL", " ")
        .env("PATH", "/nowhere");
    command.env("TMPDIR", machine.directory.path());
    finish(command).assert_refused(2, "cannot start an editor: ");
    assert_eq!(machine.copies(), [] as [PathBuf; 0]);
}

#[test]
fn a_user_without_rights_sees_what_they_may_read_and_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let open =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(directory.path(), 0o755);
    let program = directory.path().join("isolate-run");
    fs::copy(support::binary(), &program).unwrap();
    open(&program, 0o755);
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let file = closed.join("isolate.toml");
    fs::write(&file, "[boxes]\ncount = 7\n").unwrap();
    open(&file, 0o644);
    open(&closed, 0o555);
    let config = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("config").args(words).arg("--config").arg(&file);
        command.env("EDITOR", "false").env_remove("SYSTEMD_EDITOR");
        if geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        finish(command)
    };
    let got = config(&["get", "boxes.count"]);
    got.assert_success();
    assert_eq!(got.stdout, "7\n");
    config(&["digest"]).assert_success();
    for words in [
        &["set", "boxes.count", "5"][..],
        &["unset", "boxes.count"],
        &["edit"],
    ] {
        // The directory is of whoever runs the tests.
        let advice = match geteuid().is_root() {
            true => " (it is root's to change: use sudo)",
            false => "\n",
        };
        config(words).assert_refused(2, &format!("isolate.toml: Permission denied{advice}"));
    }
    open(&file, 0o000);
    for words in [
        &["show"][..],
        &["get", "boxes.count"],
        &["diff"],
        &["digest"],
        &["set", "boxes.count", "5"],
    ] {
        config(words).assert_refused(2, "isolate.toml: cannot open: Permission denied");
    }
    open(&closed, 0o755);
}

#[test]
fn drop_ins_of_all_three_places_are_read_and_masked() {
    let root = TempDir::new().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let verdict = || {
        let root = root.path().to_str().unwrap();
        let told = finish(isolate_command(&[
            "doctor", "--root", root, "--only", "config", "--json",
        ]));
        let told: Json = serde_json::from_str(&told.stdout).unwrap();
        told["checks"][0]["value"].as_str().unwrap().to_owned()
    };
    for top in ["usr/lib", "run", "etc"] {
        write(&format!("{top}/isolate/isolate.toml.d/50-x.toml"), "x");
        let told = verdict();
        assert!(
            told.contains(&format!("{top}/isolate/isolate.toml.d/50-x.toml:1: ")),
            "{told}"
        );
    }
    let own = root.path().join("etc/isolate/isolate.toml.d/50-x.toml");
    fs::remove_file(&own).unwrap();
    std::os::unix::fs::symlink("/dev/null", own).unwrap();
    assert_eq!(verdict(), "it can be used");
}

#[test]
fn the_schema_in_the_documents_is_what_the_program_prints() {
    let printed = finish(isolate_command(&["config", "schema"]));
    printed.assert_success();
    let file = fs::read_to_string(source("docs/isolate.toml.schema.json")).unwrap();
    assert!(
        printed.stdout == file,
        "isolate-run config schema > docs/isolate.toml.schema.json"
    );
}
