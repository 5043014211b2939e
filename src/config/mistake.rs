//! A mistake in a configuration for people, in the form of rustc: what is wrong, the line with a
//! mark below it, and what is allowed. Everybody else is told the same on one line.

use super::error::{ConfigError, Part};
use crate::error::printable;
use crate::screen::{Ink, Screen, wrapped};

/// The fewest columns of a line of the file that are shown.
const NARROWEST: usize = 20;

impl ConfigError {
    /// The long form, without the end of its last line. `None`: there is no line to be shown, and
    /// the short form says it all.
    pub(crate) fn explained(&self, screen: Screen) -> Option<String> {
        let shown = Shown::of(self.place().part()?)?;
        let (wrong, allowed) = split(self.text());
        let key = self.key().map(|key| format!("{key}: ")).unwrap_or_default();
        let line = self.place().line().unwrap_or_default().to_string();
        let blank = " ".repeat(line.len());
        let dim = |text: &str| screen.paint(Ink::Dim, text);
        let (text, mark) = shown.within(screen.width.saturating_sub(line.len() + 3).max(NARROWEST));
        let bar = dim(&format!("{blank} |"));
        let mut lines = vec![
            format!(
                "{}: {}",
                screen.paint(Ink::Red, "error"),
                printable(&format!("{key}{wrong}"))
            ),
            format!(
                "{blank}{} {}:{}",
                dim("-->"),
                self.place(),
                shown.column + 1
            ),
            bar.clone(),
            format!("{} {text}", dim(&format!("{line} |"))),
            format!("{bar} {}", screen.paint(Ink::Red, &mark)),
        ];
        for (word, text) in allowed {
            let indent = line.len() + word.len() + 5;
            let text = wrapped(&printable(&text), indent, screen.width);
            lines.push(format!("{blank} {} {word}: {text}", dim("=")));
        }
        Some(lines.join("\n"))
    }
}

