//! Connections: what was added, the instances made of templates, and which end is us.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::LazyLock;

use ipnet::IpNet;
use ipsec_types::conn::{ClientSpec, ConnSpec, ConnType, EndSpec, FailureShunt, HostSpec, Port};
use ipsec_types::kernel::PolicyId;
use ipsec_types::modecfg::AddressPool;
use ipsec_types::{Id, SecretBytes};

use crate::groups;
use crate::io::Interface;
use crate::later::{Blank, Later};
use crate::sa::Serial;
use crate::spd::Slot;

/// Names a connection; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnId(pub u64);

/// What a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnKind {
    /// Both ends are known.
    Permanent,
    /// `right=%any` or a virtual client: instances are made of it.
    Template,
    /// Number N of a template, for one peer.
    Instance(u32),
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Us,
    Peer,
}

/// What a Mode Config server gave us beside an address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub dns: Vec<IpAddr>,
    pub domain: Option<String>,
    pub banner: Option<String>,
    pub split: Vec<IpNet>,
}

/// Name and password for XAUTH.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    pub user: Option<String>,
    pub password: Option<SecretBytes>,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub spec: Rc<ConnSpec>,
    /// It came from the configuration file: a reload takes it out when it is gone from there.
    pub from_file: bool,
    pub kind: ConnKind,
    /// Template of an instance.
    pub template: Option<ConnId>,
    /// Our end is `right`.
    pub swapped: bool,
    /// Our address and the interface it is on; `None` while neither end is us.
    pub oriented: Option<(IpAddr, Rc<str>)>,
    /// The peer's address, known for permanent conns and instances.
    pub peer: Option<IpAddr>,
    /// The peer's identity, learnt for instances.
    pub peer_id: Id,
    /// The port that `%any` in the peer's protoport became.
    pub peer_port: Option<u16>,
    pub newest_ike: Option<Serial>,
    pub newest_child: Option<Serial>,
    /// `ipsec auto --up` or the like: keep it up.
    pub up: bool,
    /// Established Child SAs.
    pub up_children: usize,
    /// The updown script was told to set the route.
    pub routed: bool,
    /// The trap: packets of the conn without an SA ask for one.
    pub trap: Option<Slot>,
    /// A group whose members are routed.
    pub grouted: bool,
    pub rare: Later<Rare>,
    /// States that use it.
    pub refs: usize,
}

/// What most conns do not have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    /// The group it is a member of.
    pub member_of: Option<ConnId>,
    /// Policies of a conn that never negotiates.
    pub shunts: Vec<PolicyId>,
    /// As server: who proved himself with XAUTH, or with `xauthfail=soft` did not; from where.
    pub xauth_user: Option<String>,
    pub xauth_failed: bool,
    pub peer_at: Option<SocketAddr>,
    /// As server: the address the client has of us, and the pool it is from.
    pub their_lease: Option<IpAddr>,
    pub leased_from: Option<AddressPool>,
    /// As client: the address we have of the server, and what else it gave.
    pub our_lease: Option<IpAddr>,
    pub given: Option<Box<Given>>,
    /// As client: what whack gave to answer XAUTH with.
    pub credentials: Option<Box<Credentials>>,
}

impl Blank for Rare {
    fn blank() -> &'static Self {
        static BLANK: LazyLock<Rare> = LazyLock::new(Rare::default);
        &BLANK
    }
}

impl Connection {
    pub(crate) fn this(&self) -> &EndSpec {
        if self.swapped { &self.spec.right } else { &self.spec.left }
    }

    pub(crate) fn that(&self) -> &EndSpec {
        if self.swapped { &self.spec.left } else { &self.spec.right }
    }

    /// `type=passthrough`, `drop` or `reject`.
    pub(crate) fn never_negotiates(&self) -> bool {
        matches!(self.spec.conn_type, ConnType::Passthrough | ConnType::Reject | ConnType::Drop)
    }

