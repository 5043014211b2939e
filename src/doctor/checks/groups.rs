//! The group whose members may use boxes.

use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;
use crate::remedy::Remedy;

/// The group that polkit/50-isolate-run.rules lets in.
const GROUP: &str = "isolate";
/// Where rules of polkit are: polkit(8).
const RULES: [&str; 4] = [
    "/etc/polkit-1/rules.d",
    "/run/polkit-1/rules.d",
    "/usr/local/share/polkit-1/rules.d",
    "/usr/share/polkit-1/rules.d",
];
/// Our own, which only allow.
const OWN_RULES: &str = "50-isolate-run.rules";
/// What our actions begin with, and how those end that members are asked about as well.
const ACTIONS: &str = "io.github.isolate_run";
const ASKED: [&str; 4] = [
    ".share-network",
    ".use-devices",
    ".manage-boxes",
    ".see-boxes",
];

pub(in super::super) fn group(machine: &Machine) -> Finding {
    if machine.facts.looker.is_rootless {
        return Finding::not_applicable("it is the broker that lets its members in");
    }
    let named = &machine.settings.broker.groups;
    let name = named.first().map_or(GROUP, String::as_str);
    let text = machine.tree.text("/etc/group").unwrap_or_default();
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let Some(fields) = lines.find(|fields| fields.first() == Some(&name)) else {
        if named.len() > 1 || name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Finding::ok(format!("those of [broker] groups: {}", named.join(", ")));
        }
        let value = format!("there is no group {name}: nobody but root comes by the broker");
        return Finding::note(value).command(format!("groupadd --system {name}"));
    };
    let gid = fields.get(2).and_then(|gid| gid.parse().ok());
    let looker = &machine.facts.looker;
    if !looker.is_root {
        return if gid.is_some_and(|gid| looker.groups.contains(&gid)) {
            Finding::ok(format!("you are in the group {name}"))
        } else {
            Finding::note(format!("you are not in the group {name}"))
                .remedy(Remedy::JoinGroup)
                .command(format!("usermod -aG {name} USER"))
        };
    }
    if let Some(file) = rules_about_boxes(machine).filter(|_| !named.is_empty()) {
        let members = named.join(", ");
        return Finding::note(format!("{file} is not asked about members of {members}")).advise(
            "if it forbids them something, set groups = [] in [broker] of isolate.toml: \
             then polkit is asked about everybody",
        );
    }
    match fields.get(3).copied().unwrap_or_default() {
        "" => Finding::note(format!("the group {name} has no members"))
            .remedy(Remedy::JoinGroup)
            .command(format!("usermod -aG {name} USER")),
        members => Finding::ok(format!("{name}: {members}")),
    }
}

/// A file of an administrator's rules that say who may use boxes.
fn rules_about_boxes(machine: &Machine) -> Option<String> {
    let tree = &machine.tree;
    let files = RULES.iter().flat_map(|directory| {
        let own = |name: &String| name != OWN_RULES;
        let names = tree.names(directory).into_iter().filter(own);
        names.map(move |name| format!("{directory}/{name}"))
    });
    files.into_iter().find(|file| {
        let text = tree.text(file).unwrap_or_default();
        let mut actions = text.split(ACTIONS).skip(1);
        actions.any(|action| !ASKED.iter().any(|asked| action.starts_with(asked)))
    })
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
        let (own, rules) = (
            "/usr/share/polkit-1/rules.d/50-isolate-run.rules",
            "/etc/polkit-1/rules.d/40-students.rules",
        );
        here.machine.tree.replace(own, ACTIONS).unwrap();
        assert_eq!(group(&here).verdict, Verdict::Ok);
        let network = "io.github.isolate_run.share-network";
        here.machine.tree.replace(rules, network).unwrap();
        assert_eq!(group(&here).verdict, Verdict::Ok);
        here.machine.tree.replace(rules, ACTIONS).unwrap();
        let found = group(&here).value;
        assert_eq!(
            found,
            format!("{rules} is not asked about members of isolate")
        );
        here.machine.settings.broker.groups.clear();
        assert_eq!(group(&here).verdict, Verdict::Ok);
        here.machine.facts.looker.is_root = false;
        assert_eq!(group(&here).verdict, Verdict::Note);
        here.machine.facts.looker.groups = vec![100, 990];
        assert_eq!(group(&here).verdict, Verdict::Ok);
        here.machine.facts.looker.is_rootless = true;
        assert_eq!(group(&here).verdict, Verdict::NotApplicable);
    }
}
