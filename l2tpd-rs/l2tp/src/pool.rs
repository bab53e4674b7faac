//! Address ranges of `xl2tpd.conf` and the addresses given to callers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// An inclusive range of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddrRange {
    /// First address.
    pub start: Ipv4Addr,
    /// Last address, not below `start`.
    pub end: Ipv4Addr,
}

impl AddrRange {
    /// Whether `addr` lies in the range.
    pub fn contains(&self, addr: Ipv4Addr) -> bool {
        self.start <= addr && addr <= self.end
    }
}

/// One `ip range` or `no ip range`, `lac` or `no lac` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeRule {
    /// The addresses.
    pub range: AddrRange,
    /// False for the `no` form.
    pub allow: bool,
}

/// The verdict of the last rule that contains `addr`, if any does.
pub fn verdict(rules: &[RangeRule], addr: Ipv4Addr) -> Option<bool> {
    rules.iter().rev().find(|r| r.range.contains(addr)).map(|r| r.allow)
}

/// Addresses as disjoint ranges that do not touch, first to last: the next free one is found without walking those in
/// use.
#[derive(Debug, Default)]
struct RangeSet(BTreeMap<u32, u32>);

impl RangeSet {
    fn holding(&self, n: u32) -> Option<(u32, u32)> {
        self.0.range(..=n).next_back().map(|(&a, &b)| (a, b)).filter(|&(_, b)| n <= b)
    }

    fn insert(&mut self, n: u32) {
        if self.holding(n).is_some() {
            return;
        }
        let (mut start, mut end) = (n, n);
        if let Some((a, _)) = n.checked_sub(1).and_then(|p| self.holding(p)) {
            start = a;
        }
        if let Some((a, b)) = n.checked_add(1).and_then(|p| self.holding(p)) {
            self.0.remove(&a);
            end = b;
        }
        self.0.insert(start, end);
    }

    fn remove(&mut self, n: u32) {
        let Some((a, b)) = self.holding(n) else { return };
        self.0.remove(&a);
        if a < n {
            self.0.insert(a, n - 1);
        }
        if n < b {
            self.0.insert(n + 1, b);
        }
    }
}

/// How many callers' last addresses are kept.
const REMEMBERED: usize = 65_536;

/// The addresses in use, one set for all LNS sections as in xl2tpd.
#[derive(Debug, Default)]
pub struct Leases {
    given: BTreeSet<Ipv4Addr>,
    held: BTreeSet<Ipv4Addr>,
    /// Both.
    used: RangeSet,
    /// Addresses that belong to certain users: given to others only when nothing else is left.
    kept: RangeSet,
    /// Callers to their last address, and when they had it.
    last: BTreeMap<u64, (Ipv4Addr, u64)>,
    /// The same by time, to forget the oldest.
    order: BTreeMap<u64, u64>,
    clock: u64,
}

impl Leases {
    /// Takes an address: the one `caller` had last if it is free and still in the ranges, else the lowest free one:
    /// `ip range` lines in file order, addresses ascending, skipping those a later line takes away, those in use, and
    /// those that are `reserved`: our own.
    pub fn take(
        &mut self,
        rules: &[RangeRule],
        reserved: impl Fn(Ipv4Addr) -> bool,
        caller: Option<u64>,
    ) -> Option<Ipv4Addr> {
        let again = caller.and_then(|c| self.last_of(c));
        let free = |a: Ipv4Addr| [&self.used, &self.kept].iter().all(|set| set.holding(a.into()).is_none());
        let again = again.filter(|&a| !reserved(a) && verdict(rules, a) == Some(true) && free(a));
        let addr = again
            .or_else(|| self.lowest(rules, &reserved, false))
            .or_else(|| self.lowest(rules, &reserved, true))?;
        self.given.insert(addr);
        self.used.insert(addr.into());
        if let Some(c) = caller {
            self.remember(c, addr);
        }
        Some(addr)
    }

    /// With `kept` those count too that are kept for users.
    fn lowest(
        &self,
        rules: &[RangeRule],
        reserved: &impl Fn(Ipv4Addr) -> bool,
        kept: bool,
    ) -> Option<Ipv4Addr> {
        for (i, rule) in rules.iter().enumerate().filter(|(_, r)| r.allow) {
            let later = rules.get(i + 1..).unwrap_or(&[]);
            let mut n = u32::from(rule.range.start);
            let end = u32::from(rule.range.end);
            while n <= end {
                let addr = Ipv4Addr::from(n);
                // What is in use or taken away is stepped over at once: it may be as large as the address space.
                let mut last = n;
                if let Some(no) = later.iter().rev().find(|r| r.range.contains(addr)).filter(|r| !r.allow) {
                    // A later `ip range` may give part of it back; look at each of its addresses in that case.
                    if !later.iter().any(|r| r.allow && overlaps(&r.range, &no.range)) {
                        last = u32::from(no.range.end);
                    }
                } else if let Some((_, b)) = self.used.holding(n) {
                    last = b;
                } else if let Some((_, b)) = self.kept.holding(n).filter(|_| !kept) {
                    last = b;
                } else if !reserved(addr) {
                    return Some(addr);
                }
                match last.checked_add(1) {
                    Some(next) => n = next,
                    None => break,
                }
            }
        }
        None
    }

