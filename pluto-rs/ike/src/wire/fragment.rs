//! A piece of a message that was too long for the path (Cisco's and Microsoft's IKE fragmentation; [MS-IKEE]
//! §2.2.3.1). The pieces, put together, are a whole message with a header of its own.
//!
//! ```text
//!  +---------------+---------------+-------------------------------+
//!  ! Next Payload  !   RESERVED    !         Payload Length        !
//!  +---------------+---------------+---------------+---------------+
//!  !          Fragment ID          !    Number     !     Flags     !
//!  +-------------------------------+---------------+---------------+
//!  !                         Fragment Data                         !
//!  +---------------------------------------------------------------+
//! ```

use super::header::HEADER_LEN;
use super::{DecodeError, Header, reader::Reader};

/// Type of the payload, from the private range.
pub const FRAGMENT: u8 = 132;
/// Octets of a fragment that are not its share of the message: ISAKMP header and payload header.
pub const OVERHEAD: usize = HEADER_LEN + 8;
const WHAT: &str = "ISAKMP Fragment Payload";
const LAST: u8 = 1;

/// One fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The same for all pieces of one message. Some peers use one number for all messages.
    pub id: u16,
    /// Place of the piece, from 1.
    pub number: u8,
    /// It is the last one.
    pub last: bool,
    /// Its octets, at least one.
    pub data: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads what is behind a header whose next payload is [`FRAGMENT`].
    ///
    /// # Errors
    /// A payload behind it, a length that does not fit, number 0, and a piece of nothing.
    pub fn parse(body: &'a [u8]) -> Result<Fragment<'a>, DecodeError> {
        let mut r = Reader::new(body, WHAT);
        let next = r.u8()?;
        r.u8()?;
        let length = usize::from(r.u16()?);
        let wrong = DecodeError::Length { what: WHAT, length };
        let share = length.checked_sub(4).ok_or(wrong.clone())?;
        let mut r = Reader::new(r.take(share)?, WHAT);
        let (id, number, flags) = (r.u16()?, r.u8()?, r.u8()?);
        if next != 0 {
            return Err(DecodeError::PayloadType { what: WHAT, value: next });
        }
        if number == 0 {
            return Err(DecodeError::Value { what: "number of a fragment", value: 0 });
        }
        match r.rest() {
            [] => Err(wrong),
            data => Ok(Fragment { id, number, last: flags & LAST != 0, data }),
        }
    }

    /// The message that carries this piece; `header` is that of the whole one.
    pub fn emit(&self, header: &Header) -> Vec<u8> {
        let length = 8 + self.data.len();
        let mut out = Vec::with_capacity(HEADER_LEN + length);
        Header { next: FRAGMENT, flags: 0, ..*header }.emit(length, &mut out);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&[self.number, u8::from(self.last)]);
        out.extend_from_slice(self.data);
        out
    }
}

/// Cuts a message into messages of at most `size` octets. `None` if it fits as it is, or would be more than 255.
pub fn cut(message: &[u8], id: u16, size: usize) -> Option<Vec<Vec<u8>>> {
    let share = size.checked_sub(OVERHEAD).filter(|n| *n > 0)?;
    let (header, _) = Header::parse(message).ok().filter(|_| message.len() > size)?;
    let count = message.len().div_ceil(share);
    let last = u8::try_from(count).ok()?;
    let pieces = message.chunks(share).zip(1..=last);
    Some(
        pieces
            .map(|(data, number)| Fragment { id, number, last: number == last, data }.emit(&header))
            .collect(),
    )
}
