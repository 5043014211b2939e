//! `config edit`: a copy in the user's editor, which takes the place of the file when it can be
//! used; as `systemctl edit` does it.

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use nix::sys::signal::{SigSet, Signal};

use super::change::refuse_beside_isolates;
use super::replace::{refuse_unless_writable, replace};
use super::{EXIT_MISTAKE, explained, load};
use crate::answer::Answer;
use crate::config::{self, ConfigError, ConfigSource, Draft, shipped};
use crate::failure::Failure;
use crate::output;
use crate::sys::signals::wait_for_children;

/// Where the editor is named, as for systemctl.
const VARIABLES: [&str; 3] = ["SYSTEMD_EDITOR", "EDITOR", "VISUAL"];
/// The editors that are tried where none is named.
const EDITORS: [&str; 4] = ["editor", "nano", "vim", "vi"];
/// What a drop-in begins with.
const HEAD: &str = "# This counts over isolate.toml and over drop-ins with earlier names. isolate.toml(5) explains every key.\n";

/// Lets the user edit the main file, or the drop-in of this name.
pub(super) fn edit(source: &ConfigSource, drop_in: Option<&str>) -> Result<Answer, Failure> {
    let path = source.own_file(drop_in);
    // A configuration that cannot be used is what somebody may want to mend.
    let trouble = match load(source, None) {
        Ok(now) => {
            refuse_beside_isolates(&now)?;
            None
        }
        Err(error) => Some(error),
    };
    refuse_unless_writable(&path)?;
    let before = config::text(&path)?;
    let begin = match (&before, drop_in) {
        (Some(text), _) => text,
        (None, Some(_)) => HEAD,
        (None, None) => shipped::TEXT,
    };
    let copy = Copy::new(&path, begin)?;
    loop {
        copy.open()?;
        let text = copy.read()?;
        if text == begin || text.trim().is_empty() {
            copy.remove();
            let why = if text == begin {
                ""
            } else {
                ": the text is empty"
            };
            return Ok(Answer::tell(format!(
                "{} is as it was{why}.\n",
                path.display()
            )));
        }
        let draft = Draft {
            path: path.clone(),
            text,
        };
        let take_over = || {
            replace(&path, before.as_deref(), &draft.text)
                .map(|()| copy.remove())
                .map_err(|failure| copy.kept(&failure))
        };
        let Err(error) = load(source, Some(&draft)) else {
            take_over()?;
            let note = "runs that begin from now on have it";
            return Ok(Answer::tell(format!(
                "{} is changed; {note}.\n",
                path.display()
            )));
        };
        if is_elsewhere(&error, trouble.as_ref(), &path) {
            take_over()?;
            let text = told(&error);
            let note = format!(
                "{} is changed, but nothing runs until this is mended, too:",
                path.display()
            );
            return Ok(Answer::complain(format!("{note}\n{text}"), EXIT_MISTAKE));
        }
        let text = told(&error);
        let answer = ask(&text);
        if answer == Some(true) {
            continue;
        }
        let kept = copy.kept(&Failure::new(format!("{} is as it was", path.display())));
        // Whoever was asked has seen the mistake.
        let text = answer.map_or(format!("{text}\n"), |_| String::new());
        let told = format!("{text}isolate-run: {kept}");
        return Ok(Answer::complain(told, EXIT_MISTAKE));
    }
}

/// Whether a mistake is not in the file, and was there before.
fn is_elsewhere(error: &ConfigError, before: Option<&ConfigError>, path: &Path) -> bool {
    let is_known = before.is_some_and(|before| before.to_string() == error.to_string());
    // Two files that do not fit each other were mended one after the other.
    let was_here = before.is_some_and(|before| before.is_in(path));
    !error.is_in(path) && (is_known || was_here)
}

fn told(error: &ConfigError) -> String {
    explained(error).unwrap_or_else(|| crate::error::chain(error))
}

/// Shows what is wrong, and asks whether to edit again. `None`: there is nobody to be asked.
fn ask(text: &str) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let question = format!("{text}\nEdit again? [Y/n] ");
    let mut answer = String::new();
    let asked = output::write_all(io::stderr(), question.as_bytes())
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    let is_yes = matches!(answer.trim(), "" | "y" | "Y" | "yes");
    Some(asked.is_ok_and(|length| length > 0) && is_yes)
}

/// The copy that is edited, in a directory of its own under the name of the file: editors know what
/// it is by its end.
struct Copy {
    directory: PathBuf,
    path: PathBuf,
}

impl Copy {
    fn new(of: &Path, text: &str) -> Result<Self, Failure> {
        let failed = "cannot make a copy to edit";
        let template = std::env::temp_dir().join("isolate-run-XXXXXX");
        let directory = nix::unistd::mkdtemp(&template).map_err(Failure::at(failed))?;
        let path = directory.join(of.file_name().unwrap_or("isolate.toml".as_ref()));
        let copy = Self { directory, path };
        if let Err(error) = fs::write(&copy.path, text) {
            copy.remove();
            return Err(Failure::at(failed)(error));
        }
        Ok(copy)
    }

    /// Runs the editor, until it ends.
    fn open(&self) -> Result<(), Failure> {
        let named = VARIABLES.iter().filter_map(|name| std::env::var(name).ok());
        let named = named
            .map(|editor| editor.trim().to_owned())
            .find(|editor| !editor.is_empty());
        // A caller may ignore SIGCHLD, which would take the editor's end from us.
        wait_for_children();
        let ended = match &named {
            // A shell knows the quotes in `emacsclient -a ''`.
            Some(editor) => {
                self.run(Command::new("/bin/sh").args(["-c", &format!("{editor} \"$1\""), "sh"]))
            }
            None => self.try_each(),
        };
        let failure = match ended {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("the editor failed ({status})"),
            Err(error) => format!("cannot start an editor: {error}; set $EDITOR to one"),
        };
        self.remove();
        Err(Failure::new(format!("{failure}; nothing was changed")))
    }

    fn try_each(&self) -> io::Result<ExitStatus> {
        if !io::stdin().is_terminal() {
            return Err(io::Error::other("standard input is not a terminal"));
        }
        let mut last = io::ErrorKind::NotFound.into();
        for editor in EDITORS {
            match self.run(&mut Command::new(editor)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    fn run(&self, command: &mut Command) -> io::Result<ExitStatus> {
        let mut child = command.arg(&self.path).spawn()?;
        // Ctrl-C is the editor's, which did not inherit this.
        let signals: SigSet = [Signal::SIGINT, Signal::SIGQUIT].into_iter().collect();
        signals.thread_block()?;
        child.wait()
    }

    fn read(&self) -> Result<String, Failure> {
        let text = config::text(&self.path).map_err(|error| self.kept(&error.into()))?;
        text.ok_or_else(|| self.kept(&Failure::new("the editor has removed the copy")))
    }

    fn remove(&self) {
        drop(fs::remove_dir_all(&self.directory));
    }

    /// A failure that says where the text is that was edited.
    fn kept(&self, failure: &Failure) -> Failure {
        Failure::new(format!(
            "{failure}; what was edited is in {}",
            self.path.display()
        ))
    }
}
