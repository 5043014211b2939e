//! The list of who notices when a barrier is taken away, `tests/barriers.txt`.

/// A barrier, and who has to notice its absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Barrier {
    /// The barrier of `docs/security.md` that it belongs to.
    pub(crate) section: &'static str,
    /// Its name in `src/barrier.rs`.
    pub(crate) name: &'static str,
    /// Others that are away before it is.
    pub(crate) beside: Vec<&'static str>,
    /// Who notices.
    pub(crate) witness: Witness,
}

/// What comes out otherwise without a barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    /// An attack of this program.
    Attack(&'static str, &'static str),
    /// A test of this binary.
    Test(&'static str, &'static str),
}

/// The sections of the list: each with its barriers, or with the reason why there are none.
pub(crate) fn sections() -> Vec<(&'static str, Result<Vec<Barrier>, &'static str>)> {
    let mut sections: Vec<(_, Result<Vec<Barrier>, _>)> = Vec::new();
    let lines = include_str!("../barriers.txt").lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            sections.push((name.strip_suffix(']').unwrap(), Ok(Vec::new())));
            continue;
        }
        let (section, barriers) = sections.last_mut().unwrap();
        if let Some(reason) = line.strip_prefix("none: ") {
            *barriers = Err(reason);
            continue;
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, beside, witness] = words[..] else {
            panic!("{line}");
        };
        let beside = beside.split(',').filter(|name| *name != "-").collect();
        let witness = match witness.split_once("::") {
            Some((binary, name)) => Witness::Test(binary, name),
            None => {
                let (program, name) = witness.split_once(':').unwrap();
                Witness::Attack(program, name)
            }
        };
        let barrier = Barrier {
            section,
            name,
            beside,
            witness,
        };
        barriers.as_mut().unwrap().push(barrier);
    }
    sections
}

/// All barriers of the list.
pub(crate) fn all() -> Vec<Barrier> {
    let sections = sections().into_iter();
    let barriers = sections.filter_map(|(_, barriers)| barriers.ok());
    barriers.flatten().collect()
}
