//! An ISAKMP message taken to pieces, so that any part of it can be wrong.
//!
//! The product's own reader refuses what is wrong; this one keeps it.

/// Payload types.
pub const SA: u8 = 1;
/// Key exchange.
pub const KE: u8 = 4;
/// Identification.
pub const ID: u8 = 5;
/// Hash.
pub const HASH: u8 = 8;
/// Signature.
pub const SIG: u8 = 9;
/// Nonce.
pub const NONCE: u8 = 10;
/// Notification.
pub const NOTIFY: u8 = 11;
/// Delete.
pub const DELETE: u8 = 12;
/// Vendor ID.
pub const VENDOR: u8 = 13;
/// Attributes of XAUTH and Mode Config.
pub const ATTRIBUTES: u8 = 14;

/// One payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Type.
    pub kind: u8,
    /// The reserved octet.
    pub reserved: u8,
    /// Contents.
    pub body: Vec<u8>,
    /// Added to its length field.
    pub lie: i16,
}

impl Payload {
    /// A payload as it should be.
    pub fn new(kind: u8, body: Vec<u8>) -> Payload {
        Payload { kind, reserved: 0, body, lie: 0 }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Sent by the client.
    pub from_client: bool,
    /// Sent by who began the IKE SA.
    pub from_initiator: bool,
    /// Which it is of its exchange, from 1; both directions count.
    pub nth: usize,
    /// Initiator's cookie.
    pub icookie: [u8; 8],
    /// Responder's cookie.
    pub rcookie: [u8; 8],
    /// Version octet.
    pub version: u8,
    /// Exchange type.
    pub exchange: u8,
    /// Flags.
    pub flags: u8,
    /// Message ID.
    pub msgid: u32,
    /// Payloads.
    pub payloads: Vec<Payload>,
    /// Added to the header's length field.
    pub lie: i32,
    /// Octets behind the message.
    pub tail: Vec<u8>,
    /// The hash of a phase 2 message is made right after a change.
    pub repair: bool,
}

impl Message {
    /// The header; payloads are read once they are open.
    pub fn header(data: &[u8]) -> Option<Message> {
        let h = data.get(..28)?;
        Some(Message {
            from_client: false,
            from_initiator: false,
            nth: 0,
            icookie: h.get(..8)?.try_into().ok()?,
            rcookie: h.get(8..16)?.try_into().ok()?,
            version: *h.get(17)?,
            exchange: *h.get(18)?,
            flags: *h.get(19)?,
            msgid: u32::from_be_bytes(h.get(20..24)?.try_into().ok()?),
            payloads: vec![Payload::new(*h.get(16)?, Vec::new())],
            lie: 0,
            tail: Vec::new(),
            repair: true,
        })
    }

    /// Whether it is under the keys of its IKE SA.
    pub fn encrypted(&self) -> bool {
        self.flags & 1 != 0
    }

    /// `MI1`, `QR1`, `INFO1`: the initiator of an exchange sends the odd ones.
    pub fn name(&self) -> String {
        let who = if self.nth % 2 == 1 { 'I' } else { 'R' };
        match self.exchange {
            2 => format!("M{who}{}", self.nth.div_ceil(2)),
            4 => format!("A{who}{}", self.nth.div_ceil(2)),
            32 => format!("Q{who}{}", self.nth.div_ceil(2)),
            n => format!("{n}.{}", self.nth),
        }
    }

    /// The payloads out of the octets behind the header.
    pub fn read(&mut self, plain: &[u8]) -> Option<()> {
        let mut kind = self.payloads.first()?.kind;
        let (mut payloads, mut rest) = (Vec::new(), plain);
        while kind != 0 {
            let (head, tail) = rest.split_first_chunk::<4>()?;
            let [next, reserved, high, low] = *head;
            let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(4)?;
            payloads.push(Payload { kind, reserved, body: tail.get(..length)?.to_vec(), lie: 0 });
            (kind, rest) = (next, tail.get(length..)?);
        }
        self.payloads = payloads;
        Some(())
    }

    fn chain(payloads: &[Payload]) -> Vec<u8> {
        let next = |n: usize| payloads.get(n + 1).map_or(0, |p| p.kind);
        let one = |(n, p): (usize, &Payload)| {
            let length = (p.body.len() as u16 + 4).wrapping_add_signed(p.lie).to_be_bytes();
            [&[next(n), p.reserved, length[0], length[1]], &p.body[..]].concat()
        };
        payloads.iter().enumerate().flat_map(one).collect()
    }

    /// What the hash of a phase 2 message covers.
    pub fn behind_first(&self) -> Vec<u8> {
        Self::chain(self.payloads.get(1..).unwrap_or_default())
    }

    /// All payloads, padded to a multiple of `block`.
    pub fn plain(&self, block: usize) -> Vec<u8> {
        let mut out = Self::chain(&self.payloads);
        out.resize(out.len().next_multiple_of(block), 0);
        out
    }

    /// The whole message around its body.
    pub fn emit(&self, body: &[u8]) -> Vec<u8> {
        let first = self.payloads.first().map_or(0, |p| p.kind);
        let length = (28 + body.len() as u32).wrapping_add_signed(self.lie).to_be_bytes();
        let mut out = [self.icookie, self.rcookie].concat();
        out.extend([first, self.version, self.exchange, self.flags]);
        out.extend(self.msgid.to_be_bytes());
        out.extend(length);
        out.extend(body);
        out.extend(&self.tail);
        out
    }

    /// The first payload of a type.
    pub fn find(&mut self, kind: u8) -> Option<&mut Payload> {
        self.payloads.iter_mut().find(|p| p.kind == kind)
    }

    /// Changes the attributes of the first transform of the SA payload, which must be alone in its proposal.
    pub fn attributes(&mut self, change: impl FnOnce(&mut Vec<u8>)) -> Option<()> {
        let sa = self.find(SA)?;
        // DOI, situation, proposal header, SPI, transform header.
        let at = 8 + 8 + usize::from(*sa.body.get(14)?);
        let mut attrs = sa.body.split_off(at + 8);
        change(&mut attrs);
        let transform = (attrs.len() + 8) as u16;
        let proposal = (at as u16 - 8 + transform).to_be_bytes();
        sa.body.get_mut(10..12)?.copy_from_slice(&proposal);
        sa.body.get_mut(at + 2..at + 4)?.copy_from_slice(&transform.to_be_bytes());
        sa.body.extend(attrs);
        Some(())
    }
}
