//! NAT traversal in IKEv1: which method, who is behind a NAT, and which numbers each method uses (RFC 3947,
//! draft-ietf-ipsec-nat-t-ike-02 to -08, and Apple's vendor ID of no number).
//!
//! | method | NAT-D | NAT-OA | UDP tunnel and transport |
//! |---|---|---|---|
//! | RFC 3947 | 20 | 21 | 3, 4 |
//! | drafts 04 to 08, Apple's | 15 | 16, Apple sends none | 3, 4 |
//! | drafts 02 and 03 | 130 | 131 | 61443, 61444 |
//!
//! Drafts 00 and 01 keep ESP on port 500 behind another marker, which no kernel does any more: they are known by
//! name only.

use std::net::SocketAddr;

use ipsec_crypto::keymat;
use ipsec_types::algo::HashAlg;
use ipsec_types::conn::{ConnSpec, Encapsulation, NattMethod};

use super::Fail;
use crate::sa::{IkeSa, Phase1, Role};
use crate::wire::payload::{Chain, Kind};

/// A method both ends know, best last. Those in which Apple's clients keep their inner address to themselves come
/// first, so that a client that also knows draft 02 or 03 is asked for that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    Apple,
    Draft04,
    Draft05,
    Draft06,
    Draft07,
    Draft08,
    Draft02n,
    Draft02,
    Draft03,
    Rfc3947,
}

impl Method {
    /// In the order in which an initiator offers them.
    pub(crate) const OFFERED: [Method; 4] =
        [Method::Rfc3947, Method::Draft03, Method::Draft02n, Method::Draft02];

    /// All that are taken from a peer.
    pub(crate) const ALL: [Method; 10] = [
        Method::Rfc3947,
        Method::Draft03,
        Method::Draft02,
        Method::Draft02n,
        Method::Draft08,
        Method::Draft07,
        Method::Draft06,
        Method::Draft05,
        Method::Draft04,
        Method::Apple,
    ];

    /// Whether `nat-ikev1-method=` lets it be used.
    pub(crate) fn allowed(self, by: NattMethod) -> bool {
        match by {
            NattMethod::Both => true,
            NattMethod::Rfc => self == Method::Rfc3947,
            NattMethod::Drafts => self != Method::Rfc3947,
            NattMethod::None => false,
        }
    }

    /// Drafts 02 and 03.
    fn early(self) -> bool {
        matches!(self, Method::Draft02n | Method::Draft02 | Method::Draft03)
    }

