//! The L2TPv2 header (RFC 2661 §3.1), control and data.
//!
//! ```text
//!  0                   1                   2                   3
//!  |T|L|x|x|S|x|O|P|x|x|x|x|  Ver  |          Length (opt)         |
//!  |           Tunnel ID           |           Session ID          |
//!  |             Ns (opt)          |             Nr (opt)          |
//!  |      Offset Size (opt)        |    Offset pad... (opt)
//! ```
//!
//! Octets after the stated length are padding of the carrier and are dropped; a length beyond the datagram is an
//! error. Reserved bits are not looked at.

/// The flag word of every control message: T, L and S set, version 2.
pub const CONTROL_FLAGS: u16 = 0xc802;
/// Octets of a control header.
pub const CONTROL_HEADER: usize = 12;

const T: u16 = 0x8000;
const L: u16 = 0x4000;
const S: u16 = 0x0800;
const O: u16 = 0x0200;
const VERSION: u16 = 0x000f;

/// One datagram, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// T = 1.
    Control(Control<'a>),
    /// T = 0.
    Data(Data<'a>),
}

/// A control message; an empty `body` makes it a ZLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control<'a> {
    /// The receiver's tunnel id, 0 in an SCCRQ.
    pub tunnel: u16,
    /// The receiver's session id, 0 for the tunnel itself.
    pub session: u16,
    /// Sequence number of this message.
    pub ns: u16,
    /// Sequence number its sender expects next.
    pub nr: u16,
    /// The AVPs.
    pub body: &'a [u8],
}

/// A data message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// The receiver's tunnel id.
    pub tunnel: u16,
    /// The receiver's session id.
    pub session: u16,
    /// Sequence number, when the sender numbers its frames.
    pub ns: Option<u16>,
    /// The PPP frame without flags and FCS.
    pub payload: &'a [u8],
}

/// Why a datagram has no L2TPv2 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Ends inside the header.
    #[error("too short")]
    Short,
    /// Not version 2: L2F is 1, L2TPv3 is 3.
    #[error("version {0} instead of 2")]
    Version(u16),
    /// The length field goes beyond the datagram or is smaller than the header.
    #[error("wrong length field")]
    Length,
    /// A control message without length or sequence numbers (§3.1 wants both).
    #[error("control message without length or sequence numbers")]
    ControlFlags,
}

/// Reads the `u16` at `at`.
fn word(b: &[u8], at: usize) -> Result<u16, HeaderError> {
    match b.get(at..at + 2) {
        Some(&[hi, lo]) => Ok(u16::from_be_bytes([hi, lo])),
        _ => Err(HeaderError::Short),
    }
}

/// Takes a datagram apart.
///
/// # Errors
/// [`HeaderError`] for whatever is not L2TPv2; no input panics.
pub fn parse(datagram: &[u8]) -> Result<Packet<'_>, HeaderError> {
    let flags = word(datagram, 0)?;
    if flags & VERSION != 2 {
        return Err(HeaderError::Version(flags & VERSION));
    }
    let mut at = 2;
    let mut b = datagram;
    if flags & L != 0 {
        let len = usize::from(word(b, at)?);
        b = b.get(..len).ok_or(HeaderError::Length)?;
        at += 2;
    }
    let tunnel = word(b, at)?;
    let session = word(b, at + 2)?;
    at += 4;
    if flags & T != 0 {
        if flags & (L | S) != L | S {
            return Err(HeaderError::ControlFlags);
        }
        let (ns, nr) = (word(b, at)?, word(b, at + 2)?);
        let body = b.get(at + 4..).ok_or(HeaderError::Length)?;
        return Ok(Packet::Control(Control { tunnel, session, ns, nr, body }));
    }
    let ns = if flags & S != 0 {
        let ns = word(b, at)?;
        word(b, at + 2)?;
        at += 4;
        Some(ns)
    } else {
        None
    };
    if flags & O != 0 {
        at += 2 + usize::from(word(b, at)?);
    }
    let payload = b.get(at..).ok_or(HeaderError::Length)?;
    Ok(Packet::Data(Data { tunnel, session, ns, payload }))
}

