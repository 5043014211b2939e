//! The lines that run programs, read without clap: to make clap's command takes half as many
//! instructions as all the rest of a run in this process.
//!
//! What an option is, is said to clap and to people in [`options`](super::options). Here are the
//! spellings and the places of the same options once more, and tests compare the two. A line with
//! a value that is wrong is left to clap, which says why.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::exec::ExecLine;
use super::isolate::{CommandFlags, IsolateLine};
use super::options::Options;
use super::spelling::Takes::{self, Nothing, OptionalValue, Value};
use super::spelling::{Spelling, Table};
use super::value;
use crate::dir_rule::DirRequest;
use crate::quantity::{Bytes, DiskQuota, QuantityError, parse_count, parse_time};

/// The spellings of an option: name, further names, letter.
type Row = (&'static str, &'static [&'static str], Option<u8>, Takes);

/// isolate's commands.
const COMMANDS: [Row; 6] = [
    ("init", &[], None, Nothing),
    ("run", &[], None, Nothing),
    ("cleanup", &[], None, Nothing),
    ("check-config", &[], None, Nothing),
    ("print-cg-root", &[], None, Nothing),
    ("version", &[], None, Nothing),
];

/// The options of all commands about a box.
const OPTIONS: [Row; 40] = [
    ("box-id", &[], Some(b'b'), Value),
    ("wait", &[], None, Nothing),
    ("quota", &[], Some(b'q'), Value),
    ("as-uid", &[], None, Value),
    ("as-gid", &[], None, Value),
    ("rootless", &[], None, Nothing),
    ("config", &[], None, Value),
    ("time", &[], Some(b't'), Value),
    ("extra-time", &[], Some(b'x'), Value),
    ("wall-time", &["wall"], Some(b'w'), Value),
    ("mem", &[], Some(b'm'), Value),
    ("stack", &[], Some(b'k'), Value),
    ("fsize", &[], Some(b'f'), Value),
    ("core", &[], None, Value),
    ("open-files", &[], Some(b'n'), Value),
    ("processes", &[], Some(b'p'), OptionalValue),
    ("cg", &[], None, Nothing),
    ("cg-mem", &["memory"], None, Value),
    ("cg-timing", &[], None, Nothing),
    ("no-cg-timing", &[], None, Nothing),
    ("stdin", &[], Some(b'i'), Value),
    ("stdout", &[], Some(b'o'), Value),
    ("stderr", &[], Some(b'r'), Value),
    ("stderr-to-stdout", &[], None, Nothing),
    ("chdir", &["workdir"], Some(b'c'), Value),
    ("dir", &[], Some(b'd'), Value),
    ("etc", &[], None, Value),
    ("no-default-dirs", &[], Some(b'D'), Nothing),
    ("special-files", &[], None, Nothing),
    ("env", &[], Some(b'E'), Value),
    ("full-env", &[], Some(b'e'), Nothing),
    ("share-net", &["network"], None, Nothing),
    ("inherit-fds", &[], None, Nothing),
    ("tty-hack", &[], None, Nothing),
    ("syscalls", &[], None, Value),
    ("meta", &[], Some(b'M'), Value),
    ("report", &[], None, Value),
    ("verbose", &[], Some(b'v'), Nothing),
    ("silent", &["quiet"], Some(b's'), Nothing),
    ("help", &[], Some(b'h'), Nothing),
];

/// What only `exec` has.
const OF_EXEC: [Row; 6] = [
    ("in", &[], None, Value),
    ("out", &[], None, Value),
    ("repeat", &[], None, Value),
    ("keep", &[], None, Nothing),
    ("json", &[], None, Nothing),
    ("color", &[], None, Value),
];

/// A kind of line that can be read without clap.
pub(super) trait Direct: Default {
    /// The spellings of its options, as clap has them.
    fn table() -> Table<'static>;

    /// Puts an option where it belongs; `None` if the value is wrong, or the option unknown.
    fn put(&mut self, name: &str, value: Option<&OsStr>) -> Option<()>;
}

/// Reads options in their one form, `--name` or `--name=value`; `None` if anything is wrong.
pub(super) fn read<Line: Direct>(options: &[OsString]) -> Option<Line> {
    let mut line = Line::default();
    for option in options {
        let option = option.as_bytes().strip_prefix(b"--")?;
        let (name, value) = value::name_and_value(option);
        line.put(
            std::str::from_utf8(name).ok()?,
            value.map(OsStr::from_bytes),
        )?;
    }
    Some(line)
}

fn table_of(rows: [&[Row]; 2]) -> Table<'static> {
    let rows = rows.into_iter().flatten();
    Table::new(
        rows.map(|(long, others, letter, takes)| Spelling::new(long, others, *letter, *takes)),
    )
}

impl Direct for IsolateLine {
    fn table() -> Table<'static> {
        table_of([&COMMANDS, &OPTIONS])
    }

    fn put(&mut self, name: &str, value: Option<&OsStr>) -> Option<()> {
        let CommandFlags {
            init,
            run,
            cleanup,
            check_config,
            print_cg_root,
            version,
        } = &mut self.commands;
        let flag = match name {
            "init" => init,
            "run" => run,
            "cleanup" => cleanup,
            "check-config" => check_config,
            "print-cg-root" => print_cg_root,
            "version" => version,
            _ => return self.options.put(name, value),
        };
        *flag = true;
        Some(())
    }
}

