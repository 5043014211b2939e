//! Manual pages for man(1), in the macros of man(7), from the same definitions as the help.

use super::entry::{Entry, entries};
use super::page::Chapter;
use super::verb::Verb;

mod configuration;
mod results;

/// The day of the pages, which man(1) shows below: that of the last change to their form.
const DATE: &str = "2026-11-29";

/// The names of all pages, as files are called.
pub(super) fn names() -> Vec<String> {
    let verbs = super::verbs().map(|verb| format!("isolate-run-{}.1", verb.name));
    let others = [
        "isolate-run-broker.8",
        "isolate-run-container-init.8",
        "isolate-run-meta.5",
        "isolate.toml.5",
    ];
    let others = others.map(str::to_owned);
    let first = std::iter::once("isolate-run.1".to_owned());
    first.chain(verbs).chain(others).collect()
}

/// A page.
pub(super) fn page(name: &str) -> Option<String> {
    match name {
        "isolate-run-meta.5" => return Some(results::page()),
        "isolate.toml.5" => return Some(configuration::page()),
        _ => {}
    }
    let (name, section) = name.rsplit_once('.')?;
    let verb = match name {
        "isolate-run" => &super::isolate::VERB,
        _ => {
            let verb = name.strip_prefix("isolate-run-")?;
            super::VERBS.iter().find(|known| known.name == verb)?
        }
    };
    let expected = match verb.name {
        "broker" | "container-init" => "8",
        _ => "1",
    };
    (section == expected).then(|| of_verb(verb, name, section))
}

fn of_verb(verb: &Verb, name: &str, section: &str) -> String {
    let page = &verb.page;
    let mut roff = Roff::new(name, section, page.about);
    roff.section("Synopsis");
    for (at, usage) in page.usage.iter().enumerate() {
        if at > 0 {
            roff.raw(".br");
        }
        roff.raw(&format!(".B {}", escaped(&verb.call())));
        roff.text(usage);
    }
    roff.section("Description");
    match page.description {
        "" => roff.paragraphs(&format!("{}.", page.about)),
        description => roff.paragraphs(description),
    }
    if verb.name.is_empty() {
        for (chapter, heading) in Chapter::LISTED {
            roff.subsection(heading);
            for other in super::verbs().filter(|other| other.chapter == chapter) {
                roff.item(
                    &[(other.name, Font::Bold)],
                    &format!("{}.", other.page.about),
                );
            }
        }
    }
    if !page.commands.is_empty() {
        roff.section("Commands");
        for word in page.commands {
            let parts = [(word.name, Font::Bold), (word.operands, Font::Italic)];
            roff.item(&parts, &format!("{}.", word.about));
        }
    }
    let entries = entries(&(verb.command)());
    roff.section("Options");
    let mut heading = "Options";
    for entry in &entries {
        if entry.heading != heading {
            heading = &entry.heading;
            roff.subsection(heading);
        }
        roff.option(entry);
    }
    for (heading, text) in page.sections {
        roff.section(heading);
        roff.paragraphs(text);
    }
    roff.examples(page.examples);
    let others = names()
        .into_iter()
        .filter(|other| *other != format!("{name}.{section}"));
    let mut others: Vec<_> = others.filter_map(|name| link(&name)).collect();
    others.sort_by_key(|(name, section)| (section.clone(), name.clone()));
    roff.see_also(&others);
    roff.text
}

