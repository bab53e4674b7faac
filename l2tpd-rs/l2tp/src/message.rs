//! Control messages (RFC 2661 §6): AVPs with their meaning, lenient where peers in the field need it.
//!
//! Decoding never decides what happens to a tunnel: it reports the first mandatory AVP it does not know
//! ([`Message::unknown_mandatory`]) and the first malformed one ([`Message::malformed`]) and reads on where it can.
//!
//! Deliberately lenient, against xl2tpd: AVPs of other vendors are never taken for the IETF's of the same number; a
//! Result Code may lack its error field (8 octets, MikroTik) or come in little endian (Apple); the call serial may be
//! two octets; a wrong M bit on a known AVP is ignored.

use ipsec_types::SecretBytes;

use crate::auth;
use crate::avp::{Avp, AvpError, Avps, attr};
pub use crate::body::Body;

/// A control message type (RFC 2661 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageType(pub u16);

#[expect(missing_docs, reason = "the names are RFC 2661's")]
impl MessageType {
    pub const SCCRQ: Self = Self(1);
    pub const SCCRP: Self = Self(2);
    pub const SCCCN: Self = Self(3);
    pub const STOPCCN: Self = Self(4);
    pub const HELLO: Self = Self(6);
    pub const OCRQ: Self = Self(7);
    pub const OCRP: Self = Self(8);
    pub const OCCN: Self = Self(9);
    pub const ICRQ: Self = Self(10);
    pub const ICRP: Self = Self(11);
    pub const ICCN: Self = Self(12);
    pub const CDN: Self = Self(14);
    pub const WEN: Self = Self(15);
    pub const SLI: Self = Self(16);

    /// The name xl2tpd prints, `Start-Control-Connection-Request` and so on.
    pub fn name(self) -> &'static str {
        match self {
            Self::SCCRQ => "Start-Control-Connection-Request",
            Self::SCCRP => "Start-Control-Connection-Reply",
            Self::SCCCN => "Start-Control-Connection-Connected",
            Self::STOPCCN => "Stop-Control-Connection-Notification",
            Self::HELLO => "Hello",
            Self::OCRQ => "Outgoing-Call-Request",
            Self::OCRP => "Outgoing-Call-Reply",
            Self::OCCN => "Outgoing-Call-Connected",
            Self::ICRQ => "Incoming-Call-Request",
            Self::ICRP => "Incoming-Call-Reply",
            Self::ICCN => "Incoming-Call-Connected",
            Self::CDN => "Call-Disconnect-Notify",
            Self::WEN => "WAN-Error-Notify",
            Self::SLI => "Set-Link-Info",
            _ => "unknown",
        }
    }

    /// Whether this implementation knows the type.
    pub fn known(self) -> bool {
        self.name() != "unknown"
    }
}

/// The Result Code AVP of a StopCCN or a CDN (RFC 2661 §4.4.2).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ResultCode {
    /// Any value is taken: registries after RFC 2661 define more.
    pub code: u16,
    /// General error, when present.
    pub error: Option<u16>,
    /// The peer's words with control characters replaced, at most 100 characters.
    pub text: String,
    /// It came in little endian and was swapped.
    pub swapped: bool,
}

/// One decoded control message; what it did not carry is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named after the AVPs of RFC 2661 §4.4")]
pub struct Message {
    pub kind: Option<MessageType>,
    pub kind_mandatory: bool,
    pub result: Option<ResultCode>,
    pub framing_caps: Option<u32>,
    pub tie_breaker: Option<u64>,
    pub host_name: Option<String>,
    pub vendor_name: Option<String>,
    pub assigned_tunnel: Option<u16>,
    pub receive_window: Option<u16>,
    pub challenge: Option<Vec<u8>>,
    pub challenge_response: Option<Vec<u8>>,
    pub assigned_session: Option<u16>,
    pub serial: Option<u32>,
    pub called_number: Option<String>,
    pub calling_number: Option<String>,
    pub tx_speed: Option<u32>,
    pub rx_speed: Option<u32>,
    /// Send and receive ACCM.
    pub accm: Option<(u32, u32)>,
    pub sequencing_required: bool,
    /// First mandatory AVP that is not known here, (vendor, attribute).
    pub unknown_mandatory: Option<(u16, u16)>,
    /// First AVP that is known but cannot be read, or where the walk ended.
    pub malformed: Option<AvpError>,
    /// A hidden AVP could not be uncovered: no secret, no random vector, or the wrong secret.
    pub still_hidden: bool,
}

