//! The addresses of the machine that is checked.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::resolve;

/// What is known of the machine's network.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostView {
    /// Addresses with their networks, loopback left out.
    nets: Vec<IpNet>,
    /// Our address on the default route.
    pub(crate) route: Option<IpAddr>,
    /// The gateway there.
    pub(crate) gateway: Option<IpAddr>,
}

impl HostView {
    /// This machine.
    pub(crate) fn this() -> HostView {
        let mut nets = Vec::new();
        for item in nix::ifaddrs::getifaddrs().into_iter().flatten() {
            let ip = |s: nix::sys::socket::SockaddrStorage| {
                let v4 = s.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
                v4.or_else(|| s.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
            };
            let (Some(address), Some(mask)) = (item.address.and_then(ip), item.netmask.and_then(ip)) else {
                continue;
            };
            let bits = ipnet::ip_mask_to_prefix(mask);
            nets.extend(bits.ok().and_then(|bits| IpNet::new(address, bits).ok()));
        }
        nets.retain(|n| !n.addr().is_loopback());
        let route = resolve::default_route((None, None));
        HostView { nets, route: route.as_ref().map(|r| r.address), gateway: route.and_then(|r| r.nexthop) }
    }

    /// A machine with these addresses; without a route, the first is that of the default route.
    pub(crate) fn given(nets: Vec<IpNet>, route: Option<IpAddr>) -> HostView {
        let route = route.or_else(|| nets.first().map(IpNet::addr));
        HostView { nets, route, gateway: None }
    }

    /// Whether an address is one of the machine's.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.nets.iter().any(|n| n.addr() == address)
    }

    /// The addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.nets.iter().map(IpNet::addr)
    }

    /// The networks of private addresses that several hosts share.
    pub(crate) fn lans(&self) -> impl Iterator<Item = IpNet> + '_ {
        let private = |n: &&IpNet| match n {
            IpNet::V4(n) => n.addr().is_private() && n.prefix_len() < 31,
            IpNet::V6(_) => false,
        };
        self.nets.iter().filter(private).map(IpNet::trunc)
    }
}
