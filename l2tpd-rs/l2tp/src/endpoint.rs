//! The engine's only entry point: indexes, dispatch and timers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use ipsec_types::Instant;

use crate::call::{Call, CallState, EARLY_FRAMES};
use crate::config::EndpointConfig;
use crate::header::{self, Packet};
use crate::io::{CallId, Entropy, Input, Level, Output, Path, PeerKey, TimerReason};
use crate::limit::{LogLimiter, Topic};
use crate::pool::Leases;
use crate::secrets::SecretTable;
use crate::status::Counters;
use crate::transport::Expiry;
use crate::tunnel::{Tunnel, TunnelState};

/// How long a tunnel the peer has closed answers repetitions of the StopCCN: a full retransmission cycle
/// (RFC 2661 §5.7).
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(31);

/// An LNS: all its tunnels and calls.
pub struct Endpoint {
    pub(crate) cfg: EndpointConfig,
    pub(crate) secrets: SecretTable,
    entropy: Box<dyn Entropy>,
    /// By our id, which is random: ordered, so that a run can be repeated.
    pub(crate) tunnels: BTreeMap<u16, Tunnel>,
    /// By our session id, unique in all tunnels.
    pub(crate) calls: BTreeMap<u16, Call>,
    /// Calls that have ended before their PPP has: generation to the peer's session id. As many as there are pppds.
    pub(crate) ended: BTreeMap<u64, u16>,
    /// By the peer's identity and its tunnel id, which it chooses; an ordered map has no bad keys.
    pub(crate) by_peer: BTreeMap<(PeerKey, u16), u16>,
    /// Half-open tunnels by address.
    pub(crate) half_open: BTreeMap<Ipv4Addr, usize>,
    timers: BTreeSet<(Instant, u16, TimerReason)>,
    pub(crate) leases: Leases,
    pub(crate) out: VecDeque<Output>,
    limiter: LogLimiter,
    pub(crate) counters: Counters,
    next_generation: u64,
}

impl Endpoint {
    /// An endpoint without tunnels.
    pub fn new(cfg: EndpointConfig, secrets: SecretTable, entropy: Box<dyn Entropy>) -> Self {
        Endpoint {
            cfg,
            secrets,
            entropy,
            tunnels: BTreeMap::new(),
            calls: BTreeMap::new(),
            ended: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            half_open: BTreeMap::new(),
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
            Input::CloseTunnel { tunnel, text } => {
                if let Some(t) = self.tunnels.get(&tunnel) {
                    let text_log = format!(
                        "Disconnecting from {}, Local: {}, Remote: {}",
                        t.path.peer.ip(),
                        t.id,
                        t.peer_id
                    );
                    self.log(Level::Info, text_log);
                    self.close_tunnel(now, tunnel, 1, 0, text);
                }
            }
            Input::CallUser { call, user } => {
                if let Some(c) = self.calls.get_mut(&call.session).filter(|c| c.id == call) {
                    c.user = Some(user);
                }
            }
            Input::Autodial
            | Input::Dial { .. }
            | Input::OpenTunnel(_)
            | Input::PlaceCall { .. }
            | Input::Resolved { .. }
            | Input::DisconnectLac { .. } => {}
            Input::PathGone { mark } => self.path_gone(mark),
            Input::Shutdown => {
                let ids: Vec<(u16, TunnelState)> = self.tunnels.values().map(|t| (t.id, t.state)).collect();
                for (id, state) in ids {
                    match state {
                        // Nobody has shown that he is there.
                        TunnelState::ExpectScccn => self.remove_tunnel(id),
                        _ => self.close_tunnel(now, id, 6, 0, "Server closing"),
                    }
                }
            }
        }
    }

