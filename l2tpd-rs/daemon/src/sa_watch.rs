//! Notices when the IPsec SAs a client's packets came through are gone.
//!
//! The mark of a datagram tells the reqid of its SAs ([`mark_of_reqid`]). This module listens to the kernel's news of
//! SAs and keeps a list of pluto's; when the last one with a reqid has gone, it waits a moment, for a rekey or a moved
//! peer has a new one at once, and if there is none by then the mark is nobody's any more. The kernel is asked for all
//! its SAs only at the start, and where news do not say which SA they are about: after a flush, and when some were lost.
//! It must not change anything in the kernel.

mod news;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use ipsec_types::kernel::mark_of_reqid;
use l2tp_proto::Instant;
use libc::{MSG_DONTWAIT, MSG_TRUNC};
use netlink_sys::protocols::NETLINK_XFRM;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use zeroize::{Zeroize, Zeroizing};

use news::{HEADER, NEWS, XFRM_MSG_GETSA};
pub use news::{News, Sa, listed, news};

/// What a client has to get new SAs in.
const GRACE: Duration = Duration::from_secs(1);
/// How long the kernel is left alone before it is asked, and no longer, however many news are lost meanwhile.
const SOON: Duration = Duration::from_millis(100);
/// Times are rounded up to this, so that many SAs have one, and the kernel is asked no more often.
const GRID: u64 = 250_000_000;
/// News taken a wake-up, and before the kernel is asked.
const BUDGET: usize = 256;
const ALL: usize = 16_384;
/// News that may wait, in octets of the kernel's memory, which counts a thousand or two for each.
const BACKLOG: usize = 1 << 20;
/// Datagrams of one answer: 32 KiB each, more than twice [`MARKS`](ipsec_types::kernel::MARKS) SAs need.
const ANSWER: usize = 16_384;

/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const DUMP_REQUEST: u16 = 0x301;
const XFRMNLGRP_EXPIRE: u32 = 2;
const XFRMNLGRP_SA: u32 = 3;

/// One datagram of the kernel, cut off at the end of `buffer`; `None` when there is none.
fn receive<'b>(socket: &Socket, buffer: &'b mut [u8], flags: i32) -> io::Result<Option<&'b [u8]>> {
    loop {
        let mut room = &mut *buffer;
        match socket.recv_from(&mut room, MSG_DONTWAIT | flags) {
            // Only the kernel has port 0.
            Ok((_, from)) if from.port_number() != 0 => {}
            Ok((len, _)) if len > buffer.len() => return Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
            Ok((len, _)) => return Ok(buffer.get(..len)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        }
    }
}

