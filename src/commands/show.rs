//! Commands that only tell: `--version`, `--check-config`, `--print-cg-root`. For everybody, and
//! without a box.

use super::configure;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::cgroup::Place;
use crate::config::{self, ConfigSource};
use crate::failure::Failure;
use crate::home::find_place;
use crate::logging;
use crate::request::{Tell, Topic};
use crate::systemd::slice_path;

/// Tells.
pub(crate) fn show(tell: &Tell) -> Result<Answer, Failure> {
    logging::start(tell.verbosity);
    let source = ConfigSource::new(tell.config.as_deref());
    match tell.topic {
        Topic::Version => Ok(version()),
        Topic::Config => check_config(&source),
        Topic::CgRoot => print_cg_root(&source),
    }
}

/// isolate's first line, which clients look for, and our own.
fn version() -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    let stdout =
        format!("The process isolator {version}\nisolate-run {version}, a successor of isolate\n");
    Answer::tell(stdout)
}

/// The merged configuration, each value with its origin. For everybody who can read it.
fn check_config(source: &ConfigSource) -> Result<Answer, Failure> {
    Caller::refuse_set_user_id()?;
    configure::check(source)
}

/// The cgroup below which all runs live. For everybody.
fn print_cg_root(source: &ConfigSource) -> Result<Answer, Failure> {
    Caller::refuse_set_user_id()?;
    let settings = config::load(source)?.settings;
    let root = match find_place(&settings.cgroup)? {
        Place::Systemd { mount_point, .. } => mount_point.join(slice_path(&settings.cgroup.slice)),
        Place::Delegated { root, .. } => root,
        Place::Nowhere { reason } => {
            return Err(Failure::new(format!("there is no cgroup root: {reason}")));
        }
    };
    Ok(Answer::tell(format!("{}\n", root.display())))
}
