//! The addresses of this machine.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// Every address of every interface that is up, loopback included, with the interface's name. IPv6 link-local
/// addresses are left out: they cannot be bound without naming the interface.
///
/// # Errors
/// What `getifaddrs(3)` answers.
pub fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let mut found = Vec::new();
    for interface in getifaddrs()? {
        if !interface.flags.contains(InterfaceFlags::IFF_UP) {
            continue;
        }
        let Some(address) = interface.address else { continue };
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        let v6 = address.as_sockaddr_in6().map(|a| a.ip()).filter(|a| !a.is_unicast_link_local());
        if let Some(ip) = v4.or(v6.map(IpAddr::V6)) {
            found.push((interface.interface_name, ip));
        }
    }
    Ok(found)
}

/// The kernel's number of an interface; `None` if there is none of that name.
pub fn index(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok().filter(|i| *i > 0)
}

/// The name of the interface with this number.
pub fn name(index: u32) -> Option<String> {
    let name = nix::net::if_::if_indextoname(index).ok()?;
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn loopback_is_there() {
        let all = addresses().unwrap();
        assert!(all.contains(&("lo".to_owned(), IpAddr::V4(Ipv4Addr::LOCALHOST))), "{all:?}");
        assert_eq!(index("lo").and_then(name).as_deref(), Some("lo"));
        assert!(index("no such one").is_none() && index("").is_none());
    }
}
