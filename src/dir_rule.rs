//! The grammar of directory rules (`--dir`, `[directories] rules`), and how rules are merged. Pure.
//!
//! `IN=OUT[:OPTION…]` binds OUT on IN, `DIR[:OPTION…]` binds `/DIR` on `DIR`, `IN=` takes a rule
//! away. A backslash takes the meaning of `:`, `=` and another backslash away; with three octal
//! digits it stands for any byte, as in fstab(5).

mod escape;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::quantity::Bytes;
use escape::split_once;
pub(crate) use escape::unescape;

/// One directory of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirRule {
    /// Where it appears: relative to the new root, without `..`, never empty.
    pub(crate) inside: PathBuf,
    /// What appears there.
    pub(crate) source: Source,
    /// How it is mounted.
    pub(crate) flags: DirFlags,
}

/// What a rule shows inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// An absolute path of the caller's.
    Host(PathBuf),
    /// A path relative to the box directory (`./…`).
    BoxDir(PathBuf),
    /// A file system of the kernel.
    FileSystem(FileSystem),
    /// A directory of the box that is writable for the program (`tmp`).
    Temporary,
}

/// The file systems that `fs` may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// The processes of the sandbox; others' are invisible (`hidepid=2`).
    Proc,
    /// The devices of the network namespace and the rest of sysfs.
    Sysfs,
    /// An empty file system in memory, which holds this much; `None`: as much as the run may be
    /// expected to need.
    Tmpfs(Option<Bytes>),
    /// Pseudo-terminals of the sandbox alone.
    Devpts,
    /// A tmpfs with `null`, `zero`, `full`, `random`, `urandom`, `tty` and the links to
    /// `/proc/self/fd`.
    Dev,
    /// A small `/etc` of the sandbox's own: the names of host, users and groups, and where
    /// libraries are.
    Etc,
    /// The control group of the run, as its root: what runtimes ask for their limits.
    Cgroup,
}

impl FileSystem {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Proc, "proc"),
        (Self::Sysfs, "sysfs"),
        (Self::Tmpfs(None), "tmpfs"),
        (Self::Devpts, "devpts"),
        (Self::Dev, "dev"),
        (Self::Etc, "etc"),
        (Self::Cgroup, "cgroup"),
    ];

    /// Whether trusted code alone has written to a new one, so that mount points can be made in it.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Tmpfs(_) | Self::Dev | Self::Etc)
    }
}

/// Options of a rule. The default is read-only, nosuid, nodev, with everything that is mounted
/// below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DirFlags {
    /// `rw`: writable.
    pub(crate) writable: bool,
    /// `dev`: device files work.
    pub(crate) devices: bool,
    /// `noexec`: nothing can be executed from it.
    pub(crate) no_exec: bool,
    /// `maybe`: left out when the source does not exist.
    pub(crate) maybe: bool,
    /// `norec`: without what is mounted below the source.
    pub(crate) not_recursive: bool,
}

/// What one `--dir` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DirRequest {
    /// Add the rule, or replace the one with the same `inside` at its position.
    Set(DirRule),
    /// Take away the rule for this path.
    Remove(PathBuf),
}

/// Why a text is not a directory rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirRuleError {
    rule: String,
    reason: String,
}

impl fmt::Display for DirRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not a directory rule: {}",
            self.rule, self.reason
        )
    }
}

impl std::error::Error for DirRuleError {}

impl DirRequest {
    /// Parses one rule.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, DirRuleError> {
        parse_rule(text.as_bytes()).map_err(|reason| DirRuleError {
            rule: text.to_string_lossy().into_owned(),
            reason,
        })
    }

    fn inside(&self) -> &Path {
        match self {
            Self::Set(rule) => &rule.inside,
            Self::Remove(inside) => inside,
        }
    }
}

/// Merges requests into rules, in order. A rule whose `inside` is known replaces the earlier one at
/// its position.
pub(crate) fn merge(mut rules: Vec<DirRule>, requests: &[DirRequest]) -> Vec<DirRule> {
    for request in requests {
        let known = rules
            .iter()
            .position(|rule| rule.inside == request.inside());
        match (request, known) {
            (DirRequest::Set(rule), Some(at)) => rules[at] = rule.clone(),
            (DirRequest::Set(rule), None) => rules.push(rule.clone()),
            (DirRequest::Remove(_), Some(at)) => {
                rules.remove(at);
            }
            (DirRequest::Remove(_), None) => {}
        }
    }
    rules
}

