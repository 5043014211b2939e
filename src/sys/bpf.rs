//! bpf(2): counting the Internet sockets that are made in a control group. libc has the number of
//! the call and nothing of its arguments (linux/bpf.h).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use libc::c_long;

use super::{check, owned};

// Commands.
const MAP_CREATE: u32 = 0;
const MAP_LOOKUP_ELEM: u32 = 1;
const PROG_LOAD: u32 = 5;
const LINK_CREATE: u32 = 28;

const MAP_TYPE_ARRAY: u32 = 2;
const PROG_TYPE_CGROUP_SOCK: u32 = 9;
/// Runs for each socket of the Internet's families that a process in the control group makes.
const CGROUP_INET_SOCK_CREATE: u32 = 2;

#[repr(C)]
struct NewMap {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

#[repr(C)]
struct NewProgram {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_kind: u32,
}

#[repr(C)]
struct NewLink {
    program: u32,
    target: u32,
    attach_kind: u32,
    flags: u32,
}

#[repr(C)]
struct Lookup {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// One instruction of a program in the kernel.
#[repr(C)]
struct Instruction {
    code: u8,
    /// The destination and the source, four bits each: bit fields, in the machine's order.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A count in the kernel of the Internet sockets that were made in a control group and below it. It
/// ends with this.
#[derive(Debug)]
pub(crate) struct SocketCount {
    map: OwnedFd,
    link: OwnedFd,
}

impl SocketCount {
    /// Begins to count, from 0 (Linux 5.7, with `CONFIG_CGROUP_BPF`). The calling process needs
    /// CAP_SYS_ADMIN and CAP_NET_ADMIN.
    pub(crate) fn begin(cgroup: BorrowedFd<'_>) -> io::Result<Self> {
        let map = new_map()?;
        let program = new_program(&counts_in(map.as_raw_fd()))?;
        let link = owned(bpf(
            LINK_CREATE,
            &NewLink {
                program: program.as_raw_fd() as u32,
                target: cgroup.as_raw_fd() as u32,
                attach_kind: CGROUP_INET_SOCK_CREATE,
                flags: 0,
            },
        ))?;
        Ok(Self { map, link })
    }

    /// How many there were. The calling process needs CAP_SYS_ADMIN where bpf(2) is not for all.
    pub(crate) fn read(&self) -> io::Result<u64> {
        let (key, mut value) = (0_u32, 0_u64);
        let lookup = Lookup {
            map: self.map.as_raw_fd() as u32,
            padding: 0,
            key: (&raw const key) as u64,
            value: (&raw mut value) as u64,
            flags: 0,
        };
        check(bpf(MAP_LOOKUP_ELEM, &lookup))?;
        Ok(value)
    }

    /// The descriptors that keep it.
    pub(crate) fn descriptors(&self) -> [i32; 2] {
        [self.map.as_raw_fd(), self.link.as_raw_fd()]
    }
}

/// A map of one number.
fn new_map() -> io::Result<OwnedFd> {
    owned(bpf(
        MAP_CREATE,
        &NewMap {
            kind: MAP_TYPE_ARRAY,
            key_size: size_of::<u32>() as u32,
            value_size: size_of::<u64>() as u32,
            max_entries: 1,
        },
    ))
}

/// A program that adds one to the number in this map, and allows the socket.
fn counts_in(map: i32) -> [Instruction; 6] {
    // The source above the destination, as little-endian machines have it.
    let instruction = |code, registers: u8, immediate| Instruction {
        code,
        registers: match cfg!(target_endian = "big") {
            true => registers.rotate_left(4),
            false => registers,
        },
        offset: 0,
        immediate,
    };
    [
        // r1 = the address of the number: an instruction of two parts, BPF_PSEUDO_MAP_VALUE.
        instruction(0x18, 0x21, map),
        instruction(0x00, 0x00, 0),
        // r2 = 1
        instruction(0xb7, 0x02, 1),
        // lock *(u64 *)r1 += r2
        instruction(0xdb, 0x21, 0),
        // return 1
        instruction(0xb7, 0x00, 1),
        instruction(0x95, 0x00, 0),
    ]
}

fn new_program(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    owned(bpf(
        PROG_LOAD,
        &NewProgram {
            kind: PROG_TYPE_CGROUP_SOCK,
            count: instructions.len() as u32,
            instructions: instructions.as_ptr() as u64,
            license: c"MIT OR Apache-2.0".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel: 0,
            flags: 0,
            name: *b"isolate_sockets\0",
            interface: 0,
            attach_kind: CGROUP_INET_SOCK_CREATE,
        },
    ))
}

/// A descriptor that a command makes is closed by execve(2).
fn bpf<T>(command: u32, arguments: &T) -> c_long {
    // SAFETY: the arguments are of the type that the command takes, as long as is said, and live
    // until the call returns, with all that they point to.
    unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(arguments),
            size_of::<T>(),
        )
    }
}
