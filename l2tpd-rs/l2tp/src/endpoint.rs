//! The engine's only entry point: indexes, dispatch and timers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use ipsec_types::Instant;

use crate::call::Call;
use crate::config::EndpointConfig;
use crate::header::{self, Packet};
use crate::io::{DialId, Entropy, Event, Input, Level, Output, Path, PeerKey, TimerReason};
use crate::lac::{Lac, News};
use crate::limit::{LogLimiter, Topic};
use crate::pool::Leases;
use crate::secrets::SecretTable;
use crate::status::Counters;
use crate::table::IdTable;
use crate::transport::Expiry;
use crate::tunnel::{Tunnel, TunnelState};

/// How long a tunnel the peer has closed answers repetitions of the StopCCN: a full retransmission cycle
/// (RFC 2661 §5.7).
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(31);

/// All tunnels and calls of a daemon, of both roles.
pub struct Endpoint {
    pub(crate) cfg: EndpointConfig,
    pub(crate) secrets: SecretTable,
    entropy: Box<dyn Entropy>,
    /// By our id.
    pub(crate) tunnels: IdTable<Tunnel>,
    /// By our session id, unique in all tunnels.
    pub(crate) calls: IdTable<Call>,
    /// Session ids of ended calls whose CDN is not acknowledged, of all tunnels.
    pub(crate) retired: BTreeSet<u16>,
    /// Calls that have ended before their PPP has: generation to the peer's session id. As many as there are pppds.
    pub(crate) ended: BTreeMap<u64, u16>,
    /// By the peer's identity and its tunnel id, which it chooses; an ordered map has no bad keys.
    pub(crate) by_peer: BTreeMap<(PeerKey, u16), u16>,
    /// Half-open tunnels by address.
    pub(crate) half_open: BTreeMap<Ipv4Addr, usize>,
    /// Of all addresses.
    pub(crate) half_open_all: usize,
    /// Tunnels by the mark of their SAs, those with one.
    pub(crate) by_mark: BTreeMap<u32, BTreeSet<u16>>,
    /// Tunnels whose SCCRQ is not answered, or whose SCCCN is not acknowledged.
    pub(crate) dialling: BTreeSet<u16>,
    /// The dials, by a number of their own, and the sections' among them by name in small letters.
    pub(crate) lacs: BTreeMap<u16, Lac>,
    pub(crate) lac_names: BTreeMap<String, u16>,
    pub(crate) resolving: BTreeMap<DialId, u16>,
    pub(crate) next_dial: u64,
    pub(crate) news: VecDeque<News>,
    pub(crate) next_serial: u32,
    /// The id is that of a tunnel, for [`TimerReason::Redial`] of a dial, for [`TimerReason::Reorder`] of a call.
    pub(crate) timers: BTreeSet<(Instant, u16, TimerReason)>,
    pub(crate) leases: Leases,
    /// `local ip` of all sections.
    pub(crate) own: BTreeSet<Ipv4Addr>,
    pub(crate) out: VecDeque<Output>,
    limiter: LogLimiter,
    pub(crate) counters: Counters,
    next_generation: u64,
}

impl Endpoint {
    /// An endpoint without tunnels.
    pub fn new(cfg: EndpointConfig, secrets: SecretTable, entropy: Box<dyn Entropy>) -> Self {
        Endpoint {
            own: cfg.own_addresses(),
            cfg,
            secrets,
            entropy,
            tunnels: IdTable::default(),
            calls: IdTable::default(),
            retired: BTreeSet::new(),
            ended: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            half_open: BTreeMap::new(),
            half_open_all: 0,
            by_mark: BTreeMap::new(),
            dialling: BTreeSet::new(),
            lacs: BTreeMap::new(),
            lac_names: BTreeMap::new(),
            resolving: BTreeMap::new(),
            next_dial: 0,
            news: VecDeque::new(),
            next_serial: 0,
            timers: BTreeSet::new(),
            leases: Leases::default(),
            out: VecDeque::new(),
            limiter: LogLimiter::default(),
            counters: Counters::default(),
            next_generation: 0,
        }
    }

    /// Takes a new configuration. Tunnels that stand keep the section they were accepted with.
    pub fn reconfigure(&mut self, cfg: EndpointConfig) {
        self.own = cfg.own_addresses();
        self.cfg = cfg;
    }

    /// Takes new tunnel secrets.
    pub fn set_secrets(&mut self, secrets: SecretTable) {
        self.secrets = secrets;
    }

