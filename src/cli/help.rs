//! Help: a screen by `-h`, everything by `--help`, both from the same definitions.

use super::entry::{Entry, entries};
use super::page::{Chapter, Form};
use super::verb::{Help, Verb};
use crate::screen::{Ink, Screen, wrapped};

/// The column in which `-h` says what an option does.
const COLUMN: usize = 28;

/// How far `--help` indents what an option does.
const DEEP: usize = 10;

impl Help {
    /// The text.
    pub(crate) fn text(self, screen: Screen) -> String {
        let entries = entries(&(self.verb.command)());
        let mut page = Writer {
            text: String::new(),
            screen,
        };
        page.line(&wrapped(
            &format!("{}.", self.verb.page.about),
            0,
            screen.width,
        ));
        page.line("");
        page.usage(self.verb);
        match self.form {
            Form::Short => page.short(self.verb, &entries),
            Form::Long => page.long(self.verb, &entries),
        }
        page.text
    }
}

/// A text that grows.
struct Writer {
    text: String,
    screen: Screen,
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        self.line("");
        let heading = self.screen.paint(Ink::Bold, &format!("{heading}:"));
        self.line(&heading);
    }

    fn usage(&mut self, verb: &Verb) {
        let name = self.screen.paint(Ink::Bold, &verb.call());
        for (at, usage) in verb.page.usage.iter().enumerate() {
            let before = if at == 0 { "Usage:" } else { "      " };
            self.line(&format!("{before} {name} {usage}"));
        }
    }

    /// A name, as wide as it has to be, and what it is.
    fn item(&mut self, name: &str, column: usize, about: &str) {
        let name_width = name.chars().count() + 2;
        let about = wrapped(about, column, self.screen.width);
        let name = self.screen.paint(Ink::Bold, name);
        if name_width + 1 > column {
            self.line(&format!("  {name}"));
            self.line(&format!("{}{about}", " ".repeat(column)));
        } else {
            let gap = " ".repeat(column - name_width);
            self.line(&format!("  {name}{gap}{about}"));
        }
    }

    fn words(&mut self, verb: &Verb) {
        if verb.page.commands.is_empty() {
            return;
        }
        self.heading("Commands");
        for word in verb.page.commands {
            let name = format!("{} {}", word.name, word.operands);
            self.item(name.trim_end(), 18, word.about);
        }
    }

    fn short(&mut self, verb: &Verb, entries: &[Entry]) {
        self.verbs(verb, Form::Short);
        self.words(verb);
        let is_told = |entry: &&Entry| entry.is_common && !verb.name.is_empty();
        let mut common: Vec<_> = entries.iter().filter(is_told).collect();
        // Wherever it stands in the definitions.
        common.sort_by_key(|entry| entry.letter == Some('h'));
        if !common.is_empty() {
            self.line("");
        }
        for entry in &common {
            let about = entry.short.split(" [default").next().unwrap_or_default();
            self.item(&entry.short_spelling(), COLUMN, about);
        }
        self.line("");
        if verb.name.is_empty() {
            self.line("About one of them:  isolate-run VERB -h");
            self.line("As with isolate, step by step, with its options:  isolate-run --help");
        }
        if let Some((example, _)) = verb.page.examples.first() {
            let example = format!("Example:  isolate-run {example}");
            // As the shell takes it on two lines.
            let broken = wrapped(&example, 4, self.screen.width - 2);
            self.line(&broken.replace('\n', " \\\n"));
        }
        if verb.name.is_empty() {
            return;
        }
        let help = [&verb.call(), "--help"].join(" ");
        let rest = match common.len() < entries.len() {
            true => "All options, explained, and more examples",
            false => "Explained, with more examples",
        };
        self.line(&format!("{rest}:  {help}"));
    }

    fn long(&mut self, verb: &Verb, entries: &[Entry]) {
        if !verb.page.description.is_empty() {
            self.line("");
            let text = verb.page.description.replace('\n', "\n\n");
            self.line(&wrapped(&text, 0, self.screen.width));
        }
        self.verbs(verb, Form::Long);
        self.words(verb);
        if !verb.page.examples.is_empty() {
            self.heading("Examples");
            for (example, purpose) in verb.page.examples {
                let purpose = wrapped(&format!("# {purpose}"), 2, self.screen.width);
                self.line(&format!("  {}", self.screen.paint(Ink::Dim, &purpose)));
                self.line(&format!("  isolate-run {example}"));
            }
        }
        let mut heading = "";
        for entry in entries {
            if entry.heading != heading {
                heading = &entry.heading;
                self.heading(heading);
            }
            let spelling = self.screen.paint(Ink::Bold, &entry.spelling());
            self.line(&format!("  {spelling}"));
            let about = wrapped(&entry.long, DEEP, self.screen.width);
            self.line(&format!("{}{about}", " ".repeat(DEEP)));
        }
        for (heading, text) in verb.page.sections {
            self.heading(heading);
            let text = wrapped(text, 2, self.screen.width);
            self.line(&format!("  {text}"));
        }
    }

    /// The list of verbs, for the page about all of them.
    fn verbs(&mut self, verb: &Verb, form: Form) {
        if !verb.name.is_empty() {
            return;
        }
        if form == Form::Short {
            self.heading("Verbs");
        }
        for (chapter, heading) in Chapter::LISTED {
            if form == Form::Long {
                self.heading(heading);
            }
            for other in super::verbs().filter(|other| other.chapter == chapter) {
                self.item(other.name, 12, other.page.about);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{isolate, verbs};
    use super::*;

    fn all() -> impl Iterator<Item = &'static Verb> {
        verbs().chain([&isolate::VERB])
    }

    #[test]
    fn short_help_fits_a_screen_and_is_no_wider() {
        for verb in all() {
            let form = Form::Short;
            let text = Help { verb, form }.text(Screen::PLAIN);
            let height = text.lines().count();
            assert!(height < 24, "{}: {height} lines:\n{text}", verb.name);
            let width = text.lines().map(|line| line.chars().count()).max();
            assert!(width <= Some(80), "{}:\n{text}", verb.name);
        }
    }

    #[test]
    fn long_help_has_everything_within_the_screen() {
        for verb in all() {
            let form = Form::Long;
            let text = Help { verb, form }.text(Screen::PLAIN);
            for entry in entries(&(verb.command)()) {
                assert!(text.contains(&entry.spelling()), "{entry:?}");
                assert!(!entry.short.is_empty(), "{entry:?}");
            }
            for line in text.lines() {
                let is_example = line.starts_with("  isolate-run ");
                let limit = if is_example { 100 } else { 80 };
                assert!(line.chars().count() <= limit, "{}: {line}", verb.name);
            }
            assert!(!verb.page.examples.is_empty(), "{}", verb.name);
            assert!(!verb.page.about.ends_with('.'), "{}", verb.name);
        }
    }

    #[test]
    fn every_example_is_a_command_line_that_is_understood() {
        for (example, _) in all().flat_map(|verb| verb.page.examples) {
            let line = example.split(['<', '>', '|']).next().unwrap();
            let words = line.split_whitespace().map(|word| word.replace('\'', ""));
            let argv = std::iter::once("isolate-run".to_owned()).chain(words);
            let read = super::super::parse(argv.map(std::ffi::OsString::from));
            assert!(
                !matches!(read, Err(super::super::CliError::Usage(_))),
                "{example}: {read:?}"
            );
        }
    }

    #[test]
    fn colors_are_around_names_and_headings_alone() {
        let screen = Screen {
            is_colored: true,
            ..Screen::PLAIN
        };
        let (verb, form) = (&isolate::VERB, Form::Long);
        let colored = Help { verb, form }.text(screen);
        assert!(colored.contains("\x1b[1m--init\x1b[0m"), "{colored}");
        let bare = ["\x1b[1m", "\x1b[2m", "\x1b[0m"];
        let bare = bare
            .iter()
            .fold(colored, |text, code| text.replace(code, ""));
        assert_eq!(bare, Help { verb, form }.text(Screen::PLAIN));
    }
}
