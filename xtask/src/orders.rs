//! What the command line asks for.

/// A Debian that guests run.
pub(crate) const RELEASES: [&str; 2] = ["trixie", "bookworm"];

/// What to run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) unit: bool,
    pub(crate) compiler: bool,
    pub(crate) root: bool,
    pub(crate) soak: bool,
    pub(crate) here: bool,
    /// The program under test is the one that is installed on this machine.
    pub(crate) installed: bool,
    /// What the documentation shows of compilers and runtimes, in a guest that has them.
    pub(crate) languages: bool,
    /// What is run in containers of podman, in a guest that has it.
    pub(crate) engines: bool,
    /// What users see of the broker where another program is the bus, in a container.
    pub(crate) dbus_broker: bool,
    /// What rests on the kind of machine, in an emulated one of arm64. `tests/run` has all built for that one.
    pub(crate) arm64: bool,
    /// Guests with these releases.
    pub(crate) guests: Vec<&'static str>,
    /// Guests are emulated machines, whatever works here.
    pub(crate) emulated: bool,
    /// Only tests with this in their name.
    pub(crate) filter: Option<String>,
    pub(crate) keep: bool,
    /// No part was named: all of them, or with a filter those that have such tests.
    pub(crate) chosen_here: bool,
    /// A test takes barriers away, by a program of its own.
    pub(crate) weakened: bool,
    /// A test has a fleet's worker take jobs, or installs its package. Where all is built, so is that.
    pub(crate) fleet: bool,
    /// The only test binaries that have to be built.
    pub(crate) binaries: Option<Vec<&'static str>>,
}

