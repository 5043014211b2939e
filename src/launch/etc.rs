//! A small `/etc` of the sandbox's own (`etc=etc:fs`): names for the ids and addresses that a
//! program meets, and the host's files that say where programs and libraries are, and how runtimes
//! begin. Nothing else is the host's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::mount_point::{make_mount_point, resolve};
use super::namespaces::{HOST_NAME, Network};
use super::purpose::Purpose;
use crate::sys::file::is_directory;
use crate::sys::mount;

/// Where the host's files are.
const HOSTS: &str = "/etc";

/// The user and the group of the box are called so.
const BOX_NAME: &str = "box";

/// What is written: name and content of each file.
fn files(purpose: Purpose) -> [(&'static str, String); 5] {
    let Purpose { ids, network } = purpose;
    let hosts = match network {
        Network::Own => "files",
        Network::Hosts => "files dns",
    };
    [
        (
            "hosts",
            format!("127.0.0.1\t{HOST_NAME}\n::1\t{HOST_NAME} ip6-localhost ip6-loopback\n"),
        ),
        ("hostname", format!("{HOST_NAME}\n")),
        (
            "passwd",
            format!(
                "root:x:0:0:root:/:/usr/sbin/nologin\n\
                 {BOX_NAME}:x:{}:{}:isolate-run:/box:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
                ids.uid, ids.gid
            ),
        ),
        (
            "group",
            format!("root:x:0:\n{BOX_NAME}:x:{}:\nnogroup:x:65534:\n", ids.gid),
        ),
        (
            "nsswitch.conf",
            format!("passwd: files\ngroup: files\nhosts: {hosts}\n"),
        ),
    ]
}

/// What is the host's, if it has it.
const ALWAYS: [&str; 2] = [
    // Where the dynamic linker finds libraries, those of /usr/local among them.
    "ld.so.cache",
    // What commands of Debian such as java, awk and cc lead to.
    "alternatives",
];

/// The same, over the host's network.
const OF_NETWORK: &str = "resolv.conf";

/// Parts of runtimes, to which links in /usr lead: javac does not start without its own, nor does
/// mcs.
const OF_RUNTIMES: [&str; 3] = ["java", "java-openjdk", "mono"];

/// Where the JDKs are, each of which may have a part as well. There are few of them, and many
/// entries in /etc.
const JDKS: &str = "/usr/lib/jvm";

/// The name of the part that belongs to a JDK with this name, as in `java-21-openjdk-amd64`. Pure.
fn of_jdk(name: &str) -> Option<&str> {
    const END: &str = "-openjdk";
    let length = name.find(END)? + END.len();
    let is_whole = matches!(name.as_bytes().get(length), None | Some(b'-'));
    (name.starts_with("java-") && is_whole).then(|| &name[..length])
}

/// What is the host's, by name; some of it may not be there.
fn parts(network: Network) -> Vec<String> {
    let fixed = ALWAYS.iter().chain(&OF_RUNTIMES);
    let mut parts: Vec<String> = fixed.map(|&name| name.to_owned()).collect();
    if network == Network::Hosts {
        parts.push(OF_NETWORK.to_owned());
    }
    // A machine without that directory, or that shows it to nobody, has none for programs.
    for entry in fs::read_dir(JDKS).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let part = name.to_str().and_then(of_jdk);
        // A JDK may be there twice, for two architectures or by a link.
        let part = part.filter(|part| parts.iter().all(|other| other != part));
        parts.extend(part.map(str::to_owned));
    }
    parts
}

/// A file or directory of the host's.
#[derive(Debug)]
pub(super) struct Part {
    name: String,
    /// A detached copy.
    tree: OwnedFd,
    is_directory: bool,
}

/// Copies what is the host's. This process must be among the host's mounts.
pub(super) fn take_parts(network: Network) -> io::Result<Vec<Part>> {
    let taken = parts(network).into_iter().map(|name| {
        let Some(part) = open_part(&name)? else {
            return Ok(None);
        };
        Ok(Some(Part {
            name,
            is_directory: is_directory(part.as_fd())?,
            tree: mount::copy_tree(part.as_fd(), false)?,
        }))
    });
    taken.filter_map(Result::transpose).collect()
}

/// Writes the files, and makes room for the host's.
pub(super) fn populate(etc: BorrowedFd<'_>, purpose: Purpose, parts: &[Part]) -> io::Result<()> {
    for (name, content) in files(purpose) {
        let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let file = openat(etc, name, flags, Mode::from_bits_truncate(0o644))?;
        File::from(file).write_all(content.as_bytes())?;
    }
    for part in parts {
        make_mount_point(etc, Path::new(&part.name), part.is_directory)?;
    }
    Ok(())
}

/// Binds the host's, read-only.
pub(super) fn bind_parts(root: BorrowedFd<'_>, etc: &Path, parts: &[Part]) -> io::Result<()> {
    for Part { name, tree, .. } in parts {
        let change = mount::Change {
            set: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY,
            ..mount::Change::default()
        };
        mount::change(tree.as_fd(), c"", change)?;
        let target = resolve(root, &etc.join(name))?;
        mount::attach(tree.as_fd(), target.as_fd(), c"")?;
    }
    Ok(())
}

fn open_part(name: &str) -> io::Result<Option<OwnedFd>> {
    let outside = Path::new(HOSTS).join(name);
    match open(&outside, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(part) => Ok(Some(part)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Ids;

    fn content(name: &str, network: Network) -> String {
        let ids = Ids {
            uid: 60_007,
            gid: 60_009,
        };
        let found = files(Purpose { ids, network })
            .into_iter()
            .find(|(other, _)| *other == name);
        found.unwrap().1
    }

    #[test]
    fn the_box_user_and_the_host_have_names() {
        let passwd = content("passwd", Network::Own);
        assert!(passwd.contains("\nbox:x:60007:60009:"), "{passwd}");
        assert!(content("group", Network::Own).contains("\nbox:x:60009:\n"));
        assert!(content("hosts", Network::Own).contains("127.0.0.1\tlocalhost\n"));
    }

    #[test]
    fn name_servers_are_asked_only_over_the_hosts_network() {
        let dns = |network| content("nsswitch.conf", network).contains("dns");
        let asked = |network| parts(network).iter().any(|name| name == OF_NETWORK);
        assert!(!dns(Network::Own) && !asked(Network::Own));
        assert!(dns(Network::Hosts) && asked(Network::Hosts));
    }

    #[test]
    fn runtimes_have_their_configuration_and_nobody_else() {
        let parts = parts(Network::Own);
        assert!(parts.iter().any(|part| part == "mono"));
        assert_eq!(of_jdk("java-21-openjdk-amd64"), Some("java-21-openjdk"));
        assert_eq!(of_jdk("java-17-openjdk"), Some("java-17-openjdk"));
        for name in [
            "java-rmi.conf",
            "openjdk",
            "default-java",
            "java-1-openjdkx",
            "graalvm",
        ] {
            assert_eq!(of_jdk(name), None, "{name}");
        }
    }
}
