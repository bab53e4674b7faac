//! IKE SAs and Child SAs by number, and by what they are looked up with when there are many: their conn, their IKE SA,
//! the peer that is being called. Nothing that happens to one SA may walk over all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Deref;

use crate::conn::ConnId;
use crate::sa::{ChildSa, IkeSa, Role, Serial};

const FIRST: Serial = Serial(0);
const LAST: Serial = Serial(u32::MAX);

/// Members of a set of pairs with this first half.
fn under<K: Copy + Ord>(set: &BTreeSet<(K, Serial)>, key: K) -> Vec<Serial> {
    set.range((key, FIRST)..=(key, LAST)).map(|(_, s)| *s).collect()
}

/// The IKE SAs.
#[derive(Debug, Default)]
pub(crate) struct IkeTable {
    all: BTreeMap<Serial, IkeSa>,
    by_conn: BTreeSet<(ConnId, Serial)>,
    /// Those that we begin and that are not established.
    calling: BTreeSet<(IpAddr, Serial)>,
}

impl Deref for IkeTable {
    type Target = BTreeMap<Serial, IkeSa>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl IkeTable {
    pub(crate) fn insert(&mut self, serial: Serial, sa: IkeSa) {
        self.by_conn.insert((sa.conn, serial));
        if sa.role == Role::Initiator {
            self.calling.insert((sa.remote.ip(), serial));
        }
        self.all.insert(serial, sa);
    }

    pub(crate) fn remove(&mut self, serial: &Serial) -> Option<IkeSa> {
        let sa = self.all.remove(serial)?;
        self.by_conn.remove(&(sa.conn, *serial));
        self.calling.remove(&(sa.remote.ip(), *serial));
        Some(sa)
    }

    /// The SA belongs to another conn than was thought. The caller sees to the conns' counts.
    pub(crate) fn set_conn(&mut self, serial: Serial, conn: ConnId) {
        if let Some(sa) = self.all.get_mut(&serial) {
            self.by_conn.remove(&(sa.conn, serial));
            sa.conn = conn;
            self.by_conn.insert((conn, serial));
        }
    }

    /// The SA is established.
    pub(crate) fn settled(&mut self, serial: Serial) {
        if let Some(sa) = self.all.get(&serial) {
            self.calling.remove(&(sa.remote.ip(), serial));
        }
    }

    pub(crate) fn get_mut(&mut self, serial: &Serial) -> Option<&mut IkeSa> {
        self.all.get_mut(serial)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut IkeSa> {
        self.all.values_mut()
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
    all: BTreeMap<Serial, ChildSa>,
    by_conn: BTreeSet<(ConnId, Serial)>,
    by_ike: BTreeSet<(Serial, Serial)>,
}

impl Deref for ChildTable {
    type Target = BTreeMap<Serial, ChildSa>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl ChildTable {
    pub(crate) fn insert(&mut self, serial: Serial, child: ChildSa) {
        self.by_conn.insert((child.conn, serial));
        self.by_ike.insert((child.ike, serial));
        self.all.insert(serial, child);
    }

    pub(crate) fn remove(&mut self, serial: &Serial) -> Option<ChildSa> {
        let child = self.all.remove(serial)?;
        self.by_conn.remove(&(child.conn, *serial));
        self.by_ike.remove(&(child.ike, *serial));
        Some(child)
    }

    pub(crate) fn get_mut(&mut self, serial: &Serial) -> Option<&mut ChildSa> {
        self.all.get_mut(serial)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut ChildSa> {
        self.all.values_mut()
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
