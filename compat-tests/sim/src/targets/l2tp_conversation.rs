//! Two L2TP engines that talk, each with a section to serve and one to dial, and somebody on the path who changes their
//! datagrams, holds them back and repeats them, while PPP, users and clocks do what they do: whatever the input says. In
//! the end nothing is left, and a good caller gets in.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ipsec_types::Instant;
use l2tp_proto::{
    AddrRange, CallEnd, CallId, Endpoint, EndpointConfig, Input, LacConfig, LacState, LnsAddress, LnsConfig,
    Output, Path, RangeRule, SecretTable, header,
};

use super::script::Script;
use crate::host::Entropy;

/// What a script does at most.
const ACTIONS: usize = 96;
/// Turns of the world in one stretch of time, far above what two daemons can make each other say.
const TURNS: usize = 50_000;
/// How long a datagram is under way.
const DELAY: Duration = Duration::from_millis(10);
const SECRET: &str = "* * swordfish";

struct Host {
    engine: Endpoint,
    addr: SocketAddrV4,
    /// Calls whose PPP runs or is to stop.
    ppp: Vec<CallId>,
    /// PPP cannot be started.
    broken: bool,
}

/// One change of one datagram.
struct Edit {
    skip: u8,
    from: usize,
    kind: u8,
    which: usize,
    at: usize,
    value: u8,
    octets: Vec<u8>,
}

/// The AVPs of a control message, each with its header, and what is behind them.
fn avps(mut body: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut all = Vec::new();
    while let Some([high, low, ..]) = body.get(..6) {
        let length = usize::from(u16::from_be_bytes([high & 3, *low]));
        if length < 6 || length > body.len() {
            break;
        }
        all.push(body[..length].to_vec());
        body = &body[length..];
    }
    (all, body.to_vec())
}

impl Edit {
    fn read(kind: u8, script: &mut Script<'_>) -> Edit {
        let who = script.octet();
        let (which, at, value) = (script.octet().into(), script.octet().into(), script.octet());
        let octets = if kind >= 8 { script.octets((value & 0x1f).into()).to_vec() } else { Vec::new() };
        Edit { skip: who >> 1 & 0x0f, from: usize::from(who & 1), kind, which, at, value, octets }
    }

    fn of_datagram(&self, data: &mut Vec<u8>) {
        let length = data.len();
        match self.kind {
            0 => {
                if let Some(octet) = data.get_mut(self.at.checked_rem(length).unwrap_or(0)) {
                    *octet ^= self.value | 1;
                }
            }
            1 => data.truncate(self.at),
            _ => self.of_body(data),
        }
    }

    /// AVPs are changed, and the length of the message is right again.
    fn of_body(&self, data: &mut Vec<u8>) {
        let Some((head, body)) =
            data.split_at_checked(header::CONTROL_HEADER).filter(|(h, _)| h[0] & 0x80 != 0)
        else {
            return;
        };
        let (mut all, rest) = avps(body);
        let n = self.which.checked_rem(all.len()).unwrap_or(0);
        match self.kind {
            2 if !all.is_empty() => drop(all.remove(n)),
            3 if !all.is_empty() => all.insert(n, all[n].clone()),
            4 if !all.is_empty() => {
                let other = self.at % all.len();
                all.swap(n, other);
            }
            8 => {
                let length = (6 + self.octets.len()) as u16 | u16::from(self.value & 0xe0) << 8;
                let [high, low] = length.to_be_bytes();
                all.insert(n, [&[high, low, 0, 0, 0, self.at as u8], &self.octets[..]].concat());
            }
            _ => {
                let Some(avp) = all.get_mut(n) else { return };
                match self.kind {
                    5 => avp[5] = self.value,
                    6 => avp[0] ^= self.value & 0xfc,
                    9 => {
                        avp.truncate(6);
                        avp.extend(&self.octets);
                        [avp[0], avp[1]] = [avp[0] & 0xfc, avp.len() as u8];
                    }
                    _ => {
                        let at = 6 + self.at % avp.len().saturating_sub(6).max(1);
                        if let Some(octet) = avp.get_mut(at) {
                            *octet ^= self.value | 1;
                        }
                    }
                }
            }
        }
        let mut out = [head, &all.concat(), &rest].concat();
        let length = (out.len() as u16).to_be_bytes();
        out[2..4].copy_from_slice(&length);
        *data = out;
    }
}