    /// Gives an address back; true when it was in use.
    pub fn give_back(&mut self, addr: Ipv4Addr) -> bool {
        let was = self.given.remove(&addr);
        self.settle(addr);
        was
    }

    /// Keeps an address from being given away.
    pub fn hold(&mut self, addr: Ipv4Addr) {
        self.held.insert(addr);
        self.used.insert(addr.into());
    }

    /// Undoes [`Leases::hold`].
    pub fn unhold(&mut self, addr: Ipv4Addr) {
        self.held.remove(&addr);
        self.settle(addr);
    }

    /// Takes this address, which somebody else has given away; false when it is in use.
    pub fn claim(&mut self, addr: Ipv4Addr) -> bool {
        self.used.insert(addr.into());
        self.given.insert(addr)
    }

    /// Sets which addresses belong to certain users.
    pub fn keep(&mut self, addrs: impl IntoIterator<Item = Ipv4Addr>) {
        self.kept = RangeSet::default();
        addrs.into_iter().for_each(|a| self.kept.insert(a.into()));
    }

    fn settle(&mut self, addr: Ipv4Addr) {
        if !self.given.contains(&addr) && !self.held.contains(&addr) {
            self.used.remove(addr.into());
        }
    }

    /// Notes which address a caller has; the caller longest unseen is forgotten beyond a bound.
    pub fn remember(&mut self, caller: u64, addr: Ipv4Addr) {
        self.clock += 1;
        if let Some((_, at)) = self.last.insert(caller, (addr, self.clock)) {
            self.order.remove(&at);
        }
        self.order.insert(self.clock, caller);
        if self.last.len() > REMEMBERED
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.last.remove(&oldest);
        }
    }

    /// The address a caller had last.
    pub fn last_of(&self, caller: u64) -> Option<Ipv4Addr> {
        self.last.get(&caller).map(|&(a, _)| a)
    }

    /// Callers and their last addresses.
    pub fn remembered(&self) -> impl Iterator<Item = (u64, Ipv4Addr)> + '_ {
        self.last.iter().map(|(&c, &(a, _))| (c, a))
    }

    /// Those that are given away.
    pub(crate) fn given(&self) -> &BTreeSet<Ipv4Addr> {
        &self.given
    }

    /// How many are given away.
    pub fn len(&self) -> usize {
        self.given.len()
    }

    /// Whether none is given away.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }
}

