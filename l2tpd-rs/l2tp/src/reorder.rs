//! The order of numbered data messages (RFC 2661 §5.4): a bounded queue that gives up a missing one after a while.
//!
//! One [`Reorder`] a call. It knows neither clock nor timers: who uses it asks [`Reorder::deadline`].

use std::collections::VecDeque;
use std::time::Duration;

use ipsec_types::Instant;

/// Old numbers in a row, each one more than the last, after which the sender is believed to have started anew.
const RESTART: u16 = 8;

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Deliver it now, then what [`Reorder::next`] gives.
    Deliver,
    /// It was kept; [`Reorder::next`] may have something nevertheless, as the queue is bounded.
    Kept,
    /// Seen, or given up already.
    Late,
}

/// The numbers one call's peer gives its frames.
#[derive(Debug)]
pub struct Reorder {
    /// `None` before the first frame.
    expected: Option<u16>,
    /// In the order of their numbers, none of them `expected`.
    queue: VecDeque<(u16, Vec<u8>)>,
    limit: usize,
    timeout: Duration,
    deadline: Option<Instant>,
    old: (u16, u16),
    /// Frames that never came, or too late.
    pub lost: u64,
}

impl Reorder {
    /// Keeps at most `limit` frames, none longer than `timeout`.
    pub fn new(limit: usize, timeout: Duration) -> Self {
        Reorder {
            expected: None,
            queue: VecDeque::new(),
            limit,
            timeout,
            deadline: None,
            old: (0, 0),
            lost: 0,
        }
    }

    /// Judges a frame by its number, and keeps it when it is early.
    pub fn judge(&mut self, now: Instant, ns: u16, frame: &[u8]) -> Place {
        let expected = *self.expected.get_or_insert(ns);
        let ahead = ns.wrapping_sub(expected);
        if ahead == 0 {
            self.expected = Some(ns.wrapping_add(1));
            self.settle(now);
            return Place::Deliver;
        }
        if ahead >= 0x8000 {
            let (last, run) = self.old;
            self.old = (ns, if ns == last.wrapping_add(1) { run + 1 } else { 1 });
            if self.old.1 < RESTART {
                return Place::Late;
            }
            self.old = (0, 0);
            self.queue.clear();
            self.deadline = None;
            self.expected = Some(ns.wrapping_add(1));
            return Place::Deliver;
        }
        let at = self.queue.partition_point(|(n, _)| n.wrapping_sub(expected) < ahead);
        if self.queue.get(at).is_some_and(|(n, _)| *n == ns) {
            return Place::Late;
        }
        if self.limit == 0 {
            self.lost += u64::from(ahead);
            self.expected = Some(ns.wrapping_add(1));
            return Place::Deliver;
        }
        self.queue.insert(at, (ns, frame.to_vec()));
        if self.queue.len() > self.limit {
            self.skip();
        }
        self.settle(now);
        Place::Kept
    }

    /// When the missing frame is given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// To be called when the deadline has passed: the missing frames are lost.
    pub fn expire(&mut self, now: Instant) {
        if self.deadline.is_some_and(|d| d <= now) {
            self.deadline = None;
            self.skip();
        }
    }

    /// The kept frame that is due.
    pub fn next(&mut self, now: Instant) -> Option<Vec<u8>> {
        let expected = self.expected?;
        if self.queue.front()?.0 != expected {
            return None;
        }
        self.expected = Some(expected.wrapping_add(1));
        let frame = self.queue.pop_front().map(|(_, f)| f);
        self.deadline = None;
        self.settle(now);
        frame
    }

    /// Gives the gap before the first kept frame up.
    fn skip(&mut self) {
        if let (Some(expected), Some(&(first, _))) = (self.expected, self.queue.front()) {
            self.lost += u64::from(first.wrapping_sub(expected));
            self.expected = Some(first);
        }
    }

    fn settle(&mut self, now: Instant) {
        match self.queue.is_empty() {
            true => self.deadline = None,
            false => self.deadline = self.deadline.or(Some(now + self.timeout)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn run(r: &mut Reorder, now: Instant, ns: u16) -> Vec<u16> {
        let mut got = Vec::new();
        if r.judge(now, ns, &ns.to_be_bytes()) == Place::Deliver {
            got.push(ns);
        }
        while let Some(f) = r.next(now) {
            got.push(u16::from_be_bytes([f[0], f[1]]));
        }
        got
    }

    fn all(list: &[u16]) -> Vec<u16> {
        let mut r = Reorder::new(4, 100 * MS);
        list.iter().flat_map(|&n| run(&mut r, Instant(0), n)).collect()
    }

    #[test]
    fn swapped_frames_are_put_right_and_doubled_ones_dropped() {
        assert_eq!(all(&[0, 2, 1, 1, 2, 3]), [0, 1, 2, 3]);
        assert_eq!(all(&[65534, 0, 65535, 1]), [65534, 65535, 0, 1]);
    }

    #[test]
    fn a_gap_costs_what_is_missing_and_nothing_after_it() {
        // xl2tpd never delivers again after this.
        let mut r = Reorder::new(4, 100 * MS);
        assert_eq!(run(&mut r, Instant(0), 3), [3]);
        for n in [6, 7, 20] {
            assert_eq!(run(&mut r, Instant(0), n), [0u16; 0]);
        }
        let at = r.deadline().unwrap();
        assert_eq!(at, Instant(0) + 100 * MS);
        r.expire(at);
        let got: Vec<_> = std::iter::from_fn(|| r.next(at)).collect();
        assert_eq!((got.len(), r.lost), (2, 2));
        r.expire(r.deadline().unwrap());
        assert!(r.next(at).is_some() && r.deadline().is_none());
        assert_eq!(r.lost, 2 + 12);
    }

    #[test]
    fn the_queue_is_bounded_at_its_limit() {
        let mut r = Reorder::new(4, 100 * MS);
        run(&mut r, Instant(0), 0);
        for n in 2..=5 {
            assert!(run(&mut r, Instant(0), n).is_empty(), "{n}");
        }
        assert_eq!(run(&mut r, Instant(0), 6), [2, 3, 4, 5, 6], "one more than the limit gives the gap up");
        assert_eq!(r.lost, 1);
    }

    #[test]
    fn a_sender_that_numbers_anew_is_heard_again() {
        let mut r = Reorder::new(4, 100 * MS);
        for n in 1000..1100 {
            run(&mut r, Instant(0), n);
        }
        let got: Vec<u16> = (0..20).flat_map(|n| run(&mut r, Instant(0), n)).collect();
        assert_eq!(got, (7..20).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn what_is_delivered_is_in_order_and_bounded(list in proptest::collection::vec(0u16..60, 0..200)) {
            let mut r = Reorder::new(4, 100 * MS);
            let mut now = Instant(0);
            for n in list {
                now = now + MS;
                if let Some(d) = r.deadline().filter(|d| *d <= now) { r.expire(d); }
                run(&mut r, now, n);
                prop_assert!(r.queue.len() <= 4);
                prop_assert_eq!(r.queue.is_empty(), r.deadline().is_none());
                prop_assert!(r.deadline().is_none_or(|d| d <= now + 100 * MS));
            }
        }
    }
}
