//! Address ranges of `xl2tpd.conf` and the addresses given to callers.

use std::collections::BTreeSet;
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

/// The addresses in use, one set for all LNS sections as in xl2tpd.
#[derive(Debug, Default)]
pub struct Leases(BTreeSet<Ipv4Addr>);

impl Leases {
    /// Takes the lowest free address: `ip range` lines in file order, addresses ascending, skipping those a later
    /// line takes away, those in use, and `reserved` (our own address).
    pub fn take(&mut self, rules: &[RangeRule], reserved: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        for (i, rule) in rules.iter().enumerate().filter(|(_, r)| r.allow) {
            let later = rules.get(i + 1..).unwrap_or(&[]);
            let mut n = u32::from(rule.range.start);
            let end = u32::from(rule.range.end);
            while n <= end {
                let addr = Ipv4Addr::from(n);
                // A range taken away is stepped over at once: it may be as large as the address space.
                if let Some(no) = later.iter().rev().find(|r| r.range.contains(addr)).filter(|r| !r.allow) {
                    let skip = no.range.end;
                    // A later `ip range` may give part of it back; look at each of its addresses in that case.
                    if !later.iter().any(|r| r.allow && overlaps(&r.range, &no.range)) {
                        match u32::from(skip).checked_add(1) {
                            Some(next) => n = next,
                            None => break,
                        }
                        continue;
                    }
                } else if Some(addr) != reserved && self.0.insert(addr) {
                    return Some(addr);
                }
                match n.checked_add(1) {
                    Some(next) => n = next,
                    None => break,
                }
            }
        }
        None
    }

    /// Gives an address back; true when it was in use.
    pub fn give_back(&mut self, addr: Ipv4Addr) -> bool {
        self.0.remove(&addr)
    }

    /// How many are in use.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is in use.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn overlaps(a: &AddrRange, b: &AddrRange) -> bool {
    a.start <= b.end && b.start <= a.end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, a: &str, b: &str) -> RangeRule {
        RangeRule { range: AddrRange { start: a.parse().unwrap(), end: b.parse().unwrap() }, allow }
    }

    fn drain(rules: &[RangeRule]) -> Vec<u8> {
        let mut l = Leases::default();
        std::iter::from_fn(|| l.take(rules, None)).map(|a| a.octets()[3]).collect()
    }

    #[test]
    fn the_lowest_free_address_wins_and_is_reused_at_once() {
        let r = [rule(true, "10.0.0.2", "10.0.0.4")];
        let mut l = Leases::default();
        assert_eq!(l.take(&r, None), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(l.take(&r, None), Some(Ipv4Addr::new(10, 0, 0, 3)));
        assert!(l.give_back(Ipv4Addr::new(10, 0, 0, 2)));
        assert!(!l.give_back(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(l.take(&r, None), Some(Ipv4Addr::new(10, 0, 0, 2)));
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
        assert_eq!(l.take(&r, Some(Ipv4Addr::new(10, 0, 0, 1))), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(l.take(&r, Some(Ipv4Addr::new(10, 0, 0, 1))), None);
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
}
