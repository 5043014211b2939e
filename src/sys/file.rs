//! getdents64(2), flock(2), statx(2) and extended attributes, which nix lacks or has in a form that
//! does not fit.

use std::ffi::CStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::check;

/// Reads the next entries of a directory into the room of `buffer`, in the place of what it had,
/// for [`dir_entries`]; nothing at the end. nix's iterator keeps the directory borrowed: to open or
/// remove something in it, one would first have to hold every name in memory.
pub(crate) fn read_dir_entries(dir: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    let read = |room: *mut u8, length: usize| {
        // SAFETY: `room` has `length` bytes, which nobody else uses meanwhile.
        unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), room, length) }
    };
    // SAFETY: getdents64(2) writes as many bytes as it returns.
    unsafe { fill(buffer, buffer.capacity(), read) }.map(drop)
}

/// Reads once (read(2)), at most so many bytes, which is not 0, behind what `buffer` has; how many
/// came. Room that is not needed is not touched: it may be large at no cost.
pub(crate) fn read_into_room(
    fd: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    most: usize,
) -> io::Result<usize> {
    let read = |room: *mut u8, length: usize| {
        // SAFETY: `room` has `length` bytes, which nobody else uses meanwhile.
        unsafe { libc::read(fd.as_raw_fd(), room.cast(), length) as libc::c_long }
    };
    // SAFETY: read(2) writes as many bytes as it returns.
    unsafe { fill(buffer, most, read) }
}

/// Whether a read that failed may be tried again: nothing is there yet, or a signal came.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR))
}

/// Has `read` write at most so many bytes behind what `buffer` has; how many that were.
///
/// # Safety
///
/// `read` is given a place and a number of bytes, and must return how many it has written there, or
/// -1 with an errno.
pub(super) unsafe fn fill(
    buffer: &mut Vec<u8>,
    most: usize,
    read: impl FnOnce(*mut u8, usize) -> libc::c_long,
) -> io::Result<usize> {
    buffer.reserve(most);
    // A vector may have more: what it has grown by before.
    let room = &mut buffer.spare_capacity_mut()[..most];
    let length = check(read(room.as_mut_ptr().cast(), room.len()))?;
    let length = usize::try_from(length).unwrap_or(0);
    // SAFETY: so many bytes were written there, as the caller promises.
    unsafe { buffer.set_len(buffer.len() + length) };
    Ok(length)
}

/// An entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirEntry<'a> {
    /// Its name.
    pub(crate) name: &'a CStr,
    /// `DT_DIR` and so on; `DT_UNKNOWN` from file systems that do not tell.
    pub(crate) kind: u8,
}

/// The entries in what [`read_dir_entries`] read (`struct linux_dirent64`), without `.` and `..`.
pub(crate) fn dir_entries(mut buffer: &[u8]) -> impl Iterator<Item = DirEntry<'_>> {
    const LENGTH: usize = 16;
    const KIND: usize = 18;
    const NAME: usize = 19;
    std::iter::from_fn(move || {
        loop {
            let length = buffer.get(LENGTH..KIND)?;
            let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
            let entry = buffer.get(..length)?;
            let name = CStr::from_bytes_until_nul(entry.get(NAME..)?).ok()?;
            let kind = *entry.get(KIND)?;
            buffer = &buffer[length..];
            if name != c"." && name != c".." {
                return Some(DirEntry { name, kind });
            }
        }
    })
}

/// What to do about a lock that somebody else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfLocked {
    /// Wait for it.
    Wait,
    /// Give up, with EWOULDBLOCK.
    Refuse,
}

/// Takes the exclusive flock(2) of `file`. It goes when the last copy of the descriptor is closed,
/// so a child that inherits one keeps it; nix's `Flock` is unlocked when it is dropped in any
/// process.
pub(crate) fn lock_exclusively(file: BorrowedFd<'_>, if_locked: IfLocked) -> io::Result<()> {
    match if_locked {
        IfLocked::Wait => lock(file, libc::LOCK_EX),
        IfLocked::Refuse => lock(file, libc::LOCK_EX | libc::LOCK_NB),
    }
}

