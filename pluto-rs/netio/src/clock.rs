//! The two clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use ipsec_types::{Instant, Now};
use nix::time::{ClockId, clock_gettime};

/// The time now: `CLOCK_BOOTTIME`, which also counts while the machine is suspended, so that a laptop that wakes up
/// rekeys at once; and the wall clock. A clock that cannot be read reads zero.
pub fn now() -> Now {
    let mono = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |t| {
        let seconds = u64::try_from(t.tv_sec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(t.tv_nsec()).unwrap_or(0))
    });
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Now { mono: Instant(mono), wall }
}

/// A second of the wall clock as this machine's time zone has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// `Sun` to `Sat`.
    pub weekday: &'static str,
    /// `Jan` to `Dec`.
    pub month: &'static str,
    /// From 1.
    pub day: i32,
    /// `13:05:09`.
    pub time: String,
    /// All digits.
    pub year: i32,
    /// `UTC`, `CEST`.
    pub zone: String,
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Local {
    /// `seconds` since 1970 in the local time zone; `None` if that is no year.
    #[allow(unsafe_code, reason = "localtime_r reads the time zone, which no safe call does")]
    pub fn at(seconds: u64) -> Option<Local> {
        let seconds = libc::time_t::try_from(seconds).ok()?;
        let mut tm = std::mem::MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: both pointers are valid for the call, and every field of a zeroed tm is a valid value.
        let tm = unsafe {
            if libc::localtime_r(&raw const seconds, tm.as_mut_ptr()).is_null() {
                return None;
            }
            tm.assume_init()
        };
        let zone = match tm.tm_zone.is_null() {
            true => String::new(),
            // SAFETY: a name of a zone is a C string that localtime_r keeps.
            false => unsafe { std::ffi::CStr::from_ptr(tm.tm_zone) }.to_string_lossy().into_owned(),
        };
        Some(Local {
            weekday: DAYS.get(usize::try_from(tm.tm_wday).ok()?)?,
            month: MONTHS.get(usize::try_from(tm.tm_mon).ok()?)?,
            day: tm.tm_mday,
            time: format!("{:02}:{:02}:{:02}", tm.tm_hour, tm.tm_min, tm.tm_sec),
            year: tm.tm_year.checked_add(1900)?,
            zone,
        })
    }

    /// As `ctime(3)`: `Sun Nov  1 13:05:09 2026`.
    pub fn ctime(&self) -> String {
        format!("{} {} {:2} {} {}", self.weekday, self.month, self.day, self.time, self.year)
    }

    /// As `date(1)`: `Sun Nov  1 13:05:09 CET 2026`.
    pub fn date(&self) -> String {
        format!("{} {} {:2} {} {} {}", self.weekday, self.month, self.day, self.time, self.zone, self.year)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_has_its_date() {
        // The zone of the machine moves it by 14 hours at most.
        let local = Local::at(1_700_049_600).unwrap();
        assert!(local.year == 2023 && local.month == "Nov" && (14..=16).contains(&local.day), "{local:?}");
        let date = local.date();
        assert!(local.ctime().ends_with(" 2023") && date.split_whitespace().count() == 6, "{date}");
        assert_eq!(Local::at(u64::MAX), None);
    }

    #[test]
    fn both_clocks_run() {
        let first = now();
        std::thread::sleep(Duration::from_millis(15));
        let second = now();
        let passed = second.mono.since(first.mono);
        assert!(passed >= Duration::from_millis(15) && passed < Duration::from_secs(60), "{passed:?}");
        assert!(first.wall > 1_700_000_000 && second.wall >= first.wall);
    }
}
