//! Vendor IDs: what we send, what we know of the peer's.

use crate::Endpoint;
use crate::conn::Connection;
use crate::sa::{IkeSa, Serial};
use crate::v1::natt::Method;
use crate::v1::refusal;
use crate::wire::MessageWriter;
use crate::wire::payload::{Chain, Kind};
use ipsec_types::conn::{Fragmentation, NattMethod};
use ipsec_types::whack::rc;

/// Dead Peer Detection, RFC 3706.
pub(crate) const DPD: [u8; 16] =
    [0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9, 0x6b, 0x86, 0x96, 0xfc, 0x77, 0x57, 0x01, 0x00];

/// IKE fragmentation: Microsoft's sixteen octets; others say behind them in which exchanges.
const FRAGMENTATION: [u8; 16] =
    [0x40, 0x48, 0xb7, 0xd5, 0x6e, 0xbc, 0xe8, 0x85, 0x25, 0xe7, 0xde, 0x7f, 0x00, 0xd6, 0xc2, 0xd3];
/// "In Main Mode and behind it", as racoon, strongSwan and Apple write it.
const FRAGMENTATION_WHERE: [u8; 4] = [0x80, 0, 0, 0];

/// XAUTH.
const XAUTH: [u8; 8] = [0x09, 0x00, 0x26, 0x89, 0xdf, 0xd6, 0xb7, 0x12];
/// Cisco's attributes of Mode Config.
const UNITY: [u8; 16] =
    [0x12, 0xf5, 0xf2, 0x8c, 0x45, 0x71, 0x68, 0xa9, 0x70, 0x2d, 0x9f, 0xe2, 0x74, 0xcc, 0x01, 0x00];

