//! The kernel's L2TP: a tunnel socket and a session socket for each call, which pppd gets (`pppol2tp.so`).
//!
//! ```text
//!   UDP socket, connected to the peer ──► PPPoX socket, sessions 0: the tunnel
//!                                         PPPoX socket, session ids: a call ──► pppd
//! ```
//!
//! Data messages of such a call never come here. Everything else the peer sends arrives on the connected socket.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use l2tp_proto::CallStart;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use crate::datapath::{DataPath, Traffic};
use crate::udp::Udp;

/// `PX_PROTO_OL2TP` of linux/if_pppox.h.
const OL2TP: i32 = 1;
/// Level and option of linux/if_pppol2tp.h: we number our data messages.
const SOL_PPPOL2TP: i32 = 273;
const SO_SENDSEQ: i32 = 3;
/// `PPPIOCGL2TPSTATS`: _IOR('t', 54, struct pppol2tp_ioc_stats).
const GET_STATS: libc::c_ulong = (2 << 30) | (72 << 16) | (0x74 << 8) | 54;

fn pppox() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_PPPOX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, OL2TP) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `PPPIOCGCHAN`, `PPPIOCATTCHAN` and `PPPIOCDISCONN` of linux/ppp-ioctl.h: _IOR('t', 55, int), _IOW('t', 56, int),
/// _IO('t', 57).
const GET_CHANNEL: libc::c_ulong = (2 << 30) | (4 << 16) | (0x74 << 8) | 55;
const ATTACH_CHANNEL: libc::c_ulong = (1 << 30) | (4 << 16) | (0x74 << 8) | 56;
const DISCONNECT: libc::c_ulong = (0x74 << 8) | 57;

/// Whether this kernel has L2TP; asking may load its modules.
pub fn available() -> bool {
    pppox().is_ok()
}

/// Our ids and the peer's.
#[derive(Clone, Copy)]
struct Ids {
    tunnel: u16,
    session: u16,
    peer_tunnel: u16,
    peer_session: u16,
}