/// The processes that have locked a file with this inode number by flock(2), by the text of
/// `/proc/locks`: proc_locks(5). The device is not compared, which some file systems tell otherwise
/// there than stat(2) does. A process that has ended is told where its child keeps the lock.
pub(crate) fn lockers(list: &str, inode: u64) -> impl Iterator<Item = i32> + '_ {
    list.lines().filter_map(move |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["FLOCK", _, _, pid, file, ..] = words.get(1..)? else {
            return None;
        };
        let (_, number) = file.rsplit_once(':')?;
        let is_it = number.parse() == Ok(inode);
        pid.parse().ok().filter(|pid| is_it && *pid > 0)
    })
}

/// Whether a path leads to this open file, and to no other that has come in its place meanwhile.
/// A link in the last place is not followed.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let id = |found: Metadata| (found.dev(), found.ino());
    let (own, there) = (file.metadata().map(id), fs::symlink_metadata(path).map(id));
    matches!((own, there), (Ok(own), Ok(there)) if own == there)
}

/// Takes a shared flock(2) of `file`; waits for one that is exclusive.
pub(crate) fn lock_shared(file: BorrowedFd<'_>) -> io::Result<()> {
    lock(file, libc::LOCK_SH)
}

/// Gives a flock(2) of `file` back, for all copies of the descriptor.
pub(crate) fn unlock(file: BorrowedFd<'_>) -> io::Result<()> {
    lock(file, libc::LOCK_UN)
}

fn lock(file: BorrowedFd<'_>, operation: libc::c_int) -> io::Result<()> {
    loop {
        // SAFETY: flock takes two integers and touches no memory of this process.
        let result = unsafe { libc::flock(file.as_raw_fd(), operation) };
        match check(result.into()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(drop),
        }
    }
}

/// Whether a file is a directory. Its file system is not asked (statx(2), AT_STATX_DONT_SYNC): a
/// caller's own (FUSE) might never answer.
pub(crate) fn is_directory(file: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: statx is plain integers, for which all zeroes is a value.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path is an empty C string, and the kernel writes a statx, which outlives the
    // call.
    let result = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
            libc::STATX_TYPE,
            &raw mut found,
        )
    };
    check(result.into())?;
    Ok(u32::from(found.stx_mode) & libc::S_IFMT == libc::S_IFDIR)
}

/// The inode number of the top directory of each subvolume of btrfs (BTRFS_FIRST_FREE_OBJECTID in
/// linux/btrfs_tree.h).
pub(crate) const SUBVOLUME_TOP: u64 = 256;
/// linux/btrfs.h: _IOR and _IOW(0x94, 25 and 26, __u64).
const BTRFS_IOC_SUBVOL_GETFLAGS: libc::Ioctl = 0x8008_9419_u32 as libc::Ioctl;
const BTRFS_IOC_SUBVOL_SETFLAGS: libc::Ioctl = 0x4008_941a;
const BTRFS_SUBVOL_RDONLY: u64 = 1 << 1;

/// Makes a read-only subvolume of btrfs writable, by its top directory. ENOTTY where it is none.
pub(crate) fn make_subvolume_writable(top: BorrowedFd<'_>) -> io::Result<()> {
    let mut flags = 0_u64;
    // SAFETY: the kernel writes one u64, which outlives the call.
    let result = unsafe { libc::ioctl(top.as_raw_fd(), BTRFS_IOC_SUBVOL_GETFLAGS, &raw mut flags) };
    check(result.into())?;
    if flags & BTRFS_SUBVOL_RDONLY == 0 {
        return Ok(());
    }
    flags &= !BTRFS_SUBVOL_RDONLY;
    // SAFETY: the kernel reads one u64, which outlives the call.
    let result =
        unsafe { libc::ioctl(top.as_raw_fd(), BTRFS_IOC_SUBVOL_SETFLAGS, &raw const flags) };
    check(result.into()).map(drop)
}

