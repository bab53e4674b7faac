//! XFRM over netlink: the IPsec of Linux (`protostack=netkey`).
//!
//! Requests are answered at once: the kernel does them while we send, so a request is a few microseconds and there is
//! nothing to wait for. What the kernel tells by itself comes over a second socket, which the event loop watches.
//!
//! The keys of live SAs are kept (as [`SecretBytes`](ipsec_types::SecretBytes)), because the kernel wants them again
//! when the peer of an encapsulated SA moves: it takes new ports for an SA, but no new address.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use ipsec_types::algo::EspInteg;
use ipsec_types::kernel::{
    Encap, KernelError, KernelEvent, KernelReply, KernelRequest, PolicyId, PolicySpec, REQID_RANGE, ReqToken,
    SaId, SaProto, SaSpec,
};
use netlink_packet_core::Emitable;
use netlink_packet_xfrm::constants::{
    XFRM_MSG_ALLOCSPI, XFRM_MSG_DELPOLICY, XFRM_MSG_DELSA, XFRM_MSG_GETPOLICY, XFRM_MSG_GETSA,
    XFRM_MSG_NEWPOLICY, XFRM_MSG_NEWSA, XFRM_MSG_UPDPOLICY, XFRM_MSG_UPDSA,
};

use crate::KernelBackend;

mod decode;
mod encode;
mod socket;

pub use decode::{decode_answers, decode_events};
use encode::Invalid;
use socket::{Dump, EventSocket, NLM_F_EXCL, RequestSocket};

/// How often a table is read again because it changed while it was read.
const DUMP_TRIES: usize = 5;

/// The kernel names an SA by destination, SPI and protocol. No peer chooses all.
type SaKey = (IpAddr, u32, SaProto);

/// The XFRM backend. Needs CAP_NET_ADMIN.
pub struct Xfrm {
    requests: RequestSocket,
    events: EventSocket,
    ready: VecDeque<KernelEvent>,
    live: HashMap<SaKey, SaSpec>,
}