/// What is wrong, and what else is to be said, each with the word before it.
fn split(text: &str) -> (&str, Vec<(&'static str, String)>) {
    // What is wrong may show a value, in quotes and with semicolons of its own.
    let is_outside = |(wrong, _): &(&str, &str)| wrong.matches('\'').count() % 2 == 0;
    let Some((wrong, rest)) = text.rsplit_once("; ").filter(is_outside) else {
        // The words for quantities on the command line, which are the same here.
        let used = text.rsplit_once(": use ").filter(is_outside);
        return match used {
            Some((wrong, rest)) => (wrong, vec![("help", format!("use {rest}"))]),
            None => (text, Vec::new()),
        };
    };
    let (guess, rest) = match rest.split_once("? ") {
        Some((guess, rest)) if guess.starts_with("did you mean ") => (Some(guess), rest),
        _ => (None, rest),
    };
    let guess = guess.map(|guess| ("help", format!("{guess}?")));
    let rest = Some(("note", rest.to_owned()));
    (wrong, guess.into_iter().chain(rest).collect())
}

/// A line of the file, and which of its characters are meant.
struct Shown {
    letters: Vec<char>,
    column: usize,
    width: usize,
}

impl Shown {
    /// The line in which the part begins. `None`: there is nothing to be seen.
    fn of(part: &Part) -> Option<Self> {
        let before = part.text.get(..part.span.start)?;
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let line = part.text[begin..].lines().next().unwrap_or_default();
        let line = line.trim_start_matches('\u{feff}');
        let column = before[begin..]
            .trim_start_matches('\u{feff}')
            .chars()
            .count();
        let meant = part.text.get(part.span.clone()).unwrap_or_default();
        let meant = meant.lines().next().unwrap_or_default().chars().count();
        let letters: Vec<char> = line.chars().map(visible).collect();
        (!letters.is_empty()).then(|| Self {
            width: meant.min(letters.len().saturating_sub(column)).max(1),
            letters,
            column,
        })
    }

    /// As much of it as fits, with the mark for the line below it.
    fn within(&self, space: usize) -> (String, String) {
        let all = self.letters.len();
        let first = match all > space {
            true => self.column.saturating_sub(space / 3).min(all - space),
            false => 0,
        };
        let mut letters: Vec<char> = self.letters[first..].iter().copied().take(space).collect();
        let last = letters.len() - 1;
        if first > 0 {
            letters[0] = '…';
        }
        if first + last + 1 < all {
            letters[last] = '…';
        }
        let before = self.column - first;
        let width = self.width.min(space.saturating_sub(before)).max(1);
        let text: String = letters.into_iter().collect();
        let mark = " ".repeat(before) + &"^".repeat(width);
        (text.trim_end().to_owned(), mark)
    }
}

/// A character that takes one column and that no terminal obeys.
fn visible(letter: char) -> char {
    match letter {
        '\t' => ' ',
        letter if letter.is_control() => '\u{fffd}',
        letter => letter,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{ConfigFiles, ConfigSource, load};

    fn told(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.toml");
        fs::write(&path, text).unwrap();
        let source = ConfigSource {
            files: ConfigFiles::Only(path),
            ..ConfigSource::new(None)
        };
        let told = load(&source).unwrap_err().explained(Screen::PLAIN);
        told.unwrap()
            .replace(&format!("{}/", dir.path().display()), "")
    }

    #[test]
    fn a_mistake_is_shown_in_its_line_with_what_is_allowed() {
        for (text, expected) in [
            (
                "[boxes]\n  count = \"5x\" # many\n",
                "error: boxes.count: '5x' is out of range
 --> f.toml:2:11
  |
2 |   count = \"5x\" # many
  |           ^^^^
  = note: whole numbers from 1 to 2147483647 are allowed",
            ),
            (
                "# 1\n# 2\n# 3\n# 4\n# 5\n# 6\n# 7\n# 8\n[boxes]\nfirst_uuid = 1\n",
                "error: boxes.first_uuid: unknown key
  --> f.toml:10:1
   |
10 | first_uuid = 1
   | ^^^^^^^^^^
   = help: did you mean first_uid?
   = note: known here are root, locks, count, first_uid, first_gid, subid_user,
           only_root_inits",
            ),
            (
                "[box]",
                "error: box: unknown
 --> f.toml:1:2
  |
1 | [box]
  |  ^^^
  = help: did you mean [boxes]?
  = note: known are the tables [boxes], [cgroup], [cpus], [defaults], [exec],
          [broker], [ceilings], [directories], [syscalls], [log], [doctor],
          [batch], [[pin]]",
            ),
            (
                "[defaults]\ntime = 'soon'\n",
                "error: defaults.time: 'soon' is not a time
 --> f.toml:2:8
  |
2 | time = 'soon'
  |        ^^^^^^
  = help: use seconds as in 1 or 0.5, or a suffix as in 1.5s, 200ms, 2min",
            ),
            (
                "[boxes]\ncount = 1\ncount\t= 2\n",
                "error: not valid TOML: duplicate key at 'count'
 --> f.toml:3:1
  |
3 | count = 2
  | ^^^^^",
            ),
            (
                "boxes.only_root_inits = yes\n",
                "error: 'yes' is no word of TOML
 --> f.toml:1:25
  |
1 | boxes.only_root_inits = yes
  |                         ^^^
  = note: use true or false",
            ),
            (
                "syscalls.deny = [\n 'vsock',\n 'a; b',\n]",
                "error: syscalls.deny: 'a; b' is not a restriction
 --> f.toml:3:2
  |
3 |  'a; b',
  |  ^^^^^^
  = note: known are keyctl, vsock, file-locks, io-uring, foreign-arch,
          user-namespaces, rare-sockets, file-events, huge-pages, native-aio",
            ),
        ] {
            assert_eq!(told(text), expected, "\n{}", told(text));
        }
    }

    #[test]
    fn whatever_the_file_holds_it_fits_a_screen_that_obeys_nothing() {
        let long = format!("[boxes]\nroot = '{}'\n", "é".repeat(3000));
        let far = format!("x = [{}]\n", "1, ".repeat(1000));
        for text in [
            &*long,
            &far,
            "[boxes]\r\n\tcount = \u{202e}\"\u{1b}[31m\"\r\n",
            "\u{feff}count = 1",
            "[boxes]\nroot = '''/a\n\n\nb'''\n",
            "[boxes]\nroot = \"",
            "=",
            "[",
            "[boxes]\ncount =\n\n\n",
            "a = [\n",
            "'' = 1",
        ] {
            let told = told(text);
            assert!(told.lines().count() < 12, "{told}");
            assert!(told.lines().all(|line| !line.chars().any(char::is_control)));
            for line in told.lines().skip(1) {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn what_is_no_place_in_a_text_is_told_in_the_short_form_alone() {
        let source = ConfigSource::new(Some("/nowhere/x.toml".as_ref()));
        assert_eq!(load(&source).unwrap_err().explained(Screen::PLAIN), None);
    }
}