/// Connects a PPPoX socket.
///
/// ```text
///   family 2 | protocol 4 | pid 4 | fd 4 | sockaddr_in 16 | s_tunnel 2 s_session 2 d_tunnel 2 d_session 2
/// ```
fn connect(socket: &OwnedFd, udp: BorrowedFd<'_>, peer: SocketAddrV4, ids: Ids) -> io::Result<()> {
    let mut a = [0u8; 38];
    let mut put = |at: usize, bytes: &[u8]| a[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(libc::AF_PPPOX as u16).to_ne_bytes());
    put(2, &OL2TP.to_ne_bytes());
    put(10, &udp.as_raw_fd().to_ne_bytes());
    put(14, &(libc::AF_INET as u16).to_ne_bytes());
    put(16, &peer.port().to_be_bytes());
    put(18, &peer.ip().octets());
    for (i, id) in [ids.tunnel, ids.session, ids.peer_tunnel, ids.peer_session].into_iter().enumerate() {
        put(30 + 2 * i, &id.to_ne_bytes());
    }
    // SAFETY: the pointer and the length describe `a`.
    let r = unsafe { libc::connect(socket.as_raw_fd(), a.as_ptr().cast(), a.len() as libc::socklen_t) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

struct Tunnel {
    udp: Udp,
    peer: SocketAddrV4,
    calls: usize,
    /// Holds the kernel's tunnel.
    _tunnel: OwnedFd,
}

/// Tunnels of this process that the kernel knows.
#[derive(Default)]
pub struct KernelTunnels {
    /// By our ids.
    tunnels: BTreeMap<u16, Tunnel>,
    /// The same by peer; two have the same one only when one has moved there.
    by_peer: BTreeSet<(SocketAddrV4, u16)>,
}

impl KernelTunnels {
    /// A call's session, and a second descriptor of it for pppd. The tunnel's socket is watched with `token`.
    ///
    /// # Errors
    /// The kernel's, or words why this call cannot go through the kernel.
    pub fn open(
        &mut self,
        start: &CallStart,
        port: u16,
        epoll: &Epoll,
        token: u64,
    ) -> io::Result<(KernelPath, OwnedFd)> {
        let (id, path) = (start.call.tunnel, start.path);
        if !self.tunnels.contains_key(&id) {
            if self.by_peer.range((path.peer, 0)..=(path.peer, u16::MAX)).next().is_some() {
                // The kernel tells tunnels apart by address and port alone, clients behind one NAT share both.
                return Err(io::Error::other("another client has the same address and port"));
            }
            let udp = Udp::connected(&path, port)?;
            let tunnel = pppox()?;
            let ids = Ids { tunnel: id, session: 0, peer_tunnel: start.peer_tunnel, peer_session: 0 };
            connect(&tunnel, udp.as_fd(), path.peer, ids)?;
            epoll.add(udp.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, token))?;
            self.tunnels.insert(id, Tunnel { udp, peer: path.peer, calls: 0, _tunnel: tunnel });
            self.by_peer.insert((path.peer, id));
        }
        let opened = self.session(start);
        match &opened {
            Ok(_) => self.tunnels.entry(id).and_modify(|t| t.calls += 1),
            Err(_) => self.tunnels.entry(id),
        };
        if opened.is_err() {
            self.tidy(id);
        }
        opened
    }

    fn session(&self, start: &CallStart) -> io::Result<(KernelPath, OwnedFd)> {
        let Some(t) = self.tunnels.get(&start.call.tunnel) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let socket = pppox()?;
        let ids = Ids {
            tunnel: start.call.tunnel,
            session: start.call.session,
            peer_tunnel: start.peer_tunnel,
            peer_session: start.peer_session,
        };
        connect(&socket, t.udp.as_fd(), t.peer, ids)?;
        if start.send_numbers {
            crate::udp::set_int(&socket, SOL_PPPOL2TP, SO_SENDSEQ, 1)?;
        }
        let second = socket.try_clone()?;
        Ok((KernelPath { socket }, second))
    }

    /// One call less; the tunnel goes with its last.
    pub fn close(&mut self, tunnel: u16) {
        if let Some(t) = self.tunnels.get_mut(&tunnel) {
            t.calls = t.calls.saturating_sub(1);
        }
        self.tidy(tunnel);
    }

    fn tidy(&mut self, tunnel: u16) {
        if self.tunnels.get(&tunnel).is_some_and(|t| t.calls == 0)
            && let Some(t) = self.tunnels.remove(&tunnel)
        {
            self.by_peer.remove(&(t.peer, tunnel));
        }
    }

    /// The socket of a tunnel.
    pub fn udp(&mut self, tunnel: u16) -> Option<&mut Udp> {
        self.tunnels.get_mut(&tunnel).map(|t| &mut t.udp)
    }

    /// The peer's address has changed, which it has proved.
    pub fn moved(&mut self, tunnel: u16, peer: SocketAddrV4) {
        if let Some(t) = self.tunnels.get_mut(&tunnel)
            && t.udp.reconnect(peer).is_ok()
        {
            self.by_peer.remove(&(t.peer, tunnel));
            self.by_peer.insert((peer, tunnel));
            t.peer = peer;
        }
    }
}

/// A call in the kernel; its pppd is hung up when this goes.
#[derive(Debug)]
pub struct KernelPath {
    socket: OwnedFd,
}

impl KernelPath {
    /// Takes the session's PPP channel from its interface, which is to pppd what the closing of a pty is.
    fn hang_up(&self) -> io::Result<()> {
        let ppp = std::fs::OpenOptions::new().read(true).write(true).open("/dev/ppp")?;
        let mut channel: libc::c_int = 0;
        let done = |r: libc::c_int| if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        // SAFETY: the kernel writes an int.
        done(unsafe { libc::ioctl(self.socket.as_raw_fd(), GET_CHANNEL, &raw mut channel) })?;
        // SAFETY: the kernel reads an int.
        done(unsafe { libc::ioctl(ppp.as_raw_fd(), ATTACH_CHANNEL, &raw const channel) })?;
        // SAFETY: no pointers.
        done(unsafe { libc::ioctl(ppp.as_raw_fd(), DISCONNECT) })
    }
}

impl Drop for KernelPath {
    fn drop(&mut self) {
        // Without an interface yet, or with a pppd that has ended, there is nothing to hang up.
        let _ = self.hang_up();
    }
}

impl DataPath for KernelPath {
    fn kind(&self) -> &'static str {
        "kernel"
    }

    fn traffic(&self) -> Option<Traffic> {
        // struct pppol2tp_ioc_stats: ids and a flag in 8 octets, then eight counters.
        let mut s = MaybeUninit::<[u64; 9]>::zeroed();
        // SAFETY: the kernel writes 72 octets, which is the size of the array.
        let r = unsafe { libc::ioctl(self.socket.as_raw_fd(), GET_STATS, s.as_mut_ptr()) };
        // SAFETY: zeroed at first: plain integers.
        let [_, tx_packets, tx_bytes, _, rx_packets, rx_bytes, ..] = unsafe { s.assume_init() };
        (r == 0).then_some(Traffic { tx_packets, tx_bytes, rx_packets, rx_bytes })
    }
}
