//! The L2TP socket: batches of datagrams with the address they came to and the mark of the IPsec SA they came through.
//!
//! The only module that fills in message headers for the kernel; it knows nothing of L2TP.

use std::collections::BTreeSet;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use l2tp_proto::Path;
use socket2::{Domain, Protocol, Socket, Type};

use crate::outgoing::{Outgoing, Run};

/// Datagrams a system call.
pub const BATCH: usize = 32;
/// Datagrams a system call of a socket for one peer, which gets control messages only.
const SMALL_BATCH: usize = 4;
/// The longest datagram taken; longer ones are dropped.
const MAX_DATAGRAM: usize = 4096;
/// The most octets of datagrams that the kernel hands over as one (`UDP_GRO`). Memory that was never needed is not there.
const MAX_TOGETHER: usize = 65_536;
/// Octets for the control messages of a datagram: address, mark, size and type of service, with headers.
const CONTROL: usize = 128;
/// Peers that are remembered for getting their datagrams one by one.
const ONE_BY_ONE: usize = 1024;

/// Control buffers must lie as a `cmsghdr` does.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// The socket and its receive buffers.
pub struct Udp {
    socket: Socket,
    /// One behind the other, of `each` octets.
    buffers: Vec<u8>,
    each: usize,
    /// Peers for whom the kernel does not take several datagrams at once: IPsec is on the way, or a narrow link.
    one_by_one: BTreeSet<SocketAddrV4>,
    /// Type of service of what has none of its own.
    tos: u8,
    /// The kernel tells the mark of received datagrams (`SO_RCVMARK`, Linux 5.19).
    pub marks: bool,
    /// The address it is bound to was not this machine's then.
    pub absent: bool,
}

/// What could not be sent, and the kernel's reason.
#[derive(Debug)]
pub struct SendError {
    /// Where to.
    pub path: Path,
    /// Why not.
    pub error: io::Error,
}

