//! Which boxes there are and what runs in them, as somebody sees it who looks from outside: nothing
//! is asked of keepers, programs or systemd, and nobody waits.
//!
//! ```text
//! locks, /proc, cgroups ── look ──▶ Snapshot ── JSON ──▶ table, watch, metrics
//! ```
//!
//! The left side needs root's rights, for users the broker's; the right side is done in the process
//! of whoever asks.

pub(crate) mod look;
mod metrics;
mod run;
mod table;
mod watch;

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use terminal_size::terminal_size_of;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::request::StatusForm;
use table::table;
use watch::watch;

/// Tells what is seen, in this form, by looking as often as that takes. `examine` gives the
/// verdicts of checks of the machine, each with its name, for figures.
pub(crate) fn tell(
    form: StatusForm,
    look: impl Fn() -> Result<Snapshot, Failure>,
    examine: impl FnOnce() -> Vec<(&'static str, i64)>,
) -> Result<Answer, Failure> {
    match form {
        StatusForm::Table => {
            let size = terminal_size_of(io::stdout());
            let width = size.map(|(columns, _)| columns.0.into());
            Ok(Answer::tell(table(&look()?, width)))
        }
        StatusForm::Json => Ok(Answer::tell(look()?.to_json())),
        // What keeps boxes from being seen is just what monitoring has to hear of.
        StatusForm::Metrics => Ok(match look() {
            Ok(seen) => Answer::tell(metrics::metrics(&seen, &examine())),
            Err(failure) => Answer {
                stderr: Some(failure.to_string()),
                code: 2,
                ..Answer::tell(metrics::of_machine(&examine()))
            },
        }),
        StatusForm::Watch(pause) => watch(pause, look).map(|()| Answer::default()),
    }
}

/// The number of this form of the snapshot. It grows when readers have to change.
const FORMAT: u32 = 1;

/// Everything that is seen at one moment, in the form of `docs/status.schema.json`. Units are in
/// the names; a figure that is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The version of the program that looked.
    pub(crate) isolate_run: String,
    /// When it looked: microseconds since 1970.
    pub(crate) time_us: u64,
    /// Whether the boxes of all users are told, or those of one user alone.
    pub(crate) all_users: bool,
    /// The boxes, by their numbers.
    pub(crate) boxes: Vec<BoxSeen>,
    /// What was counted since the boot, of each user.
    #[serde(default)]
    pub(crate) counts: Vec<UserCounts>,
}

/// What was counted of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserCounts {
    /// The user; `None` for all together who may not use boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<User>,
    /// Numbers by their names: `runs.VERDICT`, `refused.BY`, `failed`, `cpu_us`.
    pub(crate) counts: BTreeMap<String, u64>,
}

/// A box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoxSeen {
    /// Its number.
    #[serde(rename = "box")]
    pub(crate) id: u32,
    /// What happens with it.
    pub(crate) state: State,
    /// Who made it.
    pub(crate) owner: User,
    /// The uid of its programs; not known of a stray.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<u32>,
    /// Whether it was made with `--cg`; not known of a stray.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) control_group_mode: Option<bool>,
    /// Its directory.
    pub(crate) path: String,
    /// When it was made, or when its last run began or ended: microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) changed_us: Option<u64>,
    /// What it holds on disk, if there was time to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<Disk>,
    /// The run that goes on in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunSeen>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    /// Their number.
    pub(crate) uid: u32,
    /// Their name, if /etc/passwd has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// What happens with a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It waits for a run.
    Idle,
    /// A program runs in it.
    Running,
    /// Another command works on it: it is being made, made ready for a run, or removed.
    Busy,
    /// Its making, or the `exec` that it was made for, was killed. It goes when it is needed.
    Unfinished,
    /// The keeper of its run was killed, and the program with it. The next command settles that.
    Abandoned,
    /// A directory without a record, from before a reboot.
    Stray,
}

/// What a box holds on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disk {
    /// The space that is taken.
    pub(crate) bytes: u64,
    /// Files and directories.
    pub(crate) files: u64,
    /// Whether this is all of it.
    pub(crate) complete: bool,
}

