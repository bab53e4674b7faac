//! Addresses and routes by rtnetlink: one request, one answer that is there when the request was sent.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use ipsec_netio::ifaces;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::plan::{Address, Route};

/// Longest answer that is read, in octets.
const BUFFER: usize = 32 << 10;

/// Puts the address on the interface, unless this machine has it.
pub(crate) fn add_address(a: &Address) -> Result<(), String> {
    if ifaces::addresses().is_ok_and(|all| all.iter().any(|(_, ip)| *ip == a.net.addr())) {
        return Ok(());
    }
    put_address(a)
}

/// Puts the address on the interface, wherever else it is.
pub(crate) fn put_address(a: &Address) -> Result<(), String> {
    let index = index(&a.interface)?;
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    match change(RouteNetlinkMessage::NewAddress(address(a, index)), flags) {
        Err(e) if e.raw_os_error() != Some(libc::EEXIST) => {
            Err(format!("addsource {} dev {} failed ({})", a.net, a.interface, words(&e)))
        }
        _ => Ok(()),
    }
}

/// Takes it away; it may be gone.
pub(crate) fn remove_address(a: &Address) -> Result<(), String> {
    let Ok(index) = index(&a.interface) else { return Ok(()) };
    match change(RouteNetlinkMessage::DelAddress(address(a, index)), 0) {
        Err(e) if e.raw_os_error() != Some(libc::EADDRNOTAVAIL) => {
            Err(format!("delsource {} dev {} failed ({})", a.net, a.interface, words(&e)))
        }
        _ => Ok(()),
    }
}

/// Sets the route, in the place of one to the same network with the same metric.
pub(crate) fn route(r: &Route) -> Result<(), String> {
    let failed = |e: &io::Error| format!("doroute `{}' failed ({})", r.text("replace"), words(e));
    let (gateway, index) = match r.hop {
        Some(hop) => towards(hop, r).map_err(|e| failed(&e))?,
        None => (None, index(&r.interface)?),
    };
    let mut m = message(r);
    m.header.protocol = RouteProtocol::from(r.protocol);
    m.header.scope = if gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    m.header.kind = RouteType::Unicast;
    m.attributes.push(RouteAttribute::Oif(index));
    if let Some(gateway) = gateway {
        m.attributes.push(RouteAttribute::Gateway(of(gateway)));
    }
    if r.onlink {
        m.header.flags |= RouteFlags::Onlink;
    }
    let metrics: Vec<RouteMetric> =
        r.mtu.map(RouteMetric::Mtu).into_iter().chain(r.advmss.map(RouteMetric::Advmss)).collect();
    if !metrics.is_empty() {
        m.attributes.push(RouteAttribute::Metrics(metrics));
    }
    change(RouteNetlinkMessage::NewRoute(m), NLM_F_CREATE | NLM_F_REPLACE).map_err(|e| failed(&e))
}

/// Takes the route away; it may be gone, with its interface for example.
pub(crate) fn unroute(r: &Route) -> Result<(), String> {
    let mut m = message(r);
    m.header.scope = RouteScope::NoWhere;
    match change(RouteNetlinkMessage::DelRoute(m), 0) {
        Err(e) if e.raw_os_error() != Some(libc::ESRCH) => {
            Err(format!("doroute `{}' failed ({})", r.text("del"), words(&e)))
        }
        _ => Ok(()),
    }
}

impl Route {
    /// The same as words of `ip route`, for messages.
    fn text(&self, verb: &str) -> String {
        let mut text = format!("ip route {verb} {}", self.to);
        let mut add = |word: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!(" {word} {value}"));
            }
        };
        add("via", self.hop.map(|h| h.to_string()));
        add("dev", Some(self.interface.clone()).filter(|_| self.hop.is_none()));
        add("mtu", self.mtu.map(|n| n.to_string()));
        add("metric", self.metric.map(|n| n.to_string()));
        add("src", self.source.map(|a| a.to_string()));
        text
    }
}

/// Network, table, metric and source, which adding and deleting have in common.
fn message(r: &Route) -> RouteMessage {
    let mut m = RouteMessage::default();
    m.header.address_family = family(r.to.addr());
    m.header.destination_prefix_length = r.to.prefix_len();
    m.header.table = u8::try_from(r.table).unwrap_or(0);
    m.attributes.push(RouteAttribute::Table(r.table));
    m.attributes.push(RouteAttribute::Destination(of(r.to.network())));
    if let Some(source) = r.source {
        m.attributes.push(RouteAttribute::PrefSource(of(source)));
    }
    if let Some(metric) = r.metric {
        m.attributes.push(RouteAttribute::Priority(metric));
    }
    m
}