/// Replaces what must not reach a log (control characters, non-ASCII), drops the NULs some clients end their strings
/// with, and cuts at 100 characters.
pub fn printable(b: &[u8]) -> String {
    let end = b.iter().rposition(|&c| c != 0).map_or(0, |n| n + 1);
    b[..end].iter().take(100).map(|&c| if (0x20..0x7f).contains(&c) { char::from(c) } else { '.' }).collect()
}

fn u16_of(v: &[u8]) -> Option<u16> {
    v.try_into().ok().map(u16::from_be_bytes)
}

fn u32_of(v: &[u8]) -> Option<u32> {
    match *v {
        [a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d])),
        [a, b] => Some(u32::from(u16::from_be_bytes([a, b]))),
        _ => None,
    }
}

fn result_of(v: &[u8]) -> Option<ResultCode> {
    let (&[c0, c1], rest) = v.split_first_chunk::<2>()?;
    let (error, text) = match rest.split_first_chunk::<2>() {
        Some((&[e0, e1], text)) => (Some([e0, e1]), text),
        None => (None, &[][..]),
    };
    // Apple's clients send both codes in host byte order.
    let swapped = c1 == 0 && c0 != 0;
    let read = |b: [u8; 2]| if swapped { u16::from_le_bytes(b) } else { u16::from_be_bytes(b) };
    Some(ResultCode { code: read([c0, c1]), error: error.map(read), text: printable(text), swapped })
}

impl Message {
    /// Decodes the AVPs of a control message. `secret` uncovers hidden AVPs when there is one.
    ///
    /// Total: whatever cannot be read is told in the result.
    pub fn decode(body: &[u8], secret: Option<&SecretBytes>) -> Message {
        let mut m = Message::default();
        let mut vector: Option<&[u8]> = None;
        for (i, avp) in Avps::new(body).enumerate() {
            let a = match avp {
                Ok(a) => a,
                Err(e) => {
                    m.malformed.get_or_insert(e);
                    break;
                }
            };
            // §4.4.1: the Message Type is the first AVP of every message.
            if i == 0 && (a.vendor, a.attribute) != (0, attr::MESSAGE_TYPE) {
                return m;
            }
            if a.vendor != 0 || a.reserved || a.attribute > attr::LAST {
                m.unknown(&a);
                continue;
            }
            if a.attribute == attr::RANDOM_VECTOR && !a.hidden {
                vector = Some(a.value);
                continue;
            }
            if !a.hidden {
                m.take(&a, a.value);
                continue;
            }
            let plain = match (secret, vector) {
                (Some(s), Some(rv)) => auth::unhide(a.attribute, s, rv, a.value),
                _ => None,
            };
            match plain {
                Some(v) => m.take(&a, &v),
                None => {
                    m.still_hidden = true;
                    m.unknown(&a);
                }
            }
        }
        m
    }

    fn unknown(&mut self, a: &Avp<'_>) {
        if a.mandatory {
            self.unknown_mandatory.get_or_insert((a.vendor, a.attribute));
        }
    }

    fn take(&mut self, a: &Avp<'_>, v: &[u8]) {
        let ok = match a.attribute {
            attr::MESSAGE_TYPE => {
                if self.kind.is_none() {
                    self.kind = u16_of(v).map(MessageType);
                    self.kind_mandatory = a.mandatory;
                }
                self.kind.is_some()
            }
            attr::RESULT_CODE => {
                self.result = result_of(v);
                self.result.is_some()
            }
            attr::TIE_BREAKER => put_some(&mut self.tie_breaker, v.try_into().ok().map(u64::from_be_bytes)),
            attr::FRAMING_CAPABILITIES => put_some(&mut self.framing_caps, u32_of(v)),
            attr::ACCM => {
                // Two octets reserved before the two maps.
                let maps = v.get(2..10).filter(|_| v.len() == 10);
                put_some(
                    &mut self.accm,
                    maps.and_then(|m| Some((u32_of(m.get(..4)?)?, u32_of(m.get(4..)?)?))),
                )
            }
            attr::RX_CONNECT_SPEED => put_some(&mut self.rx_speed, u32_of(v)),
            attr::HOST_NAME => {
                self.host_name = Some(printable(v));
                true
            }
            attr::VENDOR_NAME => {
                self.vendor_name = Some(printable(v));
                true
            }
            attr::ASSIGNED_TUNNEL_ID => put_some(&mut self.assigned_tunnel, u16_of(v)),
            attr::RECEIVE_WINDOW_SIZE => put_some(&mut self.receive_window, u16_of(v)),
            attr::CHALLENGE => {
                self.challenge = Some(v.to_vec());
                !v.is_empty()
            }
            attr::CHALLENGE_RESPONSE => {
                self.challenge_response = Some(v.to_vec());
                v.len() == 16
            }
            attr::ASSIGNED_SESSION_ID => put_some(&mut self.assigned_session, u16_of(v)),
            attr::CALL_SERIAL_NUMBER => put_some(&mut self.serial, u32_of(v)),
            attr::CALLED_NUMBER => {
                self.called_number = Some(printable(v));
                true
            }
            attr::CALLING_NUMBER => {
                self.calling_number = Some(printable(v));
                true
            }
            attr::TX_CONNECT_SPEED => put_some(&mut self.tx_speed, u32_of(v)),
            attr::SEQUENCING_REQUIRED => {
                self.sequencing_required = true;
                true
            }
            // Known, and without influence on one who negotiates PPP afresh: bearer, proxy LCP and authentication, call
            // errors, private group.
            _ => true,
        };
        if !ok {
            self.malformed.get_or_insert(AvpError::Length);
        }
    }
}

