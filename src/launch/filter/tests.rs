use libc::c_long;

use super::machine::{Call, run};
use super::*;
use crate::syscall_set::Restriction;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;
#[cfg(target_arch = "x86_64")]
const I386: u32 = 0x4000_0003;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

fn errno(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

/// What a filter says to a call of this machine's own kind.
fn says(filter: &[sock_filter], number: c_long, arguments: &[u64]) -> u32 {
    says_to(filter, NATIVE, number, arguments)
}

fn says_to(filter: &[sock_filter], arch: u32, number: c_long, arguments: &[u64]) -> u32 {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let number = u32::try_from(number).unwrap();
    let call = Call {
        arch,
        number,
        arguments: all,
    };
    run(filter, call).0
}

fn only(restriction: Restriction) -> Cow<'static, [sock_filter]> {
    of(SyscallSet::EMPTY.with(restriction)).unwrap()
}

fn none() -> Cow<'static, [sock_filter]> {
    of(SyscallSet::EMPTY).unwrap()
}

#[test]
fn nothing_is_noted_in_files_that_others_see() {
    for filter in [none(), of(SyscallSet::default()).unwrap()] {
        for (command, expected) in [
            (1035, ALLOW),
            (1036, errno(libc::EINVAL)),
            (1037, ALLOW),
            (1038, errno(libc::EINVAL)),
            (0xffff_ffff_0000_040c, errno(libc::EINVAL)),
        ] {
            let said = says(&filter, libc::SYS_fcntl, &[0, command]);
            assert_eq!(said, expected, "{command}");
        }
    }
}

#[test]
fn every_restriction_compiles_alone_and_together() {
    for restriction in Restriction::ALL {
        let filter = rules::compile(SyscallSet::EMPTY.with(restriction)).unwrap();
        assert!(filter.len() > 3, "{restriction:?}: {filter:?}");
    }
    for flags in 0..=31 {
        let filter = rules::compile(SyscallSet::EMPTY.with_flags(flags).unwrap()).unwrap();
        assert!(filter.len() > 3, "{flags}: {filter:?}");
    }
}

