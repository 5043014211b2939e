//! What a shell offers when somebody presses the tabulator: read from the same definitions as the
//! parser. Pure: what there is of boxes is told by the caller.
//!
//! The scripts for the shells ask `isolate-run complete`, so that they never have to change.

use super::entry::{Entry, entries};
use super::getopt::Operands;
use super::verb::Verb;
use crate::check_name::CheckName;

/// What the engine does not know by itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The numbers of the caller's boxes.
    pub(crate) boxes: Vec<String>,
    /// The keys of the configuration.
    pub(crate) keys: Vec<String>,
}

/// What may come next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Words, each with what it is.
    pub(crate) words: Vec<(String, String)>,
    /// What the shell has to find by itself.
    pub(crate) also: Option<Also>,
}

/// What a shell knows best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Also {
    /// Names of files.
    Files,
    /// Names of directories.
    Directories,
    /// Programs.
    Programs,
}

/// The kinds of a directory rule, after its colon.
const RULE_OPTIONS: [(&str, &str); 7] = [
    ("rw", "writable"),
    ("dev", "device files work"),
    ("noexec", "nothing can be executed"),
    ("maybe", "if it exists"),
    ("norec", "without what is mounted below"),
    ("fs", "a file system, such as proc or tmpfs"),
    ("tmp", "an empty directory of the box"),
];

/// The file systems of a rule with `fs`.
const FILE_SYSTEMS: [&str; 7] = ["proc", "sysfs", "tmpfs", "devpts", "dev", "etc", "cgroup"];

impl Offer {
    fn add(&mut self, current: &str, word: impl Into<String>, about: &str) {
        let word = word.into();
        if word.starts_with(current) {
            self.words.push((word, about.to_owned()));
        }
    }

    /// The lines for the scripts: a word and what it is, and at last what the shell has to find.
    pub(crate) fn lines(&self) -> String {
        let words = self.words.iter();
        let mut lines: String = words
            .map(|(word, about)| format!("{word}\t{about}\n"))
            .collect();
        lines.push_str(match self.also {
            Some(Also::Files) => ":files\n",
            Some(Also::Directories) => ":directories\n",
            Some(Also::Programs) => ":programs\n",
            None => "",
        });
        lines
    }
}

/// What may stand in the place of the last of these words, which follow the program's name.
pub(crate) fn complete(words: &[String], known: &Known) -> Offer {
    let Some((current, before)) = words.split_last() else {
        return Offer::default();
    };
    let verb = before.first();
    let verb = verb.and_then(|word| super::VERBS.iter().find(|verb| verb.name == word));
    let (verb, before) = match verb {
        Some(verb) => (verb, &before[1..]),
        None => (&super::isolate::VERB, before),
    };
    let entries = entries(&(verb.command)());
    let mut offer = Offer::default();
    let line = Line::of(before, &entries, verb.operands);
    if let Some(entry) = line.awaited {
        offer.value(entry, current, "", known);
        return offer;
    }
    if line.is_over {
        offer.also = Some(Also::Files);
        return offer;
    }
    if let Some((name, value)) = current
        .split_once('=')
        .filter(|_| current.starts_with("--"))
    {
        let mut entries = entries.iter();
        if let Some(entry) = entries.find(|entry| entry.names.iter().any(|own| *own == name[2..])) {
            offer.value(entry, value, &format!("{name}="), known);
        }
        return offer;
    }
    if current.starts_with('-') {
        offer.options(&entries, current);
        return offer;
    }
    if verb.name.is_empty() && before.is_empty() {
        for verb in super::verbs() {
            offer.add(current, verb.name, verb.page.about);
        }
        return offer;
    }
    offer.operand(verb, &line.operands, current, known);
    offer
}

/// What is known of a line before the word that is completed.
struct Line<'a> {
    /// The option whose value comes next.
    awaited: Option<&'a Entry>,
    /// The words that are no options.
    operands: Vec<&'a str>,
    /// Whether only words of the program's own can follow.
    is_over: bool,
}

impl<'a> Line<'a> {
    fn of(before: &'a [String], entries: &'a [Entry], operands: Operands) -> Self {
        let mut line = Self {
            awaited: None,
            operands: Vec::new(),
            is_over: false,
        };
        for word in before {
            if line.awaited.take().is_some() {
                continue;
            }
            if word == "--" {
                // What follows is the program, then its words.
                continue;
            }
            line.awaited = entries.iter().find(|entry| entry.is_awaited_after(word));
            if !word.starts_with('-') {
                line.operands.push(word);
                line.is_over = operands == Operands::Last;
            }
        }
        // A box may stand before the program.
        let is_number = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
        if line.operands.len() == 1 && line.operands.iter().all(is_number) {
            line.is_over = false;
        }
        line
    }
}

impl Entry {
    /// Whether its value has to follow this word.
    fn is_awaited_after(&self, word: &str) -> bool {
        if self.value.is_none() || self.may_lack_value {
            return false;
        }
        match word.strip_prefix("--") {
            Some(name) => self.names.iter().any(|own| own == name),
            None => word.strip_prefix('-').is_some_and(|letters| {
                letters.chars().next_back() == self.letter && self.letter.is_some()
            }),
        }
    }
}

impl Offer {
    fn options(&mut self, entries: &[Entry], current: &str) {
        for entry in entries {
            for name in &entry.names {
                let equals = match (&entry.value, entry.may_lack_value) {
                    (Some(_), false) => "=",
                    _ => "",
                };
                self.add(current, format!("--{name}{equals}"), &entry.short);
            }
            if let Some(letter) = entry.letter.filter(|_| !current.starts_with("--")) {
                self.add(current, format!("-{letter}"), &entry.short);
            }
        }
    }

