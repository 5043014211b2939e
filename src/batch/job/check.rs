//! What the types of a job do not say about it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::FORMAT;
use super::words::{GivenFile, Input, Job, Output, Step};
use crate::batch::cache::Digest;
use crate::dir_rule::DirRequest;

/// The longest id and name, in bytes.
const LONGEST_NAME: usize = 1024;
/// A mistake: its key, and what is wrong.
pub(super) type Mistake = (String, String);

/// The most steps and files of a job, each.
const MOST: usize = 10_000;
/// The most partners of one step.
const MOST_PARTNERS: usize = 100;
/// The most repetitions of a step.
const MOST_REPEATS: u32 = 10_000;

fn wrong<T>(field: impl Into<String>, reason: impl Into<String>) -> Result<T, Mistake> {
    Err((field.into(), reason.into()))
}

/// Finds a mistake, if there is one.
pub(super) fn check(job: &Job) -> Result<(), Mistake> {
    if job.format.is_some_and(|format| format != FORMAT) {
        return wrong("format", format!("only {FORMAT} is known here"));
    }
    if job.id.is_empty() || job.id.len() > LONGEST_NAME {
        return wrong("id", format!("an id has 1 to {LONGEST_NAME} bytes"));
    }
    if job.steps.is_empty() || job.steps.len() > MOST {
        return wrong("steps", format!("a job has 1 to {MOST} steps"));
    }
    if job.files.len() > MOST {
        return wrong("files", format!("a job has at most {MOST} files"));
    }
    for (at, file) in job.files.iter().enumerate() {
        check_file(file, &format!("files[{at}]"))?;
    }
    for (at, step) in job.steps.iter().enumerate() {
        check_step(step, &format!("steps[{at}]"))?;
    }
    Ok(())
}

fn check_file(file: &GivenFile, field: &str) -> Result<(), Mistake> {
    check_inside(&file.name, &format!("{field}.name"))?;
    let contents = [&file.text, &file.base64, &file.path];
    let count = contents.iter().filter(|content| content.is_some()).count();
    match &file.sha256 {
        None if count != 1 => return wrong(field, "a file has one of text, base64 and path"),
        None if file.writable => {
            let reason = "only files with sha256 say this: the others can be changed anyway";
            return wrong(format!("{field}.writable"), reason);
        }
        Some(_) if count > 1 => {
            return wrong(
                field,
                "beside sha256 a file has at most one of text, base64 and path",
            );
        }
        Some(digest) => check_digest(digest, &format!("{field}.sha256"))?,
        None => {}
    }
    // A program cannot move what it is mounted on, but could move a directory above that.
    if is_bound(file) && file.name.contains([':', '=', '/']) {
        let reason = "a file that is shown and not copied has no ':', '=' or '/' in its name: make it writable";
        return wrong(format!("{field}.name"), reason);
    }
    if is_bound(file) && file.mode.is_some() {
        let reason = "a file of the cache is read-only and can be executed, unless it is writable";
        return wrong(format!("{field}.mode"), reason);
    }
    if let Some(text) = &file.base64 {
        check_base64(text, &format!("{field}.base64"))?;
    }
    if let Some(path) = &file.path {
        check_word(path, &format!("{field}.path"))?;
    }
    if mode(file).is_none() {
        return wrong(format!("{field}.mode"), "a mode is octal, at most \"777\"");
    }
    Ok(())
}

/// Whether a file is shown where it is, and not copied into the box.
pub(in crate::batch) fn is_bound(file: &GivenFile) -> bool {
    file.sha256.is_some() && !file.writable
}

fn check_digest(text: &str, field: &str) -> Result<(), Mistake> {
    match Digest::parse(text) {
        Some(_) => Ok(()),
        None => wrong(field, "a SHA-256 has 64 digits from 0 to 9 and a to f"),
    }
}

/// The permissions of a file; `None` when they make no sense.
pub(in crate::batch) fn mode(file: &GivenFile) -> Option<u32> {
    let text = file.mode.as_deref().unwrap_or("644");
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o777 && !text.starts_with('+'))
}

