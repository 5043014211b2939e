//! The words for an obstacle: what is wrong, where, and what to do.

use std::ffi::CString;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use super::{Format, Found, Helper, Obstacle, Stream, Text};
use crate::dir_rule::{DirRule, Source};
use crate::plan::{Decided, StderrPlan};
use crate::request::RunKind;

/// Why the program of this plan was not started.
pub(crate) fn in_words(obstacle: &Obstacle, plan: &Decided) -> String {
    match obstacle {
        Obstacle::Opening(stream) => waiting(*stream, plan),
        Obstacle::Execution { errno, found } => {
            let name = plan
                .arguments
                .first()
                .map_or(Path::new(""), |name| path(name));
            let reason = not_executed(*errno, found, name, plan);
            format!("cannot execute '{}': {reason}", name.display())
        }
    }
}

fn waiting(stream: Stream, plan: &Decided) -> String {
    let (name, file, other_side) = match stream {
        Stream::Input => ("input", plan.stdin.as_ref(), "writing"),
        Stream::Output => ("output", plan.stdout.as_ref(), "reading"),
        Stream::Error => match &plan.stderr {
            StderrPlan::File(file) => ("error", Some(file), "reading"),
            StderrPlan::Inherit | StderrPlan::ToStdout => ("error", None, "reading"),
        },
    };
    let file = file.map_or(String::new(), |file| format!(" '{}'", path(file).display()));
    format!(
        "it waited to open standard {name}{file} until the end: if that is a FIFO, nobody has opened it for \
         {other_side} (two programs that open two FIFOs in different orders wait for each other)"
    )
}

fn not_executed(errno: i32, found: &Found, name: &Path, plan: &Decided) -> String {
    if name.as_os_str().is_empty() {
        return "its name is empty".to_owned();
    }
    match found {
        Found::Unclear => unclear(errno, plan),
        Found::Missing {
            path,
            missing,
            link,
        } => {
            if link.is_none() && is_number(name) {
                return "there is no such program; if it is the value of -p, write it without a blank, as in -p4 or \
                        --processes=4"
                    .to_owned();
            }
            if let (Some(places), None) = (searched(plan), link) {
                return format!(
                    "no such program in {places}; -E PATH=... names other directories of the sandbox"
                );
            }
            let link = link.as_ref().map_or(String::new(), |(link, says)| {
                format!("{link} is a symbolic link to {says}, and ")
            });
            let remedy = remedy(path, missing, name, plan);
            format!("{link}{missing} does not exist in the sandbox{remedy}")
        }
        Found::Closed(directory) => {
            format!(
                "the user of the box may not look into {directory}: chmod o+x, outside of the sandbox"
            )
        }
        Found::NoDirectory(part) => format!("{part} is no directory"),
        Found::Directory(path) => format!("{path} is a directory"),
        Found::NoFile(path) => format!("{path} is no file, but a FIFO, a socket or a device"),
        Found::Mode(path, mode) => format!(
            "the user of the box may not execute {path}, whose mode is {mode:04o}: chmod a+rx, or name its \
             interpreter, as in /bin/sh FILE"
        ),
        Found::NoExecMount(path) => no_exec(path, plan),
        Found::Helper {
            program,
            helper,
            kind,
            is_missing,
        } => needs(program, helper, *kind, *is_missing, plan),
        Found::Format(path, format) => of_format(path, *format),
    }
}

/// Whether a program was hardly meant: the value of `-p` is glued to it, since it may have none.
fn is_number(name: &Path) -> bool {
    name.to_string_lossy()
        .bytes()
        .all(|byte| byte.is_ascii_digit())
}

/// The places where a program without a slash in its name was looked for.
fn searched(plan: &Decided) -> Option<String> {
    let name = plan.arguments.first()?.to_bytes();
    if plan.kind != RunKind::Exec || name.contains(&b'/') {
        return None;
    }
    let places = plan
        .candidates
        .iter()
        .filter_map(|file| path(file).parent());
    let places: Vec<_> = places.map(|place| place.display().to_string()).collect();
    Some(places.join(", "))
}

/// What to do about a path that does not exist inside.
fn remedy(path: &Text, missing: &Text, name: &Path, plan: &Decided) -> String {
    let missing = missing.path();
    let is_relative = name.is_relative();
    let in_box = missing.starts_with("/box") && is_relative;
    let has_slash = name.components().count() > 1 || name.starts_with(".");
    match plan.kind {
        RunKind::Run if in_box && !has_slash => {
            return "; --run does not look along PATH: name the program by its path, as in /usr/bin/NAME, or put it \
                    into the box"
                .to_owned();
        }
        RunKind::Exec if in_box && lies_in_box(&missing, plan) => {
            let file = name
                .file_name()
                .map_or(name, Path::new)
                .display()
                .to_string();
            return format!(
                ", which does not see the directory that you are in: --dir=src=\"$PWD\" shows it as /src, and \
                 /src/{file} is the program then"
            );
        }
        RunKind::Run | RunKind::Exec => {}
    }
    match rule_of(&missing, plan) {
        Some((rule, Source::Host(outside))) => {
            let below = missing.strip_prefix(Path::new("/").join(&rule.inside));
            let outside = below.map_or_else(|_| outside.clone(), |below| join(outside, below));
            if outside == missing {
                " nor outside of it".to_owned()
            } else {
                format!("; outside it would be '{}'", outside.display())
            }
        }
        Some(_) => String::new(),
        None if missing.starts_with("/etc") => {
            "; --etc=minimal shows a small /etc, with the alternatives of the machine".to_owned()
        }
        None => shown_by(&path.path(), &missing),
    }
}

