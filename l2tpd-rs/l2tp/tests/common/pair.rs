//! Our LAC against our LNS over a network that loses, doubles and reorders, on a virtual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use l2tp_proto::header::{self, Packet};
use l2tp_proto::message::Message;
use l2tp_proto::{
    CallEnd, CallId, Endpoint, EndpointConfig, Event, Input, Instant, LacConfig, LacState, LnsAddress,
    Output, Path, SecretBytes, SecretTable,
};

use super::windows::Windows;
use super::{config, lns};

/// A generator that a seed repeats.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub(crate) fn percent(&mut self, p: u64) -> bool {
        self.next() % 100 < p
    }
}

pub(crate) struct Host {
    pub(crate) engine: Endpoint,
    pub(crate) addr: SocketAddrV4,
    /// Calls whose PPP runs.
    pub(crate) ppp: BTreeSet<CallId>,
    pub(crate) started: usize,
    pub(crate) stopped: usize,
    /// A PPP that is told to stop ends this much later.
    pub(crate) ends: Vec<(Instant, CallId)>,
    pub(crate) log: Vec<String>,
    pub(crate) events: Vec<Event>,
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) names: BTreeMap<String, Vec<Ipv4Addr>>,
    pub(crate) answers: Vec<(l2tp_proto::DialId, Vec<Ipv4Addr>)>,
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    pub(crate) wire: Vec<(Instant, u64, SocketAddrV4, SocketAddrV4, Vec<u8>)>,
    pub(crate) random: Random,
    /// Per cent.
    pub(crate) loss: u64,
    pub(crate) double: u64,
    /// Milliseconds at most.
    pub(crate) delay: u64,
    pub(crate) sent: u64,
    pub(crate) kinds: Vec<u16>,
    pub(crate) windows: Windows,
    pub(crate) secret: SecretBytes,
}

pub(crate) const LNS: usize = 0;
pub(crate) const LAC: usize = 1;

pub(crate) fn addr(last: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, last), 1701)
}

pub(crate) fn lac() -> LacConfig {
    LacConfig {
        name: "isp".into(),
        lns: vec![LnsAddress { host: "192.0.2.1".into(), port: 1701 }],
        tx_bps: 1_000_000,
        rx_bps: 2_000_000,
        ..LacConfig::default()
    }
}

pub(crate) fn lac_side(l: LacConfig) -> EndpointConfig {
    EndpointConfig { hostname: "lac".into(), lac: vec![Arc::new(l)], ..EndpointConfig::default() }
}

impl Net {
    pub(crate) fn new(seed: u64, lns: EndpointConfig, lac: EndpointConfig, secrets: &str) -> Self {
        let host = |n: u8, cfg| {
            let mut r = Random::new(seed ^ u64::from(n) << 32);
            let fill = move |out: &mut [u8]| out.iter_mut().for_each(|b| *b = (r.next() >> 3) as u8);
            Host {
                engine: Endpoint::new(cfg, SecretTable::parse(secrets).0, Box::new(fill)),
                addr: addr(n),
                ppp: BTreeSet::new(),
                started: 0,
                stopped: 0,
                ends: Vec::new(),
                log: Vec::new(),
                events: Vec::new(),
                frames: Vec::new(),
                names: BTreeMap::new(),
                answers: Vec::new(),
            }
        };
        Net {
            now: Instant(0),
            hosts: vec![host(1, lns), host(2, lac)],
            wire: Vec::new(),
            random: Random::new(seed),
            loss: 0,
            double: 0,
            delay: 20,
            sent: 0,
            kinds: Vec::new(),
            windows: Windows::default(),
            secret: SecretBytes::from(&b"swordfish"[..]),
        }
    }

    pub(crate) fn give(&mut self, h: usize, input: Input<'_>) {
        self.hosts[h].engine.handle(self.now, input);
        self.settle(h);
        assert_eq!(self.hosts[h].engine.audit(), Ok(()), "{:#?}", self.hosts[h].log);
    }

    pub(crate) fn settle(&mut self, h: usize) {
        while let Some(o) = self.hosts[h].engine.poll_output() {
            let host = &mut self.hosts[h];
            match o {
                Output::Transmit { path, data } => {
                    let from = host.addr;
                    self.send(from, path.peer, data);
                }
                Output::Log { text, .. } => host.log.push(text),
                Output::StartCall(s) => {
                    host.started += 1;
                    host.ppp.insert(s.call);
                    host.engine.handle(self.now, Input::CallStarted { call: s.call, pid: 7 });
                }
                Output::StopCall(c) => {
                    host.stopped += 1;
                    host.ends.push((self.now + Duration::from_millis(50), c));
                }
                Output::Payload { frame, .. } => host.frames.push(frame),
                Output::Resolve { dial, host: name } => {
                    host.answers.push((dial, host.names.get(&name).cloned().unwrap_or_default()));
                }
                Output::Event(e) => host.events.push(e),
            }
        }
    }

