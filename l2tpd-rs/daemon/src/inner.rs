//! What a PPP frame carries, as far as the datagram around it depends on that. Reads, and changes nothing.

use std::net::SocketAddrV4;

/// The packet in a frame and PPP's number of its protocol, which tells IPv4 and IPv6 (RFC 1332, RFC 5072).
fn packet(frame: &[u8]) -> Option<(u8, &[u8])> {
    // Address, control and the first octet of the protocol may have been left out (RFC 1661 §6.5, §6.6).
    match frame.strip_prefix(&[0xff, 3]).unwrap_or(frame) {
        [p, packet @ ..] if p & 1 != 0 => Some((*p, packet)),
        [0, p, packet @ ..] => Some((*p, packet)),
        _ => None,
    }
}

/// The type of service that the datagram around `frame` gets (RFC 2983); `None` when that carries neither IPv4 nor IPv6:
/// control messages of PPP, compressed or encrypted packets.
///
/// Of the octet only the DSCP is taken: whoever takes the datagram apart does not hand a mark of congestion on, so the
/// outer packet must not be said to be able to bear one (RFC 6040 §4.3).
pub fn tos(frame: &[u8]) -> Option<u8> {
    match packet(frame)? {
        (0x21, [0x40..=0x4f, tos, ..]) => Some(tos & 0xfc),
        (0x57, [a @ 0x60..=0x6f, b, ..]) => Some((a << 4 | b >> 4) & 0xfc),
        _ => None,
    }
}

/// Whether `frame` carries what the tunnel to `peer` itself is made of: L2TP, or IPsec around it. Somebody has given the
/// call the route to its own server.
pub fn is_tunnel_to(frame: &[u8], peer: SocketAddrV4) -> bool {
    const UDP: u8 = 17;
    const ESP: u8 = 50;
    let Some((0x21, packet)) = packet(frame) else { return false };
    let (Some(&[first, ..]), Some(&protocol), Some(to)) =
        (packet.first_chunk::<1>(), packet.get(9), packet.get(16..20))
    else {
        return false;
    };
    if first >> 4 != 4 || *to != peer.ip().octets() {
        return false;
    }
    let header = 4 * usize::from(first & 15);
    let port = packet.get(header + 2..header + 4).and_then(|p| p.try_into().ok()).map(u16::from_be_bytes);
    protocol == ESP || protocol == UDP && port.is_some_and(|p| p == peer.port() || [500, 4500].contains(&p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ip_is_found_however_the_frame_begins() {
        let v4 = [0x45, 0xbb, 0, 20];
        let v6 = [0x6b, 0xb0, 0, 0];
        for head in [&[0xff, 3, 0][..], &[0xff, 3], &[0], &[]] {
            assert_eq!(tos(&[head, &[0x21], &v4].concat()), Some(0xb8), "{head:?}");
            assert_eq!(tos(&[head, &[0x57], &v6].concat()), Some(0xb8), "{head:?}");
        }
        assert_eq!(tos(&[0x21, 0x45, 3]), Some(0), "ECN is not ours to promise");
    }

    #[test]
    fn what_is_not_ip_has_none() {
        for frame in [
            &[0xff, 3, 0xc0, 0x21, 1, 1, 0, 4][..],
            &[0, 0xfd, 0x45, 8],
            &[0x21, 0x65, 8],
            &[0x57, 0x45, 8],
            &[0x21],
        ] {
            assert_eq!(tos(frame), None, "{frame:02x?}");
        }
    }

    #[test]
    fn a_packet_of_the_tunnel_itself_is_known() {
        let peer: SocketAddrV4 = "203.0.113.10:1701".parse().unwrap();
        let packet = |protocol: u8, to: [u8; 4], port: u16, options: u8| {
            let mut p = vec![0; 20 + 4 * usize::from(options) + 8];
            p[0] = 0x45 + options;
            p[9] = protocol;
            p[16..20].copy_from_slice(&to);
            let at = 22 + 4 * usize::from(options);
            p[at..at + 2].copy_from_slice(&port.to_be_bytes());
            [&[0xff, 3, 0, 0x21][..], &p].concat()
        };
        let there = [203, 0, 113, 10];
        for (protocol, to, port, options, want) in [
            (17, there, 1701, 0, true),
            (17, there, 4500, 0, true),
            (17, there, 500, 3, true),
            (50, there, 0, 0, true),
            // Other traffic with the server, and L2TP with another one.
            (17, there, 53, 0, false),
            (6, there, 1701, 0, false),
            (1, there, 0, 0, false),
            (17, [203, 0, 113, 11], 1701, 0, false),
        ] {
            assert_eq!(
                is_tunnel_to(&packet(protocol, to, port, options), peer),
                want,
                "{protocol} {to:?} {port}"
            );
        }
        let mut cut = packet(17, there, 1701, 0);
        cut.truncate(24);
        assert!(!is_tunnel_to(&cut, peer));
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(f in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(tos(&f).is_none_or(|t| t & 3 == 0));
            is_tunnel_to(&f, "203.0.113.10:1701".parse().unwrap());
        }
    }
}
