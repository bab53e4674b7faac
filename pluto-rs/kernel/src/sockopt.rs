//! Options of the IKE sockets that IPsec needs.
//!
//! This is the only module of the crate with unsafe code: both options are plain `setsockopt(2)` calls that no safe
//! wrapper offers.

#![expect(unsafe_code, reason = "setsockopt")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_void, socklen_t};
use netlink_packet_core::Emitable;
use netlink_packet_xfrm::constants::{XFRM_POLICY_ALLOW, XFRM_POLICY_IN, XFRM_POLICY_OUT};
use netlink_packet_xfrm::{LifetimeConfig, Selector, UserPolicyInfo};

/// `UDP_ENCAP` of `<linux/udp.h>`.
const UDP_ENCAP: c_int = 100;
/// `UDP_ENCAP_ESPINUDP`: ESP after a zero check of the first four octets (RFC 3948), IKE goes to the socket.
const UDP_ENCAP_ESPINUDP: c_int = 2;

fn set(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: &[u8]) -> io::Result<()> {
    let len = socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open for the length of the borrow; the kernel reads `len` octets of `value`, which
    // lives past the call, and keeps no pointer.
    let rc = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast::<c_void>(), len) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets the packets of an IKE socket pass in clear in both directions, whatever policies the tables hold
/// (`IP_XFRM_POLICY`, or `IPV6_XFRM_POLICY` with `v6`). Needs CAP_NET_ADMIN.
///
/// # Errors
/// What the kernel answers: `EPERM`, or `ENOPROTOOPT`/`EOPNOTSUPP` on a kernel without XFRM.
pub fn bypass_ipsec(fd: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    let (family, level, name) = if v6 {
        (libc::AF_INET6, libc::SOL_IPV6, libc::IPV6_XFRM_POLICY)
    } else {
        (libc::AF_INET, libc::SOL_IP, libc::IP_XFRM_POLICY)
    };
    let family = u16::try_from(family).map_err(|_| io::ErrorKind::InvalidInput)?;
    for direction in [XFRM_POLICY_IN, XFRM_POLICY_OUT] {
        let policy = UserPolicyInfo {
            selector: Selector { family, ..Selector::default() },
            lifetime_cfg: LifetimeConfig::default(),
            direction,
            action: XFRM_POLICY_ALLOW,
            ..UserPolicyInfo::default()
        };
        let mut bytes = vec![0; policy.buffer_len()];
        policy.emit(&mut bytes);
        set(fd, level, name, &bytes)?;
    }
    Ok(())
}

/// Makes a UDP socket (port 4500) a receiver of ESP in UDP (RFC 3948): the kernel takes ESP packets and keepalives
/// out of it, and leaves IKE messages, which begin with four zero octets.
///
/// # Errors
/// What the kernel answers: `ENOPROTOOPT` on a kernel without ESP in UDP.
pub fn udp_encap(fd: BorrowedFd<'_>) -> io::Result<()> {
    set(fd, libc::SOL_UDP, UDP_ENCAP, &UDP_ENCAP_ESPINUDP.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_has_the_size_the_kernel_asks_for() {
        assert_eq!(UserPolicyInfo::default().buffer_len(), 168);
    }
}
