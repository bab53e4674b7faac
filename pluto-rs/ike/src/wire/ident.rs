//! Identification payloads (RFC 2407 §4.6.2): `type, protocol, port, data`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ipsec_types::Id;

use super::{DecodeError, reader::Reader};

/// A parsed identification payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdPayload<'a> {
    /// Type.
    pub kind: u8,
    /// IP protocol, 0 for all.
    pub proto: u8,
    /// Port, 0 for all.
    pub port: u16,
    /// Data.
    pub data: &'a [u8],
}

/// `ID_IPV4_ADDR_SUBNET`.
pub const IPV4_SUBNET: u8 = 4;
/// `ID_IPV6_ADDR_SUBNET`.
pub const IPV6_SUBNET: u8 = 6;
/// `ID_FQDN`.
pub const FQDN: u8 = 2;

impl<'a> IdPayload<'a> {
    /// Parses the body.
    pub fn parse(body: &'a [u8]) -> Result<IdPayload<'a>, DecodeError> {
        let mut r = Reader::new(body, "ISAKMP Identification Payload");
        Ok(IdPayload { kind: r.u8()?, proto: r.u8()?, port: r.u16()?, data: r.rest() })
    }

    /// The phase 1 identity; an error names a type that phase 1 does not allow or data of a wrong size.
    pub fn identity(&self) -> Result<Id, DecodeError> {
        let bad = DecodeError::Length { what: "ISAKMP Identification Payload", length: self.data.len() + 8 };
        // An embedded NUL would let two different names look alike.
        let text = || match std::str::from_utf8(self.data) {
            Ok(t) if !t.is_empty() && !t.contains('\0') => Ok(t.to_string()),
            _ => Err(bad.clone()),
        };
        match self.kind {
            1 | 5 => self.address().map(Id::Addr).ok_or(bad),
            FQDN => text().map(Id::Fqdn),
            3 => text().map(Id::UserFqdn),
            9 => Ok(Id::Dn(self.data.to_vec())),
            11 => Ok(Id::KeyId(self.data.to_vec())),
            n => Err(DecodeError::Value { what: "identity type in Phase 1 ID Payload", value: n.into() }),
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match self.kind {
            1 => <[u8; 4]>::try_from(self.data).ok().map(|b| Ipv4Addr::from(b).into()),
            5 => <[u8; 16]>::try_from(self.data).ok().map(|b| Ipv6Addr::from(b).into()),
            _ => None,
        }
    }

    /// The phase 2 network: an address, a subnet, or a range that is a CIDR block. `None` for anything else.
    pub fn network(&self) -> Option<IpNet> {
        let half = self.data.len() / 2;
        let (a, b) = self.data.split_at(half);
        match self.kind {
            1 | 5 => self.address().map(IpNet::from),
            IPV4_SUBNET => {
                let (a, m) = (<[u8; 4]>::try_from(a).ok()?, <[u8; 4]>::try_from(b).ok()?);
                IpNet::with_netmask(Ipv4Addr::from(a).into(), Ipv4Addr::from(m).into())
                    .ok()
                    .map(|n| n.trunc())
            }
            IPV6_SUBNET => {
                let (a, m) = (<[u8; 16]>::try_from(a).ok()?, <[u8; 16]>::try_from(b).ok()?);
                IpNet::with_netmask(Ipv6Addr::from(a).into(), Ipv6Addr::from(m).into())
                    .ok()
                    .map(|n| n.trunc())
            }
            7 => {
                let (a, b) = (<[u8; 4]>::try_from(a).ok()?, <[u8; 4]>::try_from(b).ok()?);
                let (a, b) = (u32::from_be_bytes(a), u32::from_be_bytes(b));
                let bits = (a ^ b).leading_zeros();
                let net = ipnet::Ipv4Net::new(a.into(), u8::try_from(bits).ok()?).ok()?;
                (u32::from(net.network()) == a && u32::from(net.broadcast()) == b).then(|| net.into())
            }
            _ => None,
        }
    }
}

/// The body for an identity, with protocol and port.
pub fn emit(id: &Id, proto: u8, port: u16) -> Vec<u8> {
    let mut out = vec![id.type_number(), proto];
    out.extend_from_slice(&port.to_be_bytes());
    match id {
        Id::None => {}
        Id::Addr(IpAddr::V4(a)) => out.extend_from_slice(&a.octets()),
        Id::Addr(IpAddr::V6(a)) => out.extend_from_slice(&a.octets()),
        Id::Fqdn(n) | Id::UserFqdn(n) => out.extend_from_slice(n.as_bytes()),
        Id::KeyId(b) | Id::Dn(b) => out.extend_from_slice(b),
    }
    out
}

/// The body for a phase 2 network: an address if it is one host, else a subnet.
pub fn emit_network(net: IpNet, proto: u8, port: u16) -> Vec<u8> {
    if net.prefix_len() == net.max_prefix_len() {
        return emit(&Id::Addr(net.addr()), proto, port);
    }
    let mut out = vec![if net.addr().is_ipv4() { IPV4_SUBNET } else { IPV6_SUBNET }, proto];
    out.extend_from_slice(&port.to_be_bytes());
    for a in [net.network(), net.netmask()] {
        match a {
            IpAddr::V4(a) => out.extend_from_slice(&a.octets()),
            IpAddr::V6(a) => out.extend_from_slice(&a.octets()),
        }
    }
    out
}

/// The address in a NAT-OA payload (RFC 3947 §5.2): `type, 0 0 0, address`.
pub fn parse_nat_oa(body: &[u8]) -> Option<IpAddr> {
    let p = IdPayload::parse(body).ok()?;
    p.address()
}

/// The body of a NAT-OA payload.
pub fn emit_nat_oa(addr: IpAddr) -> Vec<u8> {
    emit(&Id::Addr(addr), 0, 0)
}
