//! The attribute payload of the Transaction exchange (draft-ietf-ipsec-isakmp-mode-cfg-05, draft-beaulieu-ike-xauth-02,
//! and Cisco's Unity attributes).
//!
//! ```text
//!  +---------------+---------------+-------------------------------+
//!  !     Type      !   RESERVED    !           Identifier          !
//!  +---------------+---------------+-------------------------------+
//!  !                           Attributes                          ~
//!  +---------------------------------------------------------------+
//! ```

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::attr::Attr;
use super::{DecodeError, reader::Reader};

/// Octets of a text attribute that are taken: longer ones are cut (CVE-2010-3302).
pub const MAX_TEXT: usize = 500;

/// Whether an attribute is about IPv6.
fn is_v6(kind: u16) -> bool {
    matches!(kind, IP6_ADDRESS..=IP6_NBNS | IP6_SUBNET)
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CfgType {
    /// 1.
    Request,
    /// 2.
    Reply,
    /// 3.
    Set,
    /// 4.
    Ack,
}

impl CfgType {
    fn number(self) -> u8 {
        match self {
            CfgType::Request => 1,
            CfgType::Reply => 2,
            CfgType::Set => 3,
            CfgType::Ack => 4,
        }
    }
}

/// `INTERNAL_IP4_ADDRESS`.
pub const IP4_ADDRESS: u16 = 1;
/// `INTERNAL_IP4_NETMASK`.
pub const IP4_NETMASK: u16 = 2;
/// `INTERNAL_IP4_DNS`.
pub const IP4_DNS: u16 = 3;
/// `INTERNAL_IP4_NBNS`.
pub const IP4_NBNS: u16 = 4;
/// `INTERNAL_ADDRESS_EXPIRY`, seconds.
pub const ADDRESS_EXPIRY: u16 = 5;
/// `APPLICATION_VERSION`.
pub const APPLICATION_VERSION: u16 = 7;
/// `INTERNAL_IP6_ADDRESS`.
pub const IP6_ADDRESS: u16 = 8;
/// `INTERNAL_IP6_NETMASK`.
pub const IP6_NETMASK: u16 = 9;
/// `INTERNAL_IP6_DNS`.
pub const IP6_DNS: u16 = 10;
/// `INTERNAL_IP6_NBNS`.
pub const IP6_NBNS: u16 = 11;
/// `INTERNAL_IP4_SUBNET`.
pub const IP4_SUBNET: u16 = 13;
/// `INTERNAL_IP6_SUBNET`.
pub const IP6_SUBNET: u16 = 15;
/// `XAUTH_TYPE`, 0 is a name and a password.
pub const XAUTH_TYPE: u16 = 16520;
/// `XAUTH_USER_NAME`.
pub const XAUTH_USER_NAME: u16 = 16521;
/// `XAUTH_USER_PASSWORD`.
pub const XAUTH_USER_PASSWORD: u16 = 16522;
/// `XAUTH_PASSCODE`.
pub const XAUTH_PASSCODE: u16 = 16523;
/// `XAUTH_MESSAGE`.
pub const XAUTH_MESSAGE: u16 = 16524;
/// `XAUTH_DOMAIN`.
pub const XAUTH_DOMAIN: u16 = 16526;
/// `XAUTH_STATUS`, 1 is success.
pub const XAUTH_STATUS: u16 = 16527;
/// Unity: a text for the user.
pub const UNITY_BANNER: u16 = 28672;
/// Unity: whether the client may keep the password.
pub const UNITY_SAVE_PASSWD: u16 = 28673;
/// Unity: the default domain.
pub const UNITY_DEF_DOMAIN: u16 = 28674;
/// Unity: domains whose names our servers know.
pub const UNITY_SPLITDNS: u16 = 28675;
/// Unity: networks to reach through the tunnel.
pub const UNITY_SPLIT_INCLUDE: u16 = 28676;
/// Unity: the group for Quick Mode.
pub const UNITY_PFS: u16 = 28679;

/// A parsed payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CfgPayload<'a> {
    /// Type.
    pub kind: CfgType,
    /// Pairs a reply with its request.
    pub identifier: u16,
    /// Attributes, in order.
    pub attrs: Vec<Attr<'a>>,
}

impl<'a> CfgPayload<'a> {
    /// Parses the body.
    pub fn parse(body: &'a [u8]) -> Result<CfgPayload<'a>, DecodeError> {
        let what = "ISAKMP Mode Attribute";
        let mut r = Reader::new(body, what);
        let kind = match r.u8()? {
            1 => CfgType::Request,
            2 => CfgType::Reply,
            3 => CfgType::Set,
            4 => CfgType::Ack,
            n => return Err(DecodeError::Value { what: "type of ISAKMP Mode Attribute", value: n.into() }),
        };
        r.u8()?;
        let identifier = r.u16()?;
        // libreswan fills the payload up to a multiple of four octets.
        let rest = r.rest();
        let zeros = rest.iter().rev().take_while(|b| **b == 0).count();
        let padding = (1..=zeros.min(3))
            .find(|n| Attr::parse_all(rest.get(..rest.len() - n).unwrap_or_default()).is_ok());
        let attrs = match (Attr::parse_all(rest), padding) {
            (Err(_), Some(n)) => Attr::parse_all(rest.get(..rest.len() - n).unwrap_or_default())?,
            (parsed, _) => parsed?,
        };
        Ok(CfgPayload { kind, identifier, attrs })
    }

    /// Whether an attribute is there, with or without a value.
    pub fn has(&self, kind: u16) -> bool {
        self.attrs.iter().any(|a| a.kind == kind)
    }

    /// The value of the first attribute of a type.
    pub fn value(&self, kind: u16) -> Option<&'a [u8]> {
        self.attrs.iter().find(|a| a.kind == kind).map(|a| a.value)
    }

