//! From a conn as written to one the daemon can use: `%defaultroute`, `%ifname`, host names.
//!
//! Reads `/proc/net/route` and the interface addresses; runs no program.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs, UdpSocket};

use ipsec_conf::{Conn, Pending};
use ipsec_types::Id;
use ipsec_types::conn::{ConnSpec, EndSpec, HostSpec, RESOLVE_AGAIN};

/// The default route of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DefaultRoute {
    /// Our address on it.
    pub(crate) address: IpAddr,
    /// The gateway, if it has one.
    pub(crate) nexthop: Option<IpAddr>,
    /// Its interface; empty when the address was given.
    pub(crate) interface: String,
}

/// Interface and gateway (unspecified: none) of the default route with the lowest metric in `/proc/net/route` text.
fn default_entry(text: &str) -> Option<(String, Ipv4Addr)> {
    let entry = |line: &str| -> Option<(u32, String, Ipv4Addr)> {
        let f: Vec<&str> = line.split_whitespace().collect();
        let hex = |i: usize| f.get(i).and_then(|s| u32::from_str_radix(s, 16).ok());
        // RTF_UP, and neither destination nor mask.
        if hex(1)? != 0 || hex(7)? != 0 || hex(3)? & 1 == 0 {
            return None;
        }
        // The kernel prints the address as a number of this machine's byte order.
        let gateway = Ipv4Addr::from(hex(2)?.to_ne_bytes());
        Some((f.get(6)?.parse().ok()?, f.first()?.to_string(), gateway))
    };
    text.lines().skip(1).filter_map(entry).min_by_key(|e| e.0).map(|(_, name, gateway)| (name, gateway))
}

/// The first address of an interface, IPv4 preferred.
pub(crate) fn interface_address(name: &str) -> Option<IpAddr> {
    let mut found = None;
    for item in nix::ifaddrs::getifaddrs().ok()?.filter(|i| i.interface_name == name) {
        let Some(storage) = item.address else { continue };
        if let Some(v4) = storage.as_sockaddr_in() {
            return Some(IpAddr::V4(v4.ip()));
        }
        if let Some(v6) = storage.as_sockaddr_in6() {
            found = found.or(Some(IpAddr::V6(v6.ip())));
        }
    }
    found
}

/// Finds the default route; `given` overrides (`addconn --defaultroute`, `--defaultroutenexthop`).
pub(crate) fn default_route(given: (Option<IpAddr>, Option<IpAddr>)) -> Option<DefaultRoute> {
    if let (Some(address), nexthop) = given {
        return Some(DefaultRoute { address, nexthop, interface: String::new() });
    }
    let (interface, gateway) = default_entry(&fs::read_to_string("/proc/net/route").ok()?)?;
    let nexthop = Some(IpAddr::V4(gateway)).filter(|_| !gateway.is_unspecified());
    // Among several addresses the kernel knows which it uses towards the gateway. Connecting a UDP socket sends nothing.
    let towards = |gateway: IpAddr| -> Option<IpAddr> {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect((gateway, 9)).ok()?;
        socket.local_addr().ok().map(|a| a.ip())
    };
    let address = nexthop.and_then(towards).or_else(|| interface_address(&interface))?;
    Some(DefaultRoute { address, nexthop: given.1.or(nexthop), interface })
}

fn lookup(name: &str) -> Option<IpAddr> {
    let mut addresses: Vec<IpAddr> = (name, 0).to_socket_addrs().ok()?.map(|a| a.ip()).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.first().copied()
}

/// The conn with everything looked up. A host name whose address is not known stays one: `pluto` goes on asking for it.
///
/// # Errors
/// What else could not be found, as a message.
pub(crate) fn conn(conn: &Conn, route: Option<&DefaultRoute>) -> Result<ConnSpec, String> {
    let mut spec = conn.spec.clone();
    let name = spec.name.clone();
    for (side, end) in [("left", &spec.left), ("right", &spec.right)] {
        if end.host == HostSpec::Unset {
            return Err(format!("{name}: {side}= end is not defined, conn not loaded"));
        }
    }
    end(&name, "left", &mut spec.left, &conn.left, route)?;
    end(&name, "right", &mut spec.right, &conn.right, route)?;
    Ok(spec)
}

/// A line for each end of the conn that is a host name still.
pub(crate) fn unknown(spec: &ConnSpec) -> Vec<String> {
    let line = |(side, end): (&str, &EndSpec)| match &end.host {
        HostSpec::Name(host) => {
            Some(format!("{}: {side}={host}: does not look numeric and name lookup failed", spec.name))
        }
        _ => None,
    };
    [("left", &spec.left), ("right", &spec.right)].into_iter().filter_map(line).collect()
}

/// Says of a conn that is given to `pluto` which addresses are not known.
pub(crate) fn warn(spec: &ConnSpec) {
    for line in unknown(spec) {
        eprintln!("{line}; pluto keeps the conn and asks again every {RESOLVE_AGAIN} seconds");
    }
}

fn end(
    conn: &str,
    side: &str,
    end: &mut EndSpec,
    pending: &Pending,
    route: Option<&DefaultRoute>,
) -> Result<(), String> {
    let no_route = || format!("{conn}: {side}=%defaultroute: there is no default route");
    match &end.host {
        HostSpec::DefaultRoute => end.host = HostSpec::Addr(route.ok_or_else(no_route)?.address),
        HostSpec::Interface(name) => {
            let missing = || format!("{conn}: {side}=%{name}: there is no such interface with an address");
            end.host = HostSpec::Addr(interface_address(name).ok_or_else(missing)?);
        }
        HostSpec::Name(name) => {
            if let Some(addr) = lookup(name) {
                (end.host_name, end.host) = (Some(name.as_str().into()), HostSpec::Addr(addr));
            }
        }
        HostSpec::Unset
        | HostSpec::Addr(_)
        | HostSpec::Any
        | HostSpec::Group
        | HostSpec::Opportunistic
        | HostSpec::OpportunisticGroup => {}
    }
    if pending.nexthop_default {
        end.nexthop = route.and_then(|r| r.nexthop);
    }
    if let Some(name) = &pending.id_name {
        let missing = || {
            format!(
                "027 bad {side} --id: {name}: does not look numeric and name lookup failed (conn not loaded)"
            )
        };
        end.id = Id::Addr(lookup(name).ok_or_else(missing)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        // Destination, gateway and mask as the kernel prints them on a little-endian machine.
        let gateway = format!("{:08X}", u32::from_ne_bytes([10, 0, 2, 2]));
        let text = format!(
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
             eth1\t00000000\t{gateway}\t0003\t0\t0\t200\t00000000\t0\t0\t0\n\
             eth0\t00000000\t{gateway}\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             ppp0\t00000000\t00000000\t0000\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nrubbish\n"
        );
        assert_eq!(default_entry(&text), Some(("eth0".into(), Ipv4Addr::new(10, 0, 2, 2))));
        assert_eq!(default_entry(""), None);
    }

    #[test]
    fn loopback_has_its_address() {
        assert_eq!(interface_address("lo"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(interface_address("nosuch0"), None);
    }
}
