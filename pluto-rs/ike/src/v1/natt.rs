//! NAT traversal in IKEv1: which method, who is behind a NAT, and which numbers each method uses (RFC 3947 and
//! draft-ietf-ipsec-nat-t-ike-02, -03).

use std::net::SocketAddr;

use ipsec_crypto::keymat;
use ipsec_types::algo::HashAlg;

use super::Fail;
use crate::sa::IkeSa;
use crate::wire::payload::{Chain, Kind};

/// A method both ends know, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    Draft02n,
    Draft02,
    Draft03,
    Rfc3947,
}

impl Method {
    /// In the order in which an initiator offers them.
    pub(crate) const OFFERED: [Method; 4] =
        [Method::Rfc3947, Method::Draft03, Method::Draft02n, Method::Draft02];

    pub(crate) fn vendor_id(self) -> [u8; 16] {
        let id: u128 = match self {
            Method::Rfc3947 => 0x4a13_1c81_0703_5845_5c57_28f2_0e95_452f,
            Method::Draft03 => 0x7d94_19a6_5310_ca6f_2c17_9d92_1552_9d56,
            Method::Draft02n => 0x90cb_8091_3ebb_696e_0863_81b5_ec42_7b1f,
            Method::Draft02 => 0xcd60_4643_35df_21f8_7cfd_b2fc_68b6_a448,
        };
        id.to_be_bytes()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Method::Rfc3947 => "RFC 3947 (NAT-Traversal)",
            Method::Draft03 | Method::Draft02 | Method::Draft02n => "draft-ietf-ipsec-nat-t-ike-02/03",
        }
    }

    /// The vendor ID's name, and Openswan's number for the method.
    pub(crate) fn vendor_name(self) -> (&'static str, u32) {
        match self {
            Method::Rfc3947 => ("RFC 3947", 109),
            Method::Draft03 => ("draft-ietf-ipsec-nat-t-ike-03", 108),
            Method::Draft02 => ("draft-ietf-ipsec-nat-t-ike-02", 107),
            Method::Draft02n => ("draft-ietf-ipsec-nat-t-ike-02_n", 106),
        }
    }

    pub(crate) fn nat_d(self) -> Kind {
        if self == Method::Rfc3947 { Kind::NatD } else { Kind::NatDDraft }
    }

    pub(crate) fn nat_oa(self) -> Kind {
        if self == Method::Rfc3947 { Kind::NatOa } else { Kind::NatOaDraft }
    }

    /// Encapsulation attribute of UDP tunnel and UDP transport mode.
    pub(crate) fn encapsulation(self, tunnel: bool) -> u16 {
        let base = if self == Method::Rfc3947 { 3 } else { 61443 };
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

/// The two NAT-D payloads for a message of ours: first the hash of the receiver's address, then of ours. With
/// `forceencaps=yes` the hashes are of port 0, so that they never fit.
pub(crate) fn payloads(sa: &IkeSa, hash: HashAlg, force: bool) -> Result<Vec<(Kind, Vec<u8>)>, Fail> {
    let Some(method) = sa.natt.method else { return Ok(Vec::new()) };
    let of = |a: SocketAddr| {
        keymat::natd_hash(hash, &sa.icookie, &sa.rcookie, a.ip(), if force { 0 } else { a.port() })
    };
    Ok(vec![(method.nat_d(), of(sa.remote)?), (method.nat_d(), of(sa.local)?)])
}

/// Judges the peer's NAT-D payloads (RFC 3947 §3.2): the first must be the hash of our address as it sees us, one of
/// the others that of its own. Fewer than two end NAT traversal.
pub(crate) fn detect(
    sa: &IkeSa,
    hash: HashAlg,
    chain: &Chain<'_>,
    force: bool,
) -> Result<(NatT, Option<String>), Fail> {
    let mut natt = sa.natt;
    let Some(method) = natt.method else { return Ok((natt, None)) };
    let got: Vec<&[u8]> = chain.all(method.nat_d()).collect();
    if got.len() < 2 {
        natt.method = None;
        let text = format!("NAT-Traversal: Only {} NAT-D - Aborting NAT-Traversal negotiation", got.len());
        return Ok((natt, Some(text)));
    }
    let ours = keymat::natd_hash(hash, &sa.icookie, &sa.rcookie, sa.local.ip(), sa.local.port())?;
    let theirs = keymat::natd_hash(hash, &sa.icookie, &sa.rcookie, sa.remote.ip(), sa.remote.port())?;
    natt.us = force || got.first().is_none_or(|h| *h != ours);
    natt.peer = force || !got.iter().skip(1).any(|h| *h == theirs);
    let text = format!("NAT-Traversal: Result using {}: {}", method.name(), natt.result());
    Ok((natt, Some(text)))
}
