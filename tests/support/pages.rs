//! The pages of the documentation as tests read them: what stands in fenced blocks, which commands that shows, and whether what
//! they print is what is shown.
//!
//! A block's first line says what it is, and may have notes: ` ```console not-run="why" `, ` ```cpp file="sum.cpp" `.

use std::fs;
use std::path::PathBuf;

use super::source;

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Its first line, as it is counted in the page.
    pub(crate) line: usize,
    /// What it is, as in `console`.
    pub(crate) kind: String,
    notes: Vec<(String, String)>,
    pub(crate) text: Vec<String>,
}

impl Block {
    /// What the note of this name says.
    pub(crate) fn note(&self, name: &str) -> Option<&str> {
        let found = self.notes.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn notes(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().map(|(name, _)| name.as_str())
    }
}

/// A command, and what is shown below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) line: usize,
    /// Its prompt is that of root.
    pub(crate) is_roots: bool,
    pub(crate) command: String,
    pub(crate) output: Vec<String>,
}

/// The README and the pages in `docs`, as paths from the top of the repository.
pub(crate) fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(source("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = names.filter(|name| name.ends_with(".md"));
    let mut pages: Vec<PathBuf> = pages.map(|name| format!("docs/{name}").into()).collect();
    pages.push("README.md".into());
    pages.sort();
    pages
}

/// The fenced blocks of a page. In a list they are indented.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    for (at, line) in page.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(info)) => open = Some((indent, begun(at + 1, info))),
            (None, None) => {}
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
            (Some((indent, block)), None) => {
                let text = line.get(*indent..).unwrap_or_default();
                block.text.push(text.to_owned());
            }
        }
    }
    assert!(open.is_none(), "a block has no end: {open:?}");
    blocks
}

fn begun(line: usize, info: &str) -> Block {
    let (kind, mut rest) = info.split_once(' ').unwrap_or((info, ""));
    let mut notes = Vec::new();
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').expect("a note ends with \"");
        notes.push((name.trim().to_owned(), value.to_owned()));
        rest = after;
    }
    assert!(rest.trim().is_empty(), "line {line}: what is {rest:?}?");
    Block {
        line,
        kind: kind.to_owned(),
        notes,
        text: Vec::new(),
    }
}

/// The commands of a `console` block: `# ` is root's prompt and `$ ` that of a user; a backslash at the end goes on.
pub(crate) fn commands(block: &Block) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    let mut goes_on = false;
    for (at, line) in block.text.iter().enumerate() {
        let prompt = ["# ", "$ "]
            .iter()
            .position(|prompt| line.starts_with(prompt));
        match (goes_on, prompt) {
            (false, Some(prompt)) => commands.push(Shown {
                line: block.line + at + 1,
                is_roots: prompt == 0,
                command: line[2..].to_owned(),
                output: Vec::new(),
            }),
            (false, None) => {
                let last = commands.last_mut();
                let last = last.unwrap_or_else(|| panic!("line {}: no command", block.line));
                last.output.push(line.clone());
                continue;
            }
            (true, _) => {
                let last = commands.last_mut().unwrap();
                last.command.push('\n');
                last.command.push_str(line);
            }
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

/// Whether what was printed is what is shown: `…` is any text, alone on a line any lines, and a figure with a decimal point any
/// such figure. White space counts for nothing but that it is there.
pub(crate) fn is_as_shown(shown: &[String], printed: &str) -> bool {
    let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: Vec<_> = shown.iter().map(|line| plain(line)).collect();
    let printed: Vec<_> = printed.trim_end().lines().map(plain).collect();
    lines_fit(&shown, &printed)
}

fn lines_fit(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=printed.len()).any(|at| lines_fit(rest, &printed[at..]))
        }
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, others)| fits(first, line) && lines_fit(rest, others)),
    }
}

fn fits(shown: &str, printed: &str) -> bool {
    if let Some(rest) = shown.strip_prefix('…') {
        let ends = printed.char_indices().map(|(at, _)| at);
        let mut ends = ends.chain([printed.len()]);
        return ends.any(|at| fits(rest, &printed[at..]));
    }
    if let Some(rest) = after_figure(shown) {
        return after_figure(printed).is_some_and(|printed| fits(rest, printed));
    }
    let mut rest = shown.chars();
    match rest.next() {
        None => printed.is_empty(),
        Some(next) => printed
            .strip_prefix(next)
            .is_some_and(|printed| fits(rest.as_str(), printed)),
    }
}

/// What follows a figure with a decimal point.
fn after_figure(text: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let rest = text[whole..].strip_prefix('.').filter(|_| whole > 0)?;
    let part = digits(rest);
    (part > 0).then(|| &rest[part..])
}
