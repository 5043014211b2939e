//! The names of scopes: `isolate-BOX-DIGITS.scope`.

use super::ScopeSpec;

/// Names a scope by 32 random bits: no two of a box may be the same, not even with a left-over of
/// a failed start.
pub(super) fn unit_name(spec: &ScopeSpec) -> String {
    use std::hash::{BuildHasher, RandomState};
    // The standard library seeds this from getrandom(2) once per process, and counts up from there.
    let random = RandomState::new().hash_one(std::process::id()) as u32;
    format!("{}{random:08x}.scope", spec.prefix())
}

/// Whether a unit has the name of a scope.
pub(crate) fn is_scope(unit: &str) -> bool {
    let rest = unit.strip_prefix("isolate-");
    let parts = rest.and_then(|rest| rest.strip_suffix(".scope")?.split_once('-'));
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    parts.is_some_and(|(id, digits)| {
        id.parse::<u32>().is_ok() && digits.len() == 16 && digits.bytes().all(is_hex)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::BoxId;

    #[test]
    fn the_name_of_a_scope_is_known_and_no_other() {
        let spec = ScopeSpec {
            box_id: BoxId(70),
            locks: 0xab,
            uid: 0,
            slice: String::new(),
            mount_point: "/cg".into(),
            controllers: Vec::new(),
            runtime_max: None,
            outlasts_runs: false,
            is_kept: false,
        };
        let name = unit_name(&spec);
        assert!(
            is_scope(&name) && name.starts_with(&spec.prefix()),
            "{name}"
        );
        assert_ne!(unit_name(&spec), name);
        for other in [
            "isolate-7.scope",
            "isolate-u7.slice",
            "isolate-7-0123456789abcdef.service",
            "isolate-7-0123456789ABCDEF.scope",
            "isolate-7-0123456789abcde.scope",
            "isolate--0123456789abcdef.scope",
            "isolate-backup-0123456789abcdef.scope",
            "session-7-0123456789abcdef.scope",
        ] {
            assert!(!is_scope(other), "{other}");
        }
    }
}
