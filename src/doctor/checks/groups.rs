//! The group whose members may use boxes.

use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;
use crate::remedy::Remedy;

/// The group that polkit/50-isolate-run.rules lets in.
const GROUP: &str = "isolate";

pub(in super::super) fn group(machine: &Machine) -> Finding {
    let text = machine.tree.text("/etc/group").unwrap_or_default();
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let Some(fields) = lines.find(|fields| fields.first() == Some(&GROUP)) else {
        let value = format!("there is no group {GROUP}: nobody but root comes by the broker");
        return Finding::note(value).command(format!("groupadd --system {GROUP}"));
    };
    let gid = fields.get(2).and_then(|gid| gid.parse().ok());
    let looker = &machine.facts.looker;
    if !looker.is_root {
        return if gid.is_some_and(|gid| looker.groups.contains(&gid)) {
            Finding::ok(format!("you are in the group {GROUP}"))
        } else {
            Finding::note(format!("you are not in the group {GROUP}"))
                .remedy(Remedy::JoinGroup)
                .command(format!("usermod -aG {GROUP} USER"))
        };
    }
    match fields.get(3).copied().unwrap_or_default() {
        "" => Finding::note(format!("the group {GROUP} has no members"))
            .remedy(Remedy::JoinGroup)
            .command(format!("usermod -aG {GROUP} USER")),
        members => Finding::ok(format!("{GROUP}: {members}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;
    use crate::doctor::machine::tests::with;

    #[test]
    fn root_hears_of_the_members_and_users_of_themselves() {
        let of = |text: &str| with(&[("/etc/group", text)]);
        assert_eq!(group(&of("isolated:x:1:ann\n")).verdict, Verdict::Note);
        assert_eq!(group(&of("isolate:x:990:\n")).verdict, Verdict::Note);
        let mut here = of("root:x:0:\nisolate:x:990:ann,bob\n");
        assert_eq!(group(&here).value, "isolate: ann,bob");
        here.machine.facts.looker.is_root = false;
        assert_eq!(group(&here).verdict, Verdict::Note);
        here.machine.facts.looker.groups = vec![100, 990];
        assert_eq!(group(&here).verdict, Verdict::Ok);
    }
}