/// A run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunSeen {
    /// The process that watches over it.
    pub(crate) keeper_pid: i32,
    /// Its main process, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<i32>,
    /// What that executes, as it is named inside of the box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<String>,
    /// When its main process was made: microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) begun_us: Option<u64>,
    /// CPU time of all its processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_time_us: Option<u64>,
    /// Memory that all of them use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_bytes: Option<u64>,
    /// What they may use; left out where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_limit_bytes: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) processes: Option<u64>,
    /// How many there may be; left out where there is no limit for all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) processes_limit: Option<u64>,
    /// The scope, where systemd made one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    /// The cgroup of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<String>,
}

impl Snapshot {
    /// The text that travels, and that `--json` prints.
    pub(crate) fn to_json(&self) -> String {
        // There are only strings and numbers, so this cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads what [`Self::to_json`] wrote.
    pub(crate) fn from_json(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(Failure::at(
            "the answer of the broker is not one of this version (systemctl restart isolate.service)",
        ))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use boon::{Compiler, Schemas};

    use super::*;

    /// Two boxes: one with a run, one without anything that may be left out.
    pub(crate) fn snapshot() -> Snapshot {
        let owner = |uid, name: Option<&str>| User {
            uid,
            name: name.map(str::to_owned),
        };
        Snapshot {
            format: FORMAT,
            isolate_run: "0.1.0".into(),
            time_us: 1_700_000_100_000_000,
            all_users: true,
            boxes: vec![
                BoxSeen {
                    id: 3,
                    state: State::Running,
                    owner: owner(1000, Some("alice")),
                    uid: Some(60_003),
                    control_group_mode: Some(true),
                    path: "/var/local/lib/isolate/3".into(),
                    changed_us: Some(1_700_000_087_000_000),
                    disk: Some(Disk {
                        bytes: 1_300_000,
                        files: 12,
                        complete: false,
                    }),
                    run: Some(RunSeen {
                        keeper_pid: 77,
                        pid: Some(79),
                        program: Some("/usr/bin/python3.13".into()),
                        begun_us: Some(1_700_000_088_000_000),
                        cpu_time_us: Some(11_240_000),
                        memory_bytes: Some(34 << 20),
                        memory_limit_bytes: Some(64 << 20),
                        processes: Some(3),
                        processes_limit: Some(16),
                        scope: Some("isolate-3-0.scope".into()),
                        cgroup: Some("/sys/fs/cgroup/isolate.slice/isolate-3-0.scope".into()),
                    }),
                },
                BoxSeen {
                    id: 12,
                    state: State::Stray,
                    owner: owner(0, None),
                    uid: None,
                    control_group_mode: None,
                    path: "/var/local/lib/isolate/12".into(),
                    changed_us: None,
                    disk: None,
                    run: None,
                },
            ],
            counts: vec![
                UserCounts {
                    user: Some(owner(1000, Some("alice"))),
                    counts: [
                        ("runs.ok", 5),
                        ("runs.internal_error", 1),
                        ("cpu_us", 1_500_000),
                    ]
                    .map(|(name, number)| (name.to_owned(), number))
                    .into(),
                },
                UserCounts {
                    user: None,
                    counts: [("refused.polkit".to_owned(), 7)].into(),
                },
            ],
        }
    }

    #[test]
    fn a_snapshot_is_as_the_schema_says_and_arrives_as_it_was_sent() {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let schema = include_str!("../../docs/status.schema.json");
        let name = "status.schema.json";
        let schema = serde_json::from_str(schema).unwrap();
        compiler.add_resource(name, schema).unwrap();
        let index = compiler.compile(name, &mut schemas).unwrap();
        for state in [
            State::Idle,
            State::Running,
            State::Busy,
            State::Unfinished,
            State::Abandoned,
            State::Stray,
        ] {
            let mut snapshot = snapshot();
            snapshot.boxes[0].state = state;
            let text = snapshot.to_json();
            let value = serde_json::from_str(&text).unwrap();
            if let Err(error) = schemas.validate(&value, index) {
                panic!("{error:#}\n{text}");
            }
            assert_eq!(Snapshot::from_json(&text).unwrap(), snapshot);
        }
        assert!(Snapshot::from_json("{}").is_err());
    }
}