/// Removes the POSIX access control lists of an open file, including those that a directory passes
/// on to new files (acl(5), removexattr(2)). No error where there are none, or no support for them.
pub(crate) fn remove_acls(file: BorrowedFd<'_>) -> io::Result<()> {
    for name in [c"system.posix_acl_access", c"system.posix_acl_default"] {
        // To remove what is not there changes the time of the file on a tmpfs.
        // SAFETY: the name is a C string that outlives the call; null with length 0 asks for the
        // length.
        let found =
            unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), std::ptr::null_mut(), 0) };
        match check(found as libc::c_long) {
            Err(error) if is_absent(&error) => continue,
            found => found.map(drop)?,
        }
        // SAFETY: the name is a C string that outlives the call.
        let result = unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) };
        match check(result.into()) {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_directory_is_read_in_pieces_without_dot_and_dot_dot() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..100 {
            fs::write(dir.path().join(format!("file {number}")), "").unwrap();
        }
        fs::create_dir(dir.path().join("sub")).unwrap();
        let open = File::open(dir.path()).unwrap();
        let mut buffer = Vec::with_capacity(300);
        let (mut files, mut dirs) = (0, 0);
        loop {
            read_dir_entries(open.as_fd(), &mut buffer).unwrap();
            if buffer.is_empty() {
                break;
            }
            for entry in dir_entries(&buffer) {
                match entry.kind {
                    libc::DT_DIR => {
                        assert_eq!(entry.name, c"sub");
                        dirs += 1;
                    }
                    _ => {
                        assert!(entry.name.to_bytes().starts_with(b"file "));
                        files += 1;
                    }
                }
            }
        }
        assert_eq!((files, dirs), (100, 1));
    }

    #[test]
    fn what_is_read_comes_behind_what_there_is_and_fits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "abcdefg").unwrap();
        let file = File::open(&path).unwrap();
        let mut buffer = b"12".to_vec();
        let mut read = |most| read_into_room(file.as_fd(), &mut buffer, most).unwrap();
        assert_eq!(read(4), 4);
        assert_eq!((read(100), read(100)), (3, 0));
        // No more than is asked for, however much room there is.
        let again = File::open(&path).unwrap();
        let mut roomy = Vec::with_capacity(100);
        read_into_room(again.as_fd(), &mut roomy, 2).unwrap();
        assert_eq!(roomy, b"ab");
        assert_eq!(buffer, b"12abcdefg");
        let shut = File::create(&path).unwrap();
        let error = read_into_room(shut.as_fd(), &mut buffer, 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(buffer, b"12abcdefg");
    }

    #[test]
    fn directories_are_told_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = tempfile::tempfile().unwrap();
        let open = File::open(dir.path()).unwrap();
        assert!(is_directory(open.as_fd()).unwrap());
        assert!(!is_directory(file.as_fd()).unwrap());
    }

    #[test]
    fn cut_off_entries_end_the_list() {
        for length in 0..30 {
            assert_eq!(dir_entries(&[0; 30][..length]).count(), 0);
        }
    }

    #[test]
    fn a_lock_is_refused_to_a_second_descriptor_until_all_copies_are_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = File::create(&path).unwrap();
        let second = File::open(&path).unwrap();
        lock_exclusively(first.as_fd(), IfLocked::Refuse).unwrap();
        let copy = first.try_clone().unwrap();
        drop(first);
        let refused = lock_exclusively(second.as_fd(), IfLocked::Refuse).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EWOULDBLOCK));
        drop(copy);
        lock_exclusively(second.as_fd(), IfLocked::Wait).unwrap();
    }

    #[test]
    fn those_who_have_a_lock_are_told_from_those_who_wait_and_from_other_locks() {
        let list = "1: FLOCK  ADVISORY  WRITE 17 00:19:131 0 EOF\n\
                    1: -> FLOCK  ADVISORY  WRITE 18 00:19:131 0 EOF\n\
                    2: POSIX  ADVISORY  WRITE 19 00:19:131 0 EOF\n\
                    3: FLOCK  ADVISORY  WRITE 20 00:19:1310 0 EOF\n\
                    4: FLOCK  ADVISORY  WRITE -1 00:19:131 0 EOF\n\
                    5: FLOCK\n";
        assert_eq!(lockers(list, 131).collect::<Vec<_>>(), [17]);
    }
}
