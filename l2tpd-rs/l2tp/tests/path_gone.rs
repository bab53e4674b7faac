//! A client whose IPsec SAs are gone: its tunnels end, nothing is sent, and nobody else's end with them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use l2tp_proto::header::{self, Packet};
use l2tp_proto::message::{Body, Message, MessageType};
use l2tp_proto::{
    AddrRange, CallId, Endpoint, EndpointConfig, Input, Instant, Level, LnsConfig, Output, Path, RangeRule,
    SecretTable,
};

const HOST_NAME: u16 = 7;
const ASSIGNED_TUNNEL: u16 = 9;
const ASSIGNED_SESSION: u16 = 14;

fn endpoint() -> Endpoint {
    let range = AddrRange { start: Ipv4Addr::new(192, 168, 1, 128), end: Ipv4Addr::new(192, 168, 1, 254) };
    let lns = LnsConfig {
        name: "default".into(),
        pool: vec![RangeRule { range, allow: true }],
        ..LnsConfig::default()
    };
    let cfg = EndpointConfig { default_lns: Some(Arc::new(lns)), ..EndpointConfig::default() };
    let mut n = 0;
    let entropy = move |out: &mut [u8]| {
        out.iter_mut().for_each(|b| {
            n += 1;
            *b = n;
        })
    };
    Endpoint::new(cfg, SecretTable::default(), Box::new(entropy))
}

fn path(mark: u32) -> Path {
    let local = Ipv4Addr::new(192, 0, 2, 1);
    Path { local, peer: SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 2), 1701), mark }
}

fn outputs(e: &mut Endpoint) -> Vec<Output> {
    std::iter::from_fn(|| e.poll_output()).collect()
}

/// Sends a message and returns what the endpoint does. It answers the first with SCCRP and the third with ICRP.
fn tell(e: &mut Endpoint, path: Path, to: (u16, u16), ns: u16, body: &[u8]) -> Vec<Output> {
    let data = header::control(to.0, to.1, ns, ns.div_ceil(2), body);
    e.handle(Instant(0), Input::Datagram { path, refuse_clear: false, data: &data });
    outputs(e)
}

fn answer(outputs: &[Output]) -> Message {
    let data = outputs.iter().find_map(|o| match o {
        Output::Transmit { data, .. } => Some(data),
        _ => None,
    });
    let Ok(Packet::Control(c)) = header::parse(data.unwrap()) else { panic!("no control message") };
    Message::decode(c.body, None)
}

/// Opens a tunnel and a call over it.
fn call(e: &mut Endpoint, path: Path) -> CallId {
    let sccrq = Body::new(MessageType::SCCRQ)
        .must(ASSIGNED_TUNNEL, &[0, 7])
        .must(HOST_NAME, b"one of the clients behind a NAT")
        .done();
    let tunnel = answer(&tell(e, path, (0, 0), 0, &sccrq)).assigned_tunnel.unwrap();
    tell(e, path, (tunnel, 0), 1, &Body::new(MessageType::SCCCN).done());
    let icrq = Body::new(MessageType::ICRQ).must(ASSIGNED_SESSION, &[0, 8]).done();
    let session = answer(&tell(e, path, (tunnel, 0), 2, &icrq)).assigned_session.unwrap();
    let out = tell(e, path, (tunnel, session), 3, &Body::new(MessageType::ICCN).done());
    let call = out.iter().find_map(|o| match o {
        Output::StartCall(s) => Some(s.call),
        _ => None,
    });
    e.handle(Instant(0), Input::CallStarted { call: call.unwrap(), pid: 99 });
    outputs(e);
    call.unwrap()
}

#[test]
fn only_the_tunnels_with_the_mark_end_and_in_silence() {
    let mut e = endpoint();
    let [ours, other, plain] = [0x1_0000, 0x2_0000, 0].map(|mark| call(&mut e, path(mark)));
    assert_eq!((e.status().len(), e.leased()), (3, 3));

    e.handle(Instant(0), Input::PathGone { mark: 0x1_0000 });
    let out = outputs(&mut e);
    let line = Output::Log {
        level: Level::Notice,
        text: "Connection 7 closed to 198.51.100.2, port 1701 (IPsec SA is gone)".into(),
    };
    assert!(out.contains(&line), "{out:?}");
    assert!(out.contains(&Output::StopCall(ours)));
    assert!(!out.iter().any(|o| matches!(o, Output::Transmit { .. })), "{out:?}");
    let left: Vec<CallId> = e.status().iter().flat_map(|t| &t.calls).map(|c| c.id).collect();
    assert!(left.len() == 2 && left.contains(&other) && left.contains(&plain));
    assert_eq!(e.leased(), 2);

    // Once is enough, and a mark of 0 names nobody.
    for mark in [0x1_0000, 0] {
        e.handle(Instant(0), Input::PathGone { mark });
        assert_eq!(outputs(&mut e), []);
    }
    assert_eq!((e.status().len(), e.leased()), (2, 2));
}

#[test]
fn a_half_open_and_a_closed_tunnel_are_forgotten_too() {
    let mut e = endpoint();
    let gone = path(0x3_0000);
    let call = call(&mut e, gone);
    e.handle(Instant(0), Input::CloseTunnel { tunnel: call.tunnel, text: "Goodbye!" });
    let sccrq = Body::new(MessageType::SCCRQ).must(ASSIGNED_TUNNEL, &[0, 9]).done();
    tell(&mut e, gone, (0, 0), 0, &sccrq);
    assert!(!e.is_quiet() && e.poll_timeout().is_some());
    e.handle(Instant(0), Input::PathGone { mark: gone.mark });
    let lines = outputs(&mut e);
    assert_eq!(lines.len(), 1, "the closed one has had its line: {lines:?}");
    assert!(e.is_quiet() && e.poll_timeout().is_none() && e.leased() == 0);
}