/// Builds a control message. `body` longer than a datagram can hold is cut; the engine never builds one.
pub fn control(tunnel: u16, session: u16, ns: u16, nr: u16, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(CONTROL_HEADER + body.len()).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(usize::from(len));
    for w in [CONTROL_FLAGS, len, tunnel, session, ns, nr] {
        out.extend_from_slice(&w.to_be_bytes());
    }
    out.extend_from_slice(&body[..usize::from(len) - CONTROL_HEADER]);
    out
}

/// Appends a data message to `out`: six octets of header, with a length field when `length_bit`, with numbers when
/// the peer asked for them (`ns`).
pub fn put_data(
    out: &mut Vec<u8>,
    tunnel: u16,
    session: u16,
    length_bit: bool,
    ns: Option<u16>,
    payload: &[u8],
) {
    let header = 6 + if length_bit { 2 } else { 0 } + if ns.is_some() { 4 } else { 0 };
    let flags = 2 | if length_bit { L } else { 0 } | if ns.is_some() { S } else { 0 };
    out.reserve(header + payload.len());
    out.extend_from_slice(&flags.to_be_bytes());
    if length_bit {
        let len = u16::try_from(header + payload.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&len.to_be_bytes());
    }
    out.extend_from_slice(&tunnel.to_be_bytes());
    out.extend_from_slice(&session.to_be_bytes());
    if let Some(ns) = ns {
        out.extend_from_slice(&ns.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_control_header_is_twelve_octets() {
        let b = control(0x1234, 0x5678, 1, 2, b"avp");
        assert_eq!(b[..12], [0xc8, 2, 0, 15, 0x12, 0x34, 0x56, 0x78, 0, 1, 0, 2]);
        let c = Control { tunnel: 0x1234, session: 0x5678, ns: 1, nr: 2, body: b"avp" };
        assert_eq!(parse(&b), Ok(Packet::Control(c)));
    }

    #[test]
    fn padding_after_the_stated_length_is_tolerated() {
        let mut b = control(1, 0, 0, 0, b"");
        b.extend_from_slice(&[0; 4]);
        assert!(matches!(parse(&b), Ok(Packet::Control(Control { body: b"", .. }))));
    }

    #[test]
    fn a_length_beyond_the_datagram_is_refused() {
        let mut b = control(1, 0, 0, 0, b"");
        b[3] = 13;
        assert_eq!(parse(&b), Err(HeaderError::Length));
        b[3] = 11;
        assert_eq!(parse(&b), Err(HeaderError::Short));
    }

    #[test]
    fn other_versions_and_bare_control_flags_are_refused() {
        assert_eq!(parse(&[0xc8, 3, 0, 0]), Err(HeaderError::Version(3)));
        assert_eq!(parse(&[0x80, 2, 0, 1, 0, 1, 0, 0]), Err(HeaderError::ControlFlags));
        assert_eq!(parse(&[]), Err(HeaderError::Short));
    }

    #[test]
    fn every_optional_field_of_a_data_header_is_read() {
        let b = [0x4b, 2, 0, 18, 0, 7, 0, 9, 0, 5, 0, 6, 0, 2, 0xee, 0xee, 0xff, 3, 0xaa];
        let d = Data { tunnel: 7, session: 9, ns: Some(5), payload: &[0xff, 3] };
        assert_eq!(parse(&b), Ok(Packet::Data(d)));
        assert_eq!(parse(&[2, 2, 0, 7, 0, 9, 0xff, 0xff, 1]), Err(HeaderError::Length));
    }

    #[test]
    fn a_length_bit_adds_the_length_field() {
        let mut out = Vec::new();
        put_data(&mut out, 7, 9, true, None, &[0xff, 3]);
        assert_eq!(out, [0x40, 2, 0, 10, 0, 7, 0, 9, 0xff, 3]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(b in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&b);
        }

        #[test]
        fn data_comes_back(t: u16, s: u16, l: bool, ns: Option<u16>, p in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut out = Vec::new();
            put_data(&mut out, t, s, l, ns, &p);
            prop_assert_eq!(parse(&out), Ok(Packet::Data(Data { tunnel: t, session: s, ns, payload: &p })));
        }
    }
}