    /// The next thing to do outside.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`Endpoint::handle`] with [`Input::Timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerReason)> {
        self.timers.first().map(|&(at, _, why)| (at, why))
    }

    /// Whether nobody waits for anything: no tunnel is left but those the peer has closed.
    pub fn is_quiet(&self) -> bool {
        self.tunnels.values().all(|t| t.state == TunnelState::Stopped)
    }

    /// Finds the call a data message belongs to, counts it, and returns its frame. `None` for everything else.
    pub fn demux<'a>(&mut self, now: Instant, path: &Path, data: &'a [u8]) -> Option<(CallId, &'a [u8])> {
        let Ok(Packet::Data(d)) = header::parse(data) else { return None };
        let t = self.tunnels.get_mut(&d.tunnel).filter(|t| t.path.key() == path.key())?;
        let c = self.calls.get_mut(&d.session).filter(|c| c.id.tunnel == d.tunnel)?;
        t.last_heard = now;
        if c.state == CallState::ExpectIccn {
            if c.early.len() < EARLY_FRAMES {
                c.early.push(d.payload.to_vec());
            }
            return None;
        }
        c.rx.add(d.payload.len());
        Some((c.id, d.payload))
    }

    /// Appends the data message that carries `frame` to the peer; returns its way, `None` when the call is gone.
    pub fn encapsulate(&mut self, call: CallId, frame: &[u8], out: &mut Vec<u8>) -> Option<Path> {
        let c = self.calls.get_mut(&call.session).filter(|c| c.id == call)?;
        let t = self.tunnels.get(&call.tunnel)?;
        c.tx.add(frame.len());
        header::put_data(out, t.peer_id, c.peer_session, t.section.length_bit(), c.data_ns, frame);
        if let Some(ns) = &mut c.data_ns {
            *ns = ns.wrapping_add(1);
        }
        Some(t.path)
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
                if let Some((call, frame)) = self.demux(now, &path, data) {
                    let frame = frame.to_vec();
                    self.out.push_back(Output::Payload { call, frame });
                }
            }
            Err(e) => {
                let text = format!(
                    "network_thread: bad packet from {}, port {}: {e}",
                    path.peer.ip(),
                    path.peer.port()
                );
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
            if let Some(t) = self.tunnels.get_mut(&id) {
                t.armed = None;
            }
            match why {
                TimerReason::Retransmit => self.retransmit(now, id),
                TimerReason::Hello => self.hello(now, id),
                TimerReason::Forget => self.remove_tunnel(id),
                TimerReason::Redial | TimerReason::Reorder => {}
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
                self.transmit(path, list);
            }
            Expiry::GivenUp => self.give_up(now, id),
        }
    }

    /// Arms the timer of a tunnel for what comes first there; to be called after everything that changed it.
    pub(crate) fn rearm(&mut self, id: u16) {
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        let hello = (t.state == TunnelState::Established && !t.hello_sent)
            .then(|| (t.last_heard + self.cfg.hello_interval, TimerReason::Hello));
        let forget = t.forget_at.map(|at| (at, TimerReason::Forget));
        let resend = t.transport.deadline().map(|at| (at, TimerReason::Retransmit));
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

    /// Forgets a tunnel whose calls have ended.
    pub(crate) fn remove_tunnel(&mut self, id: u16) {
        let Some(t) = self.tunnels.remove(&id) else { return };
        if let Some((at, why)) = t.armed {
            self.timers.remove(&(at, id, why));
        }
        if t.state == TunnelState::ExpectScccn {
            self.half_open_done(*t.path.peer.ip());
        }
        let key = (t.path.key(), t.peer_id);
        if self.by_peer.get(&key) == Some(&id) {
            self.by_peer.remove(&key);
        }
    }

    pub(crate) fn half_open_done(&mut self, addr: Ipv4Addr) {
        if let Some(n) = self.half_open.get_mut(&addr) {
            *n -= 1;
            if *n == 0 {
                self.half_open.remove(&addr);
            }
        }
    }

    /// Sends what a tunnel has to say now, an owed acknowledgement included.
    pub(crate) fn flush(&mut self, now: Instant, id: u16) {
        if let Some(t) = self.tunnels.get_mut(&id) {
            let (path, list) = (t.path, t.transport.flush(now));
            self.transmit(path, list);
        }
    }

    pub(crate) fn transmit(&mut self, path: Path, list: Vec<Vec<u8>>) {
        self.out.extend(list.into_iter().map(|data| Output::Transmit { path, data }));
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
        let free = |id: &u16| {
            *id != 0 && !self.calls.contains_key(id) && !self.tunnels.values().any(|t| t.retired.contains(id))
        };
        (0..=u16::MAX).map(|i| start.wrapping_add(i)).find(free)
    }
}