/// The SAs of pluto's that there are now. The kernel makes the list while it is read: nothing is waited for.
fn list() -> io::Result<BTreeSet<Sa>> {
    let mut socket = Socket::new(NETLINK_XFRM)?;
    socket.bind_auto()?;
    let mut request = [0; HEADER];
    request[..4].copy_from_slice(&(HEADER as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&XFRM_MSG_GETSA.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP_REQUEST.to_ne_bytes());
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let mut buffer = Zeroizing::new(vec![0; 64 * 1024]);
    let mut sas = BTreeSet::new();
    for _ in 0..ANSWER {
        let datagram = receive(&socket, &mut buffer, MSG_TRUNC)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let len = datagram.len();
        let last = listed(datagram, &mut sas);
        if let Some(used) = buffer.get_mut(..len) {
            used.zeroize();
        }
        if last? {
            return Ok(sas);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EMSGSIZE))
}

/// What is known, and what has to be looked at.
#[derive(Debug, Default)]
struct State {
    /// SAs of pluto's. Marks of reqids that were never here are perhaps not pluto's, and no flush is their end.
    here: BTreeSet<Sa>,
    /// Reqids whose last SA has gone, and when that is for good.
    due: BTreeMap<u32, Instant>,
    /// `here` is not to be trusted, and the kernel is to be asked then.
    ask_at: Option<Instant>,
}

/// Whether an SA with this reqid is among them.
fn any_with(sas: &BTreeSet<Sa>, reqid: u32) -> bool {
    let first = Sa { reqid, spi: [0; 4], dst: [0; 16], proto: 0 };
    sas.range(first..).next().is_some_and(|s| s.reqid == reqid)
}

impl State {
    fn note(&mut self, now: Instant, news: News) {
        let at = Instant((now + GRACE).0.next_multiple_of(GRID));
        match news {
            News::Here(sa) => _ = self.here.insert(sa),
            News::Gone(sa) => {
                self.here.remove(&sa);
                if !any_with(&self.here, sa.reqid) {
                    self.due.insert(sa.reqid, at);
                }
            }
            News::Flushed => _ = self.ask_at.get_or_insert(Instant((now + SOON).0.next_multiple_of(GRID))),
        }
    }

    /// While the kernel is to be asked nothing else is decided.
    fn next(&self) -> Option<Instant> {
        self.ask_at.or_else(|| self.due.values().min().copied())
    }

    fn must_ask(&self, now: Instant) -> bool {
        self.ask_at.is_some_and(|at| at <= now)
    }

    /// The marks whose time has come and that have no SA, of those that are in use.
    fn check(
        &mut self,
        now: Instant,
        in_use: impl Fn(u32) -> bool,
        list: impl FnOnce() -> io::Result<BTreeSet<Sa>>,
    ) -> Vec<u32> {
        if self.must_ask(now) {
            self.ask_at = None;
            match list() {
                Ok(sas) => {
                    let before = std::mem::take(&mut self.here);
                    let gone: Vec<Sa> = before.difference(&sas).copied().collect();
                    self.here = sas;
                    gone.into_iter().for_each(|s| self.note(now, News::Gone(s)));
                }
                Err(_) => self.ask_at = Some(now + GRACE),
            }
        }
        // Nothing is closed on a guess.
        if self.ask_at.is_some() {
            return Vec::new();
        }
        let mut over = Vec::new();
        self.due.retain(|reqid, at| {
            let gone = *at <= now && !any_with(&self.here, *reqid);
            over.extend(mark_of_reqid(*reqid).map(|m| m.value).filter(|m| gone && in_use(*m)));
            *at > now
        });
        over
    }
}

/// The socket that listens, and what it has heard.
pub struct SaWatch {
    socket: Socket,
    state: State,
}

impl SaWatch {
    /// Begins to listen.
    ///
    /// # Errors
    /// The kernel's: it has no XFRM, or this process is not allowed to listen.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_XFRM)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        // Without it fewer may wait, and the kernel is asked more often.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &BACKLOG);
        socket.add_membership(XFRMNLGRP_SA)?;
        socket.add_membership(XFRMNLGRP_EXPIRE)?;
        // After that: what happens meanwhile is told twice, which does no harm.
        Ok(SaWatch { socket, state: State { here: list()?, ..State::default() } })
    }

    /// Takes what the kernel has to tell, as far as a wake-up goes.
    pub fn take(&mut self, now: Instant) {
        self.take_some(now, BUDGET);
    }

    fn take_some(&mut self, now: Instant, most: usize) {
        let mut buffer = [0; NEWS];
        for _ in 0..most {
            match receive(&self.socket, &mut buffer, 0) {
                Ok(Some(message)) => {
                    if let Some(n) = news(message) {
                        self.state.note(now, n);
                    }
                }
                Ok(None) => return,
                // ENOBUFS: news were lost, and any SA may be gone.
                Err(_) => self.state.note(now, News::Flushed),
            }
        }
    }

    /// When to call [`SaWatch::check`].
    pub fn next_timer(&self) -> Option<Instant> {
        self.state.next()
    }

    /// The marks, of those `in_use`, whose SAs are gone for good by now.
    pub fn check(&mut self, now: Instant, in_use: impl Fn(u32) -> bool) -> Vec<u32> {
        if self.state.must_ask(now) {
            // News from before a loss would be news to a list from after it.
            self.take_some(now, ALL);
        }
        self.state.check(now, in_use, list)
    }
}

impl AsFd for SaWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
