//! `shell BOX`: a program in a box that was made before, as `exec` runs one, and the box stays.

use super::run::Made;
use super::{Ahead, Context, Done};
use crate::failure::Failure;
use crate::report::summary;
use crate::request::{BoxChoice, ProgramRequest, RunKind};

/// Runs the program. The mode that the box was made with does not matter: exec has that which its
/// limits need.
pub(super) fn enter(
    context: Context<'_>,
    program: &ProgramRequest,
    ahead: &mut Ahead,
) -> Result<Done, Failure> {
    let made = Made::open(context, || {
        let id = match context.common().box_id {
            Some(BoxChoice::Number(id)) => format!(" {id}"),
            Some(BoxChoice::Auto) | None => String::new(),
        };
        Failure::new(format!(
            "there is no box{id}: exec --keep or --init makes one and says its number"
        ))
    })?;
    let mut finished = made.run(context, RunKind::Exec, program, ahead)?;
    finished.leave_ready(&made.lock);
    let line = summary::line(&finished.report, &finished.circumstances);
    let code = summary::exit_code(&finished.report);
    Ok(finished.tell(context, line, code))
}
