//! What shells complete, and the pages of the manual.

use std::process::Command;

use crate::support::{binary, finish, source};

/// What bash makes of a line whose words are separated by blanks, as bash takes it apart: = and : are words.
fn completed_by_bash(line: &str) -> Vec<String> {
    let script = r#"
        source "$1" || exit
        compopt() { :; }
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _isolate_run
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]);
    command.arg(source("completions/isolate-run.bash"));
    command.arg(binary()).args(line.split(' '));
    let output = finish(command);
    output.assert_success();
    output.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_options_values_and_rules() {
    for (line, expected) in [
        ("ex", &["exec"][..]),
        ("exec --memo", &["--memory="]),
        ("exec --etc = mi", &["minimal"]),
        ("exec --color n", &["never"]),
        ("exec -d src = /home : no", &["noexec", "norec"]),
        ("exec --in = /etc/passw", &["/etc/passwd"]),
        ("config im", &["import"]),
        ("help she", &["shell"]),
    ] {
        let completed = completed_by_bash(line);
        for word in expected {
            assert!(
                completed.iter().any(|found| found == word),
                "{line}: {completed:?}"
            );
        }
    }
    assert!(completed_by_bash("exec ba").contains(&"bash".to_owned()));
    assert_eq!(completed_by_bash("exec --nonsen"), [""]);
}

#[test]
fn every_page_of_the_manual_can_be_printed() {
    let program = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(args);
        finish(command)
    };
    let names = program(&["manual"]);
    names.assert_success();
    for name in names.stdout.lines() {
        let page = program(&["manual", name]);
        page.assert_success();
        assert!(page.stdout.starts_with(".TH "), "{name}");
        assert!(page.stdout.contains(".SH \"SEE ALSO\""), "{name}");
    }
    assert!(names.stdout.contains("isolate-run-exec.1\n"), "{names:?}");
    program(&["manual", "none.1"]).assert_refused(2, "manual: there is no page 'none.1'");
}