fn put_some<T>(slot: &mut Option<T>, v: Option<T>) -> bool {
    let ok = v.is_some();
    *slot = v;
    ok
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avp;
    use proptest::prelude::*;

    fn decode(b: Body) -> Message {
        Message::decode(&b.done(), None)
    }

    #[test]
    fn a_result_code_may_lack_its_error_field() {
        let m = decode(Body::new(MessageType::CDN).must(attr::RESULT_CODE, &[0, 3]));
        assert_eq!(m.result, Some(ResultCode { code: 3, ..Default::default() }));
        assert_eq!(m.malformed, None);
    }

    #[test]
    fn apples_byte_order_is_swapped() {
        let m = decode(Body::new(MessageType::STOPCCN).must(attr::RESULT_CODE, &[6, 0, 2, 0]));
        let r = m.result.unwrap();
        assert_eq!((r.code, r.error, r.swapped), (6, Some(2), true));
    }

    #[test]
    fn a_vendors_avp_is_not_the_ietfs_of_the_same_number() {
        let mut b = Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 9]).done();
        avp::put(&mut b, false, 311, 1, &[0; 16]);
        avp::put(&mut b, false, 3561, 2, &[0; 16]);
        let m = Message::decode(&b, None);
        assert_eq!(
            (m.assigned_session, m.result, m.unknown_mandatory, m.malformed),
            (Some(9), None, None, None)
        );
        avp::put(&mut b, true, 9, 1, &[0; 2]);
        assert_eq!(Message::decode(&b, None).unknown_mandatory, Some((9, 1)));
    }

    #[test]
    fn the_message_type_comes_first_or_there_is_none() {
        let mut b = Vec::new();
        avp::put(&mut b, true, 0, attr::HOST_NAME, b"x");
        avp::put(&mut b, true, 0, attr::MESSAGE_TYPE, &[0, 1]);
        assert_eq!(Message::decode(&b, None).kind, None);
    }

    #[test]
    fn hidden_avps_are_read_with_the_secret_only() {
        let s = SecretBytes::from(&b"tunnel"[..]);
        let mut b = Body::new(MessageType::ICRQ).must(attr::RANDOM_VECTOR, b"0123456789abcdef").done();
        let h = auth::hide(attr::CALLING_NUMBER, &s, b"0123456789abcdef", b"5551234", 3);
        avp::put_hidden(&mut b, true, attr::CALLING_NUMBER, &h);
        assert_eq!(Message::decode(&b, Some(&s)).calling_number.as_deref(), Some("5551234"));
        let m = Message::decode(&b, None);
        assert!(m.still_hidden && m.unknown_mandatory == Some((0, attr::CALLING_NUMBER)));
    }

    #[test]
    fn the_peers_words_are_made_printable() {
        let m = decode(Body::new(MessageType::CDN).result(1, 0, "a\nb\u{1b}[31m"));
        assert_eq!(m.result.unwrap().text, "a.b.[31m");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(b in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::decode(&b, Some(&SecretBytes::from(&b[..b.len().min(4)])));
        }

        #[test]
        fn any_avp_soup_never_panics(list in proptest::collection::vec((any::<bool>(), 0u16..3, 0u16..45,
                proptest::collection::vec(any::<u8>(), 0..20)), 0..10)) {
            let mut b = Body::new(MessageType::ICRQ).done();
            for (m, v, a, x) in &list { avp::put(&mut b, *m, *v, *a, x); }
            prop_assert_eq!(Message::decode(&b, None).kind, Some(MessageType::ICRQ));
        }
    }
}
