//! The type of service of what a PPP frame carries, for the datagram around it (RFC 2983).
//!
//! Of the octet only the DSCP is taken: whoever takes the datagram apart does not hand a mark of congestion on, so the
//! outer packet must not be said to be able to bear one (RFC 6040 §4.3). Reads, and changes nothing.

/// What the datagram around `frame` gets; `None` when that carries neither IPv4 nor IPv6: control messages of PPP,
/// compressed or encrypted packets.
pub fn of(frame: &[u8]) -> Option<u8> {
    // Address, control and the first octet of the protocol may have been left out (RFC 1661 §6.5, §6.6).
    let rest = frame.strip_prefix(&[0xff, 3]).unwrap_or(frame);
    let (protocol, packet) = match rest {
        [p, packet @ ..] if p & 1 != 0 => (p, packet),
        [0, p, packet @ ..] => (p, packet),
        _ => return None,
    };
    match (protocol, packet) {
        (0x21, [0x40..=0x4f, tos, ..]) => Some(tos & 0xfc),
        (0x57, [a @ 0x60..=0x6f, b, ..]) => Some((a << 4 | b >> 4) & 0xfc),
        _ => None,
    }
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
            assert_eq!(of(&[head, &[0x21], &v4].concat()), Some(0xb8), "{head:?}");
            assert_eq!(of(&[head, &[0x57], &v6].concat()), Some(0xb8), "{head:?}");
        }
        assert_eq!(of(&[0x21, 0x45, 3]), Some(0), "ECN is not ours to promise");
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
            assert_eq!(of(frame), None, "{frame:02x?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(f in proptest::collection::vec(any::<u8>(), 0..12)) {
            prop_assert!(of(&f).is_none_or(|t| t & 3 == 0));
        }
    }
}
