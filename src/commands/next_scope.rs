//! The scope of a box's next run, between two commands.

use super::Context;
use crate::box_dir::{Kept, Lock};
use crate::home::dismiss_kept;

/// For how many seconds the scope of a box's next run is kept ready; 0: there is none.
pub(super) fn keep_ready(context: Context<'_>) -> u32 {
    context.asked.settings.keep_ready(context.asked.of_batch)
}

/// Notes who keeps a scope in the box, whose record was just written. Without that, the next run
/// has another one made, and this one ends when its time is over.
pub(super) fn leave(kept: Kept, lock: &Lock) {
    if let Err(error) = lock.note(kept) {
        log::info!("the scope of the box is not kept: {error}");
        dismiss_kept(kept);
    }
}