impl Direct for ExecLine {
    fn table() -> Table<'static> {
        table_of([&OPTIONS, &OF_EXEC])
    }

    fn put(&mut self, name: &str, value: Option<&OsStr>) -> Option<()> {
        match (name, value) {
            ("in", Some(value)) => self.around.bring.push(value::brought(value).ok()?),
            ("out", Some(value)) => self.around.fetch.push(value::fetched(value).ok()?),
            ("repeat", Some(value)) => self.around.repeat = Some(text(value, parse_count)?),
            ("keep", None) => self.around.keep = true,
            ("json", None) => self.telling.json = true,
            ("color", Some(value)) => self.telling.color = Some(value::coloring(value).ok()?),
            _ => return self.options.put(name, value),
        }
        Some(())
    }
}

impl Options {
    /// Puts an option where it belongs, as [`Direct::put`] does.
    fn put(&mut self, name: &str, value: Option<&OsStr>) -> Option<()> {
        let Some(value) = value else {
            match name {
                "wait" => self.box_options.wait = true,
                "rootless" => self.box_options.rootless = true,
                // Bare: no limit.
                "processes" => self.limits.processes = Some(0),
                "cg" => self.cgroup.cg = true,
                "cg-timing" => self.cgroup.no_cg_timing = false,
                "no-cg-timing" => self.cgroup.no_cg_timing = true,
                "stderr-to-stdout" => {
                    self.files.stderr = None;
                    self.files.stderr_to_stdout = true;
                }
                "no-default-dirs" => self.files.no_default_dirs = true,
                "special-files" => self.files.special_files = true,
                "full-env" => self.environment.full_env = true,
                "share-net" => self.world.share_net = true,
                "inherit-fds" => self.world.inherit_fds = true,
                "tty-hack" => self.world.tty_hack = true,
                "verbose" => self.output.verbose = self.output.verbose.saturating_add(1),
                "silent" => self.output.silent = true,
                _ => return None,
            }
            return Some(());
        };
        match name {
            "box-id" => self.box_options.box_id = Some(text(value, value::box_choice)?),
            "quota" => self.box_options.quota = Some(text(value, DiskQuota::parse)?),
            "as-uid" => self.box_options.as_uid = Some(text(value, parse_count)?),
            "as-gid" => self.box_options.as_gid = Some(text(value, parse_count)?),
            "config" => self.box_options.config = Some(value::path(value).ok()?),
            "time" => self.limits.time = Some(text(value, parse_time)?),
            "extra-time" => self.limits.extra_time = Some(text(value, parse_time)?),
            "wall-time" => self.limits.wall_time = Some(text(value, parse_time)?),
            "mem" => self.limits.mem = Some(text(value, Bytes::parse)?),
            "stack" => self.limits.stack = Some(text(value, Bytes::parse)?),
            "fsize" => self.limits.fsize = Some(text(value, Bytes::parse)?),
            "core" => self.limits.core = Some(text(value, Bytes::parse)?),
            "open-files" => self.limits.open_files = Some(text(value, parse_count)?),
            "processes" => self.limits.processes = Some(text(value, parse_count)?),
            "cg-mem" => self.cgroup.cg_mem = Some(text(value, Bytes::parse)?),
            "stdin" => self.files.stdin = Some(value::path(value).ok()?),
            "stdout" => self.files.stdout = Some(value::path(value).ok()?),
            "stderr" => {
                self.files.stderr = Some(value::path(value).ok()?);
                self.files.stderr_to_stdout = false;
            }
            "chdir" => self.files.chdir = Some(value::path(value).ok()?),
            "dir" => self.files.dirs.push(DirRequest::parse(value).ok()?),
            "etc" => self.files.etc = Some(value::etc(value).ok()?),
            "env" => self.environment.env.push(value::env_rule(value).ok()?),
            "syscalls" => self.world.syscalls = Some(text(value, parse_count)?),
            "meta" => self.output.meta = Some(value::output(value).ok()?),
            "report" => self.output.report = Some(value::output(value).ok()?),
            _ => return None,
        }
        Some(())
    }
}

