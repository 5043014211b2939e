//! The parts whose tests need more than this machine: root's rights in namespaces, a systemd in containers, a kernel in guests.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::build::Built;
use crate::orders::RELEASES;
use crate::payload::Tools;
use crate::sources;
use crate::stages::{Later, Run, names};

/// A script's answer that is still to come: a folder, or a word.
type Answer = Later<Result<String, String>>;

/// What a guest has, in MiB.
pub(crate) const GUEST_MEMORY: u32 = 1024;

/// What has an image of its own, which `tests/guest/richer` builds, and a list.
const RICHER: [&str; 2] = ["languages", "engines"];

/// What runs in containers: names and lists of the suite.
const CONTAINERS: [(&str, &[&str]); 2] = [
    ("soak", &["-i", "native"]),
    (
        "container",
        &[
            "-x",
            "native",
            "-x",
            "guests",
            "-x",
            "two_cpus",
            "-x",
            "languages",
            "-x",
            "engines",
        ],
    ),
];

/// Runs that are made of the guests' tests.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    name: &'a str,
    kind: &'a str,
    cpus: u32,
    /// When a guest is ended.
    seconds: u32,
    /// Of the suite.
    lists: &'a [&'a str],
}

/// What cannot be done in containers, and is not done by [`DEBIANS_KERNELS`] either.
const WITHOUT_KVM: Part<'_> = Part {
    name: "uml",
    kind: "uml",
    cpus: 1,
    seconds: 2700,
    lists: &[
        "-i",
        "guests",
        "-x",
        "emulated",
        "-x",
        "two_cpus",
        "-x",
        "not_in_uml",
        "-x",
        "languages",
        "-x",
        "engines",
    ],
};

const WITH_KVM: [Part<'_>; 2] = [
    Part {
        name: "kvm",
        kind: "kvm",
        cpus: 1,
        seconds: 1800,
        lists: &["-x", "two_cpus", "-x", "languages", "-x", "engines"],
    },
    Part {
        name: "two CPUs",
        kind: "kvm",
        cpus: 2,
        seconds: 300,
        lists: &["-i", "two_cpus"],
    },
];

/// What differs between kernels, with the releases' own, and what needs two processors.
const DEBIANS_KERNELS: Part<'_> = Part {
    name: "emulated",
    kind: "emulated",
    cpus: 2,
    seconds: 1800,
    lists: &["-i", "emulated", "-i", "two_cpus"],
};

/// Everything, where nothing faster works.
const EMULATED: Part<'_> = Part {
    name: "emulated",
    kind: "emulated",
    cpus: 2,
    seconds: 2700,
    lists: &["-x", "native", "-x", "languages", "-x", "engines"],
};

/// What rests on the kind of machine, on one of another kind.
const ARM64: Part<'_> = Part {
    name: "arm64",
    kind: "emulated",
    cpus: 1,
    seconds: 2700,
    lists: &["-i", "arm64", "-x", "two_cpus"],
};

impl Run {
    /// What makes programs for the machine that is ordered.
    pub(crate) fn tools(&self) -> Tools {
        let (prefix, foreign) = if self.orders.arm64 {
            ("aarch64-linux-gnu-", "arm-linux-gnueabihf-gcc")
        } else {
            ("", "gcc")
        };
        let cache = self.target.join(format!("{prefix}test-programs"));
        Tools {
            prefix,
            foreign,
            cache,
        }
    }

    /// What rests on the kind of machine, in an emulated one of arm64.
    pub(crate) fn arm64(&self, payload: &Path) {
        self.guest(&ARM64, ARM64.name, payload);
    }

    /// The tests of `root`, in namespaces on this machine.
    pub(crate) fn root(&self, payload: &Path) {
        let out = self.work.join("root-out");
        let limits = [processors(), 300, 5];
        let mut command = Command::new("timeout");
        command.args(["--foreground", "-k", "10", "900"]);
        command.arg(self.script("namespaces"));
        command.args(self.suite_words(limits, false, payload.join("suite"), &out));
        self.suite("root", "here", &out, command.arg("root"));
    }

    /// All tests on this machine itself, with the package.
    pub(crate) fn here(&self, payload: &Path) {
        self.all_on_this_machine("here", payload, None, &RICHER);
    }