/// The rule that would show no more than the directory of a program.
fn shown_by(path: &Path, missing: &Path) -> String {
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.components().all(is_plain) {
        // What `..` means depends on links.
        return "; a directory rule (--dir) can show it".to_owned();
    }
    let directory = path.parent().filter(|above| above.parent().is_some());
    let (shown, what) = match directory {
        Some(directory) if directory.starts_with(missing) => (directory, "directory"),
        _ => (path, "file"),
    };
    let shown = shown.strip_prefix("/").unwrap_or(shown).display();
    format!("; if it exists outside, --dir={shown} shows the {what}")
}

fn join(outside: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() {
        outside.to_owned()
    } else {
        outside.join(below)
    }
}

/// Whether a path lies in the box's own directory, which `exec` makes anew.
fn lies_in_box(inside: &Path, plan: &Decided) -> bool {
    matches!(rule_of(inside, plan), Some((rule, Source::BoxDir(_))) if rule.inside == Path::new("box"))
}

/// The rule that shows a path, and its source.
fn rule_of<'p>(inside: &Path, plan: &'p Decided) -> Option<(&'p DirRule, &'p Source)> {
    let inside = inside.strip_prefix("/").unwrap_or(inside);
    let above = plan
        .directories
        .iter()
        .filter(|rule| inside.starts_with(&rule.inside));
    let nearest = above.max_by_key(|rule| rule.inside.components().count())?;
    Some((nearest, &nearest.source))
}

fn no_exec(path: &Text, plan: &Decided) -> String {
    match rule_of(&path.path(), plan) {
        Some((rule, _)) if rule.flags.no_exec => format!(
            "the directory rule for '{}' has the option noexec, and {path} lies there",
            rule.inside.display()
        ),
        Some((rule, _)) => format!(
            "{path} lies on a file system that is mounted noexec outside, at the source of the rule for '{}': mount it \
             with exec, or keep programs elsewhere",
            rule.inside.display()
        ),
        None => format!("{path} lies on a file system that is mounted noexec"),
    }
}

fn needs(program: &Text, helper: &Text, kind: Helper, is_missing: bool, plan: &Decided) -> String {
    let what = match kind {
        Helper::Interpreter => "interpreter in its first line",
        Helper::Loader => "loader of shared libraries",
    };
    let inside = helper.path();
    let words = format!(
        "{program} names '{}' as the {what}, which",
        inside.display().to_string().escape_debug()
    );
    if helper.path().to_string_lossy().ends_with('\r') {
        return format!(
            "{program} ends its first line with a carriage return, as on Windows, which belongs to the name of its \
             interpreter then: convert it (sed -i 's/\\r$//')"
        );
    }
    if !is_missing {
        return format!("{words} the user of the box may not execute");
    }
    let more = match kind {
        Helper::Loader => ", or link the program statically",
        Helper::Interpreter => "",
    };
    let remedy = remedy(helper, helper, &inside, plan);
    format!("{words} does not exist in the sandbox{remedy}{more}")
}

fn of_format(path: &Text, format: Format) -> String {
    match format {
        Format::Empty => format!("{path} is empty"),
        Format::Machine(number) => {
            let name = match number {
                3 => "x86 of 32 bits",
                40 => "ARM of 32 bits",
                62 => "x86-64",
                183 => "ARM of 64 bits (aarch64)",
                243 => "RISC-V",
                _ => "another machine",
            };
            format!("{path} is made for {name} (ELF machine {number}), not for this machine")
        }
        Format::NoExecutable => {
            format!(
                "{path} is an ELF file, but no program: an object file, perhaps, or a part of one"
            )
        }
        Format::Unknown => {
            format!(
                "{path} is neither an ELF program nor a script whose first line is #! and an interpreter"
            )
        }
    }
}

fn unclear(errno: i32, plan: &Decided) -> String {
    let reason = Errno::from_raw(errno).desc();
    let remedy = match errno {
        libc::E2BIG => " (its arguments and its environment together)",
        libc::ETXTBSY => " (somebody still has it open for writing)",
        libc::EAGAIN => " (the user of the box has reached a limit of processes)",
        libc::ENOMEM if plan.leaf.memory.is_some() => {
            " (the memory limit of the run, or the machine)"
        }
        libc::ELOOP => " (or a link of /proc is in its path)",
        _ => "",
    };
    format!("{reason}{remedy}")
}

fn path(text: &CString) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(text.to_bytes()))
}

#[cfg(test)]
mod tests;
