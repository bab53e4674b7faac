//! The `[lac]` sections: resolve, try each address, place the call, dial again.
//!
//! ```text
//!   Idle ─dial─► Resolving ─► Opening ─► Calling ─► Up
//!                   ▲  next address or host │            │ lost
//!                   └───────── Waiting ◄────┴────────────┘
//! ```
//!
//! One [`Lac`] a section that was ever dialled. It owns at most one tunnel and one call; further calls on its tunnel
//! belong to nobody here.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ipsec_types::Instant;

use crate::config::{LacConfig, LnsAddress};
use crate::endpoint::Endpoint;
use crate::io::{CallId, Credentials, DialId, Event, Level, Output, TimerReason};
use crate::status::{LacState, LacStatus};
use crate::tunnel::TunnelState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Resolving { dial: DialId, port: u16 },
    Opening(u16),
    Calling(CallId),
    Up(CallId),
    Waiting(Instant),
}

#[derive(Debug)]
pub(crate) struct Lac {
    name: String,
    /// The `t` command's, which is in no file, and which places no call.
    bare: Option<Arc<LacConfig>>,
    phase: Phase,
    tunnel: Option<u16>,
    redials: u32,
    /// How many of the section's hosts were resolved in this attempt.
    hosts: usize,
    /// Addresses left to try of the last host.
    addrs: VecDeque<SocketAddrV4>,
    number: Option<String>,
    credentials: Credentials,
}

/// What has become of a dial's tunnel or call; handled when the input that caused it has been.
#[derive(Debug)]
pub(crate) enum News {
    TunnelUp {
        slot: u16,
        tunnel: u16,
    },
    /// `retry`: another address may do better.
    TunnelOver {
        slot: u16,
        tunnel: u16,
        retry: bool,
    },
    CallUp {
        slot: u16,
        call: CallId,
    },
    CallOver {
        slot: u16,
        call: CallId,
    },
}

impl Endpoint {
    fn slot(&self, name: &str) -> Option<u16> {
        self.lac_names.get(&name.to_ascii_lowercase()).copied()
    }

    fn lac_config(&self, slot: u16) -> Option<Arc<LacConfig>> {
        let lac = self.lacs.get(&slot)?;
        let named = || self.cfg.lac.iter().find(|l| l.name.eq_ignore_ascii_case(&lac.name));
        lac.bare.clone().or_else(|| named().cloned())
    }

    fn new_slot(&mut self, name: &str, bare: Option<Arc<LacConfig>>) -> Option<u16> {
        let slot = (0..=u16::MAX).find(|s| !self.lacs.contains_key(s))?;
        let lac = Lac {
            name: name.into(),
            bare,
            phase: Phase::Idle,
            tunnel: None,
            redials: 0,
            hosts: 0,
            addrs: VecDeque::new(),
            number: None,
            credentials: Credentials::default(),
        };
        self.lacs.insert(slot, lac);
        Some(slot)
    }

    pub(crate) fn autodial(&mut self, now: Instant) {
        let idle = |name: &str| {
            self.slot(name).and_then(|s| self.lacs.get(&s)).is_none_or(|l| l.phase == Phase::Idle)
        };
        let names: Vec<String> =
            self.cfg.lac.iter().filter(|l| l.autodial && idle(&l.name)).map(|l| l.name.clone()).collect();
        for name in names {
            self.dial(now, &name, None, Credentials::default());
        }
    }

    pub(crate) fn dial(
        &mut self,
        now: Instant,
        name: &str,
        number: Option<String>,
        credentials: Credentials,
    ) {
        let Some(cfg) = self.cfg.lac.iter().find(|l| l.name.eq_ignore_ascii_case(name)).cloned() else {
            return;
        };
        let slot = match self.slot(name) {
            Some(s) => s,
            None => {
                let Some(s) = self.new_slot(&cfg.name, None) else { return };
                self.lac_names.insert(name.to_ascii_lowercase(), s);
                s
            }
        };
        let Some(lac) = self.lacs.get_mut(&slot) else { return };
        match lac.phase {
            Phase::Idle => {}
            Phase::Waiting(at) => {
                self.timers.remove(&(at, slot, TimerReason::Redial));
            }
            _ => return,
        }
        lac.phase = Phase::Idle;
        (lac.redials, lac.number, lac.credentials) = (0, number, credentials);
        self.attempt(now, slot);
    }

    pub(crate) fn open_bare(&mut self, now: Instant, to: LnsAddress) {
        let cfg = Arc::new(LacConfig { lns: vec![to], ..LacConfig::default() });
        if let Some(slot) = self.new_slot("", Some(cfg)) {
            self.attempt(now, slot);
        }
    }

