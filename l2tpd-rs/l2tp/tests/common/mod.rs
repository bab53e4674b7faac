//! A scripted LAC against the engine, on a virtual clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by panicking"
)]
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod pair;
pub(crate) mod windows;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use l2tp_proto::avp::attr;
use l2tp_proto::header::{self, Control, Packet};
use l2tp_proto::message::{Body, Message, MessageType};
use l2tp_proto::{
    AddrRange, CallId, CallStart, DialId, Endpoint, EndpointConfig, Event, Input, Instant, LacConfig,
    LnsAddress, LnsConfig, Output, Path, RangeRule, SecretTable,
};

pub(crate) fn lns() -> LnsConfig {
    let range = AddrRange { start: Ipv4Addr::new(192, 168, 1, 128), end: Ipv4Addr::new(192, 168, 1, 254) };
    LnsConfig {
        name: "default".into(),
        pool: vec![RangeRule { range, allow: true }],
        local_ip: Some(Ipv4Addr::new(192, 168, 1, 99)),
        length_bit: true,
        ..Default::default()
    }
}

pub(crate) fn config(lns: LnsConfig) -> EndpointConfig {
    EndpointConfig { hostname: "vpn".into(), default_lns: Some(Arc::new(lns)), ..Default::default() }
}

pub(crate) fn path(last: u8, port: u16, mark: u32) -> Path {
    let peer = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, last), port);
    Path { local: Ipv4Addr::new(192, 0, 2, 1), peer, mark }
}

/// The engine, the time, and what came out.
pub(crate) struct World {
    pub(crate) engine: Endpoint,
    pub(crate) now: Instant,
    pub(crate) log: Vec<String>,
    pub(crate) started: Vec<CallStart>,
    pub(crate) stopped: Vec<CallId>,
    pub(crate) sent: Vec<(Path, Vec<u8>)>,
    pub(crate) frames: Vec<(CallId, Vec<u8>)>,
    pub(crate) lookups: Vec<(DialId, String)>,
    pub(crate) events: Vec<Event>,
    pub(crate) refuse_clear: bool,
}

impl World {
    pub(crate) fn new(cfg: EndpointConfig) -> Self {
        Self::with_secrets(cfg, "")
    }

    pub(crate) fn with_secrets(cfg: EndpointConfig, secrets: &str) -> Self {
        let mut seed = 0x1234_5678_9abc_def1u64;
        let random = move |out: &mut [u8]| {
            for b in out {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                *b = (seed >> 24) as u8;
            }
        };
        World {
            engine: Endpoint::new(cfg, SecretTable::parse(secrets).0, Box::new(random)),
            now: Instant(0),
            log: Vec::new(),
            started: Vec::new(),
            stopped: Vec::new(),
            sent: Vec::new(),
            frames: Vec::new(),
            lookups: Vec::new(),
            events: Vec::new(),
            refuse_clear: false,
        }
    }

    pub(crate) fn give(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        while let Some(o) = self.engine.poll_output() {
            match o {
                Output::Transmit { path, data } => self.sent.push((path, data)),
                Output::Log { text, .. } => self.log.push(text),
                Output::StartCall(s) => self.started.push(s),
                Output::StopCall(c) => self.stopped.push(c),
                Output::Payload { call, frame } => self.frames.push((call, frame)),
                Output::Resolve { dial, host } => self.lookups.push((dial, host)),
                Output::Event(e) => self.events.push(e),
            }
        }
        // Of few, or a flood would take hours.
        if self.engine.sizes().0 < 50 {
            assert_eq!(self.engine.audit(), Ok(()), "{:#?}", self.log);
        }
    }

    pub(crate) fn datagram(&mut self, path: Path, data: &[u8]) {
        let refuse_clear = self.refuse_clear;
        self.give(Input::Datagram { path, refuse_clear, data });
    }

    /// Lets time pass, timers included.
    pub(crate) fn pass(&mut self, d: Duration) {
        let end = self.now + d;
        while let Some((at, _)) = self.engine.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.give(Input::Timeout);
        }
        self.now = end;
    }

    pub(crate) fn take(&mut self) -> Vec<(Path, Vec<u8>)> {
        std::mem::take(&mut self.sent)
    }

    pub(crate) fn logged(&self, part: &str) -> bool {
        self.log.iter().any(|l| l.contains(part))
    }
}

/// A LAC that says what it is told, with right numbers.
pub(crate) struct Lac {
    pub(crate) path: Path,
    pub(crate) tid: u16,
    pub(crate) lns_tid: u16,
    pub(crate) ns: u16,
    pub(crate) nr: u16,
}

/// What the engine said: message type, session id, Ns, Nr; type 0 is a ZLB.
pub(crate) type Said = (u16, u16, u16, u16);

impl Lac {
    pub(crate) fn new(path: Path, tid: u16) -> Self {
        Lac { path, tid, lns_tid: 0, ns: 0, nr: 0 }
    }

