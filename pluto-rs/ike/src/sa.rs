//! IKE SAs: what is known of each, and the states of phase 1. Child SAs are in `child_sa`.
//!
//! The state owns what only that state needs: the exponent exists from the KE payload to the shared secret and no
//! longer. While a worker or the kernel computes, the SA is `Suspended` and the continuation owns the rest.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use ipsec_crypto::keymat::PhaseOneKeys;
use ipsec_types::algo::IkeSuite;
use ipsec_types::{Instant, SecretBytes};

pub(crate) use crate::child_sa::{ChildSa, EspKeys, Phase2, QuickI1, QuickR1, WaitingForSpi};
use crate::claim::Proved;
use crate::conn::ConnId;
use crate::io::ClientId;
use crate::later::{Blank, Later};
pub(crate) use crate::state_name::StateName;
use crate::v1::auth_method::AuthMethod;
use crate::v1::fragment::Sending;
use crate::v1::natt::NatT;
use crate::v1::transaction::{Cfg, Stage};
use crate::wire::Cookie;

/// The `#n` of log lines; one sequence for IKE and Child SAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Serial(pub u32);

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What tells a repeated message from a new one: its SHA-256.
pub(crate) type Digest = [u8; 32];

/// Address and port a first message came from.
pub(crate) type Origin = (IpAddr, u16);

/// Both of them.
pub(crate) fn origin(a: SocketAddr) -> Origin {
    (a.ip(), a.port())
}

/// Who began an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Initiator,
    Responder,
}

/// Main Mode states, named by what was sent last (RFC 2409 §5.4; Openswan's names).
#[derive(Debug)]
pub(crate) enum Phase1 {
    /// Sent MI1, expecting MR1.
    MainI1 { sa_i: Vec<u8> },
    /// Sent MI2, expecting MR2.
    MainI2(Box<MainI2>),
    /// Sent MI3, expecting MR3.
    MainI3(Box<MainI3>),
    /// Our public value is being made, or AI1 was sent; expecting AR1.
    AggrI1(Box<AggrI1>),
    /// Sent AR1, expecting AI2.
    AggrR1(Box<AggrR1>),
    /// Sent MR1, expecting MI2.
    MainR1 { sa_i: Vec<u8> },
    /// Sent MR2, expecting MI3.
    MainR2(Box<Exchanged>),
    /// A worker computes; the state to come is known by name.
    Suspended(StateName),
    /// Established.
    Up(Box<Up>),
}

#[derive(Debug)]
pub(crate) struct MainI2 {
    pub sa_i: Vec<u8>,
    pub secret: SecretBytes,
    pub g_xi: Vec<u8>,
    pub ni: Vec<u8>,
}

/// What both ends have said in phase 1 and the secret that came of it: all that keys and proofs are made of.
#[derive(Debug)]
pub(crate) struct Exchanged {
    /// Body of the initiator's SA payload.
    pub sa_i: Vec<u8>,
    pub g_xi: Vec<u8>,
    pub g_xr: Vec<u8>,
    pub ni: Vec<u8>,
    pub nr: Vec<u8>,
    /// g^xy.
    pub shared: SecretBytes,
}

/// What is derived from it.
#[derive(Debug)]
pub(crate) struct Phase1Keys {
    pub skeyid: SecretBytes,
    pub keys: PhaseOneKeys,
    pub cipher_key: SecretBytes,
    /// Of the next message.
    pub iv: Vec<u8>,
}

impl Phase1Keys {
    /// Both ends have proved themselves; `final_reply` is what a responder sent last.
    pub(crate) fn up(self, final_reply: Vec<u8>) -> Phase1 {
        Phase1::Up(Box::new(Up {
            keys: self.keys,
            cipher_key: self.cipher_key,
            last_block: self.iv,
            final_reply,
        }))
    }
}

#[derive(Debug)]
pub(crate) struct MainI3 {
    pub x: Exchanged,
    pub keys: Phase1Keys,
}

/// What was sent in AI1.
#[derive(Debug)]
pub(crate) struct AggrI1 {
    pub sa_i: Vec<u8>,
    pub secret: SecretBytes,
    pub g_xi: Vec<u8>,
    pub ni: Vec<u8>,
    pub id_b: Vec<u8>,
}

/// What was sent in AR1, and whom the peer says it is.
#[derive(Debug)]
pub(crate) struct AggrR1 {
    pub x: Exchanged,
    pub keys: Phase1Keys,
    pub id_b: Vec<u8>,
    pub id: ipsec_types::Id,
    /// Signatures that came in clear and were wrong.
    pub wrong_in_clear: u8,
}

/// Keys of an established IKE SA.
#[derive(Debug)]
pub(crate) struct Up {
    pub keys: PhaseOneKeys,
    pub cipher_key: SecretBytes,
    /// Last ciphertext block of phase 1, the seed of every phase 2 IV (RFC 2409 appendix B).
    pub last_block: Vec<u8>,
    /// As responder: the octets of MR3, sent again when MI3 comes again.
    pub final_reply: Vec<u8>,
}

