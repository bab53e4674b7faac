//! IKE SAs and Child SAs by number, and by what they are looked up with when there are many: their conn, their IKE SA,
//! the peer that is being called. Nothing that happens to one SA may walk over all of them.
//!
//! SAs are boxed: numbers only grow, and a tree that is filled in order is half empty.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};

use crate::conn::ConnId;
use crate::sa::{ChildSa, IkeSa, Role, Serial};

const FIRST: Serial = Serial(0);
const LAST: Serial = Serial(u32::MAX);

/// Members of a set of pairs with this first half.
fn under<K: Copy + Ord>(set: &BTreeSet<(K, Serial)>, key: K) -> Vec<Serial> {
    set.range((key, FIRST)..=(key, LAST)).map(|(_, s)| *s).collect()
}

/// SAs of one kind by number. What is put in or taken out goes by way of its table, which keeps the indexes.
#[derive(Debug)]
pub(crate) struct BySerial<T>(BTreeMap<Serial, Box<T>>);

impl<T> Default for BySerial<T> {
    fn default() -> Self {
        BySerial(BTreeMap::new())
    }
}

impl<T> BySerial<T> {
    pub(crate) fn get(&self, serial: &Serial) -> Option<&T> {
        self.0.get(serial).map(|x| &**x)
    }

    pub(crate) fn contains_key(&self, serial: &Serial) -> bool {
        self.0.contains_key(serial)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Serial> {
        self.0.keys()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values().map(|x| &**x)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Serial, &T)> {
        self.0.iter().map(|(s, x)| (s, &**x))
    }

    pub(crate) fn get_mut(&mut self, serial: &Serial) -> Option<&mut T> {
        self.0.get_mut(serial).map(|x| &mut **x)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut().map(|x| &mut **x)
    }
}

/// The tables are read like what they hold.
macro_rules! holds {
    ($table:ty, $sa:ty) => {
        impl Deref for $table {
            type Target = BySerial<$sa>;

            fn deref(&self) -> &Self::Target {
                &self.all
            }
        }

        impl DerefMut for $table {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.all
            }
        }
    };
}

holds!(IkeTable, IkeSa);
holds!(ChildTable, ChildSa);

/// The IKE SAs.
#[derive(Debug, Default)]
pub(crate) struct IkeTable {
    all: BySerial<IkeSa>,
    by_conn: BTreeSet<(ConnId, Serial)>,
    /// Those that we begin and under which phase 2 may not begin yet, by the address we call.
    calling: BTreeSet<(IpAddr, Serial)>,
    /// That address: the peer may move before it is ready.
    called: BTreeMap<Serial, IpAddr>,
}

impl IkeTable {
    pub(crate) fn insert(&mut self, serial: Serial, sa: IkeSa) {
        self.by_conn.insert((sa.conn, serial));
        if sa.role == Role::Initiator {
            self.calling.insert((sa.remote.ip(), serial));
            self.called.insert(serial, sa.remote.ip());
        }
        self.all.0.insert(serial, Box::new(sa));
    }

    pub(crate) fn remove(&mut self, serial: &Serial) -> Option<IkeSa> {
        let sa = self.all.0.remove(serial)?;
        self.by_conn.remove(&(sa.conn, *serial));
        self.settled(*serial);
        Some(*sa)
    }

    /// The SA belongs to another conn than was thought. The caller sees to the conns' counts.
    pub(crate) fn set_conn(&mut self, serial: Serial, conn: ConnId) {
        if let Some(sa) = self.all.get_mut(&serial) {
            self.by_conn.remove(&(sa.conn, serial));
            sa.conn = conn;
            self.by_conn.insert((conn, serial));
        }
    }

    /// Phase 2 may begin under the SA.
    pub(crate) fn settled(&mut self, serial: Serial) {
        if let Some(peer) = self.called.remove(&serial) {
            self.calling.remove(&(peer, serial));
        }
    }

    /// Those of a conn, oldest first.
    pub(crate) fn of_conn(&self, conn: ConnId) -> Vec<Serial> {
        under(&self.by_conn, conn)
    }

    /// Those by which we are calling this address.
    pub(crate) fn calling(&self, peer: IpAddr) -> Vec<Serial> {
        under(&self.calling, peer)
    }
}

/// The Child SAs, and Quick Modes under way.
#[derive(Debug, Default)]
pub(crate) struct ChildTable {
    all: BySerial<ChildSa>,
    by_conn: BTreeSet<(ConnId, Serial)>,
    by_ike: BTreeSet<(Serial, Serial)>,
}

impl ChildTable {
    pub(crate) fn insert(&mut self, serial: Serial, child: ChildSa) {
        self.by_conn.insert((child.conn, serial));
        self.by_ike.insert((child.ike, serial));
        self.all.0.insert(serial, Box::new(child));
    }

    pub(crate) fn remove(&mut self, serial: &Serial) -> Option<ChildSa> {
        let child = self.all.0.remove(serial)?;
        self.by_conn.remove(&(child.conn, *serial));
        self.by_ike.remove(&(child.ike, *serial));
        Some(*child)
    }

    /// Those of a conn, oldest first.
    pub(crate) fn of_conn(&self, conn: ConnId) -> Vec<Serial> {
        under(&self.by_conn, conn)
    }

    /// Those made under an IKE SA, oldest first.
    pub(crate) fn of_ike(&self, ike: Serial) -> Vec<Serial> {
        under(&self.by_ike, ike)
    }
}