/// Sets an option that is a number.
///
/// # Errors
/// The kernel's.
pub fn set_int(socket: &impl AsRawFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open, the pointer and the length describe `value`.
    let r = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Udp {
    /// Binds, to an address of this machine or to one that will be its own later; port 0 lets the kernel choose. `tos` is
    /// the type of service of what is sent without one of its own.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind(addr: SocketAddrV4, tos: u8) -> io::Result<Self> {
        let udp = Udp::open(addr, tos, BATCH, MAX_TOGETHER)?;
        // What a card has received together of one peer comes together; Linux before 5.0 gives one by one.
        let _ = set_int(&udp.socket, libc::SOL_UDP, libc::UDP_GRO, 1);
        Ok(udp)
    }

    fn open(addr: SocketAddrV4, tos: u8, batch: usize, each: usize) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        let absent = match socket.bind(&addr.into()) {
            // A link that is not up yet, at boot: what is sent to the address arrives as soon as it is there.
            Err(e) if e.kind() == io::ErrorKind::AddrNotAvailable => {
                set_int(&socket, libc::IPPROTO_IP, libc::IP_FREEBIND, 1)?;
                socket.bind(&addr.into()).map(|()| true)?
            }
            bound => bound.map(|()| false)?,
        };
        set_int(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        if tos != 0 {
            set_int(&socket, libc::IPPROTO_IP, libc::IP_TOS, tos.into())?;
        }
        let marks = set_int(&socket, libc::SOL_SOCKET, libc::SO_RCVMARK, 1).is_ok();
        // A burst of callers at once: best effort, the system's limit holds.
        let _ = socket.set_recv_buffer_size(1 << 20);
        let buffers = vec![0; batch * each];
        Ok(Udp { socket, buffers, each, one_by_one: BTreeSet::new(), tos, marks, absent })
    }

    /// A socket of the same port for one peer: what that peer sends from now on arrives here. It is the kernel's for
    /// data, which the kernel would not take apart again if it came together; their UDP checksum may be left out (RFC 2661
    /// §8.1).
    ///
    /// # Errors
    /// The kernel's.
    pub fn connected(path: &Path, port: u16) -> io::Result<Self> {
        let udp = Udp::open(SocketAddrV4::new(path.local, port), 0, SMALL_BATCH, MAX_DATAGRAM)?;
        set_int(&udp.socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1)?;
        if path.mark != 0 {
            udp.socket.set_mark(path.mark)?;
        }
        udp.socket.connect(&path.peer.into())?;
        Ok(udp)
    }

    /// Connects to another address of the same peer.
    ///
    /// # Errors
    /// The kernel's.
    pub fn reconnect(&self, peer: SocketAddrV4) -> io::Result<()> {
        self.socket.connect(&peer.into())
    }

    /// The address and port the socket has.
    pub fn local(&self) -> Option<SocketAddrV4> {
        self.socket.local_addr().ok()?.as_socket_ipv4()
    }

    /// Receives what is there, at most [`BATCH`] times a datagram or what the kernel has put together, and hands each
    /// datagram to `sink`. Returns how many times that was.
    ///
    /// # Errors
    /// The kernel's; that nothing is there is not an error.
    pub fn receive(&mut self, mut sink: impl FnMut(Path, &[u8])) -> io::Result<usize> {
        let mut names = [MaybeUninit::<libc::sockaddr_in>::zeroed(); BATCH];
        let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
        let mut iov = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        for (v, b) in iov.iter_mut().zip(self.buffers.chunks_exact_mut(self.each)) {
            *v = libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: b.len() };
        }
        let mut heads: [libc::mmsghdr; BATCH] = std::array::from_fn(|i| {
            let mut h = header();
            h.msg_hdr.msg_name = names[i].as_mut_ptr().cast();
            h.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            h.msg_hdr.msg_iov = &raw mut iov[i];
            h.msg_hdr.msg_iovlen = 1;
            h.msg_hdr.msg_control = controls[i].as_mut_ptr().cast();
            h.msg_hdr.msg_controllen = CONTROL as _;
            h
        });
        // SAFETY: every header points at a name, an iovec and a control buffer that outlive the call, and the count
        // is that of the buffers, which are no more than the headers.
        let n = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                heads.as_mut_ptr(),
                (self.buffers.len() / self.each).min(BATCH) as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(n) = usize::try_from(n) else {
            let e = io::Error::last_os_error();
            return match e.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(e),
            };
        };
        for ((h, name), buffer) in heads.iter().zip(&names).zip(self.buffers.chunks_exact(self.each)).take(n)
        {
            // SAFETY: zeroed at first and filled in by the kernel: plain integers.
            let name = unsafe { name.assume_init() };
            let peer =
                SocketAddrV4::new(u32::from_be(name.sin_addr.s_addr).into(), u16::from_be(name.sin_port));
            let Ancillary { local, mark, size } = ancillary(&h.msg_hdr);
            let data = buffer.get(..h.msg_len as usize).unwrap_or(&[]);
            let size = if size == 0 { data.len() } else { size };
            if size <= MAX_DATAGRAM {
                data.chunks(size.max(1)).for_each(|d| sink(Path { local, peer, mark }, d));
            }
        }
        Ok(n)
    }

    /// Sends each datagram from its path's local address and with its mark, many with one system call and those of one
    /// size as one packet, which the kernel or the card cuts up. What the kernel refuses is told to `failed` and lost,
    /// as datagrams may be.
    pub fn send(&mut self, out: &Outgoing, mut failed: impl FnMut(SendError)) {
        let mut at = 0;
        while at < out.len() {
            match self.send_batch(out, at) {
                Ok(next) => at = next,
                Err((_, e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Err((run, e)) if run.datagrams.len() > 1 && not_together(&e) => {
                    if self.one_by_one.len() >= ONE_BY_ONE {
                        self.one_by_one.clear();
                    }
                    self.one_by_one.insert(run.path.peer);
                }
                Err((run, error)) => {
                    // The error is that of the first run; the others get their own try.
                    failed(SendError { path: run.path, error });
                    at = run.datagrams.end;
                }
            }
        }
    }

    /// Sends some from datagram `at` on, and says which is the next.
    fn send_batch(&self, out: &Outgoing, at: usize) -> Result<usize, (Run, io::Error)> {
        let next = |at: usize| out.run(at, |path| self.one_by_one.contains(&path.peer));
        let Some(first) = next(at) else { return Ok(out.len()) };
        let mut runs: [Option<Run>; BATCH] = [const { None }; BATCH];
        let mut names = [const { MaybeUninit::<libc::sockaddr_in>::uninit() }; BATCH];
        let mut iov = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
        let mut heads: [libc::mmsghdr; BATCH] = std::array::from_fn(|_| header());
        let (mut count, mut run) = (0, Some(first.clone()));
        while let Some(r) = run.take().filter(|_| count < BATCH) {
            let bytes = out.bytes(&r);
            iov[count] = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            let h = &mut heads[count].msg_hdr;
            h.msg_name = std::ptr::from_mut(names[count].write(sockaddr(r.path.peer))).cast();
            h.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            h.msg_iov = &raw mut iov[count];
            h.msg_iovlen = 1;
            let control = controls[count].write(Control([0; CONTROL]));
            let used = put_ancillary(control, &r, self.tos);
            if used > 0 {
                h.msg_control = control.0.as_mut_ptr().cast();
                h.msg_controllen = used as _;
            }
            run = next(r.datagrams.end);
            runs[count] = Some(r);
            count += 1;
        }
        // SAFETY: as for recvmmsg, with `count` headers filled in; the kernel only reads through iov_base.
        let n = unsafe {
            libc::sendmmsg(self.socket.as_raw_fd(), heads.as_mut_ptr(), count as u32, libc::MSG_DONTWAIT)
        };
        match usize::try_from(n) {
            Ok(n) => Ok(runs.iter().take(n).flatten().last().map_or(at, |r| r.datagrams.end)),
            Err(_) => Err((first, io::Error::last_os_error())),
        }
    }
}

/// Whether the kernel would take them one by one.
fn not_together(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP))
}

