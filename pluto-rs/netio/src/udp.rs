//! UDP sockets for IKE, one for each local address and port.
//!
//! As a socket is bound to one address, the destination of what it receives and the source of what it sends are
//! known. ICMP errors come through the socket's error queue (`IP_RECVERR`) with the packet's destination.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams read by one [`IkeSocket::recv_batch`].
pub const BATCH: usize = 32;
/// Longest datagram; UDP has none longer.
const DATAGRAM: usize = 64 * 1024;
/// Errors read by one [`IkeSocket::drain_errors`].
const ERRORS: usize = 64;
/// `SO_EE_ORIGIN_*` of `<linux/errqueue.h>`.
const ORIGIN_LOCAL: u8 = 1;
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// Who says that a datagram could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This machine.
    Local,
    /// An ICMP message. Anybody can send one: it is a hint, not a fact.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// An ICMPv6 message, likewise.
    Icmp6 {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Something else.
    Other(u8),
}

/// One entry of the error queue: a datagram that was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError {
    /// Where the datagram was to go.
    pub peer: Option<SocketAddr>,
    /// `ECONNREFUSED`, `EHOSTUNREACH`, `EMSGSIZE`, …
    pub errno: i32,
    /// Who says so.
    pub origin: Origin,
    /// The address of the one who says so.
    pub complainant: Option<IpAddr>,
}

impl fmt::Display for SendError {
    /// `complainant 192.0.2.1: Connection refused [errno 111, origin ICMP type 3 code 3 (not authenticated)]`, the end of
    /// Openswan's line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.complainant {
            Some(from) => write!(f, "complainant {from}: ")?,
            None => write!(f, "complainant unspecified: ")?,
        }
        write!(f, "{} [errno {}, origin ", Errno::from_raw(self.errno).desc(), self.errno)?;
        match self.origin {
            Origin::Local => write!(f, "local]"),
            Origin::Icmp { kind, code } => write!(f, "ICMP type {kind} code {code} (not authenticated)]"),
            Origin::Icmp6 { kind, code } => write!(f, "ICMP6 type {kind} code {code} (not authenticated)]"),
            Origin::Other(n) => write!(f, "invalid origin {n}]"),
        }
    }
}

/// A UDP socket for IKE.
#[derive(Debug)]
pub struct IkeSocket {
    socket: Socket,
    local: SocketAddr,
    buffers: Vec<Vec<u8>>,
}

impl IkeSocket {
    /// Binds to one address and port, without `SO_REUSEADDR`: a second daemon on the same address is an error.
    ///
    /// # Errors
    /// What the kernel answers: `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`.
    pub fn bind(local: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        }
        socket.bind(&local.into())?;
        let local = socket.local_addr()?.as_socket().unwrap_or(local);
        // Memory that is never written costs nothing: most batches use the first buffer only.
        let buffers = (0..BATCH).map(|_| vec![0; DATAGRAM]).collect();
        Ok(IkeSocket { socket, local, buffers })
    }

    /// The address and port it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Reads what is there, at most [`BATCH`] datagrams, with one system call, and gives each to `f` with its sender.
    /// A datagram longer than any IKE message can be is dropped. Returns how many were read; less than
    /// [`BATCH`] means that there are no more.
    ///
    /// # Errors
    /// What the kernel answers; none is the end of the socket. The error a peer's ICMP leaves behind is not one: see
    /// [`drain_errors`](Self::drain_errors).
    pub fn recv_batch(&mut self, mut f: impl FnMut(&[u8], SocketAddr)) -> io::Result<usize> {
        // Behind the error of an earlier datagram there may be datagrams.
        for _ in 0..ERRORS {
            if let Some(n) = self.try_recv(&mut f)? {
                return Ok(n);
            }
        }
        Ok(0)
    }

    /// `None` where it is to be tried again.
    fn try_recv(&mut self, f: &mut impl FnMut(&[u8], SocketAddr)) -> io::Result<Option<usize>> {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|b| [IoSliceMut::new(b)]).collect();
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
        let fd = self.socket.as_raw_fd();
        let messages = match recvmmsg(fd, &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
            Ok(messages) => messages,
            Err(Errno::EAGAIN) => return Ok(Some(0)),
            Err(e) if e == Errno::EINTR || is_pending(e) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let mut count = 0;
        for message in messages {
            count += 1;
            let from = message.address.as_ref().and_then(socket_addr);
            let whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
            if let (Some(from), true) = (from, whole) {
                f(message.iovs().next().unwrap_or_default(), from);
            }
        }
        Ok(Some(count))
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// `EAGAIN` when the send buffer is full, `EMSGSIZE`, `ENETUNREACH`, `EPERM` (a policy blocks it), ….
    pub fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        let to = to.into();
        let sent = match self.socket.send_to(data, &to) {
            // The error of an earlier datagram is told once, in place of sending this one.
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => self.socket.send_to(data, &to),
            other => other,
        };
        sent.map(|_| ())
    }

    /// Reads the error queue, and gives each entry to `f`. To be called after every
    /// [`recv_batch`](Self::recv_batch): a queue that is not empty keeps the socket readable for `epoll`.
    /// Returns how many there were.
    pub fn drain_errors(&self, mut f: impl FnMut(SendError)) -> usize {
        let mut count = 0;
        while count < ERRORS {
            let Some(error) = self.next_error() else { break };
            count += 1;
            if let Some(error) = error {
                f(error);
            }
        }
        count
    }

    /// The first entry of the queue; `Some(None)` is one that is not understood.
    fn next_error(&self) -> Option<Option<SendError>> {
        // The datagram comes back, too; nobody needs it.
        let mut nothing = [0; 0];
        let mut iov = [IoSliceMut::new(&mut nothing)];
        let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut iov, Some(&mut space), flags).ok()?;
        let peer = message.address.as_ref().and_then(socket_addr);
        let report = message.cmsgs().ok().into_iter().flatten().find_map(|c| match c {
            ControlMessageOwned::Ipv4RecvErr(e, from) => {
                Some((e, from.map(|a| IpAddr::from(a.sin_addr.s_addr.to_ne_bytes()))))
            }
            ControlMessageOwned::Ipv6RecvErr(e, from) => {
                Some((e, from.map(|a| IpAddr::from(a.sin6_addr.s6_addr))))
            }
            _ => None,
        });
        Some(report.map(|(e, complainant)| SendError {
            peer,
            errno: e.ee_errno.cast_signed(),
            origin: match e.ee_origin {
                ORIGIN_LOCAL => Origin::Local,
                ORIGIN_ICMP => Origin::Icmp { kind: e.ee_type, code: e.ee_code },
                ORIGIN_ICMP6 => Origin::Icmp6 { kind: e.ee_type, code: e.ee_code },
                other => Origin::Other(other),
            },
            complainant,
        }))
    }
}

