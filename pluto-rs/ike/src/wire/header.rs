//! The ISAKMP header (RFC 2408 §3.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  +---------------------------------------------------------------+
//!  !                          Initiator                            !
//!  !                            Cookie                             !
//!  +---------------------------------------------------------------+
//!  !                          Responder                            !
//!  !                            Cookie                             !
//!  +---------------+-------+-------+---------------+---------------+
//!  !  Next Payload ! MjVer ! MnVer ! Exchange Type !     Flags     !
//!  +---------------+-------+-------+---------------+---------------+
//!  !                          Message ID                           !
//!  +---------------------------------------------------------------+
//!  !                            Length                             !
//!  +---------------------------------------------------------------+
//! ```

use super::{DecodeError, reader::Reader};

/// Octets of the header.
pub const HEADER_LEN: usize = 28;
/// Largest message we read.
pub const MAX_MESSAGE: usize = 65_507;
/// Flag bit: everything after the header is encrypted.
pub const FLAG_ENCRYPTED: u8 = 1;
/// Flag bit: the SA must be in place before it is used.
pub const FLAG_COMMIT: u8 = 2;

/// A cookie; all zero is "not chosen yet".
pub type Cookie = [u8; 8];

/// Exchange types (RFC 2408 §3.1, RFC 2409 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Identity Protection, 2: Main Mode.
    Main,
    /// Aggressive, 4.
    Aggressive,
    /// Informational, 5.
    Informational,
    /// Transaction, 6: XAUTH and Mode Config.
    Transaction,
    /// Quick Mode, 32.
    Quick,
    /// Any other number.
    Other(u8),
}

impl Exchange {
    /// Wire number.
    pub fn number(self) -> u8 {
        match self {
            Exchange::Main => 2,
            Exchange::Aggressive => 4,
            Exchange::Informational => 5,
            Exchange::Transaction => 6,
            Exchange::Quick => 32,
            Exchange::Other(n) => n,
        }
    }
}

impl From<u8> for Exchange {
    fn from(n: u8) -> Self {
        match n {
            2 => Exchange::Main,
            4 => Exchange::Aggressive,
            5 => Exchange::Informational,
            6 => Exchange::Transaction,
            32 => Exchange::Quick,
            n => Exchange::Other(n),
        }
    }
}

/// A parsed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Initiator's cookie.
    pub icookie: Cookie,
    /// Responder's cookie, zero in the first message.
    pub rcookie: Cookie,
    /// Type of the first payload.
    pub next: u8,
    /// Major version in the high, minor in the low four bits.
    pub version: u8,
    /// Exchange type.
    pub exchange: Exchange,
    /// Flag bits.
    pub flags: u8,
    /// Message ID, zero in phase 1.
    pub msgid: u32,
}

impl Header {
    /// Splits a datagram into header and body. Octets behind the header's length are dropped (some peers pad); a
    /// length beyond the datagram is an error.
    pub fn parse(datagram: &[u8]) -> Result<(Header, &[u8]), DecodeError> {
        let mut r = Reader::new(datagram, "ISAKMP Message");
        let header = Header {
            icookie: r.cookie()?,
            rcookie: r.cookie()?,
            next: r.u8()?,
            version: r.u8()?,
            exchange: r.u8()?.into(),
            flags: r.u8()?,
            msgid: r.u32()?,
        };
        let length = r.u32()? as usize;
        let body = length
            .checked_sub(HEADER_LEN)
            .and_then(|n| r.rest().get(..n))
            .ok_or(DecodeError::Length { what: "ISAKMP Message", length })?;
        Ok((header, body))
    }

    /// Whether the sender wants to be told when the SA is in place (RFC 2408 §3.1).
    pub fn commits(&self) -> bool {
        self.flags & FLAG_COMMIT != 0
    }

    /// Whether the body is encrypted.
    pub fn encrypted(&self) -> bool {
        self.flags & FLAG_ENCRYPTED != 0
    }

    /// Appends the header for a message of `body_len` octets behind it.
    pub fn emit(&self, body_len: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.icookie);
        out.extend_from_slice(&self.rcookie);
        out.extend_from_slice(&[self.next, self.version, self.exchange.number(), self.flags]);
        out.extend_from_slice(&self.msgid.to_be_bytes());
        out.extend_from_slice(&((HEADER_LEN + body_len) as u32).to_be_bytes());
    }
}