/// The gateway and interface the kernel uses towards `hop`: the hop itself where it is on a network of ours. A conn without
/// `nexthop=` names the peer, who seldom is.
fn towards(hop: IpAddr, r: &Route) -> io::Result<(Option<IpAddr>, u32)> {
    if r.onlink {
        let index = index(&r.interface).map_err(io::Error::other)?;
        return Ok((Some(hop), index));
    }
    let found = find(hop)?;
    Ok((Some(found.0.unwrap_or(hop)), found.1))
}

/// How the kernel sends to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The address of ours that it takes.
    pub source: Option<IpAddr>,
    /// `None` where the address is on a network of ours.
    pub gateway: Option<IpAddr>,
    /// Where packets leave.
    pub interface: String,
}

/// Asks the kernel how it sends to `to`.
///
/// # Errors
/// What the kernel answers, `ENETUNREACH` where there is no route.
pub fn lookup(to: IpAddr) -> io::Result<Found> {
    let (gateway, index, source) = find(to)?;
    let interface = ifaces::name(index).unwrap_or_default();
    Ok(Found { source, gateway, interface })
}

/// Gateway, number of the interface, and source address towards `to`.
fn find(to: IpAddr) -> io::Result<(Option<IpAddr>, u32, Option<IpAddr>)> {
    let mut m = RouteMessage::default();
    m.header.address_family = family(to);
    m.header.destination_prefix_length = IpNet::from(to).prefix_len();
    m.attributes.push(RouteAttribute::Destination(of(to)));
    let (mut gateway, mut index, mut source) = (None, None, None);
    let ip = |a| match a {
        RouteAddress::Inet(a) => Some(IpAddr::V4(a)),
        RouteAddress::Inet6(a) => Some(IpAddr::V6(a)),
        _ => None,
    };
    ask(RouteNetlinkMessage::GetRoute(m), 0, |answer| {
        let RouteNetlinkMessage::NewRoute(m) = answer else { return };
        for a in m.attributes {
            match a {
                RouteAttribute::Gateway(a) => gateway = ip(a),
                RouteAttribute::PrefSource(a) => source = ip(a),
                RouteAttribute::Oif(n) => index = Some(n),
                _ => {}
            }
        }
    })?;
    let unreachable = || io::Error::from_raw_os_error(libc::ENETUNREACH);
    Ok((gateway, index.ok_or_else(unreachable)?, source))
}

fn address(a: &Address, index: u32) -> AddressMessage {
    let mut m = AddressMessage::default();
    m.header.family = family(a.net.addr());
    m.header.prefix_len = a.net.prefix_len();
    m.header.index = index;
    if a.net.addr().is_ipv6() {
        // It is ours by agreement with the peer; a route wants it as its source at once.
        m.header.flags |= AddressHeaderFlags::Nodad;
    }
    m.attributes.push(AddressAttribute::Local(a.net.addr()));
    m.attributes.push(AddressAttribute::Address(a.net.addr()));
    m
}

fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn of(ip: IpAddr) -> RouteAddress {
    match ip {
        IpAddr::V4(a) => RouteAddress::Inet(a),
        IpAddr::V6(a) => RouteAddress::Inet6(a),
    }
}

fn index(name: &str) -> Result<u32, String> {
    ifaces::index(name).ok_or_else(|| format!("there is no interface `{name}'"))
}

/// The words of the kernel without the number Rust puts behind them.
pub(crate) fn words(e: &io::Error) -> String {
    let text = e.to_string();
    format!("RTNETLINK answers: {}", text.split(" (os error").next().unwrap_or_default())
}

pub(crate) fn change(message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    ask(message, flags | NLM_F_ACK, |_| {})
}

/// Sends one request and reads the answer to its end. The kernel works while we send, so nothing is waited for.
pub(crate) fn ask(
    message: RouteNetlinkMessage,
    flags: u16,
    mut each: impl FnMut(RouteNetlinkMessage),
) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | flags;
    request.header.sequence_number = 1;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    let mut buffer = vec![0; BUFFER];
    let (len, _) = socket.recv_from(&mut &mut buffer[..], libc::MSG_DONTWAIT)?;
    match parse::<RouteNetlinkMessage>(buffer.get(..len).unwrap_or_default())? {
        NetlinkPayload::Error(e) if e.code.is_some() => Err(e.to_io()),
        NetlinkPayload::InnerMessage(answer) => {
            each(answer);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn parse<T: NetlinkDeserializable>(bytes: &[u8]) -> io::Result<NetlinkPayload<T>> {
    NetlinkMessage::<T>::deserialize(bytes).map(|m| m.payload).map_err(io::Error::other)
}
