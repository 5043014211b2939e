//! What is told of a verb beside its options: the one text of help and manuals.

/// The chapters in the list of verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chapter {
    /// Programs are run.
    Run,
    /// Boxes and runs are looked at and ended.
    Boxes,
    /// The machine, and how it is set up.
    Machine,
    /// Not in the list: called by other programs.
    Hidden,
}

impl Chapter {
    /// The chapters of the list, in order, with their headings.
    pub(super) const LISTED: [(Self, &'static str); 3] = [
        (Self::Run, "Run programs"),
        (Self::Boxes, "Look after boxes"),
        (Self::Machine, "Set the machine up"),
    ];
}

/// A verb's text. In all of it a line is a paragraph, and one that begins with a blank stays as it
/// is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// What it does, in a few words that begin with a verb.
    pub(super) about: &'static str,
    /// Each way to call it, without the program's name and the verb.
    pub(super) usage: &'static [&'static str],
    /// What else there is to know, in paragraphs.
    pub(super) description: &'static str,
    /// The words that come after the verb, for one that has such words.
    pub(super) commands: &'static [Word],
    /// Command lines without the program's name, each with what it is for.
    pub(super) examples: &'static [(&'static str, &'static str)],
    /// Further sections with their headings, for `--help` and the manual.
    pub(super) sections: &'static [(&'static str, &'static str)],
}

/// A word after a verb, as `import` after `config`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    /// The word.
    pub(super) name: &'static str,
    /// What comes after it.
    pub(super) operands: &'static str,
    /// What it does.
    pub(super) about: &'static str,
}

impl Page {
    /// A page without anything, to begin from.
    pub(super) const EMPTY: Self = Self {
        about: "",
        usage: &[],
        description: "",
        commands: &[],
        examples: &[],
        sections: &[],
    };
}

/// How much is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// What is needed every day, on a screen of 80 × 24: `-h`.
    Short,
    /// Everything: `--help`.
    Long,
}