impl Orders {
    /// What these arguments mean.
    ///
    /// # Errors
    ///
    /// One sentence about the first argument that means nothing.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut orders = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--unit" => orders.unit = true,
                "--compiler" => orders.compiler = true,
                "--root" => orders.root = true,
                "--soak" => orders.soak = true,
                "--here" => orders.here = true,
                "--installed" => orders.installed = true,
                "--languages" => orders.languages = true,
                "--engines" => orders.engines = true,
                "--dbus-broker" => orders.dbus_broker = true,
                "--arm64" => orders.arm64 = true,
                "--emulated" => orders.emulated = true,
                "--keep" => orders.keep = true,
                "--guest" => {
                    let wanted = arguments.next().unwrap_or_default();
                    let release = RELEASES.into_iter().find(|release| *release == wanted);
                    let release = release.ok_or("--guest wants trixie or bookworm")?;
                    if !orders.guests.contains(&release) {
                        orders.guests.push(release);
                    }
                }
                "--filter" => {
                    let word = arguments.next().filter(|word| !word.is_empty());
                    orders.set_filter(word.ok_or("--filter wants a word")?)?;
                }
                option if option.starts_with('-') => return Err(format!("no option {option}")),
                "" => return Err("an empty word matches nothing".into()),
                _ => orders.set_filter(argument)?,
            }
        }
        if orders.emulated && orders.guests.is_empty() {
            orders.guests = RELEASES.into();
        }
        orders.weakened = orders.here || orders.soak || !orders.guests.is_empty();
        orders.fleet = orders.engines || orders.dbus_broker;
        if orders.needs_a_richer_image() && !orders.names_another_part() {
            orders.binaries = Some(vec!["system"]);
        }
        // The program that is installed would be under test there, too.
        if orders.installed && (orders.names_another_part() || orders.needs_a_richer_image()) {
            return Err("--installed is a part for itself".into());
        }
        if orders.arm64
            && (orders.names_another_part() || orders.needs_a_richer_image() || orders.installed)
        {
            return Err("--arm64 is a part for itself".into());
        }
        if orders.installed || orders.arm64 {
            orders.binaries = Some(vec!["root", "system"]);
        }
        if !orders.names_a_part() {
            orders.chosen_here = true;
            if orders.filter.is_none() {
                (orders.unit, orders.compiler, orders.root, orders.soak) = (true, true, true, true);
                orders.guests = RELEASES.into();
                orders.weakened = true;
            }
        }
        Ok(orders)
    }

    fn set_filter(&mut self, word: String) -> Result<(), String> {
        match self.filter.replace(word) {
            None => Ok(()),
            Some(_) => Err("one word at a time".into()),
        }
    }

    fn names_a_part(&self) -> bool {
        self.installed || self.arm64 || self.needs_a_richer_image() || self.names_another_part()
    }

    fn names_another_part(&self) -> bool {
        self.unit || self.compiler || self.root || self.soak || self.here || !self.guests.is_empty()
    }

    /// So many tests of a suite that failed are tried once more: with all of them it is a machine's worst moment that decides,
    /// and whoever has chosen some wants to see each failure.
    pub(crate) fn again(&self) -> usize {
        match self.filter {
            None => 2,
            Some(_) => 0,
        }
    }

    /// Whether a part needs more in its image: those are no parts of all.
    pub(crate) fn needs_a_richer_image(&self) -> bool {
        self.languages || self.engines || self.dbus_broker
    }

    /// Whether a part needs root.
    pub(crate) fn need_root(&self) -> bool {
        self.compiler || self.root || self.installed || self.need_package()
    }

    /// Whether tests run as they are built for a systemd: with the package.
    pub(crate) fn need_package(&self) -> bool {
        self.soak
            || self.here
            || self.arm64
            || self.needs_a_richer_image()
            || !self.guests.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Orders, String> {
        Orders::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn nothing_means_everything() {
        let all = parse("").unwrap_or_default();
        assert!(all.unit && all.compiler && all.root && all.soak && !all.here);
        assert_eq!(all.guests, RELEASES);
    }

    #[test]
    fn a_word_names_no_part_and_an_option_does() {
        let word = parse("fork_bomb").unwrap_or_default();
        assert!(word.chosen_here && !word.need_root(), "{word:?}");
        assert_eq!(word.filter.as_deref(), Some("fork_bomb"));
        let part = parse("--root --filter fork_bomb").unwrap_or_default();
        assert!(part.root && !part.unit && !part.chosen_here, "{part:?}");
    }

    #[test]
    fn emulated_guests_are_of_both_releases_or_of_those_named() {
        assert_eq!(parse("--emulated").unwrap_or_default().guests, RELEASES);
        let one = parse("--emulated --guest bookworm --guest bookworm").unwrap_or_default();
        assert_eq!(one.guests, ["bookworm"]);
    }

    #[test]
    fn richer_images_are_no_part_of_everything_and_need_one_binary() {
        assert!(!parse("").unwrap_or_default().needs_a_richer_image());
        for option in ["--languages", "--engines", "--dbus-broker"] {
            let alone = parse(option).unwrap_or_default();
            assert!(alone.need_package() && !alone.unit && alone.guests.is_empty());
            assert_eq!(alone.binaries, Some(vec!["system"]));
            assert_eq!(alone.fleet, option != "--languages");
        }
        let both = parse("--languages --root").unwrap_or_default();
        assert!(both.root && both.binaries.is_none());
    }

    #[test]
    fn what_is_installed_is_tested_without_a_package_and_alone() {
        let alone = parse("--installed --filter meta").unwrap_or_default();
        assert!(alone.need_root() && !alone.need_package() && !alone.chosen_here);
        assert!(!alone.root && alone.guests.is_empty() && !alone.weakened);
        for other in ["--here", "--root", "--engines", "--arm64"] {
            assert!(parse(&format!("--installed {other}")).is_err(), "{other}");
        }
    }

    #[test]
    fn another_kind_of_machine_is_a_part_for_itself() {
        let alone = parse("--arm64 --filter meta").unwrap_or_default();
        assert!(alone.need_package() && !alone.chosen_here && !alone.unit);
        assert_eq!(alone.binaries, Some(vec!["root", "system"]));
        assert!(parse("--arm64 --unit").is_err() && parse("--arm64 --engines").is_err());
    }

    #[test]
    fn mistakes_are_told() {
        for line in ["--guest", "--guest sid", "--filter", "--none", "one two"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
