//! `status`: looks at the boxes. What is printed is made of this in the caller's own process.

use std::time::Duration;

use super::{Context, Done};
use crate::answer::{Answer, Results};
use crate::chronicle::Told;
use crate::failure::Failure;
use crate::polkit::Action;
use crate::request::{StatusForm, StatusRequest, Whose};
use crate::status::look::look;

/// How long what boxes hold on disk is added up.
const DISK: Duration = Duration::from_secs(3);
/// The same where somebody looks again and again.
const DISK_WATCHED: Duration = Duration::from_millis(100);

/// Looks.
pub(super) fn status(context: Context<'_>, request: StatusRequest) -> Result<Done, Failure> {
    let of_user = whose(context, request.whose)?;
    let patience = match request.form {
        StatusForm::Watch(_) => DISK_WATCHED,
        StatusForm::Table | StatusForm::Json | StatusForm::Metrics => DISK,
    };
    let snapshot = look(&context.asked.settings.boxes, of_user, patience)?;
    Ok(Done {
        answer: Answer::default(),
        results: Results {
            report: snapshot.to_json(),
            ..Results::default()
        },
        told: Told::Nothing,
    })
}

/// The user whose boxes are meant; `None` for all.
fn whose(context: Context<'_>, whose: Whose) -> Result<Option<u32>, Failure> {
    let own = Some(context.asked.caller.uid);
    Ok(match (whose, context.rights()) {
        (Whose::Mine, _) => own,
        (Whose::Visible | Whose::All, None) => None,
        (Whose::Visible, Some(rights)) if rights.may_already(Action::SeeBoxes) => None,
        (Whose::Visible, Some(_)) => own,
        (Whose::All, Some(rights)) => {
            rights.may(Action::SeeBoxes)?;
            None
        }
    })
}
