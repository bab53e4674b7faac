//! Notification and Delete payloads (RFC 2408 §3.14, §3.15).

use super::sa::{DOI_IPSEC, PROTO_AH, PROTO_ESP, PROTO_ISAKMP};
use super::{DecodeError, reader::Reader};

/// SPIs of one Delete payload, at most.
pub const MAX_SPIS: usize = 256;

/// Notification types we send or act upon (RFC 2408 §3.14.1, RFC 2407 §4.6.3, RFC 3706).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyType {
    /// 1.
    InvalidPayloadType,
    /// 7.
    InvalidExchangeType,
    /// 14.
    NoProposalChosen,
    /// 16.
    PayloadMalformed,
    /// 17.
    InvalidKeyInformation,
    /// 18.
    InvalidIdInformation,
    /// 23.
    InvalidHashInformation,
    /// 24.
    AuthenticationFailed,
    /// 24576.
    ResponderLifetime,
    /// 24578.
    InitialContact,
    /// 36136.
    RUThere,
    /// 36137.
    RUThereAck,
    /// Any other number.
    Other(u16),
}

impl NotifyType {
    const NAMED: [(NotifyType, u16, &'static str); 12] = [
        (NotifyType::InvalidPayloadType, 1, "INVALID_PAYLOAD_TYPE"),
        (NotifyType::InvalidExchangeType, 7, "INVALID_EXCHANGE_TYPE"),
        (NotifyType::NoProposalChosen, 14, "NO_PROPOSAL_CHOSEN"),
        (NotifyType::PayloadMalformed, 16, "PAYLOAD_MALFORMED"),
        (NotifyType::InvalidKeyInformation, 17, "INVALID_KEY_INFORMATION"),
        (NotifyType::InvalidIdInformation, 18, "INVALID_ID_INFORMATION"),
        (NotifyType::InvalidHashInformation, 23, "INVALID_HASH_INFORMATION"),
        (NotifyType::AuthenticationFailed, 24, "AUTHENTICATION_FAILED"),
        (NotifyType::ResponderLifetime, 24576, "IPSEC_RESPONDER_LIFETIME"),
        (NotifyType::InitialContact, 24578, "IPSEC_INITIAL_CONTACT"),
        (NotifyType::RUThere, 36136, "R_U_THERE"),
        (NotifyType::RUThereAck, 36137, "R_U_THERE_ACK"),
    ];

    /// Wire number.
    pub fn number(self) -> u16 {
        match self {
            NotifyType::Other(n) => n,
            t => NotifyType::NAMED.iter().find(|x| x.0 == t).map_or(0, |x| x.1),
        }
    }

    /// Name in log lines.
    pub fn name(self) -> String {
        match self {
            NotifyType::Other(n) => format!("{n}"),
            t => NotifyType::NAMED.iter().find(|x| x.0 == t).map_or_else(String::new, |x| x.2.into()),
        }
    }
}

impl From<u16> for NotifyType {
    fn from(n: u16) -> Self {
        NotifyType::NAMED.iter().find(|x| x.1 == n).map_or(NotifyType::Other(n), |x| x.0)
    }
}

/// A parsed notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// Type.
    pub kind: NotifyType,
    /// Protocol the SPI belongs to.
    pub protocol: u8,
    /// SPI.
    pub spi: &'a [u8],
    /// Data.
    pub data: &'a [u8],
}

impl<'a> Notification<'a> {
    /// Parses the body.
    pub fn parse(body: &'a [u8]) -> Result<Notification<'a>, DecodeError> {
        let mut r = Reader::new(body, "ISAKMP Notification Payload");
        r.u32()?;
        let (protocol, spi_size) = (r.u8()?, usize::from(r.u8()?));
        let kind = r.u16()?.into();
        let spi = r.take(spi_size)?;
        Ok(Notification { kind, protocol, spi, data: r.rest() })
    }
}

/// The body of a notification.
pub fn emit_notification(kind: NotifyType, protocol: u8, spi: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = DOI_IPSEC.to_be_bytes().to_vec();
    out.extend_from_slice(&[protocol, spi.len() as u8]);
    out.extend_from_slice(&kind.number().to_be_bytes());
    out.extend_from_slice(spi);
    out.extend_from_slice(data);
    out
}

/// A parsed Delete payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delete {
    /// IKE SAs by their cookies.
    Isakmp(Vec<[u8; 16]>),
    /// ESP SAs by the sender's inbound SPI.
    Esp(Vec<u32>),
    /// AH SAs likewise.
    Ah(Vec<u32>),
    /// A protocol we do not use.
    Other(u8),
}

impl Delete {
    /// Parses the body. The number of SPIs must be what fills the payload.
    pub fn parse(body: &[u8]) -> Result<Delete, DecodeError> {
        let what = "ISAKMP Delete Payload";
        let mut r = Reader::new(body, what);
        r.u32()?;
        let (protocol, size, count) = (r.u8()?, usize::from(r.u8()?), usize::from(r.u16()?));
        if count > MAX_SPIS {
            return Err(DecodeError::TooMany { what: "SPIs in a Delete payload", limit: MAX_SPIS });
        }
        let bad = DecodeError::Length { what, length: body.len() + 4 };
        if size * count != r.rest().len() {
            return Err(bad);
        }
        match (protocol, size) {
            (PROTO_ISAKMP, 16) => Ok(Delete::Isakmp(r.rest().as_chunks::<16>().0.to_vec())),
            (PROTO_ESP, 4) => Ok(Delete::Esp(spis(r.rest()))),
            (PROTO_AH, 4) => Ok(Delete::Ah(spis(r.rest()))),
            (PROTO_ISAKMP | PROTO_ESP | PROTO_AH, _) => Err(bad),
            (n, _) => Ok(Delete::Other(n)),
        }
    }
}

fn spis(octets: &[u8]) -> Vec<u32> {
    octets.as_chunks::<4>().0.iter().map(|s| u32::from_be_bytes(*s)).collect()
}

/// The body of a Delete payload for one SPI.
pub fn emit_delete(protocol: u8, spi: &[u8]) -> Vec<u8> {
    let mut out = DOI_IPSEC.to_be_bytes().to_vec();
    out.extend_from_slice(&[protocol, spi.len() as u8, 0, 1]);
    out.extend_from_slice(spi);
    out
}