#[test]
fn the_usual_filter_is_what_would_be_compiled_now() {
    let parts = |filter: &[sock_filter]| -> Vec<_> {
        let parts = filter.iter().map(|i| (i.code, i.jt, i.jf, i.k));
        parts.collect()
    };
    let usual = of(SyscallSet::default()).unwrap();
    assert!(matches!(usual, Cow::Borrowed(_)));
    let compiled = rules::compile(SyscallSet::default()).unwrap();
    assert_eq!(parts(&usual), parts(&compiled));
    assert_ne!(parts(&none()), parts(&usual));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn nothing_makes_a_file_that_gives_its_ids_away() {
    use libc::{O_CREAT, O_RDONLY, O_TMPFILE, O_WRONLY};
    let create = (O_CREAT | O_WRONLY) as u64;
    let unnamed = (O_TMPFILE | O_WRONLY) as u64;
    for filter in [none(), of(SyscallSet::default()).unwrap()] {
        for mode in [0o4755, 0o2755, 0o6000, 0o104_000, 0xffff_ffff_0000_0800] {
            for (call, arguments) in [
                (libc::SYS_chmod, &[0, mode][..]),
                (libc::SYS_fchmod, &[0, mode]),
                (libc::SYS_fchmodat, &[0, 0, mode]),
                (libc::SYS_creat, &[0, mode]),
                (libc::SYS_mknod, &[0, mode]),
                (libc::SYS_mknodat, &[0, 0, mode]),
                (libc::SYS_open, &[0, create, mode]),
                (libc::SYS_open, &[0, unnamed, mode]),
                (libc::SYS_openat, &[0, 0, create, mode]),
                (libc::SYS_openat, &[0, 0, unnamed, mode]),
            ] {
                let said = says(&filter, call, arguments);
                assert_eq!(said, errno(libc::EPERM), "{call} {arguments:x?}");
            }
            // Without a file that is made there is no mode, whatever is in its place.
            for flags in [O_RDONLY, libc::O_DIRECTORY] {
                let opened = [0, 0, flags as u64, mode];
                assert_eq!(says(&filter, libc::SYS_openat, &opened), ALLOW);
                assert_eq!(says(&filter, libc::SYS_open, &opened[1..]), ALLOW);
            }
            assert_eq!(says(&filter, libc::SYS_mkdir, &[0, mode]), ALLOW);
        }
        for mode in [0, 0o755, 0o1777, 0o100_644, !0o6000] {
            assert_eq!(says(&filter, libc::SYS_fchmodat, &[0, 0, mode]), ALLOW);
            assert_eq!(
                says(&filter, libc::SYS_openat, &[0, 0, create, mode]),
                ALLOW
            );
        }
        for call in [libc::SYS_openat2, 452, 469] {
            assert_eq!(says(&filter, call, &[]), errno(libc::ENOSYS), "{call}");
        }
    }
    // The numbers of chmod, openat and fchmodat2 for 32-bit programs, where they are allowed.
    assert_eq!(says_to(&none(), I386, 15, &[0, 0o4755]), errno(libc::EPERM));
    assert_eq!(says_to(&none(), I386, 15, &[0, 0o755]), ALLOW);
    assert_eq!(
        says_to(&none(), I386, 295, &[0, 0, create, 0o2755]),
        errno(libc::EPERM)
    );
    assert_eq!(says_to(&none(), I386, 452, &[]), errno(libc::ENOSYS));
}

#[test]
fn user_namespaces_are_refused_and_threads_and_other_processes_are_not() {
    let filter = only(Restriction::UserNamespaces);
    let new = libc::CLONE_NEWUSER as u64;
    for flags in [
        new,
        new | 0xffff_ffff_0000_0000,
        new | libc::CLONE_NEWNS as u64,
    ] {
        for call in [libc::SYS_unshare, libc::SYS_clone] {
            assert_eq!(
                says(&filter, call, &[flags]),
                errno(libc::EPERM),
                "{flags:x}"
            );
            assert_eq!(says(&none(), call, &[flags]), ALLOW);
        }
    }
    assert_eq!(says(&filter, libc::SYS_setns, &[3, 0]), errno(libc::EPERM));
    // libc makes threads and processes by clone3 if it is there, and by clone if not.
    assert_eq!(says(&filter, libc::SYS_clone3, &[]), errno(libc::ENOSYS));
    let thread = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;
    for flags in [thread, libc::SIGCHLD as u64, libc::CLONE_VFORK as u64] {
        assert_eq!(says(&filter, libc::SYS_clone, &[flags]), ALLOW, "{flags:x}");
    }
    #[cfg(target_arch = "x86_64")]
    assert_eq!(says_to(&filter, I386, 120, &[new]), errno(libc::EPERM));
}

#[test]
fn the_sockets_that_programs_use_are_allowed_and_no_others() {
    let filter = only(Restriction::RareSockets);
    let refused = errno(libc::EAFNOSUPPORT);
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        for family in 0..64 {
            let usual = [1, 2, 10, 16, libc::AF_VSOCK as u64].contains(&family);
            let expected = if usual { ALLOW } else { refused };
            for upper in [0, 0xffff_ffff_0000_0000] {
                let made = [family | upper, 1, 0];
                assert_eq!(says(&filter, call, &made), expected, "{made:x?}");
            }
        }
        for protocol in 1..32 {
            assert_eq!(
                says(&filter, call, &[16, 3, protocol]),
                refused,
                "netlink {protocol}"
            );
        }
        for family in [2, 10] {
            for protocol in 0..263 {
                let usual = [0, 1, 6, 17, 58, 262].contains(&protocol);
                let expected = if usual { ALLOW } else { refused };
                let made = [family, 1, protocol];
                assert_eq!(says(&filter, call, &made), expected, "{made:?}");
            }
            for kind in 0..16 {
                let usual = [1, 2, 3].contains(&kind);
                let expected = if usual { ALLOW } else { refused };
                let made = [family, kind | libc::SOCK_CLOEXEC as u64, 0];
                assert_eq!(says(&filter, call, &made), expected, "{made:?}");
            }
        }
        let vsock = [libc::AF_VSOCK as u64, 1, 0];
        assert_eq!(says(&only(Restriction::Vsock), call, &vsock), refused);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn files_are_not_watched_and_huge_pages_not_taken() {
    let events = only(Restriction::FileEvents);
    for call in [
        libc::SYS_inotify_init,
        libc::SYS_inotify_init1,
        libc::SYS_fanotify_init,
    ] {
        assert_eq!(says(&events, call, &[]), errno(libc::ENOSYS));
        assert_eq!(says(&none(), call, &[]), ALLOW);
    }
    let pages = only(Restriction::HugePages);
    let refused = errno(libc::ENOMEM);
    let (map, usual) = (libc::MAP_HUGETLB as u64, libc::MAP_PRIVATE as u64);
    assert_eq!(
        says(&pages, libc::SYS_mmap, &[0, 1 << 21, 3, map | usual]),
        refused
    );
    assert_eq!(says(&pages, libc::SYS_mmap, &[0, 1 << 21, 3, usual]), ALLOW);
    assert_eq!(says(&pages, libc::SYS_memfd_create, &[0, 4]), refused);
    assert_eq!(says(&pages, libc::SYS_memfd_create, &[0, 3]), ALLOW);
    assert_eq!(says(&pages, libc::SYS_shmget, &[0, 1, 0o5600]), refused);
    assert_eq!(says(&pages, libc::SYS_shmget, &[0, 1, 0o1600]), ALLOW);
    let requests = only(Restriction::NativeAio);
    let setup = libc::SYS_io_setup;
    assert_eq!(says(&requests, setup, &[1, 0]), errno(libc::ENOSYS));
    assert_eq!(says(&none(), setup, &[1, 0]), ALLOW);
}

#[test]
fn nothing_spoils_a_terminal_or_the_files_of_a_box() {
    for filter in [none(), of(SyscallSet::default()).unwrap()] {
        for request in [
            0x5412,
            0x541c,
            0x5423,
            0x540c,
            0x541d,
            0x5457,
            0xffff_ffff_0000_5423,
        ] {
            assert_eq!(
                says(&filter, libc::SYS_ioctl, &[0, request]),
                errno(libc::EPERM)
            );
        }
        // TCXONC: output or input stopped, and let go on.
        for (action, expected) in [
            (0, errno(libc::EPERM)),
            (2, errno(libc::EPERM)),
            (0xf_0000_0000, errno(libc::EPERM)),
            (1, ALLOW),
            (3, ALLOW),
        ] {
            let flow = [1, 0x540a, action];
            assert_eq!(says(&filter, libc::SYS_ioctl, &flow), expected, "{action}");
        }
        for request in [0x5000_940e, 0x5000_9417, 0x4008_6602, 0x401c_5820] {
            assert_eq!(
                says(&filter, libc::SYS_ioctl, &[3, request]),
                errno(libc::ENOTTY)
            );
        }
        // TCGETS, TCSETS, FICLONE, FS_IOC_GETFLAGS.
        for request in [0x5401, 0x5402, 0x4004_9409, 0x8008_6601] {
            assert_eq!(
                says(&filter, libc::SYS_ioctl, &[3, request]),
                ALLOW,
                "{request:x}"
            );
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn most_calls_take_a_few_instructions() {
    let filter = of(SyscallSet::default()).unwrap();
    for call in [
        libc::SYS_read,
        libc::SYS_getppid,
        libc::SYS_futex,
        libc::SYS_openat,
    ] {
        let call = Call {
            arch: NATIVE,
            number: u32::try_from(call).unwrap(),
            arguments: [0; 6],
        };
        let (said, steps) = run(&filter, call);
        assert_eq!(said, ALLOW);
        assert!(steps < 32, "{steps} of {}", filter.len());
    }
    assert!(filter.len() < 700, "{}", filter.len());
}
