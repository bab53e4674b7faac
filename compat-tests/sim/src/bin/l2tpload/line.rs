//! The socket: many datagrams a system call, so that what is measured is the server and not this program.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Result};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg};
use socket2::{Domain, Socket, Type};

/// Datagrams a system call.
const BATCH: usize = 64;
/// Octets of the longest datagram.
const LONGEST: usize = 2048;
/// How long [`Line::receive`] waits.
const WAIT: Duration = Duration::from_millis(5);

/// A socket for one server.
pub(crate) struct Line {
    socket: UdpSocket,
    buffers: Vec<[u8; LONGEST]>,
}

impl Line {
    /// A socket for this server.
    pub(crate) fn new(server: SocketAddr) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        // Best effort: the system's limit holds.
        let _ = socket.set_recv_buffer_size(1 << 22);
        let socket: UdpSocket = socket.into();
        socket.connect(server)?;
        socket.set_read_timeout(Some(WAIT))?;
        Ok(Line { socket, buffers: vec![[0; LONGEST]; BATCH] })
    }

    /// Sends these. What the kernel does not take is lost, as datagrams may be.
    pub(crate) fn send<D: AsRef<[u8]>>(&self, list: &[D]) {
        for some in list.chunks(BATCH) {
            let vectors: Vec<[IoSlice<'_>; 1]> = some.iter().map(|d| [IoSlice::new(d.as_ref())]).collect();
            let mut heads = MultiHeaders::<()>::preallocate(some.len(), None);
            let nobody = vec![None; some.len()];
            let flags = MsgFlags::empty();
            let _ = sendmmsg(self.socket.as_raw_fd(), &mut heads, &vectors, &nobody, [], flags);
        }
    }

    /// Hands on what is there, or comes within a few milliseconds. Returns how many datagrams that were.
    ///
    /// # Errors
    /// The kernel's; that nothing comes is not an error.
    pub(crate) fn receive(&mut self, mut hear: impl FnMut(&[u8])) -> Result<usize> {
        let mut sizes = Vec::with_capacity(BATCH);
        {
            let mut vectors: Vec<_> = self.buffers.iter_mut().map(|b| [IoSliceMut::new(b)]).collect();
            let mut heads = MultiHeaders::<()>::preallocate(BATCH, None);
            let flags = MsgFlags::MSG_WAITFORONE;
            match recvmmsg(self.socket.as_raw_fd(), &mut heads, &mut vectors, flags, None) {
                Ok(got) => sizes.extend(got.map(|m| m.bytes)),
                Err(e) => {
                    let e = std::io::Error::from(e);
                    return match e.kind() {
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(0),
                        _ => Err(e),
                    };
                }
            }
        }
        for (buffer, n) in self.buffers.iter().zip(&sizes) {
            hear(buffer.get(..*n).unwrap_or(buffer));
        }
        Ok(sizes.len())
    }
}