/// A datagram under way: when it arrives, whence and where to.
type Way = (Instant, usize, Vec<u8>);

struct World {
    now: Instant,
    hosts: [Host; 2],
    /// In order of arrival; of two that arrive together the one that was sent first.
    wire: Vec<Way>,
    /// The last that were sent.
    said: VecDeque<(usize, Vec<u8>)>,
    edits: VecDeque<Edit>,
}

fn config(flags: u8, number: usize) -> EndpointConfig {
    let flag = |n: u8| flags & (1 << n) != 0;
    let range = AddrRange { start: Ipv4Addr::new(10, 0, 0, 2), end: Ipv4Addr::new(10, 0, 0, 4) };
    let lns = LnsConfig {
        name: "default".into(),
        pool: vec![RangeRule { range, allow: true }],
        local_ip: Some(Ipv4Addr::new(10, 0, 0, 1)),
        length_bit: flag(0),
        challenge: flag(1),
        hidden_bit: flag(2),
        sequencing: flag(3),
        accept_outgoing: flag(4),
        ..Default::default()
    };
    let lac = LacConfig {
        name: "isp".into(),
        lns: vec![LnsAddress { host: addr(1 - number).ip().to_string(), port: 1701 }],
        redial: flag(5),
        redial_timeout: Duration::from_secs(5),
        max_redials: Some(3),
        autodial: true,
        tie_breaker: flag(6),
        challenge: flag(1),
        hidden_bit: flag(2),
        sequencing: flag(3),
        accept_outgoing: flag(4),
        window: flag(7).then_some(1),
        tx_bps: 1_000_000,
        ..Default::default()
    };
    EndpointConfig { default_lns: Some(lns.into()), lac: vec![Arc::new(lac)], ..Default::default() }
}

fn addr(number: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1 + number as u8), 1701)
}

impl World {
    fn new(flags: u8) -> World {
        let host = |number: usize| {
            let mut entropy = Entropy::new(1, number as u64);
            let fill = move |out: &mut [u8]| ike::EntropySource::fill(&mut entropy, out);
            let engine = Endpoint::new(config(flags, number), SecretTable::parse(SECRET).0, Box::new(fill));
            Host { engine, addr: addr(number), ppp: Vec::new(), broken: false }
        };
        World {
            now: Instant::default(),
            hosts: [host(0), host(1)],
            wire: Vec::new(),
            said: VecDeque::new(),
            edits: VecDeque::new(),
        }
    }

    fn give(&mut self, number: usize, input: Input<'_>) {
        self.hosts[number].engine.handle(self.now, input);
        let mut stops = Vec::new();
        while let Some(output) = self.hosts[number].engine.poll_output() {
            let host = &mut self.hosts[number];
            match output {
                Output::Transmit { path, data } if path.peer == addr(1 - number) => self.send(number, data),
                Output::StartCall(start) => {
                    let call = start.call;
                    let end = CallEnd::NotStarted("not here".into());
                    match host.broken {
                        true => host.engine.handle(self.now, Input::CallEnded { call, end }),
                        false => {
                            host.ppp.push(call);
                            host.engine.handle(self.now, Input::CallStarted { call, pid: 7 });
                        }
                    }
                }
                Output::StopCall(call) => stops.push(call),
                Output::Resolve { dial, host: name } => {
                    let addrs = name.parse().into_iter().collect();
                    host.engine.handle(self.now, Input::Resolved { dial, addrs });
                }
                _ => {}
            }
        }
        for call in stops {
            self.ended(number, call, CallEnd::Exit(16));
        }
    }

