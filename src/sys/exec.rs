//! execve(2) with memory that was laid out beforehand.

use std::ffi::CString;
use std::fmt;
use std::io;

use libc::c_char;

/// Everything that execve(2) needs, as the arrays that it takes. It is made before the clone: the
/// process that becomes the program may have little address space, and must allocate nothing.
pub(crate) struct Image<'a> {
    candidates: &'a [CString],
    arguments: Strings<'a>,
    environment: Strings<'a>,
}

/// Strings and the null-terminated array of pointers to them.
struct Strings<'a> {
    /// What `pointers` point to.
    _strings: &'a [CString],
    pointers: Vec<*const c_char>,
}

impl<'a> Strings<'a> {
    fn new(strings: &'a [CString]) -> Self {
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([std::ptr::null()])
            .collect();
        Self {
            _strings: strings,
            pointers,
        }
    }
}

impl fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("candidates", &self.candidates)
            .finish_non_exhaustive()
    }
}

impl<'a> Image<'a> {
    /// Takes at least one of `candidates`; each is tried if the one before does not exist.
    pub(crate) fn new(
        candidates: &'a [CString],
        arguments: &'a [CString],
        environment: &'a [CString],
    ) -> Self {
        Self {
            candidates,
            arguments: Strings::new(arguments),
            environment: Strings::new(environment),
        }
    }

    /// The paths to try.
    pub(crate) fn candidates(&self) -> &[CString] {
        self.candidates
    }

    /// Becomes the program. Returns only when that failed, with the reason.
    pub(crate) fn execute(&self) -> io::Error {
        let mut reason = libc::ENOENT;
        let searches = self.candidates.len() > 1;
        for path in self.candidates {
            // SAFETY: the path and both arrays are null-terminated and outlive self.
            unsafe {
                libc::execve(
                    path.as_ptr(),
                    self.arguments.pointers.as_ptr(),
                    self.environment.pointers.as_ptr(),
                )
            };
            let errno = io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EINVAL);
            // On a search, a part of the path that does not exist says less than another part's
            // error.
            if !(searches && matches!(errno, libc::ENOENT | libc::ENOTDIR)) {
                reason = errno;
            }
            if !matches!(reason, libc::ENOENT | libc::EACCES) {
                break;
            }
        }
        io::Error::from_raw_os_error(reason)
    }
}