/// Known vendor IDs without effect, by their first octets.
const KNOWN: [(&[u8], &str); 8] = [
    (b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61", "MS NT5 ISAKMPOAKLEY"),
    (b"\x01\x52\x8b\xbb\xc0\x06\x96\x12\x18\x49\xab\x9a\x1c\x5b\x2a\x51", "MS key-modules"),
    (b"\x26\x24\x4d\x38\xed\xdb\x61\xb3\x17\x2a\x36\xe3\xd0\xcf\xb8\x19", "Vid-Initial-Contact"),
    (b"\xfb\x1d\xe3\xcd\xf3\x41\xb7\xea\x16\xb7\xe5\xbe\x08\x55\xf1\x20", "MS-Negotiation Discovery Capable"),
    (b"\xe3\xa5\x96\x6a\x76\x37\x9f\xe7\x07\x22\x82\x31\xe5\xce\x86\x52", "IKE CGA version 1"),
    (b"\x21\x4c\xa4\xfa\xff\xa7\xf3\x2d\x67\x48\xe5\x30\x33\x95\xae\x83", "MS-MamieExists"),
    (b"\x44\x85\x15\x2d\x18\xb6\xbb\xcd\x0b\xe8\xa8\x46\x95\x79\xdd\xcc", "draft-ietf-ipsec-nat-t-ike-00"),
    (b"IKEv2", "CAN-IKEv2"),
];

impl Endpoint {
    /// Adds the vendor IDs of an initiator's first message: ours, DPD, fragmentation, every NAT-T method.
    pub(crate) fn offer_vendor_ids(&self, w: &mut MessageWriter, c: &Connection) {
        let spec = &c.spec;
        self.say_who_we_are(w, c);
        xauth(w, c);
        if spec.fragmentation != Fragmentation::No {
            w.payload(Kind::Vendor, &[&FRAGMENTATION[..], &FRAGMENTATION_WHERE].concat());
        }
        if self.setup.nat_traversal {
            for m in Method::OFFERED.into_iter().filter(|m| m.allowed(spec.natt_method)) {
                w.payload(Kind::Vendor, &m.vendor_id());
            }
        }
    }

    /// Our own, unless `send-vendorid=no`, and DPD.
    fn say_who_we_are(&self, w: &mut MessageWriter, c: &Connection) {
        if c.spec.send_vendorid {
            w.payload(Kind::Vendor, &self.vendor_id);
        }
        w.payload(Kind::Vendor, &DPD);
    }

    /// Adds those of a responder: ours, DPD, the chosen NAT-T method, and fragmentation if the peer named it, so that
    /// the answer to a short message stays short.
    pub(crate) fn answer_vendor_ids(&self, w: &mut MessageWriter, sa: &IkeSa, c: &Connection) {
        let spec = &c.spec;
        self.say_who_we_are(w, c);
        if sa.fragments.peer && spec.fragmentation != Fragmentation::No {
            w.payload(Kind::Vendor, &[&FRAGMENTATION[..], &FRAGMENTATION_WHERE].concat());
        }
        if let Some(m) = sa.natt.method {
            w.payload(Kind::Vendor, &m.vendor_id());
        }
        xauth(w, c);
    }

    /// Takes note of the peer's vendor IDs: the best NAT-T method, DPD.
    pub(crate) fn note_vendor_ids(&mut self, serial: Serial, chain: &Chain<'_>) {
        let mut best: Option<Method> = None;
        let conn = self.ikes.get(&serial).and_then(|sa| self.conns.get(sa.conn));
        let allowed = conn.map_or(NattMethod::None, |c| c.spec.natt_method);
        for vid in chain.all(Kind::Vendor) {
            let text = if let Some(m) = Method::ALL.into_iter().find(|m| m.vendor_id() == vid) {
                let (name, number) = m.vendor_name();
                if !self.setup.nat_traversal {
                    format!("received Vendor ID payload [{name}] meth={number}, but port floating is off")
                } else if !m.allowed(allowed) {
                    format!(
                        "received Vendor ID payload [{name}] meth={number}, but nat-ikev1-method does not allow it"
                    )
                } else if let Some(b) = best.filter(|b| *b >= m) {
                    let using = b.vendor_name().1;
                    format!(
                        "received Vendor ID payload [{name}] meth={number}, but already using method {using}"
                    )
                } else {
                    best = Some(m);
                    format!("received Vendor ID payload [{name}] method set to={number} ")
                }
            } else if vid == DPD {
                if let Some(sa) = self.ikes.get_mut(&serial) {
                    sa.peer_dpd = true;
                }
                "received Vendor ID payload [Dead Peer Detection]".into()
            } else if vid == XAUTH {
                "received Vendor ID payload [XAUTH]".into()
            } else if vid == UNITY {
                if let Some(sa) = self.ikes.get_mut(&serial) {
                    sa.unity = true;
                }
                "received Vendor ID payload [Cisco-Unity]".into()
            } else if let Some(rest) = vid.strip_prefix(&FRAGMENTATION) {
                self.peer_takes_fragments(serial);
                let blank = if rest.is_empty() { "" } else { " " };
                format!("received Vendor ID payload [FRAGMENTATION{blank}{}]", hex(rest))
            } else if let Some((id, name)) = KNOWN.iter().find(|(id, _)| vid.starts_with(id)) {
                let rest = hex(vid.get(id.len()..).unwrap_or_default());
                let blank = if rest.is_empty() { "" } else { " " };
                format!("ignoring Vendor ID payload [{name}{blank}{rest}]")
            } else {
                let dots = if vid.len() > 32 { "..." } else { "" };
                format!("ignoring unknown Vendor ID payload [{}{dots}]", hex(vid.get(..32).unwrap_or(vid)))
            };
            self.log_sa(serial, rc::LOG_SERIOUS, &text);
        }
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.looks_like = refusal::looks_like(chain.all(Kind::Vendor));
            sa.natt.method = best;
        }
    }
}

/// Those of XAUTH and of Cisco's Mode Config, where the conn has them.
fn xauth(w: &mut MessageWriter, c: &Connection) {
    if c.asked_with_xauth().is_some() {
        w.payload(Kind::Vendor, &XAUTH);
    }
    if c.spec.cisco_unity {
        w.payload(Kind::Vendor, &UNITY);
    }
}

fn hex(b: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or_default();
    b.iter().take(32).flat_map(|x| [digit(x >> 4), digit(x & 15)]).collect()
}
