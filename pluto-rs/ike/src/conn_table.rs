//! All connections: what was added, the instances made of templates, which end of each is us, and the indices to find them by.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;
use std::rc::Rc;

use ipsec_types::Id;
use ipsec_types::conn::{ClientSpec, ConnSpec, EndSpec, HostSpec};

use crate::cert_users::CertUsers;
use crate::conn::{ConnId, ConnKind, Connection, Rare};
use crate::groups;
use crate::io::Interface;
use crate::later::Later;

/// Decides which end is us. Wildcard ends are always the peer.
fn orient(spec: &ConnSpec, interfaces: &[Interface]) -> Option<(bool, IpAddr, String)> {
    let local = |end: &EndSpec| match &end.host {
        HostSpec::Addr(a) => interfaces.iter().find(|i| i.addr == *a),
        _ => None,
    };
    match (local(&spec.left), local(&spec.right)) {
        // Both ends ours: nothing sensible can be done, stay unoriented.
        (Some(_), Some(_)) | (None, None) => None,
        (Some(i), None) => Some((false, i.addr, i.name.clone())),
        (None, Some(i)) => Some((true, i.addr, i.name.clone())),
    }
}

fn is_wild(end: &EndSpec) -> bool {
    let nobody = matches!(
        end.host,
        HostSpec::Any | HostSpec::Group | HostSpec::Opportunistic | HostSpec::OpportunisticGroup
    );
    nobody || matches!(end.client, ClientSpec::Virtual { .. })
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct ConnTable {
    /// Boxed, as numbers only grow, and a tree that is filled in order is half empty.
    conns: BTreeMap<ConnId, Box<Connection>>,
    by_name: HashMap<String, Vec<ConnId>>,
    by_alias: HashMap<String, Vec<ConnId>>,
    /// Conns whose peer is known, and among them those that are no instances.
    by_peer: BTreeSet<(IpAddr, ConnId)>,
    by_named_peer: BTreeSet<(IpAddr, ConnId)>,
    /// By the peer's identity, where it is a name. The peer may choose it: std's keyed hasher.
    by_peer_id: HashMap<Id, BTreeSet<ConnId>>,
    /// Conns for any peer, and those for whoever it concerns.
    for_anybody: BTreeSet<ConnId>,
    /// Conns with an end that is a host name whose address is not known, by that name.
    unresolved: BTreeMap<String, BTreeSet<ConnId>>,
    /// The certificates they name.
    pub(crate) certs: CertUsers,
    next: u64,
    instances: HashMap<ConnId, u32>,
}

impl ConnTable {
    pub(crate) fn get(&self, id: ConnId) -> Option<&Connection> {
        self.conns.get(&id).map(|c| &**c)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.conns.get_mut(&id).map(|c| &mut **c)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (ConnId, &Connection)> {
        self.conns.iter().map(|(id, c)| (*id, &**c))
    }

    fn insert(&mut self, c: Connection) -> ConnId {
        let id = ConnId(self.next);
        self.next += 1;
        self.by_name.entry(c.spec.name.clone()).or_default().push(id);
        for alias in &c.spec.aliases {
            self.by_alias.entry(alias.clone()).or_default().push(id);
        }
        if !matches!(c.kind, ConnKind::Instance(_)) {
            self.certs.added(&c.spec);
        }
        self.index(id, &c);
        self.conns.insert(id, Box::new(c));
        id
    }

    fn index(&mut self, id: ConnId, c: &Connection) {
        let name = c.name_of_peer();
        if is_name(&name) && c.kind != ConnKind::Template {
            self.by_peer_id.entry(name).or_default().insert(id);
        }
        let instance = matches!(c.kind, ConnKind::Instance(_));
        for name in c.unresolved() {
            self.unresolved.entry(name.to_string()).or_default().insert(id);
        }
        if let Some(peer) = c.peer {
            self.by_peer.insert((peer, id));
            if !instance {
                self.by_named_peer.insert((peer, id));
            }
        }
        if !instance && (matches!(c.that().host, HostSpec::Any) || c.is_opportunistic()) {
            self.for_anybody.insert(id);
        }
    }

    fn unindex(&mut self, id: ConnId, c: &Connection) {
        let name = c.name_of_peer();
        if let Some(ids) = self.by_peer_id.get_mut(&name) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_peer_id.remove(&name);
            }
        }
        for name in c.unresolved() {
            if let Some(ids) = self.unresolved.get_mut(name) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.unresolved.remove(name);
                }
            }
        }
        if let Some(peer) = c.peer {
            self.by_peer.remove(&(peer, id));
            self.by_named_peer.remove(&(peer, id));
        }
        self.for_anybody.remove(&id);
    }

    /// An instance's peer has moved.
    pub(crate) fn set_peer(&mut self, id: ConnId, peer: IpAddr) {
        if let Some(c) = self.conns.get_mut(&id)
            && let Some(old) = c.peer.replace(peer)
        {
            self.by_peer.remove(&(old, id));
            self.by_peer.insert((peer, id));
        }
    }

    /// An instance's peer has said who it is.
    pub(crate) fn set_peer_id(&mut self, id: ConnId, peer_id: Id) {
        if let Some(mut c) = self.conns.remove(&id) {
            self.unindex(id, &c);
            c.peer_id = peer_id;
            self.index(id, &c);
            self.conns.insert(id, c);
        }
    }

    /// Permanent conns and instances whose peer has this name.
    pub(crate) fn with_peer_id(&self, name: &Id) -> Vec<ConnId> {
        self.by_peer_id.get(name).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    /// Every conn with this peer, instances too.
    pub(crate) fn with_peer(&self, peer: IpAddr) -> Vec<ConnId> {
        self.by_peer.range(whole(peer)).map(|(_, id)| *id).collect()
    }

    /// Whether a conn was made for this peer in particular.
    pub(crate) fn names_peer(&self, peer: IpAddr) -> bool {
        self.by_named_peer.range(whole(peer)).next().is_some()
    }

    /// Adds a conn; the caller has removed one of the same name.
    pub(crate) fn add(&mut self, spec: ConnSpec, interfaces: &[Interface]) -> ConnId {
        let kind = if is_wild(&spec.left) || is_wild(&spec.right) {
            ConnKind::Template
        } else {
            ConnKind::Permanent
        };
        let mut c = Connection {
            spec: Rc::new(spec),
            from_file: false,
            kind,
            template: None,
            swapped: false,
            oriented: None,
            peer: None,
            peer_id: Id::None,
            peer_port: None,
            newest_ike: None,
            newest_child: None,
            up: false,
            up_children: 0,
            routed: false,
            trap: None,
            grouted: false,
            rare: Later::default(),
            refs: 0,
        };
        place(&mut c, interfaces);
        self.insert(c)
    }

    /// Looks at every conn again after the interfaces changed. Instances keep what their SAs were made with.
    pub(crate) fn reorient(&mut self, interfaces: &[Interface]) {
        let mut conns = std::mem::take(&mut self.conns);
        for (id, c) in conns.iter_mut().filter(|(_, c)| !matches!(c.kind, ConnKind::Instance(_))) {
            self.unindex(*id, c);
            place(c, interfaces);
            self.index(*id, c);
        }
        self.conns = conns;
    }

    /// Host names whose addresses are not known, in their order from the one after `last` on and round to it; at most `most`.
    pub(crate) fn unresolved(&self, last: &str, most: usize) -> Vec<String> {
        let after = self.unresolved.range::<str, _>((Bound::Excluded(last), Bound::Unbounded));
        let before = self.unresolved.range::<str, _>((Bound::Unbounded, Bound::Included(last)));
        after.chain(before).take(most).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn has_unresolved(&self) -> bool {
        !self.unresolved.is_empty()
    }

    /// The address of a host name is known: gives it to the conns that lack it, and returns them.
    pub(crate) fn resolve(&mut self, name: &str, addr: IpAddr, interfaces: &[Interface]) -> Vec<ConnId> {
        let ids: Vec<ConnId> = self.unresolved.get(name).into_iter().flatten().copied().collect();
        for id in &ids {
            let Some(mut c) = self.conns.remove(id) else { continue };
            self.unindex(*id, &c);
            let spec = Rc::make_mut(&mut c.spec);
            for end in [&mut spec.left, &mut spec.right] {
                if matches!(&end.host, HostSpec::Name(n) if n == name) {
                    (end.host, end.host_name) = (HostSpec::Addr(addr), Some(name.into()));
                }
            }
            place(&mut c, interfaces);
            self.index(*id, &c);
            self.conns.insert(*id, c);
        }
        ids
    }

    /// Makes an instance of a template for a peer.
    pub(crate) fn instantiate(&mut self, template: ConnId, peer: IpAddr) -> Option<ConnId> {
        let mut c = self.get(template)?.clone();
        let n = self.instances.entry(template).or_insert(0);
        *n += 1;
        c.kind = ConnKind::Instance(*n);
        if c.is_opportunistic() {
            c.spec = Rc::new(groups::for_host(&c.spec, c.swapped, peer));
        }
        c.template = Some(template);
        c.peer = Some(peer);
        c.up = false;
        (c.up_children, c.routed, c.trap) = (0, false, None);
        if let Some(rare) = c.rare.there() {
            let (given, credentials) = (rare.given.take(), rare.credentials.take());
            *rare = Rare { given, credentials, ..Rare::default() };
        }
        c.refs = 0;
        (c.newest_ike, c.newest_child) = (None, None);
        Some(self.insert(c))
    }

    /// Removes one connection.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Connection> {
        let c = self.conns.remove(&id)?;
        self.unindex(id, &c);
        self.instances.remove(&id);
        if !matches!(c.kind, ConnKind::Instance(_)) {
            self.certs.removed(&c.spec);
        }
        forget(&mut self.by_name, &c.spec.name, id);
        for alias in &c.spec.aliases {
            forget(&mut self.by_alias, alias, id);
        }
        Some(*c)
    }

    /// The conn of this name and all its instances.
    pub(crate) fn named(&self, name: &str) -> Vec<ConnId> {
        self.by_name.get(name).cloned().unwrap_or_default()
    }

    /// As [`Self::named`], with `connalias=` too.
    pub(crate) fn named_or_alias(&self, name: &str) -> Vec<ConnId> {
        let found = self.by_name.get(name).or_else(|| self.by_alias.get(name));
        found.cloned().unwrap_or_default()
    }

    /// Conns that could serve a first message from `remote` at `local`, best first: exact peers before road
    /// warriors, those before whom it may concern (the narrowest network first), and within each the latest added
    /// first (Openswan's order).
    pub(crate) fn for_peer(&self, local: IpAddr, remote: IpAddr) -> Vec<ConnId> {
        let fits =
            |id: ConnId| self.conns.get(&id).filter(|c| c.our_addr() == Some(local) && !c.never_negotiates());
        let exact = self.by_named_peer.range(whole(remote)).rev().map(|(_, id)| *id);
        let exact = exact.filter(|id| fits(*id).is_some());
        let anybody = || self.for_anybody.iter().rev().filter_map(|id| Some((*id, fits(*id)?)));
        let any = anybody().filter(|(_, c)| matches!(c.that().host, HostSpec::Any)).map(|(id, _)| id);
        let mut others: Vec<(u8, ConnId)> =
            anybody().filter_map(|(id, c)| Some((groups::covers(c, remote)?, id))).collect();
        others.sort_by_key(|(bits, _)| std::cmp::Reverse(*bits));
        exact.chain(any).chain(others.into_iter().map(|x| x.1)).collect()
    }

    /// An instance of `template` for this peer and identity, other than `not`.
    pub(crate) fn instance_of(
        &self,
        template: ConnId,
        peer: SocketAddr,
        id: &Id,
        not: ConnId,
    ) -> Option<ConnId> {
        self.by_peer.range(whole(peer.ip())).map(|(_, x)| *x).find(|x| {
            *x != not
                && self.is_for(*x, peer)
                && self.conns.get(x).is_some_and(|c| {
                    c.template == Some(template) && c.peer_id != Id::None && c.peer_id == *id
                })
        })
    }

    /// Whether a conn may be of a peer at this address and port: an instance that has one of several clients behind a NAT
    /// is of that one only.
    pub(crate) fn is_for(&self, conn: ConnId, peer: SocketAddr) -> bool {
        self.conns.get(&conn).is_some_and(|c| c.rare.peer_at.is_none_or(|at| at == peer))
    }
}