    pub(crate) fn vendor_id(self) -> [u8; 16] {
        let id: u128 = match self {
            Method::Rfc3947 => 0x4a13_1c81_0703_5845_5c57_28f2_0e95_452f,
            Method::Draft03 => 0x7d94_19a6_5310_ca6f_2c17_9d92_1552_9d56,
            Method::Draft02n => 0x90cb_8091_3ebb_696e_0863_81b5_ec42_7b1f,
            Method::Draft02 => 0xcd60_4643_35df_21f8_7cfd_b2fc_68b6_a448,
            Method::Draft04 => 0x9909_b64e_ed93_7c65_73de_52ac_e952_fa6b,
            Method::Draft05 => 0x80d0_bb3d_ef54_565e_e846_45d4_c85c_e3ee,
            Method::Draft06 => 0x4d1e_0e13_6dea_fa34_c4f3_ea9f_02ec_7285,
            Method::Draft07 => 0x439b_59f8_ba67_6c4c_7737_ae22_eab8_f582,
            Method::Draft08 => 0x8f8d_8382_6d24_6b6f_c7a8_a6a4_28c1_1de8,
            Method::Apple => 0x4df3_7928_e9fc_4fd1_b326_2170_d515_c662,
        };
        id.to_be_bytes()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Method::Rfc3947 => "RFC 3947 (NAT-Traversal)",
            Method::Draft03 | Method::Draft02 | Method::Draft02n => "draft-ietf-ipsec-nat-t-ike-02/03",
            Method::Apple => "draft-ietf-ipsec-nat-t-ike (MacOS X)",
            _ => "draft-ietf-ipsec-nat-t-ike-05",
        }
    }

    /// The vendor ID's name, and the number it has in the log: Openswan 2.6's up to 109, and 3.0's for those that
    /// 2.6 did not use.
    pub(crate) fn vendor_name(self) -> (&'static str, u32) {
        match self {
            Method::Apple => ("draft-ietf-ipsec-nat-t-ike (MacOS X)", 114),
            Method::Draft08 => ("draft-ietf-ipsec-nat-t-ike-08", 113),
            Method::Draft07 => ("draft-ietf-ipsec-nat-t-ike-07", 112),
            Method::Draft06 => ("draft-ietf-ipsec-nat-t-ike-06", 111),
            Method::Draft05 => ("draft-ietf-ipsec-nat-t-ike-05", 110),
            Method::Draft04 => ("draft-ietf-ipsec-nat-t-ike-04", 109),
            Method::Rfc3947 => ("RFC 3947", 109),
            Method::Draft03 => ("draft-ietf-ipsec-nat-t-ike-03", 108),
            Method::Draft02 => ("draft-ietf-ipsec-nat-t-ike-02", 107),
            Method::Draft02n => ("draft-ietf-ipsec-nat-t-ike-02_n", 106),
        }
    }

    pub(crate) fn nat_d(self) -> Kind {
        match self {
            Method::Rfc3947 => Kind::NatD,
            m if m.early() => Kind::NatDDraft,
            _ => Kind::NatDMiddle,
        }
    }

    pub(crate) fn nat_oa(self) -> Kind {
        match self {
            Method::Rfc3947 => Kind::NatOa,
            m if m.early() => Kind::NatOaDraft,
            _ => Kind::NatOaMiddle,
        }
    }

    /// Encapsulation attribute of UDP tunnel and UDP transport mode.
    pub(crate) fn encapsulation(self, tunnel: bool) -> u16 {
        let base = if self.early() { 61443 } else { 3 };
        if tunnel { base } else { base + 1 }
    }
}

/// NAT traversal of one IKE SA.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NatT {
    pub method: Option<Method>,
    /// We are behind a NAT.
    pub us: bool,
    /// The peer is.
    pub peer: bool,
    /// IKE has moved to port 4500.
    pub floated: bool,
}

impl NatT {
    pub(crate) fn detected(self) -> bool {
        self.us || self.peer
    }

    pub(crate) fn result(self) -> &'static str {
        match (self.us, self.peer) {
            (false, false) => "no NAT detected",
            (true, false) => "i am NATed",
            (false, true) => "peer is NATed",
            (true, true) => "both are NATed",
        }
    }
}

/// What the conn says about encapsulation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// `encapsulation=yes`, `forceencaps=yes`.
    force: bool,
    /// `encapsulation=no`.
    never: bool,
    /// `leftnat-hide=yes`.
    hide: bool,
}

impl From<&ConnSpec> for Wish {
    fn from(spec: &ConnSpec) -> Self {
        Wish {
            force: spec.force_encaps || spec.encapsulation == Encapsulation::Yes,
            never: spec.encapsulation == Encapsulation::No,
            hide: spec.nat_hide,
        }
    }
}

/// Why a peer may have said nothing more to our answer: what a log line about a responder that timed out ends with. Empty
/// where nothing can be said.
///
/// The peer has learnt from MR2 who is behind a NAT, and goes on at the port for NAT traversal if anybody is. Windows does
/// not if we are (KB 926179).
pub(crate) fn why_silent(sa: &IkeSa) -> String {
    if !matches!(sa.state, Phase1::MainR2(_)) || sa.malformed_sent > 0 || !(sa.natt.us || sa.natt.peer) {
        return String::new();
    }
    match sa.looks_like {
        Some(client) if sa.natt.us && client.starts_with("Windows") => format!(
            " when it learnt that this server is behind a NAT (or has forceencaps=yes); it looks like {client}, which goes no \
             further then (error 809) unless its registry value AssumeUDPEncapsulationContextOnSendRule is 2, or \
             leftnat-hide=yes is set here"
        ),
        _ => " when it had to go on at the port for NAT traversal; is UDP 4500 blocked on the way?".into(),
    }
}