/// An error in the words of the log. `errno` 0 is "no answer".
pub(crate) fn kernel_error(request: &'static str, errno: i32) -> KernelError {
    let text = match errno {
        0 => "no answer".to_owned(),
        _ => {
            let text = io::Error::from_raw_os_error(errno).to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
    };
    KernelError { request, errno, text }
}

/// Turns an `errno` into the error of the request named.
fn of<T>(request: &'static str, result: Result<T, i32>) -> Result<T, KernelError> {
    result.map_err(|errno| kernel_error(request, errno))
}

fn valid<T>(request: &'static str, message: Result<T, Invalid>) -> Result<T, KernelError> {
    message.map_err(|Invalid| kernel_error(request, libc::EINVAL))
}

fn key(id: &SaId) -> SaKey {
    (id.dst, id.spi, id.proto)
}

impl Xfrm {
    /// Opens both sockets.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT` on a kernel without XFRM, `EPERM` without the capability.
    pub fn open() -> io::Result<Self> {
        Ok(Xfrm {
            requests: RequestSocket::open()?,
            events: EventSocket::open()?,
            ready: VecDeque::new(),
            live: HashMap::new(),
        })
    }

    fn carry_out(&mut self, req: KernelRequest) -> Result<KernelReply, KernelError> {
        match req {
            KernelRequest::GetSpi { src, dst, reqid, proto } => self.get_spi(src, dst, reqid, proto),
            KernelRequest::AddSa(spec) => self.add_sa(*spec),
            KernelRequest::UpdateEncap { id, new_id, encap } => self.update_encap(id, new_id, encap),
            KernelRequest::SetIntegrity { id, integ } => self.set_integrity(&id, integ),
            KernelRequest::DelSa(id) => {
                self.live.remove(&key(&id));
                self.delete("XFRM_MSG_DELSA", XFRM_MSG_DELSA, &encode::sa_id(&id, None))
                    .map(|_| KernelReply::Done)
            }
            KernelRequest::QuerySa(id) => self.read_sa(&id).map(|sa| KernelReply::Usage(sa.usage)),
            KernelRequest::AddPolicy(spec) => self.add_policy(&spec),
            KernelRequest::DelPolicy(id) => self.del_policy(&id),
            KernelRequest::FlushOurs => self.flush_ours(),
        }
    }

    fn get_spi(
        &mut self,
        src: IpAddr,
        dst: IpAddr,
        reqid: u32,
        proto: SaProto,
    ) -> Result<KernelReply, KernelError> {
        const NAME: &str = "XFRM_MSG_ALLOCSPI";
        let message = valid(NAME, encode::alloc_spi(src, dst, reqid, proto))?;
        let mut spi = None;
        let answer = self.requests.ask(XFRM_MSG_ALLOCSPI, 0, &message, |body| {
            spi = decode::sa_state(body).map(|sa| sa.info.id.spi);
        });
        of(NAME, answer)?;
        spi.map(KernelReply::Spi).ok_or_else(|| kernel_error(NAME, 0))
    }

    fn add_sa(&mut self, spec: SaSpec) -> Result<KernelReply, KernelError> {
        let message = valid("XFRM_MSG_NEWSA", encode::sa(&spec, spec.hard_seconds, None))?;
        // The larval SA of an SPI reserved long ago has run out; the SPI is still the right one.
        let updated = match spec.inbound {
            true => self.requests.ask(XFRM_MSG_UPDSA, 0, &message, |_| {}),
            false => Err(libc::ESRCH),
        };
        match updated {
            Err(libc::ESRCH) => of("XFRM_MSG_NEWSA", self.requests.ask(XFRM_MSG_NEWSA, 0, &message, |_| {}))?,
            other => of("XFRM_MSG_UPDSA", other)?,
        }
        self.live.insert(key(&spec.id), spec);
        Ok(KernelReply::Done)
    }

    /// New ports alone are an update. A new address is a new SA to the kernel.
    fn update_encap(&mut self, id: SaId, new_id: SaId, encap: Encap) -> Result<KernelReply, KernelError> {
        let Some(mut spec) = self.live.get(&key(&id)).cloned() else {
            return Err(kernel_error("XFRM_MSG_UPDSA", libc::ESRCH));
        };
        let in_place = spec.encap.is_some() && spec.id == new_id;
        spec.encap = Some(encap);
        spec.id = new_id;
        if in_place {
            let message = valid("XFRM_MSG_UPDSA", encode::sa(&spec, spec.hard_seconds, None))?;
            of("XFRM_MSG_UPDSA", self.requests.ask(XFRM_MSG_UPDSA, 0, &message, |_| {}))?;
        } else {
            return self.replace_sa(&id, spec);
        }
        self.live.insert(key(&new_id), spec);
        Ok(KernelReply::Done)
    }

    /// Puts `spec` in the place of the SA `id`, with its sequence numbers, its window and what is left of its lifetime. A packet
    /// that arrives between the two is lost. If the kernel does not take it, the old one is put back.
    fn replace_sa(&mut self, id: &SaId, mut spec: SaSpec) -> Result<KernelReply, KernelError> {
        let old = self.read_sa(id)?;
        let left = remaining(spec.hard_seconds, old.info.lifetime_cur.add_time);
        // Octets and packets that are used up are counted against what is left.
        let less = |(soft, hard): (u64, u64), used: u64| match hard {
            0 => (0, 0),
            _ => (soft.saturating_sub(used).max(1), hard.saturating_sub(used).max(1)),
        };
        spec.life_bytes = less(spec.life_bytes, old.usage.bytes);
        spec.life_packets = less(spec.life_packets, old.usage.packets);
        let replay = old.replay.clone();
        let message = valid("XFRM_MSG_NEWSA", encode::sa(&spec, left, old.replay))?;
        self.delete("XFRM_MSG_DELSA", XFRM_MSG_DELSA, &encode::sa_id(id, None))?;
        let before = self.live.remove(&key(id));
        if let Err(errno) = self.requests.ask(XFRM_MSG_NEWSA, 0, &message, |_| {}) {
            let back = before.and_then(|b| Some((encode::sa(&b, left, replay).ok()?, b)));
            if let Some((message, before)) = back
                && self.requests.ask(XFRM_MSG_NEWSA, 0, &message, |_| {}).is_ok()
            {
                self.live.insert(key(id), before);
            }
            return Err(kernel_error("XFRM_MSG_NEWSA", errno));
        }
        spec.hard_seconds = left;
        self.live.insert(key(&spec.id), spec);
        Ok(KernelReply::Done)
    }

    /// The kernel does not change an SA's algorithm: it gets a new SA of the same name.
    fn set_integrity(&mut self, id: &SaId, integ: EspInteg) -> Result<KernelReply, KernelError> {
        let Some(spec) = self.live.get(&key(id)).cloned().filter(|s| s.integ_key.len() == integ.key_len())
        else {
            return Err(kernel_error("XFRM_MSG_NEWSA", libc::ESRCH));
        };
        self.replace_sa(id, SaSpec { integ, ..spec })
    }

    fn read_sa(&mut self, id: &SaId) -> Result<decode::SaState, KernelError> {
        const NAME: &str = "XFRM_MSG_GETSA";
        let mut found = None;
        let answer = self.requests.ask(XFRM_MSG_GETSA, 0, &encode::sa_id(id, None), |body| {
            found = decode::sa_state(body);
        });
        of(NAME, answer)?;
        found.ok_or_else(|| kernel_error(NAME, 0))
    }

    /// `true` when it was there.
    fn delete(
        &mut self,
        name: &'static str,
        kind: u16,
        message: &impl Emitable,
    ) -> Result<bool, KernelError> {
        match self.requests.ask(kind, 0, message, |_| {}) {
            Ok(()) => Ok(true),
            Err(libc::ESRCH | libc::ENOENT) => Ok(false),
            Err(errno) => Err(kernel_error(name, errno)),
        }
    }

    /// A policy of ours under that name is replaced, somebody else's is not (`EEXIST`).
    fn add_policy(&mut self, spec: &PolicySpec) -> Result<KernelReply, KernelError> {
        const NAME: &str = "XFRM_MSG_UPDPOLICY";
        let message = valid(NAME, encode::policy(spec))?;
        match self.requests.ask(XFRM_MSG_NEWPOLICY, NLM_F_EXCL, &message, |_| {}) {
            Err(libc::EEXIST) if self.find_ours(&spec.id)? => {
                of(NAME, self.requests.ask(XFRM_MSG_UPDPOLICY, 0, &message, |_| {}))?;
            }
            other => of("XFRM_MSG_NEWPOLICY", other)?,
        }
        Ok(KernelReply::Done)
    }

    fn del_policy(&mut self, id: &PolicyId) -> Result<KernelReply, KernelError> {
        const NAME: &str = "XFRM_MSG_DELPOLICY";
        if self.find_ours(id)? {
            self.delete(NAME, XFRM_MSG_DELPOLICY, &valid(NAME, encode::policy_id(id))?)?;
        }
        Ok(KernelReply::Done)
    }

    /// Whether there is a policy of that name, and it is ours.
    fn find_ours(&mut self, id: &PolicyId) -> Result<bool, KernelError> {
        const NAME: &str = "XFRM_MSG_GETPOLICY";
        let message = valid(NAME, encode::policy_id(id))?;
        let mut ours = false;
        let answer = self.requests.ask(XFRM_MSG_GETPOLICY, 0, &message, |body| {
            ours = decode::policy_state(body).is_some_and(|p| p.is_ours());
        });
        match answer {
            Err(libc::ENOENT | libc::ESRCH) => Ok(false),
            other => of(NAME, other.map(|()| ours)),
        }
    }

    fn flush_ours(&mut self) -> Result<KernelReply, KernelError> {
        self.live.clear();
        let (mut sas, mut policies) = (0, 0);
        // Policies first: without their SAs they would ask for new ones.
        for _ in 0..DUMP_TRIES {
            let mut ours = Vec::new();
            let dump = self.requests.dump(XFRM_MSG_GETPOLICY, |body| {
                ours.extend(decode::policy_state(body).filter(decode::PolicyState::is_ours));
            });
            let dump = of("XFRM_MSG_GETPOLICY", dump)?;
            for policy in ours {
                let message = encode::policy_index(&policy);
                policies += u32::from(self.delete("XFRM_MSG_DELPOLICY", XFRM_MSG_DELPOLICY, &message)?);
            }
            if dump == Dump::Whole {
                break;
            }
        }
        for _ in 0..DUMP_TRIES {
            let mut ours = Vec::new();
            let dump = self.requests.dump(XFRM_MSG_GETSA, |body| {
                ours.extend(decode::sa_state(body).filter(|sa| REQID_RANGE.contains(&sa.info.reqid)));
            });
            let dump = of("XFRM_MSG_GETSA", dump)?;
            for sa in ours {
                // One without an SPI waits for an answer to an Acquire; it cannot be named and goes by itself.
                if let Some(id) = sa.id.filter(|id| id.spi != 0) {
                    let message = encode::sa_id(&id, sa.mark);
                    sas += u32::from(self.delete("XFRM_MSG_DELSA", XFRM_MSG_DELSA, &message)?);
                }
            }
            if dump == Dump::Whole {
                break;
            }
        }
        Ok(KernelReply::Flushed { sas, policies })
    }
}

/// What is left of a lifetime that began at a wall-clock second. 0 is "for ever", so never less than 1 of a real one.
fn remaining(hard_seconds: u64, since: u64) -> u64 {
    if hard_seconds == 0 {
        return 0;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(since, |d| d.as_secs());
    hard_seconds.saturating_sub(now.saturating_sub(since)).max(1)
}

impl KernelBackend for Xfrm {
    fn name(&self) -> &'static str {
        "netkey"
    }

    fn submit(&mut self, token: ReqToken, req: KernelRequest) {
        let result = self.carry_out(req);
        self.ready.push_back(KernelEvent::Done(token, result));
    }

    fn poll_event(&mut self) -> Option<KernelEvent> {
        while self.ready.is_empty() {
            let datagram = self.events.next()?;
            self.ready.extend(decode_events(datagram));
            for event in &self.ready {
                if let KernelEvent::Expire { id, hard: true } = event {
                    self.live.remove(&key(id));
                }
            }
        }
        self.ready.pop_front()
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.events.fd())
    }
}
