//! A snapshot as a table for people.

use super::{BoxSeen, RunSeen, Snapshot, State, User};
use crate::quantity::Bytes;

/// What a table is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) now: &'a Snapshot,
    /// What was seen some time before, if anybody looked: CPU use is told since then.
    pub(super) before: Option<&'a Snapshot>,
}

/// What a column is called, which edge its values stand at, and a value for each box.
type Column = (&'static str, Side, fn(View<'_>, &BoxSeen) -> String);

/// The edge of a column that its values stand at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The columns, what matters most first: a narrow terminal does not show the last ones.
const COLUMNS: [Column; 11] = [
    ("BOX", Side::Right, |_, seen| seen.id.to_string()),
    ("OWNER", Side::Left, |_, seen| owner(&seen.owner)),
    ("STATE", Side::Left, |_, seen| state(seen.state).to_owned()),
    ("SINCE", Side::Right, since),
    ("CPU", Side::Right, |_, seen| {
        of_run(seen, |run| run.cpu_time_us.map(cpu))
    }),
    ("%CPU", Side::Right, |view, seen| {
        percent(view, seen).map_or_else(nothing, |percent| percent.to_string())
    }),
    ("MEMORY", Side::Right, |_, seen| {
        of_run(seen, |run| {
            of(run.memory_bytes, run.memory_limit_bytes, size)
        })
    }),
    ("PROCS", Side::Right, |_, seen| {
        let plain = |number: u64| number.to_string();
        of_run(seen, |run| of(run.processes, run.processes_limit, plain))
    }),
    ("DISK", Side::Right, |_, seen| {
        let disk = seen.disk.map(|disk| match disk.complete {
            true => size(disk.bytes),
            false => format!(">{}", size(disk.bytes)),
        });
        disk.unwrap_or_else(nothing)
    }),
    ("PROGRAM", Side::Left, |_, seen| {
        of_run(seen, |run| run.program.clone())
    }),
    ("SCOPE", Side::Left, |_, seen| {
        of_run(seen, |run| run.scope.clone().or_else(|| run.cgroup.clone()))
    }),
];

/// The table of one look.
pub(crate) fn table(snapshot: &Snapshot, width: Option<usize>) -> String {
    let view = View {
        now: snapshot,
        before: None,
    };
    let boxes: Vec<&BoxSeen> = snapshot.boxes.iter().collect();
    lines(view, &boxes, width).concat()
}

/// The lines of a table: a heading and one for each of these boxes. They are cut to `width`
/// characters, if there is one.
pub(super) fn lines(view: View<'_>, boxes: &[&BoxSeen], width: Option<usize>) -> Vec<String> {
    if boxes.is_empty() {
        return vec![match view.now.all_users {
            true => "No boxes.\n".to_owned(),
            false => "No boxes of yours.\n".to_owned(),
        }];
    }
    let mut rows = vec![COLUMNS.map(|(name, ..)| name.to_owned())];
    let of_box = |seen: &&BoxSeen| COLUMNS.map(|(_, _, value)| value(view, seen));
    rows.extend(boxes.iter().map(of_box));
    let length = |text: &String| text.chars().count();
    let widest = |at: usize| rows.iter().map(|row| length(&row[at])).max();
    let widths: Vec<usize> = (0..COLUMNS.len()).filter_map(widest).collect();
    let line = |row: &[String; COLUMNS.len()]| {
        let cells = row.iter().zip(COLUMNS).zip(&widths);
        let cells = cells.map(|((value, (_, side, _)), width)| match side {
            Side::Left => format!("{value:<width$}"),
            Side::Right => format!("{value:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", cut(line.trim_end(), width))
    };
    rows.iter().map(line).collect()
}

/// The beginning of a line, as much as there is room for.
fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            let mut cut: String = line.chars().take(width.saturating_sub(1)).collect();
            cut.push('…');
            cut
        }
        _ => line.to_owned(),
    }
}

fn nothing() -> String {
    "-".to_owned()
}

/// A user by name or number.
pub(super) fn owner(user: &User) -> String {
    user.name.clone().unwrap_or_else(|| user.uid.to_string())
}

fn of_run(seen: &BoxSeen, value: impl Fn(&RunSeen) -> Option<String>) -> String {
    seen.run.as_ref().and_then(value).unwrap_or_else(nothing)
}

/// The word for a state.
pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Running => "running",
        State::Busy => "busy",
        State::Unfinished => "unfinished",
        State::Abandoned => "abandoned",
        State::Stray => "stray",
    }
}

