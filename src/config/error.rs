//! Where a value came from, and the error about one that cannot be used.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::failure::Explained;

/// A file, or a line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    file: Arc<Path>,
    /// The line, counted from 1; `None` is the file as a whole.
    line: Option<usize>,
    /// What the file calls the key in this line, when that is not our own name for it.
    key: Option<Arc<str>>,
    /// What stands there, when the text is known.
    part: Option<Box<Part>>,
}

/// A part of a file's text, which the long form of an error shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The text of the whole file, perhaps without the lines that are comments.
    pub(super) text: Arc<str>,
    /// The bytes that are meant.
    pub(super) span: Range<usize>,
}

impl Place {
    /// The file as a whole.
    pub(super) fn file(path: &Path) -> Self {
        Self {
            file: path.into(),
            line: None,
            key: None,
            part: None,
        }
    }

    /// A line of the same file, counted from 1.
    pub(super) fn at_line(&self, line: usize) -> Self {
        Self {
            file: Arc::clone(&self.file),
            line: Some(line),
            key: None,
            part: None,
        }
    }

    /// The same line, where this part of the file's text stands.
    pub(super) fn with_part(self, part: Part) -> Self {
        Self {
            part: Some(Box::new(part)),
            ..self
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// What stands there, when the text is known.
    pub(super) fn part(&self) -> Option<&Part> {
        self.part.as_deref()
    }

    /// The same line, with the file's own name for the key: errors about the key use that name.
    pub(super) fn of_key(&self, key: impl Into<Arc<str>>) -> Self {
        Self {
            key: Some(key.into()),
            ..self.clone()
        }
    }

    /// The line, counted from 1.
    pub(super) fn line(&self) -> Option<usize> {
        self.line
    }

    /// `line 3, box_root`: the place within its file.
    pub(super) fn within_file(&self) -> String {
        let line = self.line.map(|line| format!("line {line}"));
        let key = self.key.as_deref().map(one_line);
        line.into_iter().chain(key).collect::<Vec<_>>().join(", ")
    }

    /// An error here that is not about one key.
    pub(super) fn error(&self, text: impl fmt::Display) -> ConfigError {
        ConfigError {
            place: self.clone(),
            key: None,
            text: text.to_string(),
            source: None,
        }
    }

    /// An error here about one key.
    pub(super) fn key_error(&self, key: impl fmt::Display, text: impl fmt::Display) -> ConfigError {
        let own = self.key.as_deref().map(one_line);
        ConfigError {
            key: Some(own.unwrap_or_else(|| key.to_string())),
            ..self.error(text)
        }
    }

    /// An error of the operating system's here.
    pub(super) fn os_error(&self, text: impl fmt::Display, source: io::Error) -> ConfigError {
        ConfigError {
            source: Some(source),
            ..self.error(text)
        }
    }
}

impl fmt::Display for Place {
    /// Writes `FILE:LINE` or `FILE`, always on one line, whatever the file is called: it goes into
    /// a TOML comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.file.to_string_lossy()))?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// Why the configuration cannot be used: `FILE:LINE: KEY: what is wrong; what is allowed`, one
/// line. The operating system's reason, where there is one, is the `source` and not part of that
/// line.
#[derive(Debug)]
pub(crate) struct ConfigError {
    place: Place,
    key: Option<String>,
    text: String,
    source: Option<io::Error>,
}

impl ConfigError {
    /// The same error as the reason why the key at `place` cannot be used.
    pub(super) fn behind(self, key: impl fmt::Display, place: &Place) -> Self {
        let mut error = place.key_error(key, &self);
        error.source = self.source;
        error
    }

    /// Where it is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The key that it is about.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What is wrong, and what is allowed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is about this file, and not about another one.
    pub(crate) fn is_in(&self, path: &Path) -> bool {
        self.place.path() == path
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as &dyn Error)
    }
}

impl Explained for ConfigError {}

/// The text with its control characters escaped, newlines among them.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_file_line_key_reason() {
        let file = Place::file(Path::new("/etc/a.toml"));
        let line = file.at_line(3);
        assert_eq!(
            line.key_error("boxes.count", "off; on is allowed")
                .to_string(),
            "/etc/a.toml:3: boxes.count: off; on is allowed"
        );
        assert_eq!(file.error("too long").to_string(), "/etc/a.toml: too long");
    }

    #[test]
    fn a_key_is_called_as_in_its_file() {
        let place = Place::file(Path::new("/etc/isolate")).at_line(3);
        let place = place.of_key("num_boxes");
        assert_eq!(
            place.key_error("boxes.count", "off").to_string(),
            "/etc/isolate:3: num_boxes: off"
        );
        assert_eq!(place.to_string(), "/etc/isolate:3");
        assert_eq!(place.within_file(), "line 3, num_boxes");
    }

    #[test]
    fn a_file_name_with_a_newline_stays_on_one_line() {
        let place = Place::file(Path::new("/etc/a\nb.toml")).at_line(1);
        assert_eq!(place.to_string(), "/etc/a\\nb.toml:1");
    }
}