fn header() -> libc::mmsghdr {
    // SAFETY: all-zero octets are a valid mmsghdr (null pointers and zero lengths).
    unsafe { MaybeUninit::zeroed().assume_init() }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn sockaddr(a: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: a.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*a.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

/// What the kernel tells beside received datagrams.
struct Ancillary {
    /// Our address.
    local: Ipv4Addr,
    mark: u32,
    /// Octets of each of them but the last; 0 when there is one.
    size: usize,
}

fn ancillary(h: &libc::msghdr) -> Ancillary {
    let mut a = Ancillary { local: Ipv4Addr::UNSPECIFIED, mark: 0, size: 0 };
    // SAFETY: the header was filled in by recvmmsg; the macros stay within msg_controllen.
    let mut c = unsafe { libc::CMSG_FIRSTHDR(h) };
    while !c.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a whole header within the buffer, whose data the
        // kernel wrote in full for these types; the reads need no alignment.
        unsafe {
            match ((*c).cmsg_level, (*c).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info: libc::in_pktinfo = std::ptr::read_unaligned(libc::CMSG_DATA(c).cast());
                    a.local = u32::from_be(info.ipi_spec_dst.s_addr).into();
                }
                (libc::SOL_SOCKET, libc::SO_MARK) => {
                    a.mark = std::ptr::read_unaligned(libc::CMSG_DATA(c).cast());
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size: i32 = std::ptr::read_unaligned(libc::CMSG_DATA(c).cast());
                    a.size = usize::try_from(size).unwrap_or(0);
                }
                _ => {}
            }
            c = libc::CMSG_NXTHDR(h, c);
        }
    }
    a
}

/// Writes the control messages for a run, whose type of service need not be told when it is the `usual` one; returns
/// their length.
fn put_ancillary(control: &mut Control, run: &Run, usual: u8) -> usize {
    let path = &run.path;
    let mut used = 0;
    let mut put = |level: i32, kind: i32, data: &[u8]| {
        // SAFETY: pure arithmetic on the length.
        let (len, space) = unsafe {
            (libc::CMSG_LEN(data.len() as u32) as usize, libc::CMSG_SPACE(data.len() as u32) as usize)
        };
        let header = size_of::<libc::cmsghdr>();
        let Some(slot) = control.0.get_mut(used..used + space) else { return };
        slot[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
        slot[header - 8..header - 4].copy_from_slice(&level.to_ne_bytes());
        slot[header - 4..header].copy_from_slice(&kind.to_ne_bytes());
        slot[len - data.len()..len].copy_from_slice(data);
        used += space;
    };
    if !path.local.is_unspecified() {
        // struct in_pktinfo: interface index 0 (any), source address, unused destination.
        let mut info = [0u8; size_of::<libc::in_pktinfo>()];
        info[4..8].copy_from_slice(&path.local.octets());
        put(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
    }
    if path.mark != 0 {
        put(libc::SOL_SOCKET, libc::SO_MARK, &path.mark.to_ne_bytes());
    }
    if let (2.., Ok(size)) = (run.datagrams.len(), u16::try_from(run.size)) {
        put(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
    }
    if let Some(tos) = run.tos.filter(|t| *t != usual) {
        put(libc::IPPROTO_IP, libc::IP_TOS, &i32::from(tos).to_ne_bytes());
    }
    used
}

#[cfg(test)]
mod tests;
