//! Two netlink sockets: one asks and reads the answer at once, one listens.
//!
//! They are separate because the kernel gives the news of a change the sequence number of the request that made it: on
//! one socket the news would be taken for the answer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use libc::{MSG_DONTWAIT, MSG_TRUNC};
use netlink_packet_core::Emitable;
use netlink_packet_xfrm::constants::{XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING};
use netlink_sys::protocols::NETLINK_XFRM;
use netlink_sys::{Socket, SocketAddr};
use zeroize::{Zeroize, Zeroizing};

use super::decode::{Frame, Frames};

/// The kernel fills a dump into pieces of at most half of this.
const BUFFER: usize = 64 * 1024;
/// Receive buffer of the event socket: room for some thousand expiries at once.
const EVENT_BUFFER: u32 = 2 * 1024 * 1024;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
/// Fail if it exists (`NEWPOLICY`).
pub(super) const NLM_F_EXCL: u16 = 0x200;

/// Reads one datagram of the kernel, waiting for none. `None` when there is none.
fn receive<'b>(socket: &Socket, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
    loop {
        let mut room = &mut *buffer;
        match socket.recv_from(&mut room, MSG_DONTWAIT | MSG_TRUNC) {
            // Only the kernel has port 0; another process may not speak for it.
            Ok((_, from)) if from.port_number() != 0 => {}
            Ok((len, _)) => {
                return buffer
                    .get(..len)
                    .map(Some)
                    .ok_or_else(|| io::Error::from_raw_os_error(libc::EMSGSIZE));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        }
    }
}

/// How a dump ended.
#[derive(PartialEq, Eq)]
pub(super) enum Dump {
    /// The whole table as it was at one moment.
    Whole,
    /// The table changed meanwhile; entries may be missing.
    Interrupted,
}

/// The socket that asks.
pub(super) struct RequestSocket {
    socket: Socket,
    seq: u32,
    buffer: Zeroizing<Vec<u8>>,
}

impl RequestSocket {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_XFRM)?;
        socket.bind_auto()?;
        // An error must not repeat the request, which may hold keys.
        socket.set_cap_ack(true)?;
        Ok(RequestSocket { socket, seq: 0, buffer: Zeroizing::new(vec![0; BUFFER]) })
    }

    /// Asks for one thing. Data that comes before the acknowledgement goes to `on_data`. The error is an `errno`, 0
    /// when no answer came.
    pub(super) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &impl Emitable,
        on_data: impl FnMut(&[u8]),
    ) -> Result<(), i32> {
        self.exchange(kind, flags | NLM_F_ACK, body, on_data).map(|_| ())
    }

    /// Asks for a whole table.
    pub(super) fn dump(&mut self, kind: u16, on_data: impl FnMut(&[u8])) -> Result<Dump, i32> {
        self.exchange(kind, NLM_F_DUMP, &Empty, on_data)
    }

    fn exchange(
        &mut self,
        kind: u16,
        flags: u16,
        body: &impl Emitable,
        mut on_data: impl FnMut(&[u8]),
    ) -> Result<Dump, i32> {
        self.seq = self.seq.wrapping_add(1);
        let request = frame(kind, flags | NLM_F_REQUEST, self.seq, body).ok_or(libc::EMSGSIZE)?;
        self.socket.send_to(&request, &SocketAddr::new(0, 0), 0).map_err(|e| errno(&e))?;
        let mut dump = Dump::Whole;
        // The kernel works while we send: the answer, or its next piece, is there already. No wait can hang.
        loop {
            let datagram = receive(&self.socket, &mut self.buffer).map_err(|e| errno(&e))?.ok_or(0)?;
            let len = datagram.len();
            let mut end = None;
            for message in Frames(datagram).filter(|m| m.seq == self.seq) {
                if message.flags & NLM_F_DUMP_INTR != 0 {
                    dump = Dump::Interrupted;
                }
                end = end.or(ending(&message));
                if end.is_none() {
                    on_data(message.body);
                }
            }
            // An SA is answered with its keys.
            if let Some(used) = self.buffer.get_mut(..len) {
                used.zeroize();
            }
            match end {
                None => {}
                Some(0) => return Ok(dump),
                Some(errno) => return Err(errno),
            }
        }
    }
}

/// Whether a message ends an answer, and with which `errno`.
fn ending(message: &Frame<'_>) -> Option<i32> {
    match message.kind {
        NLMSG_ERROR | NLMSG_DONE => Some(message.errno().unwrap_or(0)),
        _ => None,
    }
}

fn errno(e: &io::Error) -> i32 {
    e.raw_os_error().unwrap_or(0)
}

fn frame(kind: u16, flags: u16, seq: u32, body: &impl Emitable) -> Option<Zeroizing<Vec<u8>>> {
    let len = 16 + body.buffer_len();
    let mut out = Zeroizing::new(Vec::with_capacity(len));
    out.extend_from_slice(&u32::try_from(len).ok()?.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&seq.to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    out.resize(len, 0);
    body.emit(out.get_mut(16..)?);
    Some(out)
}

/// The body of a dump request.
struct Empty;

impl Emitable for Empty {
    fn buffer_len(&self) -> usize {
        0
    }
    fn emit(&self, _: &mut [u8]) {}
}

/// The socket that listens.
pub(super) struct EventSocket {
    socket: Socket,
    buffer: Vec<u8>,
}

impl EventSocket {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_XFRM)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        socket.set_rx_buf_sz(EVENT_BUFFER)?;
        for group in [XFRMNLGRP_ACQUIRE, XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING] {
            socket.add_membership(group)?;
        }
        Ok(EventSocket { socket, buffer: vec![0; BUFFER] })
    }

    /// The next datagram. When the kernel had to drop some (`ENOBUFS`), those are gone; the next one is returned.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let mut tries = 0;
        let len = loop {
            match receive(&self.socket, &mut self.buffer) {
                Ok(datagram) => break datagram?.len(),
                Err(_) if tries < 8 => tries += 1,
                Err(_) => return None,
            }
        };
        self.buffer.get(..len)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