fn overlaps(a: &AddrRange, b: &AddrRange) -> bool {
    a.start <= b.end && b.start <= a.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(allow: bool, a: &str, b: &str) -> RangeRule {
        RangeRule { range: AddrRange { start: a.parse().unwrap(), end: b.parse().unwrap() }, allow }
    }

    fn drain(rules: &[RangeRule]) -> Vec<u8> {
        let mut l = Leases::default();
        std::iter::from_fn(|| l.take(rules, |_| false, None)).map(|a| a.octets()[3]).collect()
    }

    #[test]
    fn the_lowest_free_address_wins_and_is_reused_at_once() {
        let r = [rule(true, "10.0.0.2", "10.0.0.4")];
        let mut l = Leases::default();
        assert_eq!(l.take(&r, |_| false, None), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(l.take(&r, |_| false, None), Some(Ipv4Addr::new(10, 0, 0, 3)));
        assert!(l.give_back(Ipv4Addr::new(10, 0, 0, 2)));
        assert!(!l.give_back(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(l.take(&r, |_| false, None), Some(Ipv4Addr::new(10, 0, 0, 2)));
    }

    #[test]
    fn a_later_range_allows_again_what_one_between_took_away() {
        let no = [rule(true, "10.0.0.1", "10.0.0.6"), rule(false, "10.0.0.2", "10.0.0.5")];
        assert_eq!(drain(&no), [1, 6]);
        let again = [no[0], no[1], rule(true, "10.0.0.4", "10.0.0.4")];
        assert_eq!(drain(&again), [1, 4, 6]);
    }

    #[test]
    fn our_own_address_is_never_given_away() {
        let mut l = Leases::default();
        let r = [rule(true, "10.0.0.1", "10.0.0.2")];
        assert_eq!(l.take(&r, |a| a == Ipv4Addr::new(10, 0, 0, 1), None), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(l.take(&r, |a| a == Ipv4Addr::new(10, 0, 0, 1), None), None);
    }

    #[test]
    fn a_range_up_to_the_last_address_ends() {
        assert_eq!(drain(&[rule(true, "255.255.255.254", "255.255.255.255")]), [254, 255]);
        assert_eq!(
            drain(&[rule(true, "0.0.0.0", "255.255.255.255"), rule(false, "0.0.0.0", "255.255.255.255")]),
            [0u8; 0]
        );
    }

    #[test]
    fn the_last_matching_rule_decides() {
        let r = [rule(true, "10.0.0.1", "10.0.0.9"), rule(false, "10.0.0.5", "10.0.0.5")];
        let v = |a: &str| verdict(&r, a.parse().unwrap());
        assert_eq!([v("10.0.0.1"), v("10.0.0.5"), v("10.0.0.10")], [Some(true), Some(false), None]);
    }

    #[test]
    fn a_caller_gets_the_address_it_had_while_that_is_free_and_in_the_ranges() {
        let r = [rule(true, "10.0.0.1", "10.0.0.9")];
        let mut l = Leases::default();
        let [a, b] = [1, 2].map(|c| l.take(&r, |_| false, Some(c)).unwrap());
        l.give_back(a);
        l.give_back(b);
        assert_eq!(l.take(&r, |_| false, Some(2)), Some(b), "not the lowest");
        assert_ne!(l.take(&r, |_| false, Some(2)), Some(b), "in use: a second call gets another");
        let narrow = [r[0], rule(false, "10.0.0.1", "10.0.0.1")];
        assert_ne!(l.take(&narrow, |_| false, Some(1)), Some(a));
    }

    #[test]
    fn a_held_address_is_not_given_away_until_it_is_released() {
        let r = [rule(true, "10.0.0.1", "10.0.0.2")];
        let mut l = Leases::default();
        l.hold(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(l.take(&r, |_| false, None), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(l.take(&r, |_| false, None), None);
        l.unhold(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(l.take(&r, |_| false, None), Some(Ipv4Addr::new(10, 0, 0, 1)));
        l.hold(Ipv4Addr::new(10, 0, 0, 1));
        assert!(l.give_back(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(l.take(&r, |_| false, None), None, "held though given back");
    }

    #[test]
    fn an_address_of_a_user_is_given_to_others_only_when_nothing_else_is_left() {
        let r = [rule(true, "10.0.0.1", "10.0.0.3")];
        let mut l = Leases::default();
        let [a, b, c] = [1, 2, 3].map(|n| Ipv4Addr::new(10, 0, 0, n));
        l.remember(7, a);
        l.keep([a, b]);
        assert_eq!(l.take(&r, |_| false, Some(7)), Some(c), "not the one it had");
        assert!(l.claim(b) && !l.claim(b));
        assert_eq!(l.take(&r, |_| false, None), Some(a));
        assert_eq!(l.take(&r, |_| false, None), None);
        assert!(l.give_back(b) && l.give_back(a));
        l.keep([]);
        assert_eq!(l.take(&r, |_| false, None), Some(a));
    }

    #[test]
    fn only_so_many_callers_are_remembered() {
        let mut l = Leases::default();
        for c in 0..REMEMBERED as u64 + 10 {
            l.remember(c, Ipv4Addr::from(c as u32));
        }
        assert_eq!(l.remembered().count(), REMEMBERED);
        assert_eq!(l.remembered().next().map(|(c, _)| c), Some(10));
    }

    proptest! {
        /// The range set says what a plain set says.
        #[test]
        fn the_lowest_free_address_is_that_of_a_walk(acts in proptest::collection::vec((any::<bool>(), 0u8..30), 0..80)) {
            let r = [rule(true, "10.0.0.0", "10.0.0.29")];
            let (mut l, mut plain) = (Leases::default(), BTreeSet::new());
            for (take, n) in acts {
                if take {
                    let want = (0..30).find(|n| !plain.contains(n));
                    plain.extend(want);
                    prop_assert_eq!(l.take(&r, |_| false, None).map(|a| a.octets()[3]), want);
                } else {
                    prop_assert_eq!(l.give_back(Ipv4Addr::new(10, 0, 0, n)), plain.remove(&n));
                }
            }
        }
    }
}
