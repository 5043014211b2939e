//! `logs`: what the system's journal has of boxes.

use std::io::Read;
use std::process::{Command, Stdio};

use super::{Context, Done};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::polkit::Action;
use crate::quantity::BoxId;
use crate::request::{BoxChoice, LogsRequest};
use crate::user::uid_of;
use crate::way;

/// The program that reads the journal: its files have no other stable interface without systemd's
/// own library, which a statically linked program cannot load.
const JOURNALCTL: &str = "/usr/bin/journalctl";

/// How much is told at once, in bytes.
const MOST: u64 = 8 << 20;

/// Reads the journal.
pub(super) fn logs(context: Context<'_>, request: &LogsRequest) -> Result<Done, Failure> {
    let id = match context.common().box_id {
        Some(BoxChoice::Number(id)) => Some(id),
        Some(BoxChoice::Auto) | None => None,
    };
    let user = whose(context, request)?;
    let words = arguments(id, user, request);
    if request.follow && context.rights().is_some() {
        let quoted = |word: &String| match word.contains(char::is_whitespace) {
            true => format!("'{word}'"),
            false => word.clone(),
        };
        let words: Vec<_> = words.iter().map(quoted).collect();
        return Err(Failure::new(format!(
            "--follow is for root; who is in the group systemd-journal has the same by: journalctl {}",
            words.join(" ")
        )));
    }
    let mut command = Command::new(JOURNALCTL);
    // Nothing of the caller's reaches it but these words.
    command.args(words).env_clear().current_dir("/");
    command.stdin(Stdio::null());
    let cannot = Failure::at("cannot run /usr/bin/journalctl, which reads the journal");
    if request.follow {
        let ended = command.status().map_err(&cannot)?;
        // A signal ends it as it should.
        return match ended.code() {
            None | Some(0) => Ok(Done::from(Answer::default())),
            Some(code) => Err(Failure::new(format!("journalctl ended with {code}"))),
        };
    }
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut reader = command.spawn().map_err(&cannot)?;
    let (mut found, mut reason) = (Vec::new(), Vec::new());
    if let Some(stdout) = reader.stdout.take() {
        stdout.take(MOST).read_to_end(&mut found).map_err(&cannot)?;
    }
    if let Some(stderr) = reader.stderr.take() {
        stderr
            .take(4096)
            .read_to_end(&mut reason)
            .map_err(&cannot)?;
    }
    if !reader.wait().map_err(&cannot)?.success() && found.is_empty() {
        let reason = String::from_utf8_lossy(&reason);
        let reason = reason.trim();
        // Without an entry, versions before 256 fail silently.
        if !reason.is_empty() {
            return Err(Failure::new(format!("journalctl: {reason}")));
        }
    }
    let is_cut = u64::try_from(found.len()) == Ok(MOST);
    if is_cut {
        let lines = found.iter().rposition(|byte| *byte == b'\n');
        found.truncate(lines.map_or(0, |end| end + 1));
    }
    let text = String::from_utf8_lossy(&found).into_owned();
    Ok(Done::from(Answer {
        stderr: is_cut.then(|| "this is not all: ask for fewer lines, or a later time".to_owned()),
        ..Answer::tell(text)
    }))
}

/// The user whose entries are meant; `None` for all.
fn whose(context: Context<'_>, request: &LogsRequest) -> Result<Option<u32>, Failure> {
    let caller = context.asked.caller.uid;
    let named = match &request.user {
        None => None,
        Some(name) => {
            let uid = name.parse().ok().or_else(|| uid_of(name));
            let unknown = || Failure::new(format!("there is no user '{name}' in /etc/passwd"));
            Some(uid.ok_or_else(unknown)?)
        }
    };
    Ok(match (context.rights(), named) {
        (Some(rights), Some(user)) if user != caller => {
            rights.may(Action::SeeBoxes)?;
            named
        }
        (Some(rights), None) if !rights.may_already(Action::SeeBoxes) => Some(caller),
        _ => named,
    })
}

/// The words for journalctl: entries of this box, and of this user, if these are given.
fn arguments(id: Option<BoxId>, user: Option<u32>, request: &LogsRequest) -> Vec<String> {
    let format = if request.json { "json" } else { "short-iso" };
    let mut words = vec![
        "--quiet".to_owned(),
        "--no-pager".to_owned(),
        format!("--output={format}"),
        format!("--lines={}", request.lines),
    ];
    words.extend(request.follow.then(|| "--follow".to_owned()));
    words.extend(
        request
            .since
            .as_ref()
            .map(|since| format!("--since={since}")),
    );
    words.extend([
        "SYSLOG_IDENTIFIER=isolate-run".to_owned(),
        format!("_UID={}", way::outside(0)),
    ]);
    words.extend(id.map(|id| format!("ISOLATE_BOX={id}")));
    words.extend(user.map(|uid| format!("ISOLATE_USER={uid}")));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_that_root_wrote_about_the_box_and_the_user() {
        let request = LogsRequest {
            since: Some("yesterday".into()),
            lines: 7,
            json: false,
            user: None,
            follow: true,
        };
        let words = arguments(Some(BoxId(3)), Some(1000), &request).join(" ");
        assert_eq!(
            words,
            "--quiet --no-pager --output=short-iso --lines=7 --follow --since=yesterday \
             SYSLOG_IDENTIFIER=isolate-run _UID=0 ISOLATE_BOX=3 ISOLATE_USER=1000"
        );
    }
}