/// `isolate-run-exec.1` as a name and a section.
fn link(file: &str) -> Option<(String, String)> {
    let (name, section) = file.rsplit_once('.')?;
    Some((name.to_owned(), section.to_owned()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Font {
    Bold,
    Italic,
}

/// How long a line of a page's source may be, in characters: what `mandoc -T lint` likes.
const WIDTH: usize = 78;

/// A page that grows.
struct Roff {
    text: String,
    /// Whether lines stay as they are.
    is_literal: bool,
}

impl Roff {
    /// The head of a page.
    fn new(name: &str, section: &str, about: &str) -> Self {
        let mut roff = Self {
            text: String::new(),
            is_literal: false,
        };
        let (title, version) = (name.to_uppercase(), env!("CARGO_PKG_VERSION"));
        roff.raw(&format!(
            ".TH {} {section} {DATE} \"isolate-run {version}\" \"isolate-run\"",
            escaped(&title)
        ));
        roff.section("Name");
        let mut letters = about.chars();
        let first = letters
            .next()
            .map(|letter| letter.to_lowercase().to_string());
        let about = first.unwrap_or_default() + letters.as_str();
        roff.raw(&format!("{} \\- {}", escaped(name), escaped(&about)));
        roff
    }

    fn raw(&mut self, line: &str) {
        // A heading begins a paragraph by itself.
        let last = self.text.lines().last().unwrap_or_default();
        let line = match last.starts_with(".SH") || last.starts_with(".SS") {
            true => line.strip_prefix(".PP").unwrap_or(line),
            false => line,
        };
        for macros in line.lines() {
            self.is_literal = match macros {
                ".nf" => true,
                ".fi" => false,
                _ => self.is_literal,
            };
        }
        let line = line.trim_start_matches('\n');
        if line.is_empty() {
            return;
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A text, of which no line is taken for a macro.
    fn text(&mut self, text: &str) {
        let mut rest = &*escaped(text);
        while !self.is_literal && rest.len() > WIDTH {
            let near = rest.char_indices().take_while(|(at, _)| *at <= WIDTH);
            let blank = near.filter(|(_, letter)| *letter == ' ').last();
            let blank = blank.map(|(at, _)| at).or_else(|| rest.find(' '));
            let Some(at) = blank.filter(|at| *at > 0) else {
                break;
            };
            self.line(&rest[..at]);
            rest = rest[at..].trim_start();
        }
        self.line(rest);
    }

    fn line(&mut self, line: &str) {
        match line.chars().next() {
            Some('.' | '\'') => self.raw(&format!("\\&{line}")),
            _ => self.raw(line),
        }
    }

    fn section(&mut self, heading: &str) {
        self.raw(&format!(".SH \"{}\"", escaped(&heading.to_uppercase())));
    }

    fn subsection(&mut self, heading: &str) {
        self.raw(&format!(".SS \"{}\"", escaped(heading)));
    }

    /// Paragraphs, each of which is a line; those that begin with a blank stay as they are.
    fn paragraphs(&mut self, text: &str) {
        let mut is_literal = false;
        for (at, line) in text.lines().enumerate() {
            let wants_literal = line.starts_with(' ');
            if wants_literal != is_literal {
                self.raw(if wants_literal { ".PP\n.nf" } else { ".fi" });
                is_literal = wants_literal;
            }
            if at > 0 && !wants_literal {
                self.raw(".PP");
            }
            self.text(line.trim_end());
        }
        if is_literal {
            self.raw(".fi");
        }
    }

    /// A name, and what it is.
    fn item(&mut self, name: &[(&str, Font)], about: &str) {
        self.raw(".TP");
        let parts = name.iter().filter(|(part, _)| !part.is_empty());
        let parts: Vec<_> = parts
            .map(|(part, font)| match font {
                Font::Bold => format!("\\fB{}\\fR", escaped(part)),
                Font::Italic => format!("\\fI{}\\fR", escaped(part)),
            })
            .collect();
        self.raw(&parts.join(" "));
        for (at, line) in about.lines().enumerate() {
            if at > 0 {
                self.raw(if line.starts_with(' ') { ".br" } else { ".IP" });
            }
            self.text(line.trim_start());
        }
    }

    fn option(&mut self, entry: &Entry) {
        self.raw(".TP");
        let names = entry.names.iter().map(|name| format!("--{name}"));
        let letter = entry.letter.map(|letter| format!("-{letter}"));
        let names = letter.into_iter().chain(names);
        let names: Vec<_> = names
            .map(|name| format!("\\fB{}\\fR", escaped(&name)))
            .collect();
        let value = match &entry.value {
            Some(value) if entry.may_lack_value => format!("[=\\fI{}\\fR]", escaped(value)),
            Some(value) => format!(" \\fI{}\\fR", escaped(value)),
            None => String::new(),
        };
        self.raw(&format!("{}{value}", names.join(", ")));
        for (at, line) in entry.long.lines().enumerate() {
            if at > 0 {
                self.raw(".IP");
            }
            let end = if line.ends_with(['.', '!', '?', ':']) {
                ""
            } else {
                "."
            };
            self.text(&format!("{line}{end}"));
        }
    }

    fn examples(&mut self, examples: &[(&str, &str)]) {
        if examples.is_empty() {
            return;
        }
        self.section("Examples");
        for (example, purpose) in examples {
            self.raw(".PP");
            let mut letters = purpose.chars();
            let first = letters
                .next()
                .map(|letter| letter.to_uppercase().to_string());
            self.text(&format!(
                "{}{}:",
                first.unwrap_or_default(),
                letters.as_str()
            ));
            self.raw(".PP\n.nf\n.RS 4");
            self.text(&format!("isolate-run {example}"));
            self.raw(".RE\n.fi");
        }
    }

    fn see_also(&mut self, others: &[(String, String)]) {
        self.section("See also");
        for (at, (name, section)) in others.iter().enumerate() {
            let comma = if at + 1 < others.len() { "," } else { "" };
            self.raw(&format!(".BR {} ({section}){comma}", escaped(name)));
        }
    }
}

/// Text whose characters stand for themselves.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '"' => escaped.push_str("\\(dq"),
            '\'' => escaped.push_str("\\(aq"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            '`' => escaped.push_str("\\(ga"),
            '…' => escaped.push_str("..."),
            '×' => escaped.push('x'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_with_all_its_options() {
        for name in names() {
            let page = page(&name).unwrap();
            assert!(page.starts_with(".TH "), "{page}");
            for line in page.lines() {
                let is_macro = line.starts_with('.');
                let known = [
                    ".TH", ".SH", ".SS", ".TP", ".PP", ".IP", ".B", ".br", ".nf", ".fi", ".RS",
                    ".RE",
                ];
                assert!(
                    !is_macro || known.iter().any(|known| line.starts_with(known)),
                    "{line}"
                );
                assert!(line.is_ascii(), "{name}: {line}");
            }
        }
        let exec = page("isolate-run-exec.1").unwrap();
        let command = (super::super::exec::VERB.command)();
        for entry in entries(&command) {
            let option = escaped(&format!("--{}", entry.names[0]));
            assert!(exec.contains(&option), "{option}");
        }
        assert_eq!(page("isolate-run-exec.5"), None);
        assert_eq!(page("isolate-run-none.1"), None);
    }

    #[test]
    fn text_is_never_taken_for_a_macro() {
        let mut roff = Roff::new("a", "1", "About");
        roff.text(".TH x");
        roff.text(&format!("{} .so x", "a".repeat(76)));
        let folded = "aa\n\\&.so x\n";
        assert!(roff.text.ends_with(folded), "{}", roff.text);
        roff.text("'so y \\fB");
        assert!(roff.text.ends_with("\n\\(aqso y \\efB\n"), "{}", roff.text);
    }
}
