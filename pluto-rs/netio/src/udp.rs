//! One UDP socket for one local address and port.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, recvmsg, setsockopt};
use socket2::{Domain, Socket, Type};

/// Datagrams of one batch.
const BATCH: usize = 16;
/// Octets of a datagram that are read: the largest there can be.
const SIZE: usize = 65_535;

/// A bound, non-blocking socket.
pub struct IkeSocket {
    socket: UdpSocket,
    headers: MultiHeaders<SockaddrStorage>,
    buffer: Vec<u8>,
}

impl IkeSocket {
    /// Binds to `at`. The address is not shared with anybody: a second daemon gets an error.
    ///
    /// # Errors
    /// What `bind(2)` and the socket options say.
    pub fn bind(at: SocketAddr) -> io::Result<IkeSocket> {
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM.nonblocking().cloexec(), None)?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&at.into())?;
        if at.is_ipv4() {
            setsockopt(&socket, Ipv4RecvErr, &true)?;
        } else {
            setsockopt(&socket, Ipv6RecvErr, &true)?;
        }
        let headers = MultiHeaders::preallocate(BATCH, None);
        Ok(IkeSocket { socket: socket.into(), headers, buffer: vec![0; BATCH * SIZE] })
    }

    /// Reads what has arrived, at most one batch, and gives each datagram with its sender to `each`.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing; what an ICMP message said about an earlier send.
    pub fn recv_batch(&mut self, mut each: impl FnMut(&[u8], SocketAddr)) -> io::Result<()> {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffer.chunks_mut(SIZE).map(|c| [IoSliceMut::new(c)]).collect();
        let got = recvmmsg(
            self.socket.as_raw_fd(),
            &mut self.headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let got: Vec<(Option<SocketAddr>, usize)> =
            got.map(|m| (m.address.as_ref().and_then(address), m.bytes)).collect();
        for ((from, n), data) in got.into_iter().zip(self.buffer.chunks(SIZE)) {
            if let (Some(from), Some(data)) = (from, data.get(..n)) {
                each(data, from);
            }
        }
        Ok(())
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// What `sendto(2)` says.
    pub fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.socket.send_to(data, to)
    }

    /// Takes ICMP errors off the error queue; `each` gets the address the failed datagram was sent to.
    pub fn drain_errors(&mut self, mut each: impl FnMut(SocketAddr)) {
        let mut room = [0u8; 512];
        let mut control = nix::cmsg_space!([u8; 128]);
        for _ in 0..BATCH {
            let mut slices = [IoSliceMut::new(&mut room)];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            match recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut slices, Some(&mut control), flags)
            {
                Ok(m) => m.address.as_ref().and_then(address).into_iter().for_each(&mut each),
                Err(_) => return,
            }
        }
    }
}

impl AsFd for IkeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn address(a: &SockaddrStorage) -> Option<SocketAddr> {
    match (a.as_sockaddr_in(), a.as_sockaddr_in6()) {
        (Some(a), _) => Some((a.ip(), a.port()).into()),
        (None, Some(a)) => Some((a.ip(), a.port()).into()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_arrives_in_order_with_its_senders() {
        let mut a = IkeSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let b = IkeSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (to, from) = (a.socket.local_addr().unwrap(), b.socket.local_addr().unwrap());
        b.send_to(b"one", to).unwrap();
        b.send_to(b"", to).unwrap();
        b.send_to(b"three", to).unwrap();
        let mut got = Vec::new();
        a.recv_batch(|d, f| got.push((d.to_vec(), f))).unwrap();
        assert_eq!(got, [(b"one".to_vec(), from), (Vec::new(), from), (b"three".to_vec(), from)]);
        let nothing = a.recv_batch(|_, _| ()).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_address_is_not_shared() {
        let a = IkeSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(IkeSocket::bind(a.socket.local_addr().unwrap()).is_err());
    }
}