    /// A call on the tunnel that stands, or a tunnel.
    fn attempt(&mut self, now: Instant, slot: u16) {
        let Some(lac) = self.lacs.get_mut(&slot) else { return };
        (lac.hosts, lac.addrs) = (0, VecDeque::new());
        let up = |id: &u16| self.tunnels.get(id).is_some_and(|t| t.state == TunnelState::Established);
        match lac.tunnel.filter(up) {
            Some(tunnel) => self.call_for(now, slot, tunnel),
            None => self.next_address(now, slot),
        }
    }

    fn call_for(&mut self, now: Instant, slot: u16, tunnel: u16) {
        let Some(lac) = self.lacs.get_mut(&slot) else { return };
        lac.tunnel = Some(tunnel);
        if lac.bare.is_some() {
            lac.phase = Phase::Idle;
            return;
        }
        let (number, credentials) = (lac.number.clone(), lac.credentials.clone());
        let call = self.place_call(now, tunnel, Some(slot), number, credentials);
        let Some(lac) = self.lacs.get_mut(&slot) else { return };
        match call {
            Some(call) => lac.phase = Phase::Calling(call),
            None => self.failed(now, slot),
        }
    }

    /// Tries the next address of this host, or the next host.
    fn next_address(&mut self, now: Instant, slot: u16) {
        let Some(cfg) = self.lac_config(slot) else { return self.failed(now, slot) };
        loop {
            let Some(lac) = self.lacs.get_mut(&slot) else { return };
            if let Some(to) = lac.addrs.pop_front() {
                let host = cfg.lns.get(lac.hosts.saturating_sub(1)).map_or("", |l| &l.host);
                match self.open_tunnel(now, slot, &cfg, host, to) {
                    Some(id) => {
                        if let Some(lac) = self.lacs.get_mut(&slot) {
                            (lac.phase, lac.tunnel) = (Phase::Opening(id), Some(id));
                        }
                        return;
                    }
                    None => return self.failed(now, slot),
                }
            }
            let Some(lns) = cfg.lns.get(lac.hosts) else { return self.failed(now, slot) };
            lac.hosts += 1;
            if let Ok(addr) = lns.host.parse::<Ipv4Addr>() {
                lac.addrs.push_back(SocketAddrV4::new(addr, lns.port));
                continue;
            }
            self.next_dial += 1;
            let dial = DialId(self.next_dial);
            lac.phase = Phase::Resolving { dial, port: lns.port };
            self.resolving.insert(dial, slot);
            self.out.push_back(Output::Resolve { dial, host: lns.host.clone() });
            return;
        }
    }

    pub(crate) fn resolved(&mut self, now: Instant, dial: DialId, addrs: &[Ipv4Addr]) {
        let Some(slot) = self.resolving.remove(&dial) else { return };
        let cfg = self.lac_config(slot);
        let Some(lac) = self.lacs.get_mut(&slot) else { return };
        let Phase::Resolving { dial: d, port } = lac.phase else { return };
        if d != dial {
            return;
        }
        // More addresses than anybody has would keep a dial busy for hours.
        lac.addrs = addrs.iter().take(16).map(|&a| SocketAddrV4::new(a, port)).collect();
        if addrs.is_empty() {
            let host =
                cfg.as_ref().and_then(|c| c.lns.get(lac.hosts.saturating_sub(1))).map(|l| l.host.clone());
            self.log(Level::Warning, format!("Host name lookup failed for {}.", host.unwrap_or_default()));
        }
        self.next_address(now, slot);
    }

    /// The attempt is over without a call, or the call is.
    fn failed(&mut self, now: Instant, slot: u16) {
        let cfg = self.lac_config(slot);
        let Some(lac) = self.lacs.get_mut(&slot) else { return };
        let name = lac.name.clone();
        let redial = cfg.filter(|c| c.redial);
        if let Some(c) = &redial
            && c.max_redials.is_none_or(|m| lac.redials < m)
        {
            lac.redials += 1;
            let wait = c.redial_timeout;
            lac.phase = Phase::Waiting(now + wait);
            self.timers.insert((now + wait, slot, TimerReason::Redial));
            self.log(Level::Info, format!("Will redial in {} seconds", wait.as_secs()));
            return self.event(Event::Redial { lac: name, wait });
        }
        lac.phase = Phase::Idle;
        lac.credentials = Credentials::default();
        if redial.is_some() {
            self.log(Level::Info, "magic_lac_dial: maximum retries exceeded.");
        }
        self.event(Event::GivenUp { lac: name });
    }

    pub(crate) fn redial(&mut self, now: Instant, slot: u16) {
        if self.lacs.get(&slot).is_some_and(|l| matches!(l.phase, Phase::Waiting(at) if at <= now)) {
            self.attempt(now, slot);
        }
    }

    pub(crate) fn disconnect_lac(&mut self, now: Instant, name: &str) {
        let Some(slot) = self.slot(name) else { return };
        self.forget_dial(slot);
        let tunnel = self.lacs.get_mut(&slot).and_then(|l| l.tunnel.take());
        if let Some(id) = tunnel {
            self.goodbye(now, id, "Goodbye!");
        }
    }