fn check_step(step: &Step, field: &str) -> Result<(), Mistake> {
    let at = |key: &str| format!("{field}.{key}");
    if step
        .name
        .as_ref()
        .is_some_and(|name| name.is_empty() || name.len() > LONGEST_NAME)
    {
        return wrong(at("name"), format!("a name has 1 to {LONGEST_NAME} bytes"));
    }
    if step.argv.first().is_none_or(String::is_empty) {
        return wrong(
            at("argv"),
            "the program is missing: argv begins with its name",
        );
    }
    for word in &step.argv {
        check_zero(word, &at("argv"))?;
    }
    for (name, value) in &step.env {
        let key = format!("{}.{name}", at("env"));
        check_word(name, &key)?;
        check_zero(value, &key)?;
        if name.contains('=') {
            return wrong(key, "the name of a variable has no '='");
        }
    }
    for (number, rule) in step.dirs.iter().enumerate() {
        if let Err(error) = DirRequest::parse(rule.as_ref()) {
            return wrong(format!("{field}.dirs[{number}]"), error.to_string());
        }
    }
    if step.talks_with.len() > MOST_PARTNERS {
        let reason = format!("a step talks with at most {MOST_PARTNERS} others");
        return wrong(at("talks_with"), reason);
    }
    let chdir = step.chdir.iter().map(|dir| (dir, at("chdir")));
    let transcript = step
        .transcript
        .iter()
        .map(|file| (&file.name, at("transcript")));
    for (word, key) in chdir.chain(transcript) {
        check_word(word, &key)?;
    }
    match &step.stdin {
        Some(Input::File(name) | Input::Path(name)) => check_word(name, &at("stdin"))?,
        Some(Input::Base64(text)) => check_base64(text, &at("stdin.base64"))?,
        Some(Input::Sha256(digest)) => check_digest(digest, &at("stdin.sha256"))?,
        Some(Input::Text(_) | Input::Pipe(_)) | None => {}
    }
    for (output, key) in [(&step.stdout, "stdout"), (&step.stderr, "stderr")] {
        match output {
            Some(Output::File(name)) => check_word(name, &at(key))?,
            Some(Output::Path(file)) => check_word(&file.name, &at(key))?,
            Some(Output::Stdout {}) if key == "stdout" => {
                return wrong(at(key), "only stderr goes where stdout goes");
            }
            Some(Output::Pipe(_)) if key == "stderr" => {
                return wrong(at(key), "only stdout goes to another step");
            }
            Some(Output::Inline(_) | Output::Pipe(_) | Output::Stdout {}) | None => {}
        }
    }
    if step
        .repeat
        .is_some_and(|times| times == 0 || times > MOST_REPEATS)
    {
        return wrong(
            at("repeat"),
            format!("a step is repeated 1 to {MOST_REPEATS} times"),
        );
    }
    for (number, collect) in step.collect.iter().enumerate() {
        check_inside(&collect.name, &format!("{field}.collect[{number}].name"))?;
        if let Some(path) = &collect.path {
            check_word(path, &format!("{field}.collect[{number}].path"))?;
        }
    }
    Ok(())
}

fn check_base64(text: &str, field: &str) -> Result<(), Mistake> {
    match STANDARD.decode(text) {
        Ok(_) => Ok(()),
        Err(error) => wrong(field, format!("no base64: {error}")),
    }
}

fn check_zero(word: &str, field: &str) -> Result<(), Mistake> {
    if word.contains('\0') {
        return wrong(field, "a word has no zero byte");
    }
    Ok(())
}

fn check_word(word: &str, field: &str) -> Result<(), Mistake> {
    if word.is_empty() {
        return wrong(field, "the name is empty");
    }
    check_zero(word, field)
}

/// A name of a file in the box: it does not lead out of it.
fn check_inside(name: &str, field: &str) -> Result<(), Mistake> {
    check_word(name, field)?;
    let is_inside = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !is_inside || name.len() > libc::PATH_MAX as usize {
        return wrong(
            field,
            "the name of a file in the box is relative to it, without '.' and '..'",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;

    #[test]
    fn what_makes_no_sense_is_told() {
        for (rest, words) in [
            (r#""format":2,"steps":[{"argv":["a"]}]"#, "format: only 1"),
            (r#""steps":[]"#, "steps: a job has 1 to"),
            (r#""steps":[{"argv":["a\u0000"]}]"#, "zero byte"),
            (r#""steps":[{"argv":["a"],"env":{"A=":""}}]"#, "no '='"),
            (
                r#""steps":[{"argv":["a"],"dirs":["=x"]}]"#,
                "steps[0].dirs[0]: ",
            ),
            (r#""steps":[{"argv":["a"],"repeat":0}]"#, "repeated 1 to"),
            (
                r#""steps":[{"argv":["a"],"stdout":{"stdout":{}}}]"#,
                "only stderr",
            ),
            (
                r#""steps":[{"argv":["a"],"collect":[{"name":"../x"}]}]"#,
                "collect[0].name: ",
            ),
            (
                r#""files":[{"name":"/x","text":""}],"steps":[{"argv":["a"]}]"#,
                "files[0].name: ",
            ),
            (
                r#""files":[{"name":"x"}],"steps":[{"argv":["a"]}]"#,
                "files[0]: a file has one of",
            ),
            (
                r#""files":[{"name":"x","text":"","mode":"4755"}],"steps":[{"argv":["a"]}]"#,
                "files[0].mode",
            ),
            (
                r#""files":[{"name":"x","base64":"!"}],"steps":[{"argv":["a"]}]"#,
                "files[0].base64: no base64",
            ),
            (
                r#""files":[{"name":"x","sha256":"7"}],"steps":[{"argv":["a"]}]"#,
                "files[0].sha256: a SHA-256 has",
            ),
            (
                r#""files":[{"name":"x","text":"","writable":true}],"steps":[{"argv":["a"]}]"#,
                "files[0].writable: only files with sha256",
            ),
            (
                r#""steps":[{"argv":["a"],"stdin":{"sha256":"../x"}}]"#,
                "stdin.sha256: ",
            ),
            (
                r#""files":[{"name":"x","text":"","box":"y"}],"steps":[{"argv":["a"]}]"#,
                "files[0].box: no step",
            ),
        ] {
            let line = format!("{{\"id\":\"a\",{rest}}}");
            let refused = Line::read(line.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(words), "{rest}: {refused}");
        }
    }
}
