//! `gc --removed`: deletes what large boxes have left that were removed. `isolate-removal.service`
//! calls it; it asks nobody, and changes nothing else.

use super::{Asked, Context, Done};
use crate::answer::Answer;
use crate::box_dir::{Cleared, Which, clear_leftovers, count_leftovers, leftovers_of};
use crate::failure::{Failure, Kind};
use crate::request::GcRequest;
use crate::way;

/// Where systemd says which path has made it start a service (systemd.exec(5)).
const WATCHED: &str = "TRIGGER_PATH";

/// Whether the caller may: root alone, for itself.
pub(super) fn may_clear(context: Context<'_>) -> bool {
    context.by_broker.is_none() && context.asked.caller.uid == 0 && way::rootless().is_none()
}

/// Deletes it, or tells how much there is.
pub(super) fn clear(context: Context<'_>, request: GcRequest) -> Result<Done, Failure> {
    if !may_clear(context) {
        let what =
            "gc --removed is for root: isolate-removal.service deletes what your boxes have left";
        return Err(Failure::new(what).of_kind(Kind::Denied));
    }
    check_watched(context)?;
    let (line, failures) = clear_all(context, request, Which::Coming)?;
    Ok(Done::from(Answer {
        stdout: line,
        code: if failures.is_empty() { 0 } else { 2 },
        stderr: (!failures.is_empty()).then(|| failures.join("\n")),
    }))
}

/// The same with a line about what was done, or would be, if anything, and what could not be.
pub(super) fn clear_all(
    context: Context<'_>,
    request: GcRequest,
    which: Which,
) -> Result<(String, Vec<String>), Failure> {
    let root = &context.asked.settings.boxes.root;
    if request.dry_run {
        let line = match count_leftovers(root)? {
            None | Some(0) => String::new(),
            Some(count) => format!("would delete what {} left\n", boxes(count)),
        };
        return Ok((line, Vec::new()));
    }
    let Cleared {
        gone,
        entries,
        failures,
    } = clear_leftovers(root, which)?.unwrap_or_default();
    let line = match (gone, entries) {
        (0, 0) => String::new(),
        (0, _) => format!("deleted {} of what boxes left\n", files(entries)),
        (_, _) => format!("deleted what {} left: {}\n", boxes(gone), files(entries)),
    };
    let failures = failures.iter();
    let failures = failures.map(|error| format!("what a box left cannot be deleted: {error}"));
    Ok((line, failures.collect()))
}

/// So many removed boxes.
fn boxes(count: usize) -> String {
    let es = if count == 1 { "" } else { "es" };
    format!("{count} removed box{es}")
}

/// So many files, and whatever else has a name.
fn files(count: u64) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} file{s}")
}

/// Refuses to look elsewhere than at what systemd watches: it would find that full again and again.
fn check_watched(context: Context<'_>) -> Result<(), Failure> {
    let Asked {
        environment,
        settings,
        ..
    } = context.asked;
    let watched = environment.iter().find(|(name, _)| name == WATCHED);
    let Some((_, watched)) = watched else {
        return Ok(());
    };
    let place = leftovers_of(&settings.boxes.root);
    let place = place.unwrap_or_default();
    if place.as_os_str() == watched {
        return Ok(());
    }
    Err(Failure::new(format!(
        "isolate-removal.path watches '{}', and the boxes leave what is to be deleted in '{}' ([boxes] root): change it by \
         systemctl edit isolate-removal.path",
        watched.to_string_lossy(),
        place.display()
    )))
}