    /// Our address.
    pub(crate) fn our_addr(&self) -> Option<IpAddr> {
        self.oriented.as_ref().map(|o| o.0)
    }

    /// The identity we send.
    pub(crate) fn our_id(&self) -> Id {
        match (&self.this().id, self.our_addr()) {
            (Id::None, Some(a)) => Id::Addr(a),
            (id, _) => id.clone(),
        }
    }

    /// The identity the peer must have; `None` is anybody.
    pub(crate) fn wanted_id(&self) -> Id {
        match (&self.that().id, &self.that().host) {
            (Id::None, HostSpec::Addr(a)) if !self.that().id_from_cert => Id::Addr(*a),
            (id, _) => id.clone(),
        }
    }

    /// The peer's identity, proved or required.
    pub(crate) fn name_of_peer(&self) -> Id {
        match &self.peer_id {
            Id::None => self.wanted_id(),
            id => id.clone(),
        }
    }

    /// The end that is asked for name and password after phase 1, if the conn has XAUTH.
    pub(crate) fn asked_with_xauth(&self) -> Option<End> {
        let (this, that) = (self.this(), self.that());
        match (this.xauth_server || that.xauth_client, this.xauth_client || that.xauth_server) {
            (true, _) => Some(End::Peer),
            (false, true) => Some(End::Us),
            (false, false) => None,
        }
    }

    /// We give the peer its configuration.
    pub(crate) fn configures_peer(&self) -> bool {
        self.this().modecfg_server || self.that().modecfg_client
    }

    /// The peer gives us ours.
    pub(crate) fn is_configured(&self) -> bool {
        !self.configures_peer() && (self.this().modecfg_client || self.that().modecfg_server)
    }

    /// Whether an instance is for one client only, even where several have one address and identity.
    pub(crate) fn per_client(&self) -> bool {
        self.configures_peer() || self.asked_with_xauth() == Some(End::Peer)
    }

    /// Whether packets from our port must not leave in clear while no SA covers them: transport mode for road
    /// warriors on one UDP port, unless `failureshunt=passthrough`.
    pub(crate) fn guarded_port(&self) -> Option<(IpAddr, u16)> {
        let this = self.this().protoport;
        let wanted = self.kind == ConnKind::Template
            && self.spec.conn_type == ConnType::Transport
            && matches!(self.that().host, HostSpec::Any)
            && self.spec.failure_shunt != FailureShunt::Passthrough;
        match (wanted, this.proto, this.port, self.our_addr()) {
            (true, 17, Port::Number(port), Some(addr)) => Some((addr, port)),
            _ => None,
        }
    }
}

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
    pub(crate) fn instance_of(&self, template: ConnId, peer: IpAddr, id: &Id, not: ConnId) -> Option<ConnId> {
        self.by_peer.range(whole(peer)).map(|(_, x)| *x).find(|x| {
            *x != not
                && self.conns.get(x).is_some_and(|c| {
                    c.template == Some(template) && c.peer_id != Id::None && c.peer_id == *id
                })
        })
    }
}

/// Whether an identity says who somebody is, wherever he comes from.
pub(crate) fn is_name(id: &Id) -> bool {
    !matches!(id, Id::None | Id::Addr(_))
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
        c.oriented = Some((addr, name.into()));
    }
    c.peer = match &c.that().host {
        HostSpec::Addr(a) if c.oriented.is_some() => Some(*a),
        _ => None,
    };
}

/// A pre-shared key for `c`, all candidates. A road warrior is looked up by its address, as its identity is not yet
/// known when the key is needed.
pub(crate) fn secrets_for(
    c: &Connection,
    remote: IpAddr,
    psk: &dyn crate::io::PskLookup,
) -> Vec<SecretBytes> {
    let him = match c.wanted_id() {
        Id::None => Id::Addr(remote),
        id => id,
    };
    psk.lookup(&c.our_id(), &him)
}
