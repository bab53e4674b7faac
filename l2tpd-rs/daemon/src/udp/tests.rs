//! Datagrams over loopback, as they leave and arrive.

use std::net::SocketAddr;

use super::*;

fn receiver() -> std::net::UdpSocket {
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    peer
}

fn all(out: &mut Outgoing, path: Path, sizes: &[usize]) -> Vec<Vec<u8>> {
    let list: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, n)| vec![i as u8; *n]).collect();
    list.iter().for_each(|d| out.push(path, d));
    list
}

#[test]
fn answers_leave_from_the_address_the_datagram_came_to() {
    let mut s = Udp::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), 0).unwrap();
    let port = s.local().unwrap().port();
    let peer = receiver();
    for i in 0..3u8 {
        peer.send_to(&[i; 5], ("127.0.7.9", port)).unwrap();
    }
    let (mut got, mut out) = (Vec::new(), Outgoing::default());
    while got.len() < 3 {
        s.receive(|p, d| {
            got.push((p, d.to_vec()));
            out.push(p, d);
        })
        .unwrap();
    }
    assert_eq!(got[0].0.local, Ipv4Addr::new(127, 0, 7, 9));
    assert_eq!(got[2].1, [2; 5]);
    s.send(&out, |e| panic!("{e:?}"));
    let mut b = [0; 16];
    for _ in 0..3 {
        let (n, from) = peer.recv_from(&mut b).unwrap();
        assert_eq!((n, from), (5, SocketAddrV4::new(Ipv4Addr::new(127, 0, 7, 9), port).into()));
    }
}

#[test]
fn what_is_sent_together_arrives_one_by_one() {
    let peer = receiver();
    let SocketAddr::V4(to) = peer.local_addr().unwrap() else { panic!() };
    let path = Path { local: Ipv4Addr::LOCALHOST, peer: to, mark: 0 };
    let mut sizes = vec![600; 40];
    sizes.extend([599, 600, 700, 0, 700, 1400, 1400]);
    // Without checksums the kernel refuses to cut.
    let without = Udp::connected(&path, 0).unwrap();
    for mut s in [Udp::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), 0).unwrap(), without] {
        let mut out = Outgoing::default();
        let want = all(&mut out, path, &sizes);
        s.send(&out, |e| panic!("{e:?}"));
        let mut b = [0; 2048];
        for w in want {
            let n = peer.recv(&mut b).unwrap();
            assert_eq!(b[..n], w);
        }
    }
}

#[test]
fn nothing_to_receive_is_not_an_error() {
    let mut s = Udp::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), 0).unwrap();
    assert_eq!(s.receive(|_, _| ()).unwrap(), 0);
}

/// The type of service of the next datagram.
fn tos_of_next(socket: &std::net::UdpSocket) -> i32 {
    let (mut octets, mut control, mut head) = ([0u8; 64], Control([0; CONTROL]), header().msg_hdr);
    let mut iov = libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: octets.len() };
    head.msg_iov = &raw mut iov;
    head.msg_iovlen = 1;
    head.msg_control = control.0.as_mut_ptr().cast();
    head.msg_controllen = CONTROL as _;
    // SAFETY: the header points at an iovec and a control buffer that outlive the call; the kernel has written whole
    // control messages into the latter.
    unsafe {
        assert!(libc::recvmsg(socket.as_raw_fd(), &raw mut head, 0) > 0);
        let c = libc::CMSG_FIRSTHDR(&raw const head);
        assert_eq!(((*c).cmsg_level, (*c).cmsg_type), (libc::IPPROTO_IP, libc::IP_TOS));
        i32::from(*libc::CMSG_DATA(c))
    }
}

#[test]
fn each_datagram_has_its_own_type_of_service_or_the_usual_one() {
    for usual in [0, 0x10] {
        let peer = receiver();
        set_int(&peer, libc::IPPROTO_IP, libc::IP_RECVTOS, 1).unwrap();
        let SocketAddr::V4(to) = peer.local_addr().unwrap() else { panic!() };
        let path = Path { local: Ipv4Addr::LOCALHOST, peer: to, mark: 0 };
        let mut s = Udp::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), usual).unwrap();
        let mut out = Outgoing::default();
        let wanted = [None, Some(0), Some(0xb8), Some(0xb8), Some(usual), None];
        for tos in wanted {
            out.append(tos, |d| {
                d.push(7);
                Some(path)
            });
        }
        s.send(&out, |e| panic!("{e:?}"));
        for tos in wanted {
            assert_eq!(tos_of_next(&peer), i32::from(tos.unwrap_or(usual)));
        }
    }
}

#[test]
fn what_arrives_together_is_handed_on_one_by_one_and_long_ones_are_not() {
    let mut s = Udp::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), 0).unwrap();
    let mut from = Udp::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), 0).unwrap();
    let path = Path { local: Ipv4Addr::LOCALHOST, peer: s.local().unwrap(), mark: 0 };
    let mut out = Outgoing::default();
    let mut want = all(&mut out, path, &[vec![600; 40], vec![599, 0, 4096, 4097, 1400, 1400, 7]].concat());
    from.send(&out, |e| panic!("{e:?}"));
    want.retain(|d| !d.is_empty() && d.len() <= MAX_DATAGRAM);
    let (mut got, mut calls) = (Vec::new(), 0);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while got.len() < want.len() && std::time::Instant::now() < end {
        calls += s.receive(|_, d| got.push(d.to_vec())).unwrap();
    }
    assert_eq!(got, want);
    assert!(calls < got.len(), "{calls} for {}: nothing came together", got.len());
}