/// One IKE SA.
#[derive(Debug)]
pub(crate) struct IkeSa {
    pub conn: ConnId,
    pub role: Role,
    pub icookie: Cookie,
    pub rcookie: Cookie,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub state: Phase1,
    pub suite: Option<IkeSuite>,
    /// Made in Aggressive Mode.
    pub aggressive: bool,
    /// Chosen together with the suite.
    pub auth: AuthMethod,
    /// It asked for our certificate.
    pub cert_asked: bool,
    /// Seconds, the smaller of ours and the negotiated one.
    pub lifetime: u32,
    pub natt: NatT,
    /// The first NAT-D payload of the peer, until ours are sent.
    pub peer_nat_d: Option<Box<[u8]>>,
    pub fragments: Sending,
    pub peer_dpd: bool,
    /// What class of client sends such vendor IDs.
    pub looks_like: Option<&'static str>,
    /// Digest of the last message that was acted upon; the same octets again get the same answer again.
    pub last_received: Option<Digest>,
    pub last_sent: Vec<u8>,
    pub retransmits: u32,
    pub tries: u32,
    pub answered_duplicates: u32,
    pub malformed_sent: u32,
    /// The peer sent Cisco's vendor ID.
    pub unity: bool,
    pub later: Later<Established>,
    /// The address under which it counts as half-open.
    pub half_open: Option<IpAddr>,
    /// Where the first message came from, for the index of first messages.
    pub first_from: Option<Origin>,
}

/// What an IKE SA holds once it is established; for an initiator, who waits for that.
#[derive(Debug, Default)]
pub(crate) struct Established {
    /// The key with which the peer has proved itself, if by a signature.
    pub proved: Option<Box<Proved>>,
    pub whack: Option<ClientId>,
    /// Message IDs of phase 2 exchanges seen, newest last, bounded.
    pub used_msgids: VecDeque<u32>,
    /// Those of Informational exchanges, apart, so that probes do not push the others out.
    pub informational_msgids: VecDeque<u32>,
    /// XAUTH and Mode Config.
    pub cfg: Later<Cfg>,
    /// Conns whose Quick Mode waits for this SA.
    pub pending: Vec<ConnId>,
    pub dpd: Dpd,
    /// Quick Modes under way.
    pub open_children: Vec<Serial>,
    /// In which state, and after how many repetitions, it was told that a message did not arrive.
    pub undelivered: Option<(StateName, u32)>,
}

impl Blank for Established {
    fn blank() -> &'static Self {
        static BLANK: LazyLock<Established> = LazyLock::new(Established::default);
        &BLANK
    }
}

/// Dead peer detection of one IKE SA (RFC 3706).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dpd {
    pub next_seq: u32,
    pub expected_ack: Option<u32>,
    pub unanswered_since: Option<Instant>,
    pub peer_seq: Option<u32>,
    pub duplicates: u32,
    /// What the peer's Child SAs had carried to us when a probe was due last.
    pub octets: u64,
}

impl IkeSa {
    /// One that has just begun, with its first state.
    pub(crate) fn new(
        conn: ConnId,
        role: Role,
        (icookie, rcookie): (Cookie, Cookie),
        local: SocketAddr,
        remote: SocketAddr,
        state: Phase1,
    ) -> Self {
        IkeSa {
            conn,
            role,
            icookie,
            rcookie,
            local,
            remote,
            state,
            suite: None,
            aggressive: false,
            auth: AuthMethod::Psk,
            cert_asked: false,
            lifetime: 0,
            natt: NatT::default(),
            peer_nat_d: None,
            fragments: Sending::default(),
            peer_dpd: false,
            looks_like: None,
            last_received: None,
            last_sent: Vec::new(),
            retransmits: 0,
            tries: 0,
            answered_duplicates: 0,
            malformed_sent: 0,
            unity: false,
            later: Later::default(),
            half_open: None,
            first_from: None,
        }
    }

    pub(crate) fn name(&self) -> StateName {
        if let (Phase1::Up(_), Some(name)) = (&self.state, self.later.cfg.stage.state()) {
            return name;
        }
        match (&self.state, self.role) {
            (Phase1::MainI1 { .. }, _) => StateName::MainI1,
            (Phase1::MainI2(_), _) => StateName::MainI2,
            (Phase1::MainI3(_), _) => StateName::MainI3,
            (Phase1::MainR1 { .. }, _) => StateName::MainR1,
            (Phase1::MainR2(_), _) => StateName::MainR2,
            (Phase1::Suspended(name), _) => *name,
            (Phase1::AggrI1(_), _) => StateName::AggrI1,
            (Phase1::AggrR1(_), _) => StateName::AggrR1,
            (Phase1::Up(_), Role::Initiator) if self.aggressive => StateName::AggrI2,
            (Phase1::Up(_), Role::Responder) if self.aggressive => StateName::AggrR2,
            (Phase1::Up(_), Role::Initiator) => StateName::MainI4,
            (Phase1::Up(_), Role::Responder) => StateName::MainR3,
        }
    }

    /// Whether Quick Modes of ours may begin.
    pub(crate) fn is_ready(&self) -> bool {
        self.up().is_some() && !self.later.cfg.stage.blocks_quick() && self.later.cfg.stage != Stage::ModeI1
    }

    pub(crate) fn up(&self) -> Option<&Up> {
        match &self.state {
            Phase1::Up(up) => Some(up),
            _ => None,
        }
    }
}

impl IkeSa {
    /// Whether `child` is one of the Quick Modes under way.
    pub(crate) fn close_exchange(&mut self, child: Serial) {
        self.later.open_children.retain(|c| *c != child);
    }
}
