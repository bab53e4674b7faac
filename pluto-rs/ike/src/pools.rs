//! Addresses that clients get by Mode Config: one pool for each range, whichever conns name it.
//!
//! A lease lasts as long as the instance of the conn that has it. Who comes back under the same name gets the address it
//! had before while nobody else has it, and of those that are free the one that was given back first goes first. What is
//! kept is bounded by the leases and [`REMEMBERED`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipsec_types::modecfg::AddressPool;

/// Addresses that were given back and are still kept for who had them, in each pool.
const REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
struct Pool {
    /// How many were ever taken from the front of the range.
    fresh: u128,
    /// Who has an address, or had it last; and the other way round. The peer chooses the name: std's keyed hasher.
    names: HashMap<IpAddr, String>,
    last: HashMap<String, IpAddr>,
    /// Addresses that are free again, in the order in which they became so; and the other way round.
    free: BTreeMap<u64, IpAddr>,
    since: HashMap<IpAddr, u64>,
    released: u64,
}

impl Pool {
    fn take_free(&mut self, addr: IpAddr) -> Option<IpAddr> {
        self.free.remove(&self.since.remove(&addr)?)
    }

    /// The next address that nobody had; those in use `elsewhere` become free ones of this pool.
    fn take_fresh(&mut self, range: AddressPool, elsewhere: &HashSet<IpAddr>) -> Option<IpAddr> {
        while self.free.len() < REMEMBERED {
            let found = nth(range, self.fresh)?;
            self.fresh += 1;
            if !elsewhere.contains(&found) {
                return Some(found);
            }
            self.put_free(found);
        }
        None
    }

    fn take_oldest(&mut self, elsewhere: &HashSet<IpAddr>) -> Option<IpAddr> {
        let addr = self.free.values().find(|a| !elsewhere.contains(a)).copied()?;
        self.take_free(addr)
    }

    fn put_free(&mut self, addr: IpAddr) {
        self.released += 1;
        self.free.insert(self.released, addr);
        self.since.insert(addr, self.released);
    }

    fn in_use(&self) -> impl Iterator<Item = IpAddr> {
        self.names.keys().filter(|a| !self.since.contains_key(a)).copied()
    }
}

/// All pools.
#[derive(Debug, Default)]
pub(crate) struct Pools(HashMap<AddressPool, Pool>);

impl Pools {
    /// An address for the client called `name`; `None` if all are in use.
    pub(crate) fn lease(&mut self, range: AddressPool, name: &str) -> Option<IpAddr> {
        // What has been given out of another pool that has addresses of this one, too.
        let others =
            self.0.iter().filter(|(r, _)| **r != range && r.first <= range.last && range.first <= r.last);
        let elsewhere: HashSet<IpAddr> = others.flat_map(|(_, p)| p.in_use()).collect();
        let pool = self.0.entry(range).or_default();
        let before = pool.last.get(name).copied().filter(|a| !elsewhere.contains(a));
        let found = before
            .and_then(|a| pool.take_free(a))
            .or_else(|| pool.take_fresh(range, &elsewhere))
            .or_else(|| pool.take_oldest(&elsewhere))?;
        if let Some(other) = pool.names.insert(found, name.into())
            && pool.last.get(&other) == Some(&found)
        {
            pool.last.remove(&other);
        }
        pool.last.insert(name.into(), found);
        Some(found)
    }

    /// The address is free again.
    pub(crate) fn release(&mut self, range: AddressPool, addr: IpAddr) {
        let Some(pool) = self.0.get_mut(&range) else { return };
        if pool.names.contains_key(&addr) && !pool.since.contains_key(&addr) {
            pool.put_free(addr);
        }
    }
}

/// Address number `n` of the range, from 0.
fn nth(range: AddressPool, n: u128) -> Option<IpAddr> {
    match (range.first, range.last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let n = first.to_bits().checked_add(u32::try_from(n).ok()?).filter(|n| *n <= last.to_bits())?;
            Some(Ipv4Addr::from_bits(n).into())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let n = first.to_bits().checked_add(n).filter(|n| *n <= last.to_bits())?;
            Some(Ipv6Addr::from_bits(n).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: &str, last: &str) -> AddressPool {
        AddressPool { first: first.parse().unwrap(), last: last.parse().unwrap() }
    }

    fn addr(a: &str) -> Option<IpAddr> {
        Some(a.parse().unwrap())
    }

    #[test]
    fn pools_that_overlap_do_not_give_an_address_twice() {
        let (mut pools, all, own) =
            (Pools::default(), range("10.0.0.1", "10.0.0.3"), range("10.0.0.2", "10.0.0.2"));
        assert_eq!(pools.lease(own, "joe"), addr("10.0.0.2"));
        assert_eq!(pools.lease(all, "a"), addr("10.0.0.1"));
        assert_eq!(pools.lease(all, "b"), addr("10.0.0.3"));
        assert_eq!(pools.lease(all, "c"), None);
        pools.release(own, "10.0.0.2".parse().unwrap());
        assert_eq!(pools.lease(all, "c"), addr("10.0.0.2"));
        // Now it is joe's turn to wait.
        assert_eq!(pools.lease(own, "joe"), None);
        pools.release(all, "10.0.0.2".parse().unwrap());
        assert_eq!(pools.lease(own, "joe"), addr("10.0.0.2"));
        assert_eq!(pools.lease(all, "c"), None);
    }

    #[test]
    fn an_address_is_given_once_and_comes_back() {
        let (mut pools, r) = (Pools::default(), range("10.0.0.1", "10.0.0.3"));
        assert_eq!(pools.lease(r, "a"), addr("10.0.0.1"));
        assert_eq!(pools.lease(r, "b"), addr("10.0.0.2"));
        pools.release(r, "10.0.0.1".parse().unwrap());
        assert_eq!(pools.lease(r, "c"), addr("10.0.0.3"), "a's place is kept while there is another");
        assert_eq!(pools.lease(r, "a"), addr("10.0.0.1"), "who comes back has his address again");
        assert_eq!(pools.lease(r, "d"), None, "one more than there are");
        pools.release(r, "10.0.0.2".parse().unwrap());
        pools.release(r, "10.0.0.2".parse().unwrap());
        pools.release(r, "10.0.0.9".parse().unwrap());
        assert_eq!(
            pools.lease(r, "d"),
            addr("10.0.0.2"),
            "b is gone: his place is not kept when it is the last"
        );
        assert_eq!(pools.lease(r, "b"), None);
    }

    #[test]
    fn one_name_twice_has_two_addresses() {
        let (mut pools, r) = (Pools::default(), range("10.0.0.1", "10.0.0.2"));
        assert_eq!(pools.lease(r, "a"), addr("10.0.0.1"));
        assert_eq!(pools.lease(r, "a"), addr("10.0.0.2"));
        assert_eq!(pools.lease(r, "a"), None);
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let (mut pools, r) = (Pools::default(), range("2001:db8::1", "2001:db8::ffff:ffff"));
        for n in 0..3 * REMEMBERED {
            let a = pools.lease(r, &n.to_string()).unwrap();
            pools.release(r, a);
        }
        let pool = &pools.0[&r];
        let sizes = [pool.names.len(), pool.last.len(), pool.free.len(), pool.since.len()];
        assert_eq!(sizes, [REMEMBERED; 4]);
    }
}
