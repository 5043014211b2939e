//! `config import`: a configuration file of isolate as TOML.

use crate::answer::Answer;
use crate::caller::Caller;
use crate::config::isolate::import;
use crate::failure::Failure;
use crate::request::ImportSource;

/// Reads the file and writes what it says. For everybody who can read it: nothing on this machine
/// changes.
pub(crate) fn import(source: &ImportSource) -> Result<Answer, Failure> {
    Caller::refuse_set_user_id()?;
    let imported = import::import(source)?;
    Ok(Answer::tell(imported.to_string()))
}
