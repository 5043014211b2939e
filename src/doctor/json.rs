//! What doctor says to programs; `docs/doctor.schema.json` is its form.

use serde::Serialize;

use super::Visit;
use super::finding::Verdict;
use super::table::Fixing;

/// The version of the form.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'v> {
    version: u32,
    worst: Verdict,
    checks: Vec<Check<'v>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<Change<'v>>>,
}

#[derive(Serialize)]
struct Check<'v> {
    name: &'v str,
    verdict: Verdict,
    value: &'v str,
    looks_at: &'v str,
    why: &'v str,
    advice: Option<&'v str>,
    commands: Vec<String>,
    fix: Option<&'static str>,
    needs_root: bool,
    silenced: Option<&'v str>,
}

#[derive(Serialize)]
struct Change<'v> {
    check: &'v str,
    command: &'v str,
    done: bool,
    failure: Option<&'v str>,
    lasts: bool,
}

/// One object, and the end of its line.
pub(super) fn format(visit: &Visit) -> String {
    let checks = visit.examined.iter().map(|one| Check {
        name: one.check.name.name(),
        verdict: one.finding.verdict,
        value: &one.finding.value,
        looks_at: one.check.looks_at,
        why: one.check.why,
        advice: one.finding.advice.as_deref(),
        commands: one.finding.commands(),
        fix: match one.check.fixing {
            _ if one.finding.changes.is_empty() => None,
            Fixing::Never => None,
            Fixing::Named => Some("named"),
            Fixing::Always => Some("always"),
        },
        needs_root: one.finding.needs_root,
        silenced: one.silenced.as_deref(),
    });
    let changes = visit.done.as_ref().map(|done| {
        let changes = done.iter().map(|done| Change {
            check: &done.check,
            command: &done.command,
            done: done.failure.is_none(),
            failure: done.failure.as_deref(),
            lasts: done.lasts,
        });
        changes.collect()
    });
    let document = Document {
        version: VERSION,
        worst: visit.worst(),
        checks: checks.collect(),
        changes,
    };
    // Texts, numbers and lists: nothing that JSON could not take.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}
