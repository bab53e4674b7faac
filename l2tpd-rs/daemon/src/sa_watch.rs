//! Notices when the IPsec SAs a client's packets came through are gone.
//!
//! The mark of a datagram tells the reqid of its SAs ([`mark_of_reqid`]). This module listens to the kernel's news of
//! SAs (netlink, `NETLINK_XFRM`), and when an SA of pluto's has gone, waits a moment, for a rekey or a moved peer has a
//! new one at once, and then asks the kernel which reqids still have an SA. It must not change anything in the kernel.
//!
//! ```text
//! nlmsghdr          | length u32 | type u16 | flags u16 | sequence u32 | port u32
//! NEWSA, UPDSA      | xfrm_usersa_info (224)                               | attributes
//! EXPIRE            | xfrm_usersa_info (224)              | hard u8, pad 7 | attributes
//! DELSA             | xfrm_usersa_id (24) | XFRMA_SA: length u16, kind u16, xfrm_usersa_info (224) | attributes
//! FLUSHSA           | protocol u8
//! ```
//! The keys are in the attributes at the end. News are read no further than what is drawn here, so they stay in the
//! kernel; the answer to a question does hold keys, and is wiped.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use ipsec_types::kernel::mark_of_reqid;
use l2tp_proto::Instant;
use libc::{MSG_DONTWAIT, MSG_TRUNC};
use netlink_sys::protocols::NETLINK_XFRM;
use netlink_sys::{Socket, SocketAddr};
use zeroize::{Zeroize, Zeroizing};

/// What a client has to get new SAs in.
const GRACE: Duration = Duration::from_secs(1);
/// Times are rounded up to this, so that the kernel is asked once for many SAs.
const GRID: u64 = 250_000_000;
/// News taken a wake-up.
const BUDGET: usize = 256;
/// Datagrams of one answer: 32 KiB each, more than twice [`MARKS`](ipsec_types::kernel::MARKS) SAs need.
const ANSWER: usize = 16_384;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const DUMP_REQUEST: u16 = 0x301;
const XFRMNLGRP_EXPIRE: u32 = 2;
const XFRMNLGRP_SA: u32 = 3;
const XFRM_MSG_NEWSA: u16 = 0x10;
const XFRM_MSG_DELSA: u16 = 0x11;
const XFRM_MSG_GETSA: u16 = 0x12;
const XFRM_MSG_EXPIRE: u16 = 0x18;
const XFRM_MSG_UPDSA: u16 = 0x1a;
const XFRM_MSG_FLUSHSA: u16 = 0x1c;
const XFRMA_SA: u16 = 6;

const HEADER: usize = 16;
/// Length of `xfrm_usersa_info`, and where its SPI and its reqid are.
const INFO: usize = 224;
const INFO_SPI: usize = 72;
const INFO_REQID: usize = 208;
/// Length of `xfrm_usersa_id`.
const ID: usize = 24;
/// As far as news are read.
const NEWS: usize = HEADER + ID + 4 + INFO;

/// What one message of the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// There is an SA with this reqid.
    Here(u32),
    /// An SA with this reqid is gone.
    Gone(u32),
    /// All SAs are gone.
    Flushed,
}

fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The reqid of an `xfrm_usersa_info`, if it is one that pluto gives.
fn reqid(info: &[u8]) -> Option<u32> {
    u32_at(info.get(..INFO)?, INFO_REQID).filter(|r| mark_of_reqid(*r).is_some())
}

/// Reads one message, of which the end may be cut off. `None` for SAs that are not pluto's, for a lifetime that is not
/// the last (soft), and for whatever is too short or something else.
pub fn news(message: &[u8]) -> Option<News> {
    let kind = u16_at(message, 4)?;
    let body = message.get(HEADER..)?;
    match kind {
        // Without an SPI it is a place kept for an SA that a packet wants, and protects nothing.
        XFRM_MSG_NEWSA | XFRM_MSG_UPDSA if u32_at(body, INFO_SPI)? != 0 => reqid(body).map(News::Here),
        XFRM_MSG_EXPIRE if *body.get(INFO)? != 0 => reqid(body).map(News::Gone),
        XFRM_MSG_DELSA => {
            let attribute = body.get(ID..)?;
            let whole = usize::from(u16_at(attribute, 0)?) >= 4 + INFO && u16_at(attribute, 2)? == XFRMA_SA;
            reqid(attribute.get(4..)?).filter(|_| whole).map(News::Gone)
        }
        XFRM_MSG_FLUSHSA => Some(News::Flushed),
        _ => None,
    }
}

