//! A step as a command line of `--run`: whoever carries it out reads it as if its user had typed
//! it, with the same rules. Pure.

use std::ffi::OsString;

use super::word::for_command_line;
use super::words::{Input, Output, Step};
use crate::quantity::BoxId;

/// The command line for a step in this box, where these rules show further files, and which may
/// wait for what others have.
pub(in crate::batch) fn argv<'a>(
    step: &'a Step,
    box_id: BoxId,
    cg: bool,
    waits: bool,
    shown: impl IntoIterator<Item = &'a String>,
) -> Vec<OsString> {
    let mut words: Vec<String> = ["isolate-run", "--run"].map(str::to_owned).into();
    words.extend(waits.then(|| "--wait".to_owned()));
    words.extend(["--silent", "--report=-"].map(str::to_owned));
    words.push(format!("--box-id={box_id}"));
    words.extend(cg.then(|| "--cg".to_owned()));
    let limits = &step.limits;
    for (option, value) in [
        ("time", limits.time.as_ref().map(|value| value.text())),
        (
            "extra-time",
            limits.extra_time.as_ref().map(|value| value.text()),
        ),
        (
            "wall-time",
            limits.wall_time.as_ref().map(|value| value.text()),
        ),
        ("mem", limits.mem.as_ref().map(|value| value.text())),
        ("cg-mem", limits.cg_mem.as_ref().map(|value| value.text())),
        ("stack", limits.stack.as_ref().map(|value| value.text())),
        ("fsize", limits.fsize.as_ref().map(|value| value.text())),
        ("core", limits.core.as_ref().map(|value| value.text())),
        (
            "open-files",
            limits.open_files.as_ref().map(|value| value.text()),
        ),
        (
            "processes",
            limits.processes.as_ref().map(|value| value.text()),
        ),
    ] {
        words.extend(value.map(|value| format!("--{option}={}", for_command_line(value))));
    }
    words.extend(step.chdir.iter().map(|dir| format!("--chdir={dir}")));
    words.extend((!step.default_dirs).then(|| "--no-default-dirs".to_owned()));
    let rules = step.dirs.iter().chain(shown);
    words.extend(rules.map(|rule| format!("--dir={rule}")));
    words.extend(step.network.then(|| "--share-net".to_owned()));
    words.extend((!step.talks_with.is_empty()).then(|| "--inherit-fds".to_owned()));
    let env = step.env.iter();
    words.extend(env.map(|(name, value)| format!("--env={name}={value}")));
    if let Some(Input::File(name)) = &step.stdin {
        words.push(format!("--stdin={name}"));
    }
    if let Some(Output::File(name)) = &step.stdout {
        words.push(format!("--stdout={name}"));
    }
    match &step.stderr {
        Some(Output::File(name)) => words.push(format!("--stderr={name}")),
        Some(Output::Stdout {}) => words.push("--stderr-to-stdout".to_owned()),
        _ => {}
    }
    words.push("--".to_owned());
    words.extend(step.argv.iter().cloned());
    words.into_iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{self, Call};
    use crate::request::BoxCommand;

    #[test]
    fn every_key_of_a_step_arrives_as_its_option() {
        let step: Step = serde_json::from_str(
            r#"{"argv":["/bin/x","-h"],"env":{"A":"b=c","N":""},"chdir":"sub","network":true,
               "stdin":{"file":"in"},"stdout":{"file":"out"},"stderr":{"stdout":{}},
               "dirs":["x=/usr"],"default_dirs":false,
               "limits":{"time":1.5,"extra_time":"200ms","wall_time":"unlimited","mem":"1G","cg_mem":64,
                         "stack":"8M","fsize":"1M","core":0,"open_files":7,"processes":9,"output":"1K"}}"#,
        )
        .unwrap();
        let words = argv(&step, BoxId(7), true, true, [&"box/in=/cache/x".to_owned()]);
        let line: Vec<_> = words.iter().filter_map(|word| word.to_str()).collect();
        assert_eq!(
            line.join(" "),
            "isolate-run --run --wait --silent --report=- --box-id=7 --cg --time=1.5 --extra-time=200ms --wall-time=0 \
             --mem=1G --cg-mem=64 --stack=8M --fsize=1M --core=0 --open-files=7 --processes=9 --chdir=sub \
             --no-default-dirs --dir=x=/usr --dir=box/in=/cache/x --share-net --env=A=b=c --env=N= --stdin=in --stdout=out \
             --stderr-to-stdout -- /bin/x -h"
        );
        let Ok(Call::Box(call)) = cli::parse(words.clone()) else {
            panic!("{line:?}");
        };
        assert!(
            matches!(call.command, BoxCommand::Run(program) if program.argv == ["/bin/x", "-h"])
        );
    }
}