    pub(crate) fn send(&mut self, from: SocketAddrV4, to: SocketAddrV4, data: Vec<u8>) {
        if let Ok(Packet::Control(c)) = header::parse(&data) {
            self.kinds.push(Message::decode(c.body, None).kind.map_or(0, |k| k.0));
            self.windows.leaves(from, to, &c, &self.secret);
        }
        if self.random.percent(self.loss) {
            return;
        }
        let copies = 1 + u64::from(self.random.percent(self.double));
        for _ in 0..copies {
            let at = self.now + Duration::from_millis(1 + self.random.next() % self.delay.max(1));
            self.sent += 1;
            self.wire.push((at, self.sent, from, to, data.clone()));
        }
    }

    /// Lets the next thing happen, if it does before `end`.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        let arrival = self.wire.iter().enumerate().min_by_key(|(_, w)| (w.0, w.1)).map(|(i, w)| (w.0, 0, i));
        let timer = |(i, h): (usize, &Host)| h.engine.poll_timeout().map(|(at, _)| (at, 1, i));
        let ends = |(i, h): (usize, &Host)| h.ends.first().map(|&(at, _)| (at, 2, i));
        let asked = |(i, h): (usize, &Host)| (!h.answers.is_empty()).then_some((self.now, 3, i));
        let hosts = || self.hosts.iter().enumerate();
        let next = arrival.into_iter().chain(hosts().filter_map(timer)).chain(hosts().filter_map(ends));
        let Some((at, what, i)) = next.chain(hosts().filter_map(asked)).min() else { return false };
        if at > end {
            return false;
        }
        self.now = self.now.max(at);
        match what {
            0 => {
                let (_, _, from, to, data) = self.wire.remove(i);
                let Some(h) = self.hosts.iter().position(|h| h.addr == to) else { return true };
                if let Ok(Packet::Control(c)) = header::parse(&data) {
                    self.windows.arrives(to, from, &c);
                }
                let path = Path { local: *to.ip(), peer: from, mark: 0 };
                self.give(h, Input::Datagram { path, refuse_clear: false, data: &data });
            }
            1 => self.give(i, Input::Timeout),
            2 => {
                let (_, call) = self.hosts[i].ends.remove(0);
                if self.hosts[i].ppp.remove(&call) {
                    self.give(i, Input::CallEnded { call, end: CallEnd::Exit(16) });
                }
            }
            _ => {
                let (dial, addrs) = self.hosts[i].answers.remove(0);
                self.give(i, Input::Resolved { dial, addrs });
            }
        }
        true
    }

    pub(crate) fn run(&mut self, d: Duration) {
        let end = self.now + d;
        while self.step(end) {}
        self.now = end;
    }

    pub(crate) fn dial(&mut self) {
        self.give(LAC, Input::Dial { lac: "isp", number: None, credentials: Default::default() });
    }

    pub(crate) fn lac(&self) -> LacState {
        self.hosts[LAC].engine.lac_status()[0].state
    }

    pub(crate) fn logged(&self, h: usize, part: &str) -> bool {
        self.hosts[h].log.iter().any(|l| l.contains(part))
    }

    /// A frame through a call, as PPP would send it.
    pub(crate) fn frame(&mut self, h: usize, call: CallId, frame: &[u8]) {
        let mut data = Vec::new();
        let path = self.hosts[h].engine.encapsulate(call, frame, &mut data).unwrap();
        let from = self.hosts[h].addr;
        self.send(from, path.peer, data);
    }

    pub(crate) fn call(&self, h: usize) -> CallId {
        *self.hosts[h].ppp.last().expect("no PPP runs")
    }

    /// What must hold at any time.
    pub(crate) fn check(&self) {
        for h in &self.hosts {
            let status = h.engine.status();
            let leases =
                status.iter().filter(|t| t.section.lns().is_some()).map(|t| t.calls.len()).sum::<usize>();
            assert_eq!(h.engine.leased(), leases, "one address a call: {:#?}", h.log);
            assert!(status.is_empty() || h.engine.poll_timeout().is_some(), "a tunnel without a timer");
        }
    }
}

pub(crate) fn pair(seed: u64) -> Net {
    Net::new(seed, config(lns()), lac_side(lac()), "")
}
