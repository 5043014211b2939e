//! The commands that are compared: ours, those of somebody who is not root, and those of other sandboxes.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A whole command, and who types it.
#[derive(Clone)]
pub(crate) struct Line {
    /// Who types it, with the only group of their process; None: who runs this.
    pub user: Option<(u32, u32)>,
    pub words: Vec<String>,
}

impl Line {
    pub(crate) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words = words.into_iter().map(str::to_owned).collect();
        Self { user: None, words }
    }

    /// The same with more words at its end.
    pub(crate) fn with<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut line = self.clone();
        line.words.extend(words.into_iter().map(str::to_owned));
        line
    }

    /// The command, with nothing to read and nowhere to write.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
            .args(&self.words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    pub(crate) fn start(&self) -> std::io::Result<Child> {
        self.command().spawn()
    }

    /// Whether it ends well.
    pub(crate) fn works(&self) -> bool {
        self.command().status().is_ok_and(|status| status.success())
    }

    /// Carries it out, which must succeed: a figure of a command that fails says nothing.
    pub(crate) fn must(&self) {
        let status = self.command().status();
        let is_well = status.as_ref().is_ok_and(std::process::ExitStatus::success);
        assert!(is_well, "{}: {status:?}", self.words.join(" "));
    }
}

/// Whose boxes are worked in: of root, of users by the broker that is installed, or of the isolate that is compared.
#[derive(Clone)]
pub(crate) struct Boxes {
    pub name: &'static str,
    start: Line,
    /// What is added to their numbers: a box is one user's.
    from: u32,
}

impl Boxes {
    /// Root's, with the binary under test.
    pub(crate) fn of_root(binary: &Path, config: &Path) -> Self {
        let config = format!("--config={}", config.display());
        Self {
            name: "isolate-run",
            start: Line::new([&*binary.to_string_lossy(), &config]),
            from: 0,
        }
    }

    /// Those of the users that these variables give, as UID:GID: one whose group lets them in, and one about whom polkit
    /// is asked.
    pub(crate) fn of_users() -> impl Iterator<Item = Self> {
        let users = [
            ("isolate-run, a user", "ISOLATE_BENCH_USER", 0),
            ("isolate-run, by polkit", "ISOLATE_BENCH_ASKING_USER", 100),
        ];
        users.into_iter().filter_map(|(name, variable, from)| {
            let user = std::env::var(variable).ok()?;
            let (uid, gid) = user.split_once(':').expect(variable);
            let mut start = Line::new(["isolate-run"]);
            start.user = Some((uid.parse().expect(variable), gid.parse().expect(variable)));
            Some(Self { name, start, from })
        })
    }

    /// Those of the isolate that `ISOLATE_BENCH_PEER` names, without control groups.
    pub(crate) fn of_peer() -> Option<Self> {
        let peer = std::env::var("ISOLATE_BENCH_PEER").ok()?;
        Some(Self {
            name: "isolate",
            start: Line::new([peer.as_str()]),
            from: 0,
        })
    }

    /// Whether all of it is the program under test.
    pub(crate) fn are_ours(&self) -> bool {
        self.name != "isolate"
    }

    /// A command about the box of this number.
    pub(crate) fn line(&self, id: u32, words: &[&str]) -> Line {
        let id = format!("--box-id={}", self.from + id);
        self.start.with([&*id]).with(words.iter().copied())
    }

    /// A run in it of what `words` name.
    pub(crate) fn run(&self, id: u32, options: &[&str], words: &[&str]) -> Line {
        self.line(id, &["--silent"])
            .with(options.iter().copied())
            .with(["--run", "--"])
            .with(words.iter().copied())
    }

    /// A run in a box that is made for it and goes with it: ours only.
    pub(crate) fn exec(&self, words: &[&str]) -> Line {
        self.verb("exec")
            .with(["--silent", "--"])
            .with(words.iter().copied())
    }

    /// Jobs from standard input, so many at a time: ours only.
    pub(crate) fn batch(&self, at_a_time: u32) -> Line {
        self.verb("batch").with([&*format!("-j{at_a_time}")])
    }

    /// A verb comes before the options.
    fn verb(&self, verb: &str) -> Line {
        let mut line = self.start.clone();
        line.words.insert(1, verb.to_owned());
        line
    }

    pub(crate) fn init(&self, id: u32) {
        self.line(id, &["--init"]).must();
    }

    pub(crate) fn cleanup(&self, id: u32) {
        self.line(id, &["--cleanup"]).must();
    }
}
