//! Security Association, Proposal and Transform payloads (RFC 2408 §3.4 to §3.6).
//!
//! ```text
//!  SA:        ! DOI = 1 (4) ! Situation (4) ! proposals…
//!  Proposal:  ! next (2 or 0) ! 0 ! length (2) ! number ! protocol ! SPI size ! transforms ! SPI ! transforms…
//!  Transform: ! next (3 or 0) ! 0 ! length (2) ! number ! id ! 0 0 ! attributes…
//! ```

use super::{Attr, DecodeError, reader::Reader};

/// Transforms of one SA payload, at most.
pub const MAX_TRANSFORMS: usize = 256;
/// Protocol number of ISAKMP itself.
pub const PROTO_ISAKMP: u8 = 1;
/// Protocol number of AH.
pub const PROTO_AH: u8 = 2;
/// Protocol number of IPComp.
pub const PROTO_IPCOMP: u8 = 4;
/// Protocol number of ESP.
pub const PROTO_ESP: u8 = 3;
/// The IPsec DOI.
pub const DOI_IPSEC: u32 = 1;

/// One transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform<'a> {
    /// Number within its proposal.
    pub number: u8,
    /// Transform ID: KEY_IKE in phase 1, the ESP cipher in phase 2.
    pub id: u8,
    /// Attributes.
    pub attrs: Vec<Attr<'a>>,
    /// The attributes' octets, to be sent back unchanged.
    pub raw_attrs: &'a [u8],
}

/// One proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal<'a> {
    /// Number; several proposals of one number are offered together.
    pub number: u8,
    /// Protocol.
    pub protocol: u8,
    /// The sender's SPI.
    pub spi: &'a [u8],
    /// Transforms in the sender's order.
    pub transforms: Vec<Transform<'a>>,
}

/// The whole payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaPayload<'a> {
    /// Proposals in the sender's order.
    pub proposals: Vec<Proposal<'a>>,
}

impl<'a> SaPayload<'a> {
    /// Parses the body of an SA payload.
    pub fn parse(body: &'a [u8]) -> Result<SaPayload<'a>, DecodeError> {
        let mut r = Reader::new(body, "ISAKMP Security Association Payload");
        let doi = r.u32()?;
        if doi != DOI_IPSEC && doi != 0 {
            return Err(DecodeError::Value {
                what: "DOI of ISAKMP Security Association Payload",
                value: doi,
            });
        }
        let situation = r.u32()?;
        if situation != 1 {
            return Err(DecodeError::Value {
                what: "situation of ISAKMP Security Association Payload",
                value: situation,
            });
        }
        let mut proposals = Vec::new();
        let mut count = 0;
        let mut next = 2;
        while next == 2 {
            let (following, body) = sub(&mut r, "ISAKMP Proposal Payload")?;
            next = following;
            let proposal = Proposal::parse(body)?;
            count += proposal.transforms.len();
            if count > MAX_TRANSFORMS {
                return Err(DecodeError::TooMany { what: "transforms", limit: MAX_TRANSFORMS });
            }
            proposals.push(proposal);
        }
        if next != 0 {
            return Err(DecodeError::PayloadType { what: "ISAKMP Proposal Payload", value: next });
        }
        Ok(SaPayload { proposals })
    }
}

impl<'a> Proposal<'a> {
    fn parse(body: &'a [u8]) -> Result<Proposal<'a>, DecodeError> {
        let mut r = Reader::new(body, "ISAKMP Proposal Payload");
        let (number, protocol) = (r.u8()?, r.u8()?);
        let (spi_size, count) = (usize::from(r.u8()?), usize::from(r.u8()?));
        let spi = r.take(spi_size)?;
        let mut transforms = Vec::new();
        let mut next = if count == 0 { 0 } else { 3 };
        while next == 3 {
            if transforms.len() == count {
                return Err(DecodeError::TooMany { what: "transforms in a proposal", limit: count });
            }
            let (following, body) = sub(&mut r, "ISAKMP Transform Payload")?;
            next = following;
            let mut t = Reader::new(body, "ISAKMP Transform Payload");
            let (number, id) = (t.u8()?, t.u8()?);
            t.u16()?;
            transforms.push(Transform { number, id, attrs: Attr::parse_all(t.rest())?, raw_attrs: t.rest() });
        }
        if next != 0 {
            return Err(DecodeError::PayloadType { what: "ISAKMP Transform Payload", value: next });
        }
        Ok(Proposal { number, protocol, spi, transforms })
    }

    /// Appends the proposal with only the transform `chosen` and the SPI `spi` as the whole SA payload body: how a
    /// responder answers.
    pub fn emit_choice(&self, chosen: &Transform<'_>, spi: &[u8]) -> Vec<u8> {
        let mut w = SaWriter::new();
        w.proposal(
            self.number,
            self.protocol,
            spi,
            &[(chosen.number, chosen.id, chosen.raw_attrs.to_vec())],
            true,
        );
        w.finish()
    }
}

/// Reads a `next, 0, length` header and the body behind it.
fn sub<'a>(r: &mut Reader<'a>, what: &'static str) -> Result<(u8, &'a [u8]), DecodeError> {
    let next = r.u8()?;
    if r.u8()? != 0 {
        return Err(DecodeError::Reserved { what });
    }
    let length = usize::from(r.u16()?);
    let body = length.checked_sub(4).ok_or(DecodeError::Length { what, length })?;
    Ok((next, r.take(body).map_err(|_| DecodeError::Length { what, length })?))
}

/// Builds the body of an SA payload.
#[derive(Debug)]
pub struct SaWriter {
    out: Vec<u8>,
}

impl SaWriter {
    /// DOI and situation.
    #[expect(clippy::new_without_default, reason = "an empty SA payload is not a sensible default")]
    pub fn new() -> Self {
        let mut out = DOI_IPSEC.to_be_bytes().to_vec();
        out.extend_from_slice(&1u32.to_be_bytes());
        SaWriter { out }
    }

    /// One proposal of `(number, id, attributes)` transforms; `last` if no proposal follows.
    pub fn proposal(
        &mut self,
        number: u8,
        protocol: u8,
        spi: &[u8],
        transforms: &[(u8, u8, Vec<u8>)],
        last: bool,
    ) {
        let length = 8 + spi.len() + transforms.iter().map(|t| 8 + t.2.len()).sum::<usize>();
        self.out.extend_from_slice(&[if last { 0 } else { 2 }, 0]);
        self.out.extend_from_slice(&(length as u16).to_be_bytes());
        self.out.extend_from_slice(&[number, protocol, spi.len() as u8, transforms.len() as u8]);
        self.out.extend_from_slice(spi);
        for (i, (number, id, attrs)) in transforms.iter().enumerate() {
            self.out.extend_from_slice(&[if i + 1 == transforms.len() { 0 } else { 3 }, 0]);
            self.out.extend_from_slice(&((8 + attrs.len()) as u16).to_be_bytes());
            self.out.extend_from_slice(&[*number, *id, 0, 0]);
            self.out.extend_from_slice(attrs);
        }
    }

    /// The body.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}
