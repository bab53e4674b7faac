//! Addresses at the other end of point-to-point interfaces: what PPP links hold, whoever has made them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// The peers' addresses; none when the kernel does not say.
pub fn peers() -> BTreeSet<Ipv4Addr> {
    let Ok(all) = getifaddrs() else { return BTreeSet::new() };
    all.filter(|i| i.flags.contains(InterfaceFlags::IFF_POINTOPOINT))
        .filter_map(|i| Some(i.destination?.as_sockaddr_in()?.ip()))
        .filter(|a| !a.is_unspecified())
        .collect()
}