/// Reads one datagram of the list of all SAs into `reqids`. True when it was the last.
///
/// # Errors
/// The kernel's, and `EBADMSG` for a message that does not fit.
pub fn listed(mut datagram: &[u8], reqids: &mut BTreeSet<u32>) -> io::Result<bool> {
    let bad = || io::Error::from_raw_os_error(libc::EBADMSG);
    while !datagram.is_empty() {
        let len = u32_at(datagram, 0).and_then(|n| usize::try_from(n).ok()).ok_or_else(bad)?;
        let message = datagram.get(..len).filter(|m| m.len() >= HEADER).ok_or_else(bad)?;
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
        match u16_at(message, 4) {
            Some(NLMSG_DONE) => return Ok(true),
            Some(NLMSG_ERROR) => {
                let errno = u32_at(message, HEADER).map_or(libc::EBADMSG, |n| n.cast_signed().wrapping_neg());
                return Err(io::Error::from_raw_os_error(errno));
            }
            _ => {
                if let Some(News::Here(r)) = news(message) {
                    reqids.insert(r);
                }
            }
        }
    }
    Ok(false)
}

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

/// The reqids of pluto's that have an SA now. The kernel makes the list while it is read: nothing is waited for.
fn list() -> io::Result<BTreeSet<u32>> {
    let mut socket = Socket::new(NETLINK_XFRM)?;
    socket.bind_auto()?;
    let mut request = [0; HEADER];
    request[..4].copy_from_slice(&(HEADER as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&XFRM_MSG_GETSA.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP_REQUEST.to_ne_bytes());
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let mut buffer = Zeroizing::new(vec![0; 64 * 1024]);
    let mut reqids = BTreeSet::new();
    for _ in 0..ANSWER {
        let datagram = receive(&socket, &mut buffer, MSG_TRUNC)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let len = datagram.len();
        let last = listed(datagram, &mut reqids);
        if let Some(used) = buffer.get_mut(..len) {
            used.zeroize();
        }
        if last? {
            return Ok(reqids);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EMSGSIZE))
}

/// What is known, and what has to be asked.
#[derive(Debug, Default)]
struct State {
    /// Reqids that have been seen. Marks of others are perhaps not pluto's, and no flush is their end.
    seen: BTreeSet<u32>,
    /// Reqids that may be gone, and when to ask.
    due: BTreeMap<u32, Instant>,
}

impl State {
    fn note(&mut self, now: Instant, news: News) {
        let at = Instant((now + GRACE).0.next_multiple_of(GRID));
        match news {
            News::Here(r) => _ = self.seen.insert(r),
            News::Gone(r) => _ = self.due.insert(r, at),
            News::Flushed => self.due.extend(self.seen.iter().map(|r| (*r, at))),
        }
    }

    fn next(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// The marks whose time has come and that have no SA, of those that are in use; asks only if there are such.
    fn check(
        &mut self,
        now: Instant,
        in_use: impl Fn(u32) -> bool,
        list: impl FnOnce() -> io::Result<BTreeSet<u32>>,
    ) -> Vec<u32> {
        let mut suspects = Vec::new();
        self.due.retain(|r, at| {
            let due = *at <= now;
            if let Some(mark) = mark_of_reqid(*r).filter(|m| due && in_use(m.value)) {
                suspects.push((*r, mark.value));
            }
            !due
        });
        if suspects.is_empty() {
            return Vec::new();
        }
        let Ok(here) = list() else {
            // Nothing is closed on a guess.
            suspects.iter().for_each(|(r, _)| self.note(now, News::Gone(*r)));
            return Vec::new();
        };
        suspects.retain(|(r, _)| !here.contains(r));
        suspects.iter().for_each(|(r, _)| _ = self.seen.remove(r));
        self.seen.extend(here);
        suspects.into_iter().map(|(_, mark)| mark).collect()
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
        socket.add_membership(XFRMNLGRP_SA)?;
        socket.add_membership(XFRMNLGRP_EXPIRE)?;
        Ok(SaWatch { socket, state: State { seen: list()?, due: BTreeMap::new() } })
    }

    /// Takes what the kernel has to tell, as far as a wake-up goes.
    pub fn take(&mut self, now: Instant) {
        let mut buffer = [0; NEWS];
        for _ in 0..BUDGET {
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