    /// All tests that need root or systemd on this machine, but for those of some lists; with the program that the
    /// assignment names, or that of the package.
    pub(crate) fn all_on_this_machine(
        &self,
        part: &str,
        payload: &Path,
        program: Option<&str>,
        left_out: &[&str],
    ) {
        let out = self.work.join(format!("{part}-out"));
        let limits = [processors(), 600, 15];
        let mut command = Command::new("timeout");
        command.args(["--foreground", "-k", "10", "1800", "env"]);
        command.args(program);
        command.args(self.suite_words(limits, program.is_none(), payload.join("suite"), &out));
        for list in left_out {
            let list = self.top.join("tests").join(format!("{list}.txt"));
            command.arg("-x").arg(list);
        }
        self.suite(part, "here", &out, command.args(["root", "system"]));
    }

    /// What needs more than the tests' image has, in a guest with it: one of [`RICHER`].
    pub(crate) fn richer(&self, name: &str, payload: &Path, kind: &Answer) {
        match &***kind {
            Ok(kind) => {
                let part = Part {
                    name,
                    kind,
                    cpus: 1,
                    seconds: 2700,
                    lists: &["-i", name],
                };
                self.guest(&part, name, payload);
            }
            Err(said) => self.failure(name, "-", &format!("no guest: {said}")),
        }
    }

    /// What the broker decides, and what a user sees of it, in a container whose bus is dbus-broker, as that of Fedora,
    /// Arch and openSUSE is. So are those of users.
    pub(crate) fn dbus_broker(&self, payload: &Path) {
        let out = self.work.join("dbus-broker");
        let mut command = Command::new(self.script("container"));
        command.args(["-r", "engines", "-t", "1800", "-o"]);
        command.arg(&out).arg("-p").arg(payload).arg("--");
        // Who is connected to the old bus loses it: they start anew. Nothing else is to be there than the new one.
        let other = "systemctl stop polkit systemd-logind dbus.service; systemctl mask --runtime dbus.service; \
                     ln -sf /usr/lib/systemd/system/dbus-broker.service /run/systemd/system/dbus.service; \
                     mkdir -p /run/systemd/user; \
                     ln -sf /usr/lib/systemd/user/dbus-broker.service /run/systemd/user/dbus.service; \
                     systemctl daemon-reload; systemctl start dbus-broker && systemctl restart polkit systemd-logind && \
                     [ \"$(systemctl is-active dbus-broker)\" = active ] && exec \"$@\"";
        command.args(["bash", "-c", other, "bash"]);
        command.args(self.suite_words([1, 900, 10], true, "./suite", "/out"));
        command.args(["-i", "source/tests/dbus_broker.txt", "system"]);
        self.suite("dbus-broker", "trixie", &out, &mut command);
    }

    /// Many runs, and what needs no guest, at the speed of this machine: in two containers of each release, all of them at the
    /// same time, for most of it waits.
    pub(crate) fn containers(&self, payload: &Path, images: &[(String, Answer)]) {
        thread::scope(|scope| {
            for release in RELEASES {
                if !self.has_image(images, release) {
                    continue;
                }
                for (name, lists) in CONTAINERS {
                    scope.spawn(move || self.container(name, lists, release, payload));
                }
            }
        });
    }

    fn container(&self, name: &str, lists: &[&str], release: &str, payload: &Path) {
        let out = self.work.join(format!("{name}-{release}"));
        let mut command = Command::new(self.script("container"));
        command.args(["-r", release, "-t", "1800", "-o"]);
        command.arg(&out).arg("-p").arg(payload).arg("--");
        command.args(self.suite_words([1, 900, 10], true, "./suite", "/out"));
        with_lists(&mut command, lists);
        self.suite(name, release, &out, command.args(["root", "system"]));
    }

    /// The tests in guests.
    pub(crate) fn guests(&self, payload: &Path, images: &[(String, Answer)], kind: &Answer) {
        let releases = &self.orders.guests;
        if !releases
            .iter()
            .all(|release| self.has_image(images, release))
        {
            return;
        }
        let kind = match &***kind {
            Ok(kind) => kind.as_str(),
            Err(said) => return self.failure("guest", "-", &format!("no guest: {said}")),
        };
        self.screen.line("guests", &format!("guests are: {kind}"));
        let word = self.orders.filter.as_deref();
        if let Some(word) = word.filter(|_| self.orders.chosen_here) {
            return self.part(&self.one_of_many(kind, word), payload);
        }
        match kind {
            "kvm" => WITH_KVM.iter().for_each(|part| self.part(part, payload)),
            "uml" => self.part_by_part(&[&WITHOUT_KVM, &DEBIANS_KERNELS], payload),
            _ => self.part(&EMULATED, payload),
        }
    }

