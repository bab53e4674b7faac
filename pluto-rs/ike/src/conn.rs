//! Connections: what each is and has. The table of them is in `conn_table`.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::LazyLock;

use ipnet::IpNet;
use ipsec_types::algo::{EspCipher, EspInteg, EspSuite};
use ipsec_types::conn::{ConnSpec, ConnType, EndSpec, FailureShunt, HostSpec, Port};
use ipsec_types::kernel::{Mark, Mode, PolicyId};
use ipsec_types::modecfg::AddressPool;
use ipsec_types::{Id, SecretBytes};

use crate::later::{Blank, Later};
use crate::sa::Serial;
use crate::spd::{Marking, Slot};

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
    /// The peer cuts SHA2-256 otherwise than `sha2-truncbug=` says.
    pub other_truncation: bool,
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
    /// To be routed when the addresses of both ends are known.
    pub route_later: bool,
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

    /// The marks of `mark=`, inbound and outbound; this conn's number is `id`.
    pub(crate) fn marks(&self, id: ConnId) -> Option<[Option<Mark>; 2]> {
        // The low half of the number does for a mark.
        let n = (id.0 & 0xffff_ffff) as u32;
        self.spec.marks.as_ref().map(|m| [m.inbound, m.outbound].map(|mark| mark.map(|mark| mark.of(n))))
    }

    /// Which marks the policies of a Child SA in this mode want. The guard of a transport-mode conn wants one even where the
    /// peer has chosen tunnel mode.
    pub(crate) fn marking(&self, id: ConnId, mode: Mode) -> Marking {
        match self.marks(id) {
            Some(marks) => Marking::Conn(marks),
            None if mode == Mode::Transport || self.spec.conn_type == ConnType::Transport => Marking::Slot,
            None => Marking::Unless,
        }
    }

    /// Whether SHA2-256 beside this cipher is cut to 96 bits: `sha2-truncbug=`, or a word of `esp=`, unless the peer has shown
    /// that it does otherwise.
    pub(crate) fn cuts_sha256(&self, cipher: EspCipher) -> bool {
        let named = |s: &EspSuite| s.cipher == cipher && s.integ == EspInteg::Sha256Trunc96;
        (self.spec.sha2_truncbug || self.spec.esp.iter().any(named)) != self.rare.other_truncation
    }

    /// `type=passthrough`, `drop` or `reject`.
    pub(crate) fn never_negotiates(&self) -> bool {
        matches!(self.spec.conn_type, ConnType::Passthrough | ConnType::Reject | ConnType::Drop)
    }

    /// Our address.
    pub(crate) fn our_addr(&self) -> Option<IpAddr> {
        self.oriented.as_ref().map(|o| o.0)
    }

    /// The host names that stand for ends whose addresses are not known yet.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = &str> {
        [&self.spec.left, &self.spec.right].into_iter().filter_map(|end| match &end.host {
            HostSpec::Name(name) => Some(name.as_str()),
            _ => None,
        })
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
