//! Attribute-value pairs (RFC 2661 §4.1): the codec, without meaning.
//!
//! ```text
//!  |M|H| rsvd  |      Length       |           Vendor ID           |
//!  |         Attribute Type        |        Attribute Value...
//! ```

/// IETF attribute numbers (RFC 2661 §4.4).
pub mod attr {
    #![expect(missing_docs, reason = "the names are RFC 2661's")]
    pub const MESSAGE_TYPE: u16 = 0;
    pub const RESULT_CODE: u16 = 1;
    pub const PROTOCOL_VERSION: u16 = 2;
    pub const FRAMING_CAPABILITIES: u16 = 3;
    pub const BEARER_CAPABILITIES: u16 = 4;
    pub const TIE_BREAKER: u16 = 5;
    pub const FIRMWARE_REVISION: u16 = 6;
    pub const HOST_NAME: u16 = 7;
    pub const VENDOR_NAME: u16 = 8;
    pub const ASSIGNED_TUNNEL_ID: u16 = 9;
    pub const RECEIVE_WINDOW_SIZE: u16 = 10;
    pub const CHALLENGE: u16 = 11;
    pub const CHALLENGE_RESPONSE: u16 = 13;
    pub const ASSIGNED_SESSION_ID: u16 = 14;
    pub const CALL_SERIAL_NUMBER: u16 = 15;
    pub const MINIMUM_BPS: u16 = 16;
    pub const MAXIMUM_BPS: u16 = 17;
    pub const BEARER_TYPE: u16 = 18;
    pub const FRAMING_TYPE: u16 = 19;
    pub const CALLED_NUMBER: u16 = 21;
    pub const CALLING_NUMBER: u16 = 22;
    pub const TX_CONNECT_SPEED: u16 = 24;
    pub const ACCM: u16 = 35;
    pub const RANDOM_VECTOR: u16 = 36;
    pub const RX_CONNECT_SPEED: u16 = 38;
    /// The highest attribute RFC 2661 defines.
    pub const LAST: u16 = 39;
    pub const SEQUENCING_REQUIRED: u16 = 39;
}

/// Octets of an AVP header.
pub const HEADER: usize = 6;
/// The longest AVP the 10-bit length field allows.
pub const MAX: usize = 1023;

const M: u16 = 0x8000;
const H: u16 = 0x4000;
const RESERVED: u16 = 0x3c00;
const LENGTH: u16 = 0x03ff;

/// One AVP as it stands in the message; a hidden value is still hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avp<'a> {
    /// The receiver must understand it.
    pub mandatory: bool,
    /// The value is covered with the tunnel secret.
    pub hidden: bool,
    /// A reserved bit is set, so §4.1 has it treated as unrecognised.
    pub reserved: bool,
    /// SMI enterprise code, 0 for the IETF's.
    pub vendor: u16,
    /// Attribute number within the vendor's space.
    pub attribute: u16,
    /// The value.
    pub value: &'a [u8],
}

/// Why the AVPs of a message cannot be walked further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AvpError {
    /// Fewer octets than a header, or a length field below a header's size.
    #[error("AVP too small")]
    Short,
    /// Length beyond the message.
    #[error("Invalid AVP length")]
    Length,
}

/// Walks the AVPs of a message body; ends after the first error.
#[derive(Clone, Debug)]
pub struct Avps<'a>(&'a [u8]);

impl<'a> Avps<'a> {
    /// Starts at the first AVP of `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Avps(body)
    }
}

impl<'a> Iterator for Avps<'a> {
    type Item = Result<Avp<'a>, AvpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let body = std::mem::take(&mut self.0);
        let &[f0, f1, v0, v1, a0, a1, ..] = body else { return Some(Err(AvpError::Short)) };
        let flags = u16::from_be_bytes([f0, f1]);
        let len = usize::from(flags & LENGTH);
        if len < HEADER {
            return Some(Err(AvpError::Short));
        }
        let Some((avp, rest)) = body.split_at_checked(len) else { return Some(Err(AvpError::Length)) };
        self.0 = rest;
        Some(Ok(Avp {
            mandatory: flags & M != 0,
            hidden: flags & H != 0,
            reserved: flags & RESERVED != 0,
            vendor: u16::from_be_bytes([v0, v1]),
            attribute: u16::from_be_bytes([a0, a1]),
            value: &avp[HEADER..],
        }))
    }
}

/// Appends one AVP; a value longer than the length field can say is cut.
pub fn put(out: &mut Vec<u8>, mandatory: bool, vendor: u16, attribute: u16, value: &[u8]) {
    put_flags(out, if mandatory { M } else { 0 }, vendor, attribute, value);
}

/// Appends one AVP whose value has been hidden already.
pub fn put_hidden(out: &mut Vec<u8>, mandatory: bool, attribute: u16, value: &[u8]) {
    put_flags(out, H | if mandatory { M } else { 0 }, 0, attribute, value);
}

fn put_flags(out: &mut Vec<u8>, flags: u16, vendor: u16, attribute: u16, value: &[u8]) {
    let value = value.get(..MAX - HEADER).unwrap_or(value);
    let len = u16::try_from(HEADER + value.len()).unwrap_or(LENGTH);
    for w in [flags | len, vendor, attribute] {
        out.extend_from_slice(&w.to_be_bytes());
    }
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_avp_beyond_the_message_ends_the_walk() {
        let mut it = Avps::new(&[0x80, 8, 0, 0, 0, 0, 0]);
        assert_eq!(it.next(), Some(Err(AvpError::Length)));
        assert_eq!(it.next(), None);
        assert_eq!(Avps::new(&[0x80, 5, 0, 0, 0, 0]).next(), Some(Err(AvpError::Short)));
        assert_eq!(Avps::new(&[0x80]).next(), Some(Err(AvpError::Short)));
    }

    #[test]
    fn reserved_bits_are_told() {
        let a = Avps::new(&[0x90, 6, 0, 0, 0, 2]).next().unwrap().unwrap();
        assert!(a.reserved && a.mandatory && !a.hidden);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(b in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Avps::new(&b).count() <= b.len() / HEADER + 1);
        }

        #[test]
        fn avps_come_back(list in proptest::collection::vec((any::<bool>(), any::<u16>(), any::<u16>(),
                          proptest::collection::vec(any::<u8>(), 0..90)), 0..8)) {
            let mut b = Vec::new();
            for (m, v, a, x) in &list { put(&mut b, *m, *v, *a, x); }
            let got: Vec<_> = Avps::new(&b).map(|a| a.unwrap())
                .map(|a| (a.mandatory, a.vendor, a.attribute, a.value.to_vec())).collect();
            prop_assert_eq!(got, list);
        }
    }
}
