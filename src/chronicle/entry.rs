//! An entry of the journal about a command. Pure. What the numbers of messages mean is told in
//! `units/catalog/isolate-run.catalog`.

use super::{Memory, Told, text};
use crate::failure::{Failure, Kind};
use crate::report::{Circumstances, Report, Verdict, seconds};
use crate::way;

/// How much an administrator has to care (syslog(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Priority {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

/// A run is over.
const RUN_OVER: &str = "fd54ee69df21409080189ca96df81a1b";
/// The sandbox did not work.
const FAILED: &str = "fdf5795de3eb4e9eafcc348257b706da";
/// A command was refused.
const REFUSED: &str = "c6602e3e5a6a4952b2e01c5ef4b50424";
/// Somebody looked after boxes.
const DID: &str = "a76f841e8bfc4d3aacddb113a1301e20";

/// The fields of the entry, with their names (systemd.journal-fields(7)); `None` when there is
/// nothing to tell. `name` is that of the user, or their number.
pub(super) fn entry(
    memory: &Memory,
    name: Option<&str>,
    told: &Told,
) -> Option<Vec<(&'static str, String)>> {
    let who = name.map_or_else(|| "somebody".to_owned(), |name| format!("user {name}"));
    let (id, priority, message, mut fields) = match told {
        Told::Nothing => return None,
        Told::Run(over) => run(memory, &who, &over.0, &over.1),
        Told::Failed(failure) => failed(memory, who, failure),
        Told::Did(what) => {
            let message = format!("{who} {what}");
            (DID, Priority::Notice, message, Vec::new())
        }
    };
    fields.extend([
        ("MESSAGE", message),
        ("MESSAGE_ID", id.to_owned()),
        ("PRIORITY", (priority as u8).to_string()),
        ("SYSLOG_IDENTIFIER", "isolate-run".to_owned()),
    ]);
    let box_id = memory.box_id.map(|id| id.to_string());
    let own = [
        (
            "ISOLATE_USER",
            memory.uid.map(|uid| way::outside(uid).to_string()),
        ),
        ("ISOLATE_USER_NAME", name.map(str::to_owned)),
        ("ISOLATE_COMMAND", memory.command.map(str::to_owned)),
        ("ISOLATE_PROGRAM", memory.program.clone()),
        ("ISOLATE_ARGUMENTS", memory.arguments.clone()),
        (
            "ISOLATE_WAY",
            Some(if memory.by_broker { "broker" } else { "root" }.to_owned()),
        ),
        // The box that a run has had is known better than the one that was asked for.
        (
            "ISOLATE_BOX",
            box_id.filter(|_| !matches!(told, Told::Run(_))),
        ),
    ];
    fields.extend(
        own.into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    Some(fields)
}

/// The number of the message, how important it is, its text, and further fields.
type Parts = (&'static str, Priority, String, Vec<(&'static str, String)>);