    /// PPP of a call has ended, if it ran.
    fn ended(&mut self, number: usize, call: CallId, end: CallEnd) {
        let ppp = &mut self.hosts[number].ppp;
        let before = ppp.len();
        ppp.retain(|c| *c != call);
        if ppp.len() < before {
            self.give(number, Input::CallEnded { call, end });
        }
    }

    fn send(&mut self, number: usize, mut data: Vec<u8>) {
        self.said.push_back((number, data.clone()));
        if self.said.len() > 64 {
            self.said.pop_front();
        }
        let due = match self.edits.front_mut() {
            Some(e) if e.from == number && e.skip > 0 => {
                e.skip -= 1;
                None
            }
            Some(e) if e.from == number => self.edits.pop_front(),
            _ => None,
        };
        let mut at = self.now + DELAY;
        if let Some(edit) = due {
            let late = Duration::from_millis(500 * edit.at as u64);
            match edit.kind {
                10 => return,
                11 => at = at + late,
                12 => self.put(at + late, number, data.clone()),
                _ => edit.of_datagram(&mut data),
            }
        }
        self.put(at, number, data);
    }

    fn put(&mut self, at: Instant, from: usize, data: Vec<u8>) {
        let place = self.wire.partition_point(|w| w.0 <= at);
        self.wire.insert(place, (at, from, data));
    }