    /// With each release every test must have come to an end somewhere.
    pub(crate) fn nothing_was_left_out(&self, built: &Built) {
        let read = |list: &str| self.list(list).unwrap_or_default();
        let richer = RICHER.map(|list| read(&format!("{list}.txt"))).concat();
        self.all_ran(built, &self.orders.guests, &read("not_in_uml.txt"), &richer);
    }

    /// A guest for what has `word` in its name, and nothing else.
    fn one_of_many<'a>(&self, kind: &'a str, word: &str) -> Part<'a> {
        let list = self.list("two_cpus.txt").unwrap_or_default();
        let two = list.iter().any(|item| {
            item.contains(word) || sources::has_test(&self.top, item, word).unwrap_or(false)
        });
        Part {
            name: kind,
            kind,
            cpus: if two { 2 } else { 1 },
            seconds: 1800,
            lists: if kind == "uml" {
                &["-x", "not_in_uml", "-x", "languages", "-x", "engines"]
            } else {
                &["-x", "languages", "-x", "engines"]
            },
        }
    }

    /// The names in one of the lists in `tests`.
    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let list = names(&self.top.join("tests").join(name));
        list.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
    }

    /// Each release by itself: it does not wait for the other one between parts.
    fn part_by_part(&self, parts: &[&Part<'_>], payload: &Path) {
        thread::scope(|scope| {
            for release in &self.orders.guests {
                scope.spawn(move || {
                    for part in parts {
                        self.guest(part, release, payload);
                    }
                });
            }
        });
    }

    fn part(&self, part: &Part<'_>, payload: &Path) {
        thread::scope(|scope| {
            for release in &self.orders.guests {
                scope.spawn(move || self.guest(part, release, payload));
            }
        });
    }

    /// One guest. Those of a part run at the same time: each has processors of its own.
    fn guest(&self, part: &Part<'_>, release: &str, payload: &Path) {
        let folder = format!("{}-{release}", part.name.replace(' ', "-"));
        let folder = self.work.join(folder);
        if let Err(error) = fs::create_dir_all(&folder) {
            return self.failure(part.name, release, &error.to_string());
        }
        let (out, console) = (folder.join("out"), folder.join("console"));
        let mut command = Command::new(self.script("boot"));
        command.args(["-r", release, "-k", part.kind]);
        command.args(["-n", &part.cpus.to_string()]);
        command.args(["-t", &part.seconds.to_string()]);
        command
            .args(["-m", &GUEST_MEMORY.to_string(), "-o"])
            .arg(&out);
        command
            .arg("-c")
            .arg(&console)
            .arg("-p")
            .arg(payload)
            .arg("--");
        command.args(self.suite_words([2, 900, 20], true, "./suite", "/out"));
        with_lists(&mut command, part.lists);
        let binaries = ["root", "system"].into_iter();
        command.args(binaries.filter(|name| payload.join("tests").join(name).exists()));
        self.suite(part.name, release, &out, &mut command);
        if self.orders.keep {
            self.keep(&folder);
        }
    }

    /// Keeps a guest's console and journal.
    fn keep(&self, folder: &Path) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let logs = self.target.join("tests-logs");
        let copied = fs::create_dir_all(&logs)
            .and_then(|()| fs::copy(folder.join("console"), logs.join(format!("{name}.console"))));
        match copied {
            Ok(_) => {
                let journal = folder.join("out/journal");
                // There is one only when something failed.
                drop(fs::copy(journal, logs.join(format!("{name}.journal"))));
                self.screen
                    .line("kept", &format!("{}/{name}.*", logs.display()));
            }
            Err(error) => self
                .screen
                .line("kept", &format!("nothing of {name}: {error}")),
        }
    }

    fn has_image(&self, images: &[(String, Answer)], release: &str) -> bool {
        let Some((_, image)) = images.iter().find(|(name, _)| name == release) else {
            return true;
        };
        if let Err(said) = &***image {
            self.failure("image", release, said);
        }
        image.is_ok()
    }
}

/// The options of the suite for these lists.
fn with_lists(command: &mut Command, lists: &[&str]) {
    for word in lists {
        match *word {
            option if option.starts_with('-') => command.arg(option),
            list => command.arg(format!("source/tests/{list}.txt")),
        };
    }
}

fn processors() -> u32 {
    let count = thread::available_parallelism().map_or(1, |count| count.get());
    u32::try_from(count).unwrap_or(1)
}