fn run(memory: &Memory, who: &str, report: &Report, circumstances: &Circumstances) -> Parts {
    let verdict = report.verdict();
    let (id, priority) = match verdict {
        Verdict::Internal(_) => (FAILED, Priority::Error),
        _ => (RUN_OVER, Priority::Info),
    };
    let mut message = format!(
        "{who} ran {} in box {}: {}",
        memory.program.as_deref().unwrap_or("a program"),
        circumstances.box_id,
        match &verdict {
            // isolate's message has the exit code of a program that never ran.
            Verdict::NotExecuted(reason) | Verdict::NotOpened(reason) =>
                format!("not started: {}", text(reason)),
            verdict => verdict.message().unwrap_or_else(|| "OK".to_owned()),
        }
    );
    let mut fields = vec![
        ("ISOLATE_BOX", circumstances.box_id.to_string()),
        ("ISOLATE_VERDICT", verdict.name().to_owned()),
        ("ISOLATE_BOX_UID", circumstances.ids.uid.to_string()),
    ];
    if let Some(status) = verdict.status() {
        fields.push(("ISOLATE_STATUS", status.to_owned()));
    }
    match verdict {
        Verdict::ExitCode(code) => fields.push(("ISOLATE_EXIT_CODE", code.to_string())),
        Verdict::Signal(signal)
        | Verdict::Memory(signal)
        | Verdict::MemoryAndTime(signal)
        | Verdict::Interrupted(signal) => {
            fields.push(("ISOLATE_SIGNAL", signal.to_string()));
        }
        Verdict::NotExecuted(ref reason) | Verdict::NotOpened(ref reason) => {
            fields.push(("ISOLATE_REASON", reason.clone()));
        }
        _ => {}
    }
    if let Some(unit) = &circumstances.unit {
        fields.push(("ISOLATE_SCOPE", unit.clone()));
        // journalctl --unit looks for this one (systemd: src/shared/logs-show.c,
        // add_matches_for_unit).
        fields.push(("OBJECT_SYSTEMD_UNIT", unit.clone()));
    }
    if let Some(usage) = &report.usage {
        let peak = usage.leaf.memory_peak.map(|peak| peak.0);
        let rss = usage
            .processes
            .map(|used| used.max_rss_kib.saturating_mul(1024));
        message.push_str(&format!(
            "; CPU {} s, wall {} s",
            seconds(usage.cpu.total),
            seconds(usage.wall)
        ));
        if let Some(memory) = peak.or(rss) {
            message.push_str(&format!(", memory {} KiB", memory.div_ceil(1024)));
        }
        let processes = usage.leaf.processes_peak;
        let figures = [
            (
                "ISOLATE_CPU_USEC",
                Some(usage.cpu.total.as_micros().to_string()),
            ),
            (
                "ISOLATE_WALL_USEC",
                Some(usage.wall.as_micros().to_string()),
            ),
            ("ISOLATE_MEMORY_PEAK", peak.map(|peak| peak.to_string())),
            ("ISOLATE_MAX_RSS", rss.map(|rss| rss.to_string())),
            (
                "ISOLATE_PROCESSES_PEAK",
                processes.map(|peak| peak.to_string()),
            ),
            (
                "ISOLATE_OOM_KILLED",
                usage.leaf.was_oom().then(|| "1".to_owned()),
            ),
        ];
        fields.extend(
            figures
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    }
    (id, priority, message, fields)
}

fn failed(memory: &Memory, who: String, failure: &Failure) -> Parts {
    let (id, priority, kind) = match failure.kind() {
        Kind::Denied => (REFUSED, Priority::Warning, Some("polkit")),
        Kind::Ceiling => (REFUSED, Priority::Warning, Some("ceiling")),
        Kind::Busy => (REFUSED, Priority::Info, Some("busy")),
        Kind::Other => (FAILED, Priority::Warning, None),
    };
    let mut message = who;
    message.push_str(match kind {
        Some(_) => " was refused",
        None => " had no success with",
    });
    message.push_str(&format!(" '{}'", memory.command.unwrap_or("a command")));
    if let Some(program) = &memory.program {
        message.push_str(&format!(" of {program}"));
    }
    // It may repeat a word of the caller's.
    let reason = text(failure.text());
    message.push_str(&format!(": {reason}"));
    let mut fields = vec![("ISOLATE_REASON", reason)];
    fields.extend(kind.map(|kind| ("ISOLATE_REFUSED_BY", kind.to_owned())));
    (id, priority, message, fields)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::report::tests::{circumstances, report, usage};
    use crate::report::{Ending, Unstarted};
    use crate::sys::process::Exit;

    fn memory(line: &str) -> Memory {
        let argv = line.split(' ').map(OsString::from);
        let call = crate::cli::parse(argv).unwrap().into_box_call();
        let mut memory = Memory::new(true);
        memory.uid = Some(1000);
        memory.ask(&call);
        memory
    }

    fn fields(memory: &Memory, told: &Told) -> impl Fn(&str) -> Option<String> + use<> {
        let fields = entry(memory, Some("alice"), told).unwrap();
        move |name| {
            let mut found = fields.iter().filter(|(known, _)| *known == name);
            let value = found.next().map(|(_, value)| value.clone());
            assert!(found.next().is_none(), "{name} twice");
            value
        }
    }

    #[test]
    fn a_run_is_told_with_who_what_where_and_how_it_ended() {
        let memory = memory("i -b 9 --run -- /bin/x secret");
        let report = report(Ending::Program(Exit::Code(3)), Some(usage(12, 345)));
        let told = Told::Run(Box::new((report, circumstances())));
        let of = fields(&memory, &told);
        for (name, value) in [
            ("MESSAGE_ID", RUN_OVER),
            ("PRIORITY", "6"),
            ("ISOLATE_USER", "1000"),
            ("ISOLATE_USER_NAME", "alice"),
            ("ISOLATE_COMMAND", "run"),
            ("ISOLATE_PROGRAM", "/bin/x"),
            ("ISOLATE_WAY", "broker"),
            ("ISOLATE_BOX", "3"),
            ("ISOLATE_VERDICT", "exit_code"),
            ("ISOLATE_STATUS", "RE"),
            ("ISOLATE_EXIT_CODE", "3"),
            ("ISOLATE_CPU_USEC", "12000"),
            ("ISOLATE_WALL_USEC", "345000"),
            ("ISOLATE_SCOPE", "isolate-3-0.scope"),
        ] {
            assert_eq!(of(name).as_deref(), Some(value), "{name}");
        }
        let message = of("MESSAGE").unwrap();
        assert_eq!(
            message,
            "user alice ran /bin/x in box 3: Exited with error status 3; CPU 0.012 s, wall 0.345 s, memory 1234 KiB"
        );
        assert_eq!(of("ISOLATE_ARGUMENTS"), None);
        let all = entry(&memory, Some("alice"), &told).unwrap();
        assert!(!all.iter().any(|(_, value)| value.contains("secret")));
    }

    #[test]
    fn what_never_ran_did_not_exit() {
        let memory = memory("i exec ./x");
        let reason = "cannot execute './x'".to_owned();
        let unstarted = Some(Unstarted::NotExecuted(reason));
        let report = Report {
            unstarted,
            ..report(Ending::Program(Exit::Code(127)), Some(usage(1, 1)))
        };
        let of = fields(&memory, &Told::Run(Box::new((report, circumstances()))));
        let message = of("MESSAGE").unwrap();
        assert!(
            message.contains(": not started: cannot execute './x'; CPU "),
            "{message}"
        );
    }

    #[test]
    fn refusals_and_failures_stand_out() {
        let memory = memory("i -b 9 --init");
        let told = |kind| {
            let failure = Failure::new("no: because").of_kind(kind);
            let of = fields(&memory, &Told::Failed(failure));
            ["PRIORITY", "MESSAGE_ID", "MESSAGE"].map(|name| of(name).unwrap())
        };
        let [priority, id, message] = told(Kind::Denied);
        assert_eq!((&*priority, &*id), ("4", REFUSED));
        assert_eq!(message, "user alice was refused 'init': no: because");
        assert_eq!(told(Kind::Busy)[0], "6");
        assert_eq!(told(Kind::Other)[1], FAILED);
        let broken = report(Ending::Failed("x".into()), None);
        let of = fields(&memory, &Told::Run(Box::new((broken, circumstances()))));
        assert_eq!(of("PRIORITY").as_deref(), Some("3"));
        assert_eq!(of("MESSAGE_ID").as_deref(), Some(FAILED));
    }

    #[test]
    fn the_catalogue_explains_every_message() {
        let catalogue = include_str!("../../units/catalog/isolate-run.catalog");
        for id in [RUN_OVER, FAILED, REFUSED, DID] {
            assert!(catalogue.contains(&format!("-- {id}\n")), "{id}");
        }
    }
}
