//! A bound on log lines that strangers can cause.

use std::collections::BTreeMap;
use std::time::Duration;

use ipsec_types::Instant;

/// What a line is about; each has its own budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Junk,
    UnknownTunnel,
    Denied,
    Clear,
    Limit,
    Duplicate,
    Order,
    Moved,
}

/// Lines of one topic at once.
const BURST: u32 = 20;
/// One more line in this time: 1000 an hour.
const REFILL: Duration = Duration::from_millis(3600);

#[derive(Debug)]
struct Bucket {
    tokens: u32,
    since: Instant,
    dropped: u64,
}

/// Token buckets, one a topic.
#[derive(Debug, Default)]
pub(crate) struct LogLimiter(BTreeMap<Topic, Bucket>);

impl LogLimiter {
    /// Whether a line may be written now; if so, how many of its topic were left out since the last.
    pub(crate) fn allow(&mut self, now: Instant, topic: Topic) -> Option<u64> {
        let b = self.0.entry(topic).or_insert(Bucket { tokens: BURST, since: now, dropped: 0 });
        let gained = now.since(b.since).as_nanos() / REFILL.as_nanos();
        if gained > 0 {
            b.tokens = BURST.min(b.tokens.saturating_add(u32::try_from(gained).unwrap_or(u32::MAX)));
            b.since = now;
        }
        if b.tokens == 0 {
            b.dropped += 1;
            return None;
        }
        b.tokens -= 1;
        Some(std::mem::take(&mut b.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_thousand_an_hour_with_the_count_of_the_rest() {
        let mut l = LogLimiter::default();
        let n = (0..1000).filter(|_| l.allow(Instant(0), Topic::Junk).is_some()).count();
        assert_eq!(n, 20);
        assert!(l.allow(Instant(0), Topic::Denied).is_some(), "topics do not share a budget");
        assert_eq!(l.allow(Instant(0) + Duration::from_secs(4), Topic::Junk), Some(980));
        assert_eq!(l.allow(Instant(0) + Duration::from_secs(4), Topic::Junk), None);
    }
}