/// The CPUs that a run has used, in percent of one: since the look before, or since it began.
fn percent(view: View<'_>, seen: &BoxSeen) -> Option<u64> {
    let run = seen.run.as_ref()?;
    let was = view.before.and_then(|before| {
        let same = |other: &&BoxSeen| other.id == seen.id && other.run.is_some();
        let other = before.boxes.iter().find(same)?.run.as_ref()?;
        let is_same = (other.pid, other.begun_us.is_some()) == (run.pid, true);
        is_same.then_some((before.time_us, other.cpu_time_us?))
    });
    let (from, used) = was.or(run.begun_us.map(|begun| (begun, 0)))?;
    let used = run.cpu_time_us?.saturating_sub(used);
    // Time of less than a clock tick says nothing.
    let time = view.now.time_us.saturating_sub(from);
    (time >= 10_000).then(|| used.saturating_mul(100) / time)
}

/// For how long the program has run, or the box has been as it is.
fn since(view: View<'_>, seen: &BoxSeen) -> String {
    let begun = seen.run.as_ref().and_then(|run| run.begun_us);
    match begun.or(seen.changed_us) {
        None => nothing(),
        Some(moment) => span(view.now.time_us.saturating_sub(moment) / 1_000_000),
    }
}

/// Some seconds, in the largest unit of which there are at least two.
fn span(seconds: u64) -> String {
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "min")] {
        if seconds >= 2 * unit {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

fn cpu(micros: u64) -> String {
    let hundredths = micros / 10_000;
    format!("{}.{:02}s", hundredths / 100, hundredths % 100)
}

/// A figure beside its limit, if there is one.
fn of(used: Option<u64>, limit: Option<u64>, shown: impl Fn(u64) -> String) -> Option<String> {
    let used = shown(used?);
    Some(match limit {
        None => used,
        Some(limit) => format!("{used}/{}", shown(limit)),
    })
}

/// A size with three digits or so, for comparing at a glance.
fn size(bytes: u64) -> String {
    if bytes % (1 << 20) == 0 {
        return Bytes(bytes).to_string();
    }
    for (unit, name) in [(1_u64 << 40, "T"), (1 << 30, "G"), (1 << 20, "M")] {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return format!("{}.{}{name}", tenths / 10, tenths % 10);
        }
    }
    format!("{}K", bytes.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use super::*;

    #[test]
    fn each_box_has_a_line_with_what_it_uses_beside_its_limits() {
        let text = table(&snapshot(), None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "BOX  OWNER  STATE    SINCE     CPU  %CPU   MEMORY  PROCS   DISK  PROGRAM              SCOPE",
                "  3  alice  running    12s  11.24s    93  34M/64M   3/16  >1.2M  /usr/bin/python3.13  isolate-3-0.scope",
                " 12  0      stray        -       -     -        -      -      -  -                    -",
            ]
        );
    }

    #[test]
    fn cpu_use_is_told_since_the_look_before() {
        let (before, mut now) = (snapshot(), snapshot());
        now.time_us += 2_000_000;
        let run = now.boxes[0].run.as_mut().unwrap();
        run.cpu_time_us = run.cpu_time_us.map(|time| time + 3_000_000);
        let percent_with = |before| {
            let view = View { now: &now, before };
            percent(view, &now.boxes[0])
        };
        assert_eq!(percent_with(Some(&before)), Some(150));
        let mut another = snapshot();
        another.boxes[0].run.as_mut().unwrap().pid = Some(1);
        // 14.24 s in 14 s.
        assert_eq!(percent_with(Some(&another)), Some(101));
        assert_eq!(percent_with(None), Some(101));
    }

    #[test]
    fn a_narrow_terminal_has_the_first_columns() {
        let text = table(&snapshot(), Some(40));
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
        assert!(
            text.contains("alice  running") && text.contains('…'),
            "{text}"
        );
    }

    #[test]
    fn that_there_are_no_boxes_is_said() {
        let mut none = snapshot();
        none.boxes.clear();
        assert_eq!(table(&none, None), "No boxes.\n");
        none.all_users = false;
        assert_eq!(table(&none, None), "No boxes of yours.\n");
    }

    #[test]
    fn figures_are_short() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2min"),
            (7200, "2h"),
            (172_800, "2d"),
        ] {
            assert_eq!(span(seconds), text);
        }
        for (bytes, text) in [
            (0, "0B"),
            (1, "1K"),
            (34 << 20, "34M"),
            (1_300_000, "1.2M"),
            (5 << 30, "5G"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
