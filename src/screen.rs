//! Where people read: how wide it is, and whether it shows colors.

use std::io::IsTerminal;
use std::os::fd::AsFd;

/// How wide a text for people is where nothing says how wide their screen is.
const USUAL_WIDTH: usize = 80;

/// The widest that a text is made: longer lines are hard to read.
const MOST_WIDTH: usize = 100;

/// Whether texts for people have colors: `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Coloring {
    /// On a terminal, unless the environment says otherwise (`NO_COLOR`, `TERM=dumb`).
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// A place for texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Columns.
    pub(crate) width: usize,
    /// Whether texts have colors.
    pub(crate) is_colored: bool,
}

/// What a part of a text looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// A name, as it is to be typed, or a heading.
    Bold,
    /// A detail.
    Dim,
    /// All is well.
    Green,
    /// Something is not as it should be.
    Yellow,
    /// Something failed.
    Red,
}

impl Screen {
    /// A place without colors, as wide as is usual.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self {
        width: USUAL_WIDTH,
        is_colored: false,
    };

    /// A place with colors, for texts that are [`fitting`](Self::fitting) in the end.
    pub(crate) const COLORED: Self = Self {
        width: USUAL_WIDTH,
        is_colored: true,
    };

    /// What a descriptor leads to.
    pub(crate) fn of(stream: &(impl AsFd + IsTerminal), coloring: Coloring) -> Self {
        let is_terminal = stream.is_terminal();
        let columns = terminal_size::terminal_size_of(stream).map(|(width, _)| width.0.into());
        let width = match columns {
            Some(columns) if is_terminal && columns > 0 => columns,
            _ => number("COLUMNS").unwrap_or(USUAL_WIDTH),
        };
        Self {
            width: width.clamp(40, MOST_WIDTH),
            is_colored: match coloring {
                Coloring::Auto => is_terminal && wants_color(),
                Coloring::Always => true,
                Coloring::Never => false,
            },
        }
    }

    /// A part of a text as it looks there.
    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        if !self.is_colored || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Green => "32",
            Ink::Yellow => "33",
            Ink::Red => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

impl Screen {
    /// A text that was made with colors, as it fits here.
    pub(crate) fn fitting(self, text: &str) -> String {
        if self.is_colored {
            return text.to_owned();
        }
        let mut parts = text.split("\x1b[");
        let mut plain = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find('m').map_or(0, |at| at + 1);
            plain.push_str(&part[end..]);
        }
        plain
    }
}

/// Whether the environment lets a terminal have colors: <https://no-color.org>.
fn wants_color() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// A text in lines of at most `width` columns, each after the first behind `indent` blanks. A
/// paragraph is a line of `text`; one that begins with a blank stays as it is.
pub(crate) fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let room = width.saturating_sub(indent).max(20);
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        if paragraph.starts_with(' ') || paragraph.is_empty() {
            lines.push(paragraph.to_owned());
            continue;
        }
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let length = line.chars().count() + word.chars().count();
            if !line.is_empty() && length >= room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    let blanks = " ".repeat(indent);
    let mut wrapped = String::new();
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            wrapped.push('\n');
            if !line.is_empty() {
                wrapped.push_str(&blanks);
            }
        }
        wrapped.push_str(line);
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_indented() {
        let text = "one two three four five six\n\n  kept as it  is\nend";
        assert_eq!(
            wrapped(text, 4, 24),
            "one two three four\n    five six\n\n      kept as it  is\n    end"
        );
        assert_eq!(wrapped("", 4, 24), "");
        let long = "x".repeat(50);
        assert_eq!(wrapped(&long, 0, 24), long);
    }

    #[test]
    fn colors_are_only_where_they_are_wanted() {
        let plain = Screen::PLAIN;
        assert_eq!(plain.paint(Ink::Red, "no"), "no");
        let colored = Screen {
            is_colored: true,
            ..plain
        };
        assert_eq!(colored.paint(Ink::Red, "no"), "\x1b[31mno\x1b[0m");
        let text = format!("{} {}", colored.paint(Ink::Green, "a"), "b");
        assert_eq!(plain.fitting(&text), "a b");
        assert_eq!(colored.fitting(&text), text);
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(!Screen::of(&file, Coloring::Auto).is_colored);
        assert!(Screen::of(&file, Coloring::Always).is_colored);
    }
}