fn parse_rule(text: &[u8]) -> Result<DirRequest, String> {
    let (paths, options) = split_once(text, b':');
    let (inside, out) = split_once(paths, b'=');
    let inside = inside_path(&unescape(inside))?;
    let out = out.map(unescape);
    let options = options.map(|options| options.split(|byte| *byte == b':'));
    let mut flags = DirFlags::default();
    let (mut is_fs, mut is_tmp, mut size) = (false, false, None);
    for option in options.into_iter().flatten() {
        match option {
            b"rw" => flags.writable = true,
            b"dev" => flags.devices = true,
            b"noexec" => flags.no_exec = true,
            b"maybe" => flags.maybe = true,
            b"norec" => flags.not_recursive = true,
            b"fs" => is_fs = true,
            b"tmp" => is_tmp = true,
            _ => match option.strip_prefix(b"size=") {
                Some(text) => size = Some(parse_size(text)?),
                None => {
                    return Err(format!(
                        "unknown option '{}', known are rw, dev, noexec, maybe, norec, fs, tmp, size=SIZE",
                        String::from_utf8_lossy(option)
                    ));
                }
            },
        }
    }
    let source = match (is_fs, is_tmp, out.as_deref()) {
        (true, true, _) => return Err("fs and tmp exclude each other".into()),
        (true, false, None | Some([])) => {
            return Err("fs needs the name of a file system, as in proc=proc:fs".into());
        }
        (true, false, Some(name)) => Source::FileSystem(file_system(name)?),
        (false, true, None) => {
            flags.writable = true;
            Source::Temporary
        }
        (false, true, Some(_)) => return Err("tmp takes nothing after '='".into()),
        (false, false, Some([])) => return Ok(DirRequest::Remove(inside)),
        (false, false, Some(out)) => outside(out)?,
        (false, false, None) => Source::Host(Path::new("/").join(&inside)),
    };
    let source = match (source, size) {
        (source, None) => source,
        (Source::FileSystem(FileSystem::Tmpfs(_)), size) => {
            Source::FileSystem(FileSystem::Tmpfs(size))
        }
        _ => return Err("size= is for tmpfs only, as in dev/shm=tmpfs:fs:rw:size=64M".into()),
    };
    Ok(DirRequest::Set(DirRule {
        inside,
        source,
        flags,
    }))
}

/// The size of a tmpfs. None at all would be no limit for the kernel (tmpfs(5)).
fn parse_size(text: &[u8]) -> Result<Bytes, String> {
    let size = Bytes::parse(&String::from_utf8_lossy(text)).map_err(|error| error.to_string())?;
    match size {
        Bytes(0) => Err("size=0 would hold nothing".into()),
        size => Ok(size),
    }
}

/// The part before `=`: slashes at its beginning are dropped, doubled and trailing ones mean
/// nothing.
fn inside_path(bytes: &[u8]) -> Result<PathBuf, String> {
    if bytes.contains(&0) {
        return Err("a path cannot contain a NUL byte".into());
    }
    let mut inside = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(bytes)).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => inside.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err("the path inside the sandbox must not contain '..'".into());
            }
        }
    }
    if inside.as_os_str().is_empty() {
        let here = match bytes.is_empty() {
            true => "",
            false => ": NAME=\"$PWD\" shows the directory that you are in as /NAME",
        };
        return Err(format!("the path inside the sandbox is empty{here}"));
    }
    Ok(inside)
}

fn outside(bytes: &[u8]) -> Result<Source, String> {
    if bytes.contains(&0) {
        return Err("a path cannot contain a NUL byte".into());
    }
    let path = Path::new(OsStr::from_bytes(bytes));
    if path.is_absolute() {
        Ok(Source::Host(path.to_owned()))
    } else if let Some(below) = bytes.strip_prefix(b"./") {
        let below = Path::new(OsStr::from_bytes(below));
        if below
            .components()
            .any(|part| !matches!(part, Component::Normal(_)))
        {
            return Err("a path in the box directory must not leave it".into());
        }
        // `./` is the box directory itself.
        let below = match below.as_os_str().is_empty() {
            true => Path::new("."),
            false => below,
        };
        Ok(Source::BoxDir(below.to_owned()))
    } else {
        let here = match bytes {
            b"." => ": \"$PWD\" is the directory that you are in",
            _ => "",
        };
        Err(format!(
            "the path after '=' must begin with '/' or './'{here}"
        ))
    }
}

fn file_system(name: &[u8]) -> Result<FileSystem, String> {
    FileSystem::ALL
        .iter()
        .find(|(_, known)| known.as_bytes() == name)
        .map(|(kind, _)| *kind)
        .ok_or_else(|| {
            format!(
                "file system '{}' is not one of {}",
                String::from_utf8_lossy(name),
                FileSystem::ALL.map(|(_, known)| known).join(", ")
            )
        })
}

/// Reads any rule, for the fuzz target in `fuzz/`. A panic is a finding.
#[cfg(fuzzing)]
pub fn any_rule(bytes: &[u8]) {
    let Ok(request) = DirRequest::parse(OsStr::from_bytes(bytes)) else {
        return;
    };
    // Nothing leads out by words alone.
    let is_below = |path: &Path| {
        let mut parts = path.components();
        parts.all(|part| matches!(part, Component::Normal(_)))
    };
    assert!(is_below(request.inside()), "{request:?}");
    if let DirRequest::Set(rule) = &request {
        match &rule.source {
            Source::BoxDir(path) => assert!(path == Path::new(".") || is_below(path)),
            Source::Host(path) => assert!(path.is_absolute()),
            Source::FileSystem(_) | Source::Temporary => {}
        }
    }
    // The same words twice are the same rule, or take it away again.
    let twice = merge(Vec::new(), &[request.clone(), request.clone()]);
    assert_eq!(twice, merge(Vec::new(), &[request]));
}