/// Whether an identity says who somebody is, wherever he comes from.
pub(crate) fn is_name(id: &Id) -> bool {
    !matches!(id, Id::None | Id::Addr(_))
}

/// Whether an identity is a private address behind a NAT: two homes of one provider have the same.
pub(crate) fn is_hidden(id: &Id, peer: IpAddr) -> bool {
    matches!(id, Id::Addr(a) if *a != peer)
}

/// The part of an index that is about this peer.
fn whole(peer: IpAddr) -> std::ops::RangeInclusive<(IpAddr, ConnId)> {
    (peer, ConnId(0))..=(peer, ConnId(u64::MAX))
}

fn forget(index: &mut HashMap<String, Vec<ConnId>>, key: &str, id: ConnId) {
    if let Some(ids) = index.get_mut(key) {
        // Numbers only grow, so the list is in order.
        if let Ok(at) = ids.binary_search(&id) {
            ids.remove(at);
        }
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

fn place(c: &mut Connection, interfaces: &[Interface]) {
    c.oriented = None;
    if let Some((swapped, addr, name)) = orient(&c.spec, interfaces) {
        c.swapped = swapped;
        // While an end is unknown nothing may be done with the conn.
        let known = c.unresolved().next().is_none();
        c.oriented = known.then(|| (addr, name.into()));
    }
    c.peer = match &c.that().host {
        HostSpec::Addr(a) if c.oriented.is_some() => Some(*a),
        _ => None,
    };
}