impl AsFd for IkeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Errors that an earlier datagram left behind, told by the next call on the socket.
fn is_pending(e: Errno) -> bool {
    matches!(
        e,
        Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENETDOWN
            | Errno::ENOPROTOOPT
            | Errno::EPROTO
            | Errno::EMSGSIZE
            | Errno::EACCES
            | Errno::ENONET
            | Errno::EOPNOTSUPP
    )
}

fn socket_addr(a: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = a.as_sockaddr_in().map(|a| SocketAddr::from((a.ip(), a.port())));
    v4.or_else(|| a.as_sockaddr_in6().map(|a| SocketAddr::from((a.ip(), a.port()))))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    fn any(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 0)
    }

    #[test]
    fn batches_in_both_families() {
        for ip in ["127.0.0.1", "::1"] {
            let mut ours = IkeSocket::bind(any(ip)).unwrap();
            let theirs = UdpSocket::bind(any(ip)).unwrap();
            for n in 0..BATCH + 3 {
                theirs.send_to(&vec![n as u8; n], ours.local_addr()).unwrap();
            }
            let mut got = Vec::new();
            assert_eq!(ours.recv_batch(|data, from| got.push((data.to_vec(), from))).unwrap(), BATCH);
            assert_eq!(ours.recv_batch(|data, from| got.push((data.to_vec(), from))).unwrap(), 3);
            assert_eq!(ours.recv_batch(|_, _| panic!("none left")).unwrap(), 0);
            for (n, (data, from)) in got.iter().enumerate() {
                assert_eq!((data, from), (&vec![n as u8; n], &theirs.local_addr().unwrap()));
            }

            // The longest datagram arrives whole.
            let longest = vec![7; if ip == "::1" { 65487 } else { 65507 }];
            theirs.send_to(&longest, ours.local_addr()).unwrap();
            assert_eq!(ours.recv_batch(|data, _| assert_eq!(data, longest)).unwrap(), 1);

            ours.send_to(b"answer", theirs.local_addr().unwrap()).unwrap();
            let mut buf = [0; 16];
            let (len, from) = theirs.recv_from(&mut buf).unwrap();
            assert_eq!((&buf[..len], from), (&b"answer"[..], ours.local_addr()));
        }
    }

    #[test]
    fn an_address_is_bound_once() {
        let first = IkeSocket::bind(any("127.0.0.1")).unwrap();
        let second = IkeSocket::bind(first.local_addr());
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_refusal_names_the_peer_and_does_not_stop_the_socket() {
        for ip in ["127.0.0.1", "::1"] {
            let mut ours = IkeSocket::bind(any(ip)).unwrap();
            let closed = UdpSocket::bind(any(ip)).unwrap().local_addr().unwrap();
            ours.send_to(b"anyone?", closed).unwrap();
            sleep(Duration::from_millis(50));
            let open = UdpSocket::bind(any(ip)).unwrap();
            // Neither receiving nor sending trips over the error that waits.
            assert_eq!(ours.recv_batch(|_, _| panic!("nothing came")).unwrap(), 0);
            ours.send_to(b"hello", open.local_addr().unwrap()).unwrap();
            assert_eq!(open.recv_from(&mut [0; 8]).unwrap().0, 5);

            let mut errors = Vec::new();
            assert_eq!(ours.drain_errors(|e| errors.push(e)), 1);
            let origin = match closed {
                SocketAddr::V4(_) => Origin::Icmp { kind: 3, code: 3 },
                SocketAddr::V6(_) => Origin::Icmp6 { kind: 1, code: 4 },
            };
            let want = SendError {
                peer: Some(closed),
                errno: libc::ECONNREFUSED,
                origin,
                complainant: Some(closed.ip()),
            };
            assert_eq!(errors, [want]);
            let origin = if closed.is_ipv4() { "ICMP type 3 code 3" } else { "ICMP6 type 1 code 4" };
            let text = format!(
                "complainant {ip}: Connection refused [errno 111, origin {origin} (not authenticated)]"
            );
            assert_eq!(want.to_string(), text);
            assert_eq!(ours.drain_errors(|e| panic!("{e:?}")), 0);
        }
    }
}