    pub(crate) fn sccrq(&self) -> Body {
        Body::new(MessageType::SCCRQ)
            .must(attr::PROTOCOL_VERSION, &[1, 0])
            .must(attr::HOST_NAME, b"lac")
            .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3])
            .must(attr::ASSIGNED_TUNNEL_ID, &self.tid.to_be_bytes())
    }

    pub(crate) fn datagram(&self, session: u16, body: &[u8]) -> Vec<u8> {
        header::control(self.lns_tid, session, self.ns, self.nr, body)
    }

    /// Sends the next message and takes the answers.
    pub(crate) fn say(&mut self, w: &mut World, session: u16, body: Body) -> Vec<(Said, Message)> {
        let d = self.datagram(session, &body.done());
        self.ns = self.ns.wrapping_add(1);
        w.datagram(self.path, &d);
        self.hear(w)
    }

    pub(crate) fn zlb(&mut self, w: &mut World) -> Vec<(Said, Message)> {
        let d = self.datagram(0, &[]);
        w.datagram(self.path, &d);
        self.hear(w)
    }

    /// Takes what the engine has sent here.
    pub(crate) fn hear(&mut self, w: &mut World) -> Vec<(Said, Message)> {
        w.take()
            .into_iter()
            .filter(|(p, _)| *p == self.path)
            .map(|(_, d)| {
                let Ok(Packet::Control(Control { tunnel, session, ns, nr, body })) = header::parse(&d) else {
                    panic!("not a control message: {d:?}")
                };
                assert_eq!(tunnel, self.tid);
                let m = Message::decode(body, None);
                if !body.is_empty() && ns == self.nr {
                    self.nr = self.nr.wrapping_add(1);
                }
                if m.kind == Some(MessageType::SCCRP) {
                    self.lns_tid = m.assigned_tunnel.unwrap();
                }
                ((m.kind.map_or(0, |k| k.0), session, ns, nr), m)
            })
            .collect()
    }

    /// SCCRQ to SCCCN.
    pub(crate) fn open(w: &mut World, path: Path, tid: u16) -> Self {
        let mut lac = Lac::new(path, tid);
        let body = lac.sccrq();
        lac.say(w, 0, body);
        assert_ne!(lac.lns_tid, 0, "{:?}", w.log);
        lac.say(w, 0, Body::new(MessageType::SCCCN));
        lac
    }

    /// ICRQ to ICCN, and pppd runs; returns the LNS's session id.
    pub(crate) fn call(&mut self, w: &mut World, sid: u16) -> u16 {
        let icrq = Body::new(MessageType::ICRQ)
            .must(attr::ASSIGNED_SESSION_ID, &sid.to_be_bytes())
            .must(attr::CALL_SERIAL_NUMBER, &[0, 0, 0, 7]);
        let got = self.say(w, 0, icrq);
        let session = got.iter().find_map(|(s, m)| m.assigned_session.filter(|_| s.0 == 11)).expect("ICRP");
        self.say(w, session, Body::new(MessageType::ICCN).must(attr::TX_CONNECT_SPEED, &[0, 1, 0, 0]));
        let call = w.started.last().expect("StartCall").call;
        w.give(Input::CallStarted { call, pid: 4711 });
        session
    }
}

/// The engine's SCCRQ to a server at 203.0.113.10, and that server: the script of [`Lac`] from the other end, with the
/// tunnel id 5.
pub(crate) fn dialled(w: &mut World, number: Option<&str>) -> (Lac, Message) {
    let number = number.map(String::from);
    w.give(Input::Dial { lac: "isp", number, credentials: Default::default() });
    let (path, sccrq) = w.take().remove(0);
    let Ok(Packet::Control(c)) = header::parse(&sccrq) else { panic!("no SCCRQ") };
    let m = Message::decode(c.body, None);
    let mut server = Lac::new(path, 5);
    (server.lns_tid, server.nr) = (m.assigned_tunnel.unwrap(), 1);
    (server, m)
}

/// For an engine that dials 203.0.113.10.
pub(crate) fn lac_config() -> LacConfig {
    LacConfig {
        name: "isp".into(),
        lns: vec![LnsAddress { host: "203.0.113.10".into(), port: 1701 }],
        ..LacConfig::default()
    }
}

pub(crate) fn dials(lac: LacConfig) -> EndpointConfig {
    EndpointConfig { hostname: "lac".into(), lac: vec![lac.into()], ..Default::default() }
}

/// What the server of [`dialled`] says first.
pub(crate) fn sccrp() -> Body {
    Body::new(MessageType::SCCRP)
        .must(attr::PROTOCOL_VERSION, &[1, 0])
        .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3])
        .must(attr::HOST_NAME, b"server")
        .must(attr::ASSIGNED_TUNNEL_ID, &[0, 5])
}

/// A call that the engine has placed, its server, and the engine's session id.
pub(crate) fn placed(lac: LacConfig) -> (World, Lac, u16) {
    let mut w = World::new(dials(lac));
    let (mut server, _) = dialled(&mut w, None);
    let said = server.say(&mut w, 0, sccrp());
    let session = said.iter().find_map(|(_, m)| m.assigned_session).expect("ICRQ");
    server.say(&mut w, session, with_session(MessageType::ICRP, 77));
    let call = w.started.last().expect("StartCall").call;
    w.give(Input::CallStarted { call, pid: 4711 });
    (w, server, session)
}

pub(crate) fn with_session(kind: MessageType, id: u16) -> Body {
    Body::new(kind).must(attr::ASSIGNED_SESSION_ID, &id.to_be_bytes())
}

/// Message types, 0 for a ZLB.
pub(crate) fn kinds(said: &[(Said, Message)]) -> Vec<u16> {
    said.iter().map(|(s, _)| s.0).collect()
}

pub(crate) fn cdn(code: &[u8], sid: u16) -> Body {
    Body::new(MessageType::CDN)
        .must(attr::RESULT_CODE, code)
        .must(attr::ASSIGNED_SESSION_ID, &sid.to_be_bytes())
}

pub(crate) fn stopccn(tid: u16) -> Body {
    Body::new(MessageType::STOPCCN)
        .must(attr::ASSIGNED_TUNNEL_ID, &tid.to_be_bytes())
        .result(1, 0, "Goodbye!")
}