/// A value that is text.
fn text<T>(value: &OsStr, parse: fn(&str) -> Result<T, QuantityError>) -> Option<T> {
    value::quantity(value, parse).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::exec;

    /// Values, each of which is right for some options and wrong for others.
    const VALUES: [&str; 16] = [
        "",
        "0",
        "7",
        "07",
        "1.5",
        "1.5s",
        "64M",
        "5,6",
        "auto",
        "-",
        "a=b",
        "x=/tmp:rw",
        "/a",
        "none",
        "always",
        "\u{1b}=\u{1b}",
    ];

    /// What clap makes of options, without the reason if it refuses them.
    fn by_clap<Line: Parser>(options: &[OsString]) -> Option<Line> {
        Line::try_parse_from(options).ok()
    }

    /// All that is made of isolate's line.
    fn of_isolate(line: Option<IsolateLine>) -> Option<String> {
        let IsolateLine { commands, options } = line?;
        Some(format!("{commands:?} {:?}", options.join(Vec::new())))
    }

    fn of_exec(line: Option<ExecLine>) -> Option<String> {
        let ExecLine {
            options,
            around,
            telling,
        } = line?;
        Some(format!(
            "{:?} {around:?} {telling:?}",
            options.join(Vec::new())
        ))
    }

    fn agree(options: &[OsString]) {
        assert_eq!(
            of_isolate(read(options)),
            of_isolate(by_clap(options)),
            "{options:?}"
        );
        assert_eq!(
            of_exec(read(options)),
            of_exec(by_clap(options)),
            "{options:?}"
        );
    }

    /// Each option with each value, and without one where it may lack it.
    fn all() -> Vec<OsString> {
        let rows = COMMANDS.iter().chain(&OPTIONS).chain(&OF_EXEC);
        let rows = rows.filter(|(name, ..)| *name != "help");
        let words = rows.flat_map(|(name, _, _, takes)| {
            let bare = (*takes != Value).then(|| format!("--{name}"));
            let values = VALUES.iter().filter(|_| *takes != Nothing);
            bare.into_iter()
                .chain(values.map(move |value| format!("--{name}={value}")))
        });
        words.map(OsString::from).collect()
    }

    #[test]
    fn the_spellings_are_those_that_clap_has() {
        let clap = IsolateLine::command();
        assert_eq!(
            format!("{:?}", IsolateLine::table()),
            format!("{:?}", Table::of(&clap))
        );
        let clap = (exec::VERB.command)();
        assert_eq!(
            format!("{:?}", ExecLine::table()),
            format!("{:?}", Table::of(&clap))
        );
    }

    #[test]
    fn every_value_of_every_option_is_what_clap_makes_of_it() {
        let all = all();
        assert!(all.len() > 400, "{}", all.len());
        all.into_iter().for_each(|option| agree(&[option]));
        let no_text = OsString::from_vec(b"--stdin=\xff".to_vec());
        agree(&[no_text]);
    }

    #[test]
    fn every_pair_of_options_is_what_clap_makes_of_it() {
        let right: Vec<OsString> = all()
            .into_iter()
            .filter(|option| {
                let option = std::slice::from_ref(option);
                read::<IsolateLine>(option).is_some() || read::<ExecLine>(option).is_some()
            })
            .collect();
        // One value of each option, and all of those that share a place.
        let mut names = std::collections::HashSet::new();
        let first: Vec<&OsString> = right
            .iter()
            .filter(|option| {
                let name = option.as_bytes().split(|byte| *byte == b'=').next();
                names.insert(name.map(<[u8]>::to_vec))
            })
            .collect();
        assert_eq!(
            first.len(),
            COMMANDS.len() + OPTIONS.len() + OF_EXEC.len() - 1
        );
        for one in &first {
            for other in &first {
                agree(&[(*one).clone(), (*other).clone()]);
            }
        }
    }
}
