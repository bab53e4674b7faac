//! The chain of payloads behind the header (RFC 2408 §3.2).
//!
//! ```text
//!  +---------------+---------------+-------------------------------+
//!  ! Next Payload  !   RESERVED    !         Payload Length        !
//!  +---------------+---------------+-------------------------------+
//! ```

use super::{DecodeError, reader::Reader};

/// Payloads in one message, at most.
pub const MAX_PAYLOADS: usize = 64;

/// Payload types we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Security Association, 1.
    Sa,
    /// Key Exchange, 4.
    KeyExchange,
    /// Identification, 5.
    Id,
    /// Certificate, 6.
    Cert,
    /// Certificate Request, 7.
    CertRequest,
    /// Hash, 8.
    Hash,
    /// Signature, 9.
    Signature,
    /// Nonce, 10.
    Nonce,
    /// Notification, 11.
    Notify,
    /// Delete, 12.
    Delete,
    /// Vendor ID, 13.
    Vendor,
    /// Attributes, 14 (draft-ietf-ipsec-isakmp-mode-cfg).
    Attributes,
    /// NAT-D, 15 (draft-ietf-ipsec-nat-t-ike-04 to -08, and Apple's).
    NatDMiddle,
    /// NAT-OA, 16 (draft-ietf-ipsec-nat-t-ike-04 to -08).
    NatOaMiddle,
    /// NAT-D, 20 (RFC 3947).
    NatD,
    /// NAT-OA, 21 (RFC 3947).
    NatOa,
    /// NAT-D of the drafts, 130.
    NatDDraft,
    /// NAT-OA of the drafts, 131.
    NatOaDraft,
}

impl Kind {
    const ALL: [Kind; 18] = [
        Kind::Sa,
        Kind::KeyExchange,
        Kind::Id,
        Kind::Cert,
        Kind::CertRequest,
        Kind::Hash,
        Kind::Signature,
        Kind::Nonce,
        Kind::Notify,
        Kind::Delete,
        Kind::Vendor,
        Kind::Attributes,
        Kind::NatDMiddle,
        Kind::NatOaMiddle,
        Kind::NatD,
        Kind::NatOa,
        Kind::NatDDraft,
        Kind::NatOaDraft,
    ];

    /// Wire number.
    pub fn number(self) -> u8 {
        match self {
            Kind::Sa => 1,
            Kind::KeyExchange => 4,
            Kind::Id => 5,
            Kind::Cert => 6,
            Kind::CertRequest => 7,
            Kind::Hash => 8,
            Kind::Signature => 9,
            Kind::Nonce => 10,
            Kind::Notify => 11,
            Kind::Delete => 12,
            Kind::Vendor => 13,
            Kind::Attributes => 14,
            Kind::NatDMiddle => 15,
            Kind::NatOaMiddle => 16,
            Kind::NatD => 20,
            Kind::NatOa => 21,
            Kind::NatDDraft => 130,
            Kind::NatOaDraft => 131,
        }
    }

    /// The type of a wire number.
    pub fn from_number(n: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.number() == n)
    }

    /// Openswan's name in error texts.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sa => "ISAKMP Security Association Payload",
            Kind::KeyExchange => "ISAKMP Key Exchange Payload",
            Kind::Id => "ISAKMP Identification Payload",
            Kind::Cert => "ISAKMP Certificate Payload",
            Kind::CertRequest => "ISAKMP Certificate RequestPayload",
            Kind::Hash => "ISAKMP Hash Payload",
            Kind::Signature => "ISAKMP Signature Payload",
            Kind::Nonce => "ISAKMP Nonce Payload",
            Kind::Notify => "ISAKMP Notification Payload",
            Kind::Delete => "ISAKMP Delete Payload",
            Kind::Vendor => "ISAKMP Vendor ID Payload",
            Kind::Attributes => "ISAKMP Mode Attribute",
            Kind::NatD | Kind::NatDMiddle | Kind::NatDDraft => "ISAKMP NAT-D Payload",
            Kind::NatOa | Kind::NatOaMiddle | Kind::NatOaDraft => "ISAKMP NAT-OA Payload",
        }
    }
}

/// One payload: its type and the octets behind its generic header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// Type.
    pub kind: Kind,
    /// Contents.
    pub body: &'a [u8],
    /// Where the payload (with its generic header) ends, from the start of the chain.
    pub end: usize,
}

/// All payloads of a message in order.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    /// The payloads.
    pub payloads: Vec<Payload<'a>>,
    bytes: &'a [u8],
}

impl<'a> Chain<'a> {
    /// Parses the chain that starts with type `next`, of at most [`MAX_PAYLOADS`]. Octets behind the last payload are
    /// padding.
    pub fn parse(next: u8, bytes: &'a [u8]) -> Result<Chain<'a>, DecodeError> {
        Self::parse_within(next, bytes, MAX_PAYLOADS)
    }

    /// The same, of at most `limit` payloads.
    pub fn parse_within(next: u8, bytes: &'a [u8], limit: usize) -> Result<Chain<'a>, DecodeError> {
        let mut payloads = Vec::new();
        let (mut next, mut what) = (next, "ISAKMP Message");
        let mut r = Reader::new(bytes, what);
        while next != 0 {
            if payloads.len() == limit {
                return Err(DecodeError::TooMany { what: "payloads", limit });
            }
            let kind = Kind::from_number(next).ok_or(DecodeError::PayloadType { what, value: next })?;
            what = kind.name();
            r = Reader::new(r.rest(), what);
            next = r.u8()?;
            if r.u8()? != 0 {
                return Err(DecodeError::Reserved { what });
            }
            let length = usize::from(r.u16()?);
            let body = r.take(length.checked_sub(4).ok_or(DecodeError::Length { what, length })?)?;
            payloads.push(Payload { kind, body, end: bytes.len() - r.rest().len() });
        }
        Ok(Chain { payloads, bytes })
    }

    /// The first payload of a type.
    pub fn first(&self, kind: Kind) -> Option<&'a [u8]> {
        self.all(kind).next()
    }

    /// Every payload of a type.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.payloads.iter().filter(move |p| p.kind == kind).map(|p| p.body)
    }

    /// The octets of all payloads behind the first one, headers included, padding not: what HASH(1) of Quick Mode
    /// and of the Informational exchange covers (RFC 2409 §5.5, §5.7).
    pub fn behind_first(&self) -> &'a [u8] {
        match (self.payloads.first(), self.payloads.last()) {
            (Some(first), Some(last)) => self.bytes.get(first.end..last.end).unwrap_or_default(),
            _ => &[],
        }
    }
}
