//! The clock of the daemons.

use std::time::Duration;

use ipsec_types::{Instant, Now};
use nix::time::{ClockId, clock_gettime};

fn read(id: ClockId) -> Duration {
    // Neither clock can fail on Linux.
    clock_gettime(id).map(Duration::from).unwrap_or_default()
}

/// Now: `CLOCK_BOOTTIME`, which goes on while the machine sleeps, so that a laptop renews its SAs when it wakes; and
/// the time of day.
pub fn now() -> Now {
    let mono = u64::try_from(read(ClockId::CLOCK_BOOTTIME).as_nanos()).unwrap_or(u64::MAX);
    Now { mono: Instant(mono), wall: read(ClockId::CLOCK_REALTIME).as_secs() }
}
