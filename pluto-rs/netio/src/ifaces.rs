//! Local addresses.

use std::io;
use std::net::IpAddr;

/// Every address of every interface that is up, with the interface's name, in the kernel's order, without repetition.
///
/// # Errors
/// If the kernel does not give the list.
pub fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let mut found: Vec<(String, IpAddr)> = Vec::new();
    for i in nix::ifaddrs::getifaddrs()? {
        if !i.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP) {
            continue;
        }
        let Some(address) = i.address else { continue };
        let addr = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(a), _) => IpAddr::V4(a.ip()),
            (None, Some(a)) => IpAddr::V6(a.ip()),
            (None, None) => continue,
        };
        if !found.iter().any(|f| f.1 == addr) {
            found.push((i.interface_name, addr));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_there() {
        let all = super::addresses().unwrap();
        assert!(all.iter().any(|(n, a)| n == "lo" && a.is_loopback()), "{all:?}");
    }
}
