//! Data attributes (RFC 2408 §3.3): `AF|type, value` or `type, length, value`.

use super::{DecodeError, reader::Reader};

/// Attributes of one transform, at most.
pub const MAX_ATTRS: usize = 32;

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr<'a> {
    /// Type without the format bit.
    pub kind: u16,
    /// The value: 2 octets in the short form, any number in the long one.
    pub value: &'a [u8],
}

impl<'a> Attr<'a> {
    /// Parses a list that fills `bytes`.
    pub fn parse_all(bytes: &'a [u8]) -> Result<Vec<Attr<'a>>, DecodeError> {
        let mut r = Reader::new(bytes, "ISAKMP Attribute");
        let mut attrs = Vec::new();
        while !r.is_empty() {
            if attrs.len() == MAX_ATTRS {
                return Err(DecodeError::TooMany { what: "attributes", limit: MAX_ATTRS });
            }
            let kind = r.u16()?;
            let len = if kind & 0x8000 != 0 { 2 } else { usize::from(r.u16()?) };
            attrs.push(Attr { kind: kind & 0x7fff, value: r.take(len)? });
        }
        Ok(attrs)
    }

    /// The value as a number; `None` if it has more than 8 octets or none.
    pub fn number(&self) -> Option<u64> {
        (1..=8).contains(&self.value.len()).then(|| self.value.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }
}

/// Appends an attribute, in the short form when the value fits.
pub fn emit(kind: u16, value: u32, out: &mut Vec<u8>) {
    match u16::try_from(value) {
        Ok(v) => {
            out.extend_from_slice(&(kind | 0x8000).to_be_bytes());
            out.extend_from_slice(&v.to_be_bytes());
        }
        Err(_) => emit_long(kind, value, out),
    }
}

/// Appends an attribute as four octets in the long form.
pub fn emit_long(kind: u16, value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&4u16.to_be_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}
