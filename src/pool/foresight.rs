//! What the next request will probably need, from those before. Pure.

use crate::systemd::ScopeSpec;

/// The scopes of the last two requests that were carried out.
#[derive(Debug, Default)]
pub(super) struct Foresight {
    /// That of the last one; `None`: it was no run, or not in a scope.
    last: Option<ScopeSpec>,
    /// Whether the one before had one just like it.
    repeats: bool,
}

impl Foresight {
    /// Takes note of a request that was carried out.
    pub(super) fn note(&mut self, scope: Option<ScopeSpec>) {
        self.repeats = scope.is_some() && scope == self.last;
        self.last = scope;
    }

    /// The scope that the next request will need, if it is a run like the two before. Where users
    /// or boxes take turns there is none: it would hardly ever be the right one, and to make and
    /// end it takes time from all.
    pub(super) fn next_scope(&self) -> Option<&ScopeSpec> {
        self.last.as_ref().filter(|_| self.repeats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::BoxId;

    #[test]
    fn a_scope_is_expected_after_two_like_it_in_a_row() {
        let scope = |id| {
            Some(ScopeSpec {
                box_id: BoxId(id),
                uid: 7,
                slice: "isolate-u7.slice".to_owned(),
                mount_point: "/sys/fs/cgroup".into(),
                controllers: vec!["memory".to_owned()],
                runtime_max: None,
            })
        };
        let after = |noted: &[Option<ScopeSpec>]| {
            let mut foresight = Foresight::default();
            noted.iter().for_each(|scope| foresight.note(scope.clone()));
            foresight.next_scope().cloned()
        };
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[scope(1)]), None);
        assert_eq!(after(&[scope(1), scope(1)]), scope(1));
        assert_eq!(after(&[scope(1), scope(1), scope(2)]), None);
        assert_eq!(after(&[scope(1), scope(2), scope(1)]), None);
        // A box that is made or removed in between.
        assert_eq!(after(&[scope(1), scope(1), None]), None);
        assert_eq!(after(&[None, None]), None);
        assert_eq!(after(&[scope(1), None, scope(1)]), None);
    }
}
