//! What a word that is not known was probably meant to be.

use std::ffi::OsString;

use crate::guess::nearest;

/// What other programs call an option, and what it is called here.
const ELSEWHERE: [(&str, &str); 20] = [
    ("ans", "--out"),
    ("answer", "--out"),
    ("answers", "--out"),
    ("bind", "--dir"),
    ("cpu-limit", "--time"),
    ("cpu-time", "--time"),
    ("cwd", "--chdir"),
    ("format", "--json"),
    ("input", "--in"),
    ("inputs", "--in"),
    ("memory-limit", "--memory"),
    ("mount", "--dir"),
    ("net", "--network"),
    ("output", "--out"),
    ("pids-limit", "--processes"),
    ("setenv", "--env"),
    ("time-limit", "--time"),
    ("timeout", "--wall-time"),
    ("user", "--as-uid"),
    ("volume", "--dir"),
];

/// What other programs call a verb, and what it is called here.
const VERBS_ELSEWHERE: [(&str, &str); 13] = [
    ("check", "doctor"),
    ("clean", "gc"),
    ("info", "doctor"),
    ("journal", "logs"),
    ("list", "status"),
    ("ls", "status"),
    ("metrics", "status"),
    ("prune", "gc"),
    ("ps", "status"),
    ("rm", "gc"),
    ("run", "exec"),
    ("stop", "kill"),
    ("top", "status"),
];

/// Commands of isolate's own, which begin with dashes.
const COMMANDS: [&str; 4] = ["init", "cleanup", "version", "print-cg-root"];

/// The option that was probably meant by `name`, which is without dashes; `known` are.
pub(super) fn option(name: &str, known: &[&str]) -> Option<String> {
    let theirs: Vec<&str> = ELSEWHERE.iter().map(|(theirs, _)| *theirs).collect();
    let exact = theirs.iter().find(|theirs| **theirs == name).copied();
    let in_other_words = |theirs: &str| {
        let mut pairs = ELSEWHERE.iter();
        let (_, ours) = pairs.find(|(other, _)| *other == theirs)?;
        let is_known = known.contains(&ours.trim_start_matches("--"));
        is_known.then(|| (*ours).to_owned())
    };
    // A word that goes on where an option ends, or the other way round.
    let begins = |option: &&&str| {
        let long_enough = name.len().min(option.len()) >= 4;
        long_enough && (name.starts_with(**option) || option.starts_with(name))
    };
    let near = || nearest(name, known).map(|option| format!("--{option}"));
    let elsewhere = || nearest(name, &theirs).and_then(in_other_words);
    let longer = || {
        let found = known.iter().find(begins);
        found.map(|option| format!("--{option}"))
    };
    let exact = exact.and_then(in_other_words);
    exact.or_else(near).or_else(elsewhere).or_else(longer)
}

/// The error when no command was given: most likely a verb was meant, or `--run` forgotten.
/// `is_first` is whether `word` began the line.
pub(super) fn no_command(word: &OsString, is_first: bool) -> String {
    let names: Vec<&str> = super::verbs().map(|verb| verb.name).collect();
    let word = word.to_string_lossy();
    if names.contains(&&*word) {
        return format!(
            "no command given, but '{word}': a verb is the first word, as in isolate-run {word} …"
        );
    }
    if !is_first {
        return format!("no command given, but '{word}': a program needs --run");
    }
    if word.contains('/') {
        return format!(
            "'{word}' is not a verb: to run a program, isolate-run exec -- {word} …, or --run -- {word} … \
             in a box made by --init"
        );
    }
    if COMMANDS.contains(&&*word) {
        return format!("'{word}' is not a verb; did you mean --{word}?");
    }
    let mut elsewhere = VERBS_ELSEWHERE.iter();
    let ours = elsewhere.find(|(theirs, _)| *theirs == word);
    let ours = ours
        .map(|(_, ours)| *ours)
        .or_else(|| nearest(&word, &names));
    let guess = match ours {
        Some(name) => format!("; did you mean {name}?"),
        None => format!("; to run a program of that name: isolate-run exec -- {word} …"),
    };
    format!(
        "'{word}' is not a verb{guess} (verbs are {}; isolate's commands begin with --, as in --run)",
        listed(&names)
    )
}

/// Words, as in "exec, config and help".
pub(super) fn listed(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// What to do first, for somebody who typed the program's name and nothing else.
pub(super) fn first_steps(name: &str) -> String {
    format!(
        "no command given. To run a program in a sandbox:

  {name} exec -t 1 --memory 64M -- /bin/echo hello

What else there is:                  {name} -h
The usual options of a verb:         {name} exec -h
All about it, with more examples:    {name} help exec"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_was_meant_is_guessed() {
        let known = [
            "init",
            "time",
            "wall-time",
            "memory",
            "cg-mem",
            "network",
            "help",
        ];
        for (name, meant) in [
            ("inti", Some("--init")),
            ("timeout", Some("--wall-time")),
            ("timout", Some("--wall-time")),
            ("timer", Some("--time")),
            ("time-used", Some("--time")),
            ("cgmem", Some("--cg-mem")),
            ("net", Some("--network")),
            ("netw", Some("--network")),
            ("Help", Some("--help")),
            ("bind", None), // there is no --dir here
            ("nonsense", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(option(name, &known).as_deref(), meant, "{name}");
        }
    }

    #[test]
    fn the_verbs_of_other_programs_are_known_and_none_of_them_is_ours() {
        let names: Vec<&str> = super::super::verbs().map(|verb| verb.name).collect();
        for (theirs, ours) in VERBS_ELSEWHERE {
            assert!(
                names.contains(&ours) && !names.contains(&theirs),
                "{theirs}"
            );
        }
        let said = no_command(&"list".into(), true);
        assert!(said.contains("did you mean status?"), "{said}");
        let said = no_command(&"init".into(), true);
        assert!(said.contains("did you mean --init?"), "{said}");
        let said = no_command(&"echo".into(), true);
        assert!(said.contains("isolate-run exec -- echo"), "{said}");
    }

    #[test]
    fn words_are_listed_as_in_a_sentence() {
        assert_eq!(listed(&[]), "");
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
    }
}
