//! One rule: which call is refused, when, and with what error. `build.rs` reads this file, too.

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

/// The kernel reads 32 bits of these arguments and ignores the rest: comparing all 64 would let a
/// program set one of the others and pass.
pub(super) const LOW_32_BITS: u64 = 0xffff_ffff;

/// Whether an argument, by its low 32 bits, has this value.
pub(super) fn is(argument: u32, value: u64) -> ScmpArgCompare {
    ScmpArgCompare::new(argument, ScmpCompareOp::MaskedEqual(LOW_32_BITS), value)
}

/// Whether an argument has all of these bits.
pub(super) fn has(argument: u32, bits: u32) -> ScmpArgCompare {
    let bits = u64::from(bits);
    ScmpArgCompare::new(argument, ScmpCompareOp::MaskedEqual(bits), bits)
}

/// Refuses a call if all of the conditions hold. Does nothing on architectures that do not have the
/// call.
pub(super) fn refuse(
    context: &mut ScmpFilterContext,
    errno: i32,
    call: &str,
    when: &[ScmpArgCompare],
) -> Result<(), SeccompError> {
    let call = ScmpSyscall::from_name(call)?;
    context.add_rule_conditional(ScmpAction::Errno(errno), call, when)?;
    Ok(())
}
