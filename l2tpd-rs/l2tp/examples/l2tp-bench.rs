//! Measures the engine and the HDLC framing by themselves, without sockets and pppd:
//! `cargo run --release -p l2tp-proto --example l2tp-bench`.
//!
//! One line a figure. A cost that is flat in the number of callers shows in the last two set-up lines being alike.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that prints and may end at once"
)]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Instant as Clock;

use l2tp_proto::avp::attr;
use l2tp_proto::header::{self, Packet};
use l2tp_proto::message::{Body, Message, MessageType};
use l2tp_proto::{
    AddrRange, CallId, Endpoint, EndpointConfig, Input, Instant, Limits, LnsConfig, Output, Path, RangeRule,
    SecretTable, hdlc,
};

fn endpoint() -> Endpoint {
    let range = AddrRange { start: Ipv4Addr::new(10, 0, 0, 1), end: Ipv4Addr::new(10, 255, 255, 254) };
    let lns = LnsConfig {
        name: "default".into(),
        pool: vec![RangeRule { range, allow: true }],
        ..LnsConfig::default()
    };
    let limits = Limits { calls: 60_000, tunnels: 60_000, half_open: 60_000, ..Limits::default() };
    let cfg = EndpointConfig { default_lns: Some(Arc::new(lns)), limits, ..EndpointConfig::default() };
    let mut seed = 1u64;
    let random = move |out: &mut [u8]| {
        for b in out {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *b = (seed >> 40) as u8;
        }
    };
    Endpoint::new(cfg, SecretTable::default(), Box::new(random))
}

/// Takes the outputs: what was answered, and the call that was started.
fn outputs(e: &mut Endpoint) -> (Option<Message>, Option<CallId>) {
    let (mut answer, mut call) = (None, None);
    while let Some(o) = e.poll_output() {
        match o {
            Output::Transmit { data, .. } => {
                if let Ok(Packet::Control(c)) = header::parse(&data) {
                    answer = Some(Message::decode(c.body, None));
                }
            }
            Output::StartCall(s) => call = Some(s.call),
            _ => {}
        }
    }
    (answer, call)
}

/// SCCRQ to the start of PPP.
fn set_up(e: &mut Endpoint, n: u32, now: Instant) -> (Path, CallId) {
    let peer = SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + n), 1701);
    let path = Path { local: Ipv4Addr::new(192, 0, 2, 1), peer, mark: 0 };
    let mut say = |to: (u16, u16), ns: u16, nr: u16, body: Body| {
        let data = header::control(to.0, to.1, ns, nr, &body.done());
        e.handle(now, Input::Datagram { path, refuse_clear: false, data: &data });
        outputs(e)
    };
    let sccrq = Body::new(MessageType::SCCRQ)
        .must(attr::PROTOCOL_VERSION, &[1, 0])
        .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3])
        .must(attr::HOST_NAME, b"load generator")
        .must(attr::ASSIGNED_TUNNEL_ID, &[0, 1]);
    let tunnel = say((0, 0), 0, 0, sccrq).0.unwrap().assigned_tunnel.unwrap();
    say((tunnel, 0), 1, 1, Body::new(MessageType::SCCCN));
    let icrq = Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 1]);
    let session = say((tunnel, 0), 2, 1, icrq).0.unwrap().assigned_session.unwrap();
    let call = say((tunnel, session), 3, 2, Body::new(MessageType::ICCN)).1.unwrap();
    e.handle(now, Input::CallStarted { call, pid: n });
    outputs(e);
    (path, call)
}

fn callers() {
    let mut e = endpoint();
    let mut calls = Vec::new();
    for step in 0..10 {
        let start = Clock::now();
        for n in 0..1000 {
            calls.push(set_up(&mut e, step * 1000 + n, Instant(0)));
        }
        let per = start.elapsed().as_secs_f64() / 1000.0;
        if matches!(step, 0 | 4 | 9) {
            println!(
                "setup callers={} us_per_call={:.1} calls_per_s={:.0}",
                (step + 1) * 1000,
                per * 1e6,
                1.0 / per
            );
        }
    }
    let frame = [0x5a; 1400];
    let start = Clock::now();
    let mut out = Vec::new();
    for i in 0..500_000usize {
        let (path, call) = calls[i * 7919 % calls.len()];
        out.clear();
        header::put_data(&mut out, call.tunnel, call.session, false, None, &frame);
        assert!(e.demux(Instant(0), &path, &out).is_some());
    }
    println!("demux callers=10000 ns_per_frame={:.0}", start.elapsed().as_secs_f64() * 1e9 / 5e5);
    let start = Clock::now();
    let mut lines = 0;
    for _ in 0..5 {
        // A HELLO interval, in which all of them are asked and answer nothing.
        let (at, _) = e.poll_timeout().unwrap();
        e.handle(at, Input::Timeout);
        while e.poll_output().is_some() {
            lines += 1;
        }
    }
    println!("timers callers=10000 outputs={lines} ms={:.1}", start.elapsed().as_secs_f64() * 1e3);
}

fn framing() {
    for size in [64usize, 576, 1400] {
        let mut r = 1u32;
        let mut octet = || {
            r = r.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (r >> 24) as u8
        };
        let frames: Vec<Vec<u8>> = (0..64).map(|_| (0..size).map(|_| octet()).collect()).collect();
        let rounds = 100_000_000 / (size * 64);
        let mut out = Vec::new();
        let start = Clock::now();
        for _ in 0..rounds {
            out.clear();
            frames.iter().for_each(|f| hdlc::encode(f, &mut out));
        }
        let bits = (rounds * 64 * size * 8) as f64;
        let encode = bits / start.elapsed().as_secs_f64() / 1e6;
        let mut d = hdlc::Decoder::default();
        let mut n = 0;
        let start = Clock::now();
        for _ in 0..rounds {
            d.feed(&out, |_| n += 1);
        }
        assert_eq!(n, rounds * 64);
        let decode = bits / start.elapsed().as_secs_f64() / 1e6;
        println!("hdlc size={size} encode_mbit_s={encode:.0} decode_mbit_s={decode:.0}");
    }
}

fn main() {
    callers();
    framing();
}