    /// The values of an option; `before` stands in front of each.
    fn value(&mut self, entry: &Entry, current: &str, before: &str, known: &Known) {
        let whole = format!("{before}{current}");
        let mut each = |words: &[&str]| {
            for word in words {
                self.add(&whole, format!("{before}{word}"), "");
            }
        };
        match entry.value.as_deref().unwrap_or_default() {
            "ID" if entry.names[0] == "box-id" => {
                each(&["auto"]);
                for id in &known.boxes {
                    self.add(&whole, format!("{before}{id}"), "a box of yours");
                }
            }
            "KIND" => each(&["minimal", "host", "none"]),
            "WHEN" => each(&["auto", "always", "never"]),
            "RULE" if entry.names[0] == "dir" => self.rule(current, before),
            "CHECK,..." => {
                let done = current.rfind(',').map_or("", |comma| &current[..=comma]);
                for check in CheckName::ALL {
                    self.add(&whole, format!("{before}{done}{check}"), "");
                }
            }
            "DIR" => self.also = Some(Also::Directories),
            "FILE" => self.also = Some(Also::Files),
            _ => {}
        }
    }

    /// A directory rule: `IN=OUT:OPTION`.
    fn rule(&mut self, current: &str, before: &str) {
        let Some((rule, option)) = current.rsplit_once(':') else {
            self.also = Some(Also::Directories);
            return;
        };
        let whole = format!("{before}{current}");
        for (word, about) in RULE_OPTIONS {
            if option.len() < word.len() || option == word {
                self.add(&whole, format!("{before}{rule}:{word}"), about);
            }
        }
        if rule.ends_with('=') || rule.is_empty() {
            for name in FILE_SYSTEMS {
                self.add(&whole, format!("{before}{rule}{name}:fs"), "a file system");
            }
        }
    }

    fn operand(&mut self, verb: &Verb, operands: &[&str], current: &str, known: &Known) {
        let takes = |word: &str| verb.page.usage.iter().any(|usage| usage.contains(word));
        if operands.is_empty() && !verb.page.commands.is_empty() {
            for word in verb.page.commands {
                self.add(current, word.name, word.about);
            }
            return;
        }
        if verb.name == "help" {
            for verb in super::verbs() {
                self.add(current, verb.name, verb.page.about);
            }
            return;
        }
        let word = verb.page.commands.iter();
        let mut word = word.filter(|word| operands.first() == Some(&word.name));
        if word
            .next()
            .is_some_and(|word| word.operands.starts_with("KEY"))
            && operands.len() == 1
        {
            for key in &known.keys {
                self.add(current, key.clone(), "");
            }
            return;
        }
        let takes_box = takes("BOX") && operands.is_empty();
        if takes_box {
            for id in &known.boxes {
                self.add(current, id.clone(), "a box of yours");
            }
        }
        self.also = match (takes_box, takes("PROGRAM")) {
            // Beside hundreds of programs nobody sees them.
            (true, true) if current.is_empty() && !self.words.is_empty() => None,
            (_, true) => Some(Also::Programs),
            (true, false) => None,
            (false, false) => Some(Also::Files),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> (Vec<String>, Option<Also>) {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let known = Known {
            boxes: vec!["3".into(), "17".into()],
            keys: vec!["boxes.root".into(), "cgroup.root".into()],
        };
        let offer = complete(&words, &known);
        let words = offer.words.into_iter().map(|(word, _)| word);
        (words.collect(), offer.also)
    }

    #[test]
    fn verbs_options_and_values_are_offered() {
        for (line, expected) in [
            ("ex", &["exec"][..]),
            ("exec --mem", &["--mem=", "--memory="]),
            ("exec --etc=m", &["--etc=minimal"]),
            ("exec --etc h", &["host"]),
            ("exec --color=n", &["--color=never"]),
            ("exec -t", &["-t"]),
            ("--ini", &["--init"]),
            ("--box-id=1", &["--box-id=17"]),
            ("-b 1", &["17"]),
            ("shell 1", &["17"]),
            ("config im", &["import"]),
            ("help she", &["shell"]),
            ("shell ", &["3", "17"]),
            ("kill ", &["3", "17"]),
            ("doctor --only hu", &["huge-pages"]),
            ("doctor --skip=swap,hu", &["--skip=swap,huge-pages"]),
            (
                "exec -d src=/home:n",
                &["src=/home:noexec", "src=/home:norec"],
            ),
            ("exec --dir=x=/:rw", &["--dir=x=/:rw"]),
            ("exec -t ", &[]),
            ("nonsense ", &[]),
        ] {
            assert_eq!(offered(line).0, expected, "{line}");
        }
    }

    #[test]
    fn the_shell_finds_files_directories_and_programs() {
        let also = |line| offered(line).1;
        assert_eq!(also("exec "), Some(Also::Programs));
        assert_eq!(also("exec -t 1 so"), Some(Also::Programs));
        assert_eq!(also("exec -- so"), Some(Also::Programs));
        assert_eq!(also("shell l"), Some(Also::Programs));
        assert_eq!(also("shell "), None);
        assert_eq!(also("kill "), None);
        assert_eq!(also("exec sort -"), Some(Also::Files));
        assert_eq!(also("shell 3 l"), Some(Also::Programs));
        assert_eq!(also("exec -d /ho"), Some(Also::Directories));
        assert_eq!(also("exec --in=x"), Some(Also::Files));
        assert_eq!(also("exec --meta x"), Some(Also::Files));
        assert_eq!(also("--in"), None);
    }
}
