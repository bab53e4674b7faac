//! Time as the engines see it: passed in, never read.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time, in nanoseconds from an arbitrary start (`CLOCK_BOOTTIME` in the daemons, zero in tests).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

/// What every engine call is given: monotonic time for timers, wall-clock time for text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Drives every timer.
    pub mono: Instant,
    /// Seconds since 1970 (UTC); shown to users, never compared with a deadline.
    pub wall: u64,
}
