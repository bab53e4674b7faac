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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
