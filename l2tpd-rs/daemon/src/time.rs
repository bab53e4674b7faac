//! The clock of the loop.

use l2tp_proto::Instant;
use nix::time::{ClockId, clock_gettime};

/// Now, on `CLOCK_BOOTTIME`: the time a machine sleeps counts, so that a peer's silence is seen at once after it.
pub fn now() -> Instant {
    let t = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or_else(|_| nix::sys::time::TimeSpec::new(0, 0));
    let (s, ns) = (u64::try_from(t.tv_sec()).unwrap_or(0), u64::try_from(t.tv_nsec()).unwrap_or(0));
    Instant(s.saturating_mul(1_000_000_000).saturating_add(ns))
}