    /// A datagram reaches a host.
    fn arrive(&mut self, from: SocketAddrV4, to: usize, data: &[u8]) {
        let path = Path { local: *self.hosts[to].addr.ip(), peer: from, mark: 0 };
        self.give(to, Input::Datagram { path, refuse_clear: false, data });
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..TURNS {
            let arrival = self.wire.first().map(|w| (w.0, 2));
            let timer = |n: usize| self.hosts[n].engine.poll_timeout().map(|(at, _)| (at, n));
            let next = [arrival, timer(0), timer(1)].into_iter().flatten().min();
            let Some((at, what)) = next.filter(|(at, _)| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            match what {
                2 => {
                    let (_, from, data) = self.wire.remove(0);
                    self.arrive(addr(from), 1 - from, &data);
                }
                number => self.give(number, Input::Timeout),
            }
            self.check();
        }
        assert!(self.now >= end, "the two never come to rest");
    }

    /// What must hold at any time.
    fn check(&self) {
        for h in &self.hosts {
            let status = h.engine.status();
            let served = status.iter().filter(|t| t.section.lns().is_some()).map(|t| t.calls.len());
            assert_eq!(h.engine.leased(), served.sum::<usize>(), "one address a call");
            assert!(status.is_empty() || h.engine.poll_timeout().is_some(), "a tunnel without a timer");
        }
    }

    fn act(&mut self, kind: u8, script: &mut Script<'_>) {
        let value = script.octet();
        let number = usize::from(value & 1);
        let calls: Vec<CallId> =
            self.hosts[number].engine.status().iter().flat_map(|t| t.calls.iter().map(|c| c.id)).collect();
        let tunnels: Vec<u16> = self.hosts[number].engine.status().iter().map(|t| t.id).collect();
        let number_to_dial = || (value & 2 != 0).then(|| "42".to_string());
        match kind {
            0 => {
                let unit = [10, 1000, 10_000, 60_000][usize::from(value >> 6)];
                self.run(Duration::from_millis(unit * u64::from(value & 0x3f)));
            }
            1 => {
                let credentials = Default::default();
                self.give(number, Input::Dial { lac: "isp", number: number_to_dial(), credentials });
            }
            2 => self.give(number, Input::Autodial),
            3 => {
                let Some(call) = script.pick(&calls) else { return };
                self.give(number, Input::HangUp(call));
            }
            4 => {
                let Some(tunnel) = script.pick(&tunnels) else { return };
                self.give(number, Input::CloseTunnel { tunnel, text: "Goodbye!" });
            }
            5 => {
                let running = self.hosts[number].ppp.clone();
                let Some(call) = script.pick(&running) else { return };
                let end =
                    if value & 2 != 0 { CallEnd::Signal(15) } else { CallEnd::Exit(i32::from(value >> 2)) };
                self.ended(number, call, end);
            }
            6 => self.give(number, Input::DisconnectLac { lac: "isp" }),
            7 => {
                let Some(tunnel) = script.pick(&tunnels) else { return };
                let credentials = Default::default();
                self.give(number, Input::PlaceCall { tunnel, number: number_to_dial(), credentials });
            }
            8 => {
                let Some(call) = script.pick(&calls) else { return };
                let addr = Ipv4Addr::new(10, 0, 0, value >> 2);
                self.give(number, Input::CallAddress { call, addr });
            }
            9 => {
                let Some(call) = script.pick(&calls) else { return };
                let length = script.octet().into();
                let mut data = Vec::new();
                if self.hosts[number].engine.encapsulate(call, script.octets(length), &mut data).is_some() {
                    self.send(number, data);
                }
            }
            10 => self.hosts[number].broken = value & 2 != 0,
            11 => {
                let Some(tunnel) = script.pick(&tunnels) else { return };
                self.give(number, Input::Heard { tunnel });
            }
            12 => self.hosts[number].engine.reconfigure(config(script.octet(), number)),
            _ => self.again(value, script),
        }
    }

    /// What is said again, perhaps by a stranger, perhaps changed.
    fn again(&mut self, how: u8, script: &mut Script<'_>) {
        let (which, at, value) = (script.octet(), script.octet(), script.octet());
        let Some(n) = usize::from(which).checked_rem(self.said.len()) else { return };
        let (from, mut data) = self.said[self.said.len() - 1 - n].clone();
        if let Some(octet) = data.get_mut(usize::from(at)).filter(|_| how & 2 != 0) {
            *octet ^= value;
        }
        let mut peer = addr(from);
        if how & 4 != 0 {
            peer.set_port(1702);
        }
        if how & 8 != 0 {
            peer.set_ip(Ipv4Addr::new(192, 0, 2, 9));
        }
        self.arrive(peer, 1 - from, &data);
    }
}

/// Plays a script: what the sections ask for, then what is changed and what happens.
pub fn l2tp_conversation(data: &[u8]) {
    let mut script = Script(data);
    let mut world = World::new(script.octet());
    let mut actions = 0;
    while !script.is_over() && actions < ACTIONS {
        actions += 1;
        match script.octet() & 0x1f {
            kind @ 0..=12 => world.edits.push_back(Edit::read(kind, &mut script)),
            kind => {
                world.act((kind - 13) % 14, &mut script);
                world.check();
            }
        }
    }
    world.edits.clear();
    for number in [0, 1] {
        world.hosts[number].broken = false;
        world.hosts[number].engine.reconfigure(config(0, number));
        world.give(number, Input::DisconnectLac { lac: "isp" });
        for tunnel in world.hosts[number].engine.status() {
            world.give(number, Input::CloseTunnel { tunnel: tunnel.id, text: "Goodbye!" });
        }
    }
    world.run(Duration::from_secs(3600));
    for h in &world.hosts {
        assert_eq!((h.engine.sizes(), h.engine.leased(), h.ppp.len()), ((0, 0), 0, 0), "something is left");
        assert_eq!(h.engine.poll_timeout(), None);
    }
    world.give(1, Input::Dial { lac: "isp", number: None, credentials: Default::default() });
    world.run(Duration::from_secs(5));
    let state = world.hosts[1].engine.lac_status().first().map(|l| l.state);
    assert_eq!(state, Some(LacState::Up), "a good caller does not get in afterwards");
}
