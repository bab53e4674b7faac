//! The largest PPP packet that reaches a peer in one piece.

use std::io;
use std::mem::size_of;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use l2tp_proto::Path;

/// IPv4, UDP, L2TP with length and numbers, PPP.
const L2TP: i32 = 20 + 8 + 12 + 4;
/// ESP in UDP, at most: UDP, SPI and number, a block of IV, padding with its trailer, a long ICV.
const ESP: i32 = 8 + 8 + 16 + 17 + 16;
/// What every host must take (RFC 791), and pppd's own default.
const RANGE: std::ops::RangeInclusive<i32> = 576..=1500;

/// MTU and MRU for PPP to a peer: the route's MTU less all headers. `None` when there is no route.
pub fn of(path: &Path) -> Option<u16> {
    let n = route(path).ok()? - L2TP - if path.mark == 0 { 0 } else { ESP };
    u16::try_from(n.clamp(*RANGE.start(), *RANGE.end())).ok()
}

fn route(path: &Path) -> io::Result<i32> {
    // Another port than L2TP's, so that no packet of the peer can come here.
    let s = UdpSocket::bind((path.local, 0))?;
    s.connect(path.peer)?;
    let (mut mtu, mut len) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the pointers are those of two live variables, and the length is the first one's.
    let r = unsafe {
        libc::getsockopt(s.as_raw_fd(), libc::IPPROTO_IP, libc::IP_MTU, (&raw mut mtu).cast(), &raw mut len)
    };
    if r == 0 { Ok(mtu) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_wider_than_ppp_wants() {
        let path = Path { local: [127, 0, 0, 1].into(), peer: "127.0.0.1:1701".parse().unwrap(), mark: 0 };
        assert_eq!(of(&path), Some(1500));
    }
}