    fn forget_dial(&mut self, slot: u16) {
        let Some(lac) = self.lacs.get_mut(&slot) else { return };
        match lac.phase {
            Phase::Waiting(at) => {
                self.timers.remove(&(at, slot, TimerReason::Redial));
            }
            Phase::Resolving { dial, .. } => {
                self.resolving.remove(&dial);
            }
            _ => {}
        }
        lac.phase = Phase::Idle;
        lac.credentials = Credentials::default();
    }

    /// Nothing is dialled any more.
    pub(crate) fn forget_dials(&mut self) {
        for slot in self.lacs.keys().copied().collect::<Vec<_>>() {
            self.forget_dial(slot);
        }
    }

    /// Takes what happened to the dials' tunnels and calls.
    pub(crate) fn take_news(&mut self, now: Instant) {
        while let Some(n) = self.news.pop_front() {
            match n {
                News::TunnelUp { slot, tunnel } => {
                    if self.lacs.get(&slot).is_some_and(|l| l.phase == Phase::Opening(tunnel)) {
                        self.call_for(now, slot, tunnel);
                    }
                }
                News::TunnelOver { slot, tunnel, retry } => self.tunnel_over(now, slot, tunnel, retry),
                News::CallUp { slot, call } => {
                    if let Some(l) = self.lacs.get_mut(&slot).filter(|l| l.phase == Phase::Calling(call)) {
                        (l.phase, l.redials) = (Phase::Up(call), 0);
                    }
                }
                News::CallOver { slot, call } => {
                    let mine = [Phase::Calling(call), Phase::Up(call)];
                    if self.lacs.get(&slot).is_some_and(|l| mine.contains(&l.phase)) {
                        self.failed(now, slot);
                    }
                }
            }
        }
    }

    fn tunnel_over(&mut self, now: Instant, slot: u16, tunnel: u16, retry: bool) {
        let Some(lac) = self.lacs.get_mut(&slot) else { return };
        if lac.tunnel == Some(tunnel) {
            lac.tunnel = None;
        }
        match lac.phase {
            Phase::Opening(t) if t == tunnel && retry => self.next_address(now, slot),
            Phase::Opening(t) if t == tunnel => self.failed(now, slot),
            _ => {}
        }
        if self
            .lacs
            .get(&slot)
            .is_some_and(|l| l.bare.is_some() && l.phase == Phase::Idle && l.tunnel.is_none())
        {
            self.lacs.remove(&slot);
        }
    }

    /// Whether a dial waits for this time.
    pub(crate) fn redials_at(&self, slot: u16, at: Instant) -> bool {
        self.lacs.get(&slot).is_some_and(|l| l.phase == Phase::Waiting(at))
    }

    /// Whether what the dials wait for is there; see [`Endpoint::audit`].
    pub(crate) fn audit_dials(&self) -> Result<(), String> {
        for (&slot, l) in &self.lacs {
            let of_call =
                |c: CallId| self.calls.get(&c.session).is_some_and(|k| k.id == c && k.lac == Some(slot));
            let holds = match l.phase {
                Phase::Idle => true,
                Phase::Resolving { dial, .. } => self.resolving.get(&dial) == Some(&slot),
                Phase::Opening(t) => self.tunnels.get(&t).is_some_and(|t| t.lac == Some(slot)),
                Phase::Calling(c) | Phase::Up(c) => of_call(c),
                Phase::Waiting(at) => self.timers.contains(&(at, slot, TimerReason::Redial)),
            };
            let tunnel = l.tunnel.is_none_or(|t| self.tunnels.get(&t).is_some_and(|t| t.lac == Some(slot)));
            if !holds || !tunnel {
                return Err(format!("dial {slot}: {l:?}"));
            }
        }
        let asked =
            |slot: &u16| self.lacs.get(slot).is_some_and(|l| matches!(l.phase, Phase::Resolving { .. }));
        match self.news.is_empty() && self.resolving.values().all(asked) {
            true => Ok(()),
            false => Err(format!("dials: {:?}, {:?}", self.resolving, self.news)),
        }
    }

    /// The `[lac]` sections.
    pub fn lac_status(&self) -> Vec<LacStatus> {
        let status = |name: &String| {
            let lac = self.slot(name).and_then(|s| self.lacs.get(&s));
            let state = match lac.map(|l| l.phase) {
                None | Some(Phase::Idle) => LacState::Idle,
                Some(Phase::Resolving { .. } | Phase::Opening(_) | Phase::Calling(_)) => LacState::Dialling,
                Some(Phase::Up(_)) => LacState::Up,
                Some(Phase::Waiting(at)) => LacState::Waiting(at),
            };
            let tunnel = lac.and_then(|l| l.tunnel);
            LacStatus { name: name.clone(), state, tunnel, redials: lac.map_or(0, |l| l.redials) }
        };
        self.cfg.lac.iter().map(|l| status(&l.name)).collect()
    }
}