/// The two NAT-D payloads for a message of ours: first the hash of the receiver's address, then of ours. With
/// `forceencaps=yes` the hashes are of port 0, so that they never fit.
///
/// With `leftnat-hide=yes` a responder answers with the peer's own first hash in place of the second one, and the
/// first is of port 0: the client believes that it is behind a NAT and we are not, which is the one case in which
/// Windows needs no registry value. In Aggressive Mode we answer before the peer has sent a hash: there nothing is hidden.
pub(crate) fn payloads(sa: &IkeSa, hash: HashAlg, wish: Wish) -> Result<Vec<(Kind, Vec<u8>)>, Fail> {
    let Some(method) = sa.natt.method else { return Ok(Vec::new()) };
    let of = |a: SocketAddr, spoil: bool| {
        keymat::natd_hash(hash, &sa.icookie, &sa.rcookie, a.ip(), if spoil { 0 } else { a.port() })
    };
    let hidden = sa.peer_nat_d.as_ref().filter(|_| wish.hide && sa.role == Role::Responder);
    let (first, second) = match hidden {
        Some(theirs) => (of(sa.remote, true)?, theirs.to_vec()),
        None => (of(sa.remote, wish.force)?, of(sa.local, wish.force)?),
    };
    Ok(vec![(method.nat_d(), first), (method.nat_d(), second)])
}

/// As [`detect`], for a message that came to and from `now`, perhaps other ports than before: whether its hashes are of
/// the new ones or of those before is not the same for all peers.
pub(crate) fn detect_moved(
    sa: &IkeSa,
    hash: HashAlg,
    chain: &Chain<'_>,
    wish: Wish,
    now: (SocketAddr, SocketAddr),
) -> Result<(NatT, Option<String>), Fail> {
    let (before, text) = detect(sa, hash, chain, wish, (sa.local, sa.remote))?;
    let (after, _) = detect(sa, hash, chain, wish, now)?;
    let Some(method) = before.method else { return Ok((before, text)) };
    let natt = NatT { us: before.us && after.us, peer: before.peer && after.peer, ..before };
    Ok((natt, Some(format!("NAT-Traversal: Result using {}: {}", method.name(), natt.result()))))
}

/// Judges the peer's NAT-D payloads (RFC 3947 §3.2): the first must be the hash of our address as it sees us, one of
/// the others that of its own. Fewer than two end NAT traversal. Apple's old clients send them the other way round.
pub(crate) fn detect(
    sa: &IkeSa,
    hash: HashAlg,
    chain: &Chain<'_>,
    wish: Wish,
    (local, remote): (SocketAddr, SocketAddr),
) -> Result<(NatT, Option<String>), Fail> {
    let mut natt = sa.natt;
    let Some(method) = natt.method else { return Ok((natt, None)) };
    let got: Vec<&[u8]> = chain.all(method.nat_d()).collect();
    if got.len() < 2 {
        natt.method = None;
        let text = format!("NAT-Traversal: Only {} NAT-D - Aborting NAT-Traversal negotiation", got.len());
        return Ok((natt, Some(text)));
    }
    let ours = keymat::natd_hash(hash, &sa.icookie, &sa.rcookie, local.ip(), local.port())?;
    let theirs = keymat::natd_hash(hash, &sa.icookie, &sa.rcookie, remote.ip(), remote.port())?;
    let any = method == Method::Apple;
    let is = |hash: &Vec<u8>, at: usize| got.get(at).is_some_and(|h| *h == hash.as_slice());
    let us = is(&ours, 0) || any && is(&ours, 1);
    let peer = (1..got.len()).any(|n| is(&theirs, n)) || any && is(&theirs, 0);
    let hide = wish.hide && sa.role == Role::Responder && !sa.aggressive;
    natt.us = !wish.never && (wish.force || !us);
    natt.peer = !wish.never && (wish.force || hide || !peer);
    let text = format!("NAT-Traversal: Result using {}: {}", method.name(), natt.result());
    Ok((natt, Some(text)))
}
