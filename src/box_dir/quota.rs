//! The disk quota of a box.

use nix::errno::Errno;

use super::place::errno;
use super::{BoxDir, BoxDirError};
use crate::quantity::DiskQuota;
use crate::sys::quota::{has_user_quota, set_user_quota};

impl BoxDir {
    /// Sets what the user `uid` may use on the file system of the box. With None, limits go that an
    /// earlier box of this user may have left, where there are quotas at all.
    pub(crate) fn set_quota(&self, quota: Option<DiskQuota>, uid: u32) -> Result<(), BoxDirError> {
        let (blocks, inodes) = quota.map_or((0, 0), |quota| (quota.blocks, quota.inodes));
        let set = set_user_quota(self.fd(), uid, blocks.into(), inodes.into());
        match set.map_err(|error| errno(&error)) {
            Err(errno) if quota.is_none() && has_no_quotas(errno) => Ok(()),
            result => result.map_err(|errno| BoxDirError::Quota {
                path: self.path().into(),
                errno,
            }),
        }
    }

    /// Whether the user `uid` has a quota on the file system of the box; yes when in doubt.
    pub(crate) fn has_quota(&self, uid: u32) -> bool {
        match has_user_quota(self.fd(), uid).map_err(|error| errno(&error)) {
            Ok(has) => has,
            Err(errno) => !has_no_quotas(errno),
        }
    }
}

/// Whether the failure to take a limit away, or to look for one, shows that none can have been set:
/// there are no quotas, or this process may not set any.
fn has_no_quotas(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ESRCH | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL | Errno::EPERM
    )
}