    /// Takes one event. Outputs are to be fetched with [`Endpoint::poll_output`] until there are none.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Datagram { path, refuse_clear, data } => self.datagram(now, path, refuse_clear, data),
            Input::Timeout => self.timeout(now),
            Input::CallStarted { call, pid } => self.call_started(now, call, pid),
            Input::CallEnded { call, end } => self.call_ended(now, call, end),
            Input::HangUp(call) => self.hang_up(now, call),
            Input::CloseTunnel { tunnel, text } => self.goodbye(now, tunnel, text),
            Input::CallUser { call, user } => {
                if let Some(c) = self.calls.get_mut(&call.session).filter(|c| c.id == call) {
                    c.user = Some(user);
                }
            }
            Input::CallAddress { call, addr } => self.call_address(call, addr),
            Input::Autodial => self.autodial(now),
            Input::Dial { lac, number, credentials } => self.dial(now, lac, number, credentials),
            Input::OpenTunnel(to) => self.open_bare(now, to),
            Input::PlaceCall { tunnel, number, credentials } => {
                self.place_call(now, tunnel, None, number, credentials);
            }
            Input::Resolved { dial, addrs } => self.resolved(now, dial, &addrs),
            Input::DisconnectLac { lac } => self.disconnect_lac(now, lac),
            Input::PathGone { mark } => self.path_gone(mark),
            Input::Heard { tunnel } => self.heard(now, tunnel),
            Input::Shutdown => {
                self.forget_dials();
                let mut ids: Vec<_> = self.tunnels.values().map(|t| (t.id, t.state)).collect();
                ids.sort_unstable_by_key(|(id, _)| *id);
                for (id, state) in ids {
                    match state {
                        // Nobody has shown that he is there.
                        TunnelState::ExpectScccn | TunnelState::ExpectSccrp => self.remove_tunnel(id),
                        _ => self.close_tunnel(now, id, 6, 0, "Server closing"),
                    }
                }
            }
        }
        self.take_news(now);
    }

    /// The next thing to do outside.
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.out.pop_front();
        // What a burst has made large need not stay so.
        if next.is_none() && self.out.capacity() > 1024 {
            self.out.shrink_to(64);
        }
        next
    }

    /// When to call [`Endpoint::handle`] with [`Input::Timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerReason)> {
        self.timers.first().map(|&(at, _, why)| (at, why))
    }

    /// Whether nobody waits for anything: no tunnel is left but those the peer has closed.
    pub fn is_quiet(&self) -> bool {
        self.tunnels.values().all(|t| t.state == TunnelState::Stopped)
    }

    /// How many addresses are given to callers.
    pub fn leased(&self) -> usize {
        self.leases.len()
    }

    fn datagram(&mut self, now: Instant, path: Path, refuse_clear: bool, data: &[u8]) {
        match header::parse(data) {
            Ok(Packet::Control(c)) if c.tunnel == 0 => self.first_contact(now, path, refuse_clear, c),
            Ok(Packet::Control(c)) => self.control(now, path, refuse_clear, c),
            Ok(Packet::Data(_)) => {
                let at = self.out.len();
                if let Some((call, frame)) = self.demux(now, &path, data) {
                    // Before the ones that waited for it.
                    let frame = frame.to_vec();
                    self.out.insert(at, Output::Payload { call, frame });
                }
            }
            Err(e) => {
                let text = format!(
                    "network_thread: bad packet from {}, port {}: {e}",
                    path.peer.ip(),
                    path.peer.port()
                );
                self.counters.junk += 1;
                self.log_limited(now, Topic::Junk, Level::Debug, text);
            }
        }
    }

    fn timeout(&mut self, now: Instant) {
        while let Some(&(at, id, why)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            match why {
                TimerReason::Redial => {
                    self.redial(now, id);
                    continue;
                }
                TimerReason::Reorder => {
                    self.reorder_timeout(now, id);
                    continue;
                }
                TimerReason::CallSetup => {
                    self.call_setup_timeout(now, id);
                    continue;
                }
                _ => {}
            }
            if let Some(t) = self.tunnels.get_mut(&id) {
                t.armed = None;
            }
            match why {
                TimerReason::Retransmit => self.retransmit(now, id),
                TimerReason::Hello => self.hello(now, id),
                TimerReason::Forget => {
                    if self.tunnels.get(&id).is_some_and(|t| t.state == TunnelState::ExpectSccrp) {
                        self.tunnel_down(id, "no answer", true);
                    }
                    self.remove_tunnel(id);
                }
                TimerReason::Redial | TimerReason::Reorder | TimerReason::CallSetup => {}
            }
            self.rearm(id);
        }
    }

    fn retransmit(&mut self, now: Instant, id: u16) {
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        if t.transport.deadline().is_none_or(|d| d > now) {
            return;
        }
        match t.transport.expire(now) {
            Expiry::Resend(list) => {
                let path = t.path;
                self.counters.retransmissions += list.len() as u64;
                self.transmit(path, list);
            }
            Expiry::GivenUp if self.is_there_nevertheless(now, id) => {}
            Expiry::GivenUp => self.give_up(now, id),
        }
    }

    /// Arms the timer of a tunnel for what comes first there; to be called after everything that changed it.
    pub(crate) fn rearm(&mut self, id: u16) {
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        let hello = (t.state == TunnelState::Established && t.hello_sent.is_none())
            .then(|| (t.last_heard + self.cfg.hello_interval, TimerReason::Hello));
        let resend = t.transport.deadline().map(|at| (at, TimerReason::Retransmit));
        // A peer that acknowledges our SCCRP or SCCRQ and then says nothing.
        let half_open = matches!(t.state, TunnelState::ExpectScccn | TunnelState::ExpectSccrp);
        let forget_at = t.forget_at.or((half_open && resend.is_none()).then(|| t.since + FORGET_AFTER));
        let forget = forget_at.map(|at| (at, TimerReason::Forget));
        let next = [hello, forget, resend].into_iter().flatten().min();
        if t.armed == next {
            return;
        }
        if let Some((at, why)) = t.armed {
            self.timers.remove(&(at, id, why));
        }
        if let Some((at, why)) = next {
            self.timers.insert((at, id, why));
        }
        t.armed = next;
    }

    pub(crate) fn add_tunnel(&mut self, t: Tunnel) {
        if t.path.mark != 0 {
            self.by_mark.entry(t.path.mark).or_default().insert(t.id);
        }
        self.tunnels.insert(t.id, Box::new(t));
    }

    fn unmark(&mut self, id: u16, mark: u32) {
        if let Some(set) = self.by_mark.get_mut(&mark) {
            set.remove(&id);
            if set.is_empty() {
                self.by_mark.remove(&mark);
            }
        }
    }

    /// Gives a tunnel another way to its peer.
    pub(crate) fn set_path(&mut self, id: u16, path: Path) {
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        let (old, peer_id) = (std::mem::replace(&mut t.path, path), t.peer_id);
        if old.mark != path.mark {
            self.unmark(id, old.mark);
            if path.mark != 0 {
                self.by_mark.entry(path.mark).or_default().insert(id);
            }
        }
        if self.by_peer.get(&(old.key(), peer_id)) == Some(&id) {
            self.by_peer.remove(&(old.key(), peer_id));
            self.by_peer.insert((path.key(), peer_id), id);
        }
    }

    /// Forgets a tunnel whose calls have ended.
    pub(crate) fn remove_tunnel(&mut self, id: u16) {
        self.tunnel_down(id, "", false);
        let Some(t) = self.tunnels.remove(&id) else { return };
        if let Some((at, why)) = t.armed {
            self.timers.remove(&(at, id, why));
        }
        if t.state == TunnelState::ExpectScccn {
            self.half_open_done(*t.path.peer.ip());
        }
        self.unmark(id, t.path.mark);
        for session in &t.retired {
            self.retired.remove(session);
        }
        let key = (t.path.key(), t.peer_id);
        if self.by_peer.get(&key) == Some(&id) {
            self.by_peer.remove(&key);
        }
    }

    pub(crate) fn half_open_done(&mut self, addr: Ipv4Addr) {
        if let Some(n) = self.half_open.get_mut(&addr) {
            *n -= 1;
            self.half_open_all -= 1;
            if *n == 0 {
                self.half_open.remove(&addr);
            }
        }
    }

    /// Sends what a tunnel has to say now, an owed acknowledgement included.
    pub(crate) fn flush(&mut self, now: Instant, id: u16) {
        // An SCCRP that the peer's octets have not paid for yet waits for its repetition; see `sccrp_again`.
        let unpaid = |t: &Tunnel| t.state == TunnelState::ExpectScccn && t.transport.ns() == 0;
        if let Some(t) = self.tunnels.get_mut(&id).filter(|t| !unpaid(t)) {
            let (path, list) = (t.path, t.transport.flush(now));
            self.transmit(path, list);
        }
    }

    pub(crate) fn transmit(&mut self, path: Path, list: Vec<Vec<u8>>) {
        self.out.extend(list.into_iter().map(|data| Output::Transmit { path, data }));
    }

    pub(crate) fn event(&mut self, e: Event) {
        self.out.push_back(Output::Event(e));
    }

    pub(crate) fn log(&mut self, level: Level, text: impl Into<String>) {
        self.out.push_back(Output::Log { level, text: text.into() });
    }

    pub(crate) fn log_limited(&mut self, now: Instant, topic: Topic, level: Level, mut text: String) {
        let Some(dropped) = self.limiter.allow(now, topic) else { return };
        if dropped > 0 {
            text.push_str(&format!(" ({dropped} lines like this left out)"));
        }
        self.log(level, text);
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut b = [0; N];
        self.entropy.fill(&mut b);
        b
    }

    pub(crate) fn generation(&mut self) -> u64 {
        self.next_generation += 1;
        self.next_generation
    }

    /// A tunnel id that is not 0 and not in use; `None` when all are.
    pub(crate) fn free_tunnel_id(&mut self) -> Option<u16> {
        let start = u16::from_be_bytes(self.random());
        (0..=u16::MAX).map(|i| start.wrapping_add(i)).find(|id| *id != 0 && !self.tunnels.contains_key(id))
    }

    /// A session id that is not 0, not in use and not waiting for the acknowledgement of its CDN.
    pub(crate) fn free_session_id(&mut self) -> Option<u16> {
        let start = u16::from_be_bytes(self.random());
        let free = |id: &u16| *id != 0 && !self.calls.contains_key(id) && !self.retired.contains(id);
        (0..=u16::MAX).map(|i| start.wrapping_add(i)).find(free)
    }
}
