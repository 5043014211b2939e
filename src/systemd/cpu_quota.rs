//! The CPU quota of a slice, as it is configured: SetUnitProperties, if the kernel says another
//! one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zbus::Message;
use zbus::zvariant::Value;

use super::unit::{MANAGER, MANAGER_PATH, SYSTEMD};
use crate::bus::{BusError, Carries, Pending};
use crate::failure::Explained;

/// How long systemd may take. A busy one may need seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a quota is not in force.
#[derive(Debug)]
pub(crate) struct QuotaError {
    slice: String,
    source: BusError,
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot set the CPU quota of {}", self.slice)
    }
}

impl std::error::Error for QuotaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
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
    set(slice, percent).map_err(|source| QuotaError {
        slice: slice.to_owned(),
        source,
    })
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
    let mut bus = super::connect(Carries::Bytes)?;
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
}