    /// Every address in the attributes of a type; those of another length than its family's are passed over. Old releases
    /// of strongSwan put the length of a prefix behind an IPv6 address, as IKEv2 does.
    pub fn addresses(&self, kind: u16) -> Vec<IpAddr> {
        let of = |a: &&Attr<'a>| a.kind == kind;
        let v4 = |b: &[u8]| <[u8; 4]>::try_from(b).ok().map(|b| IpAddr::V4(b.into()));
        let v6 = |b: &[u8]| {
            let octets = if b.len() == 17 { b.get(..16)? } else { b };
            <[u8; 16]>::try_from(octets).ok().map(|b| IpAddr::V6(b.into()))
        };
        let address = |a: &Attr<'a>| if is_v6(kind) { v6(a.value) } else { v4(a.value) };
        self.attrs.iter().filter(of).filter_map(address).collect()
    }

    /// The networks in the attributes of a type: address and mask for IPv4, address and length of the prefix for IPv6.
    pub fn subnets(&self, kind: u16) -> Vec<IpNet> {
        let v4 = |b: &[u8]| {
            let (addr, mask) =
                (<[u8; 4]>::try_from(b.get(..4)?).ok()?, <[u8; 4]>::try_from(b.get(4..)?).ok()?);
            Ipv4Net::with_netmask(addr.into(), mask.into()).ok().map(IpNet::V4)
        };
        let v6 = |b: &[u8]| {
            let (bits, addr) = b.split_last()?;
            Ipv6Net::new(<[u8; 16]>::try_from(addr).ok()?.into(), *bits).ok().map(IpNet::V6)
        };
        let net = |a: &Attr<'a>| if is_v6(kind) { v6(a.value) } else { v4(a.value) };
        self.attrs.iter().filter(|a| a.kind == kind).filter_map(net).map(|n| n.trunc()).collect()
    }

    /// The first text of a type, for people: without control characters, cut at [`MAX_TEXT`] octets.
    pub fn text(&self, kind: u16) -> Option<String> {
        let bytes = self.value(kind)?;
        let text = String::from_utf8_lossy(bytes.get(..MAX_TEXT).unwrap_or(bytes)).into_owned();
        Some(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().into())
    }

    /// The networks of Unity's split-include attributes: fourteen octets each, address, mask and six that nobody reads.
    pub fn networks(&self, kind: u16) -> Vec<IpNet> {
        let all = self.attrs.iter().filter(|a| a.kind == kind).flat_map(|a| a.value.chunks(14));
        let network = |b: &[u8]| {
            let addr: [u8; 4] = b.get(..4)?.try_into().ok()?;
            let mask: [u8; 4] = b.get(4..8)?.try_into().ok()?;
            Ipv4Net::with_netmask(addr.into(), mask.into()).ok().map(|n| IpNet::V4(n.trunc()))
        };
        all.filter_map(network).collect()
    }
}

/// A payload under construction.
#[derive(Debug)]
pub struct CfgWriter {
    body: Vec<u8>,
}

impl CfgWriter {
    /// Starts a payload.
    pub fn new(kind: CfgType, identifier: u16) -> Self {
        let [high, low] = identifier.to_be_bytes();
        CfgWriter { body: vec![kind.number(), 0, high, low] }
    }

    /// Adds an attribute with a value, which is cut at 65535 octets; without one it is a question.
    pub fn value(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
        self.body.extend_from_slice(&(kind & 0x7fff).to_be_bytes());
        self.body.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.body.extend_from_slice(value);
        self
    }

    /// Adds an attribute of two octets in the short form.
    pub fn short(&mut self, kind: u16, value: u16) -> &mut Self {
        self.body.extend_from_slice(&(kind | 0x8000).to_be_bytes());
        self.body.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Adds an address, if it is of the family of the attribute.
    pub fn address(&mut self, kind: u16, addr: IpAddr) -> &mut Self {
        match addr {
            IpAddr::V4(a) if !is_v6(kind) => self.value(kind, &a.octets()),
            IpAddr::V6(a) if is_v6(kind) => self.value(kind, &a.octets()),
            _ => self,
        }
    }

    /// Adds a network as [`CfgPayload::subnets`] reads it, if it is of the family of the attribute.
    pub fn subnet(&mut self, kind: u16, net: IpNet) -> &mut Self {
        match net {
            IpNet::V4(n) if !is_v6(kind) => {
                self.value(kind, &[n.network().octets(), n.netmask().octets()].concat())
            }
            IpNet::V6(n) if is_v6(kind) => {
                self.value(kind, &[&n.network().octets()[..], &[n.prefix_len()]].concat())
            }
            _ => self,
        }
    }

    /// Adds one attribute with IPv4 networks, as [`CfgPayload::networks`] reads them.
    pub fn networks(&mut self, kind: u16, nets: &[IpNet]) -> &mut Self {
        let mut value = Vec::new();
        for net in nets {
            if let IpNet::V4(n) = net {
                let mask: Ipv4Addr = n.netmask();
                value.extend_from_slice(&n.network().octets());
                value.extend_from_slice(&mask.octets());
                value.extend_from_slice(&[0; 6]);
            }
        }
        if !value.is_empty() {
            self.value(kind, &value);
        }
        self
    }

    /// The body.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }
}
