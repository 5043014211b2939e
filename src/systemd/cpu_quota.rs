//! The CPU quota of a slice, as it is configured: SetUnitProperties, if the kernel says another
//! one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use zbus::Message;
use zbus::zvariant::Value;

use super::line;
use super::unit::{MANAGER, MANAGER_PATH, SYSTEMD};
use crate::bus::{BusError, Pending};
use crate::failure::Explained;

/// How long systemd may take. A busy one may need seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a quota may take to be in force when systemd has set it.
const EFFECT_PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two looks at that.
const EFFECT_PAUSE: Duration = Duration::from_millis(2);

/// Why a quota is not in force.
#[derive(Debug)]
pub(crate) struct QuotaError {
    slice: String,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    /// systemd did not set it.
    Refused(BusError),
    /// It did, and the kernel has another one than that.
    Other(Option<u32>, Option<u32>),
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot set the CPU quota of {}", self.slice)?;
        let shown = |percent: Option<u32>| {
            percent.map_or_else(|| "none".to_owned(), |percent| format!("{percent}%"))
        };
        match self.reason {
            Reason::Refused(_) => Ok(()),
            Reason::Other(wanted, granted) => write!(
                f,
                ": it is to be {}, and the kernel has {} (cpu.max); a drop-in of that slice may say so, see systemctl \
                 cat {}",
                shown(wanted),
                shown(granted),
                self.slice
            ),
        }
    }
}

impl std::error::Error for QuotaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            Reason::Refused(error) => Some(error),
            Reason::Other(..) => None,
        }
    }
}

impl Explained for QuotaError {}

/// Lets systemd set the quota of a slice, in percent of one CPU (`None` is no limit), unless it is
/// in force already. `cgroup` is where the slice is, if it is there.
pub(crate) fn ensure(slice: &str, cgroup: &Path, percent: Option<u32>) -> Result<(), QuotaError> {
    let now = match fs::read_to_string(cgroup.join("cpu.max")) {
        Ok(cpu_max) => percent_of(&cpu_max),
        // Nothing runs in the slice, so it or its controller is not there. What was set before
        // holds as soon as it is.
        Err(_) => fs::read_to_string(setting_of(slice))
            .ok()
            .and_then(|setting| percent_set(&setting)),
    };
    if now == percent {
        return Ok(());
    }
    let error = |reason| QuotaError {
        slice: slice.to_owned(),
        reason,
    };
    set(slice, percent).map_err(|failure| error(Reason::Refused(failure)))?;
    in_force(cgroup, percent, EFFECT_PATIENCE)
        .map_err(|granted| error(Reason::Other(percent, granted)))
}

/// Waits until the kernel has the quota, which systemd sets after its answer. An error is the other
/// one that it has. As long as nothing runs in the slice, there is nothing to read.
fn in_force(cgroup: &Path, percent: Option<u32>, patience: Duration) -> Result<(), Option<u32>> {
    let end = Instant::now() + patience;
    loop {
        match fs::read_to_string(cgroup.join("cpu.max")) {
            Ok(cpu_max) if percent_of(&cpu_max) != percent => {
                if Instant::now() >= end {
                    return Err(percent_of(&cpu_max));
                }
            }
            Ok(_) | Err(_) => return Ok(()),
        }
        sleep(EFFECT_PAUSE);
    }
}

/// The percentage in `cpu.max` (cgroup v2: quota or `max`, and period, in microseconds).
fn percent_of(cpu_max: &str) -> Option<u32> {
    let (quota, period) = cpu_max.trim_end().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    u32::try_from(quota.checked_mul(100)?.checked_div(period)?).ok()
}

/// Where systemd keeps, until the next boot, what it was told by SetUnitProperties
/// (systemd.unit(5), system.control).
fn setting_of(slice: &str) -> PathBuf {
    let name = format!("{slice}.d/50-CPUQuota.conf");
    Path::new("/run/systemd/system.control").join(name)
}

/// The percentage in such a file, where an empty value is no limit.
fn percent_set(setting: &str) -> Option<u32> {
    let mut values = setting
        .lines()
        .filter_map(|line| line.strip_prefix("CPUQuota="));
    values.next_back()?.strip_suffix('%')?.parse().ok()
}

fn set(slice: &str, percent: Option<u32>) -> Result<(), BusError> {
    let mut bus = line::undisturbed()?;
    let call = Pending::send(&mut bus, set_quota(slice, percent)?, "systemd")?;
    call.wait(&mut bus, Instant::now() + PATIENCE).map(drop)
}

fn set_quota(slice: &str, percent: Option<u32>) -> zbus::Result<Message> {
    // The value is microseconds of CPU time per second, and the largest number is no limit.
    let quota = percent.map_or(u64::MAX, |percent| u64::from(percent) * 10_000);
    let until_reboot = true;
    let properties = vec![("CPUQuotaPerSecUSec", Value::from(quota))];
    Message::method_call(MANAGER_PATH, "SetUnitProperties")?
        .destination(SYSTEMD)?
        .interface(MANAGER)?
        .build(&(slice, until_reboot, properties))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_quota_is_read_as_a_percentage() {
        assert_eq!(percent_of("150000 100000\n"), Some(150));
        assert_eq!(percent_of("5000 10000\n"), Some(50));
        for no_limit in ["max 100000\n", "", "1 0\n", "x y"] {
            assert_eq!(percent_of(no_limit), None, "{no_limit}");
        }
    }

    #[test]
    fn what_systemd_was_told_is_read_from_its_own_file() {
        let file = |value: &str| format!("# Made by systemd.\n[Slice]\nCPUQuota={value}\n");
        assert_eq!(percent_set(&file("20%")), Some(20));
        assert_eq!(percent_set(&file("150%")), Some(150));
        for none in [file(""), file("x%"), String::new()] {
            assert_eq!(percent_set(&none), None, "{none}");
        }
    }

    #[test]
    fn nobody_is_asked_for_what_is_in_force() {
        let dir = tempfile::tempdir().unwrap();
        ensure("isolate-u7.slice", dir.path(), None).unwrap();
        fs::write(dir.path().join("cpu.max"), "50000 100000\n").unwrap();
        ensure("isolate-u7.slice", dir.path(), Some(50)).unwrap();
    }

    #[test]
    fn a_quota_that_the_kernel_does_not_have_is_named_with_the_one_that_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let in_force = |percent| in_force(dir.path(), percent, Duration::ZERO);
        assert_eq!(in_force(Some(50)), Ok(()));
        fs::write(dir.path().join("cpu.max"), "50000 100000\n").unwrap();
        assert_eq!(in_force(Some(50)), Ok(()));
        assert_eq!(in_force(Some(60)), Err(Some(50)));
        assert_eq!(in_force(None), Err(Some(50)));
        let error = QuotaError {
            slice: "isolate-u7.slice".to_owned(),
            reason: Reason::Other(Some(60), Some(50)),
        };
        let text = error.to_string();
        assert!(
            text.contains("it is to be 60%, and the kernel has 50%"),
            "{text}"
        );
    }
}
