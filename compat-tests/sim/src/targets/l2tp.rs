//! The targets of L2TP: datagrams, the AVPs in them, what a connection makes of them, and PPP's framing.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ipsec_types::{Instant, SecretBytes};
use l2tp_proto::avp::{self, attr};
use l2tp_proto::message::{Body, Message, MessageType};
use l2tp_proto::{auth, hdlc as framing, header};

use super::pieces;
use crate::host::Entropy;

/// One L2TP datagram, with and without a secret for hidden AVPs.
pub fn l2tp_message(data: &[u8]) {
    if let Ok(l2tp_proto::header::Packet::Control(control)) = l2tp_proto::header::parse(data) {
        Message::decode(control.body, None);
        Message::decode(control.body, Some(&SecretBytes::from(&b"secret"[..])));
    }
}

/// Message bodies to a LAC that dials, each with the numbers and ids it waits for, so that every one is processed; the
/// secret is `secret`, hidden AVPs are uncovered with it. Then an hour passes.
pub fn l2tp_connection(data: &[u8]) {
    use header::Packet;
    let lac = l2tp_proto::LacConfig {
        name: "isp".into(),
        lns: vec![l2tp_proto::LnsAddress { host: "198.51.100.2".into(), port: 1701 }],
        redial: true,
        max_redials: Some(3),
        hidden_bit: true,
        sequencing: true,
        accept_outgoing: true,
        ..Default::default()
    };
    let config = l2tp_proto::EndpointConfig { lac: vec![lac.into()], ..Default::default() };
    let mut entropy = Entropy::new(1, 1);
    let fill = move |out: &mut [u8]| ike::EntropySource::fill(&mut entropy, out);
    let secrets = l2tp_proto::SecretTable::parse("* * secret").0;
    let mut engine = l2tp_proto::Endpoint::new(config, secrets, Box::new(fill));
    let mut now = Instant::default();
    let peer = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 2), 1701);
    let path = l2tp_proto::Path { local: Ipv4Addr::new(192, 0, 2, 1), peer, mark: 0 };
    engine.handle(now, l2tp_proto::Input::Dial { lac: "isp", number: None, credentials: Default::default() });
    let (mut ns, mut seen) = (0u16, 0u16);
    for piece in pieces(data).take(256) {
        while let Some(o) = engine.poll_output() {
            match o {
                l2tp_proto::Output::Transmit { data, .. } => {
                    if let Ok(Packet::Control(c)) = header::parse(&data) {
                        seen = c.ns.wrapping_add(u16::from(!c.body.is_empty()));
                    }
                }
                l2tp_proto::Output::StartCall(s) => {
                    engine.handle(now, l2tp_proto::Input::CallStarted { call: s.call, pid: 1 });
                }
                _ => {}
            }
        }
        let status = engine.status();
        let Some(tunnel) = status.first() else { break };
        // The first octet chooses between the tunnel and its call.
        let (on_call, body) = piece.split_first().map_or((false, piece), |(c, b)| (c & 1 != 0, b));
        let session = tunnel.calls.first().filter(|_| on_call).map_or(0, |c| c.id.session);
        let datagram = header::control(tunnel.id, session, ns, seen, body);
        ns = ns.wrapping_add(u16::from(!body.is_empty()));
        engine.handle(now, l2tp_proto::Input::Datagram { path, refuse_clear: false, data: &datagram });
        assert_eq!(engine.audit(), Ok(()));
    }
    let end = now + Duration::from_secs(3600);
    while let Some((at, _)) = engine.poll_timeout().filter(|(at, _)| *at <= end) {
        now = now.max(at);
        engine.handle(now, l2tp_proto::Input::Timeout);
        assert_eq!(engine.audit(), Ok(()));
        while engine.poll_output().is_some() {}
    }
}

/// Datagrams to an LNS, from two peers in turn; then an hour passes.
pub fn l2tp_feed_endpoint(data: &[u8]) {
    let lns = l2tp_proto::LnsConfig { name: "default".into(), length_bit: true, ..Default::default() };
    let config =
        l2tp_proto::EndpointConfig { default_lns: Some(lns.into()), ..l2tp_proto::EndpointConfig::default() };
    let mut entropy = Entropy::new(1, 1);
    let fill = move |out: &mut [u8]| ike::EntropySource::fill(&mut entropy, out);
    let mut lns = l2tp_proto::Endpoint::new(config, l2tp_proto::SecretTable::default(), Box::new(fill));
    let mut now = Instant::default();
    for (n, piece) in pieces(data).take(256).enumerate() {
        let peer = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 2 + (n % 2) as u8), 1701);
        let path = l2tp_proto::Path { local: Ipv4Addr::new(192, 0, 2, 1), peer, mark: 0 };
        lns.demux(now, &path, piece);
        lns.handle(now, l2tp_proto::Input::Datagram { path, refuse_clear: n % 5 == 4, data: piece });
        assert_eq!(lns.audit(), Ok(()));
        while lns.poll_output().is_some() {}
    }
    let end = now + Duration::from_secs(3600);
    while let Some((at, _)) = lns.poll_timeout().filter(|(at, _)| *at <= end) {
        now = now.max(at);
        lns.handle(now, l2tp_proto::Input::Timeout);
        assert_eq!(lns.audit(), Ok(()));
        while lns.poll_output().is_some() {}
    }
}

/// A byte stream of a tty: in pieces it has the frames it has as a whole, none is too long, and each can be sent.
pub fn hdlc(data: &[u8]) {
    use framing::{Decoder, MAX_FRAME, encode};
    let frames = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        pieces.for_each(|p| decoder.feed(p, |f| out.push(f.to_vec())));
        out
    };
    let whole = frames(&mut std::iter::once(data));
    let size = usize::from(data.first().copied().unwrap_or(0)) % 7 + 1;
    assert_eq!(frames(&mut data.chunks(size)), whole);
    for frame in &whole {
        assert!(!frame.is_empty() && frame.len() <= MAX_FRAME);
        l2tpd::inner::tos(frame);
        l2tpd::inner::is_tunnel_to(frame, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1701));
        let mut sent = Vec::new();
        encode(frame, &mut sent);
        assert_eq!(frames(&mut std::iter::once(&sent[..])), std::slice::from_ref(frame));
    }
}

/// AVPs of an ICRQ that are hidden say what they say in clear, and an octet string that was hidden by nobody does no harm.
/// A piece is an attribute, octets of padding, and a value.
pub fn l2tp_hidden(data: &[u8]) {
    let secret = SecretBytes::from(&b"secret"[..]);
    let vector = data.get(..data.len().min(20)).unwrap_or(data);
    let start = || {
        let mut b = Body::new(MessageType::ICRQ).done();
        avp::put(&mut b, true, 0, attr::RANDOM_VECTOR, vector);
        b
    };
    let (mut hidden, mut plain, mut raw) = (start(), start(), start());
    for piece in pieces(data).take(32) {
        let [attribute, padding, value @ ..] = piece else { continue };
        let attribute = u16::from(attribute % 42);
        // The Message Type and the vector cannot be hidden, and a value has to fit beside its length and padding.
        if [attr::MESSAGE_TYPE, attr::RANDOM_VECTOR].contains(&attribute) || value.len() > 700 {
            continue;
        }
        let covered = auth::hide(attribute, &secret, vector, value, usize::from(*padding));
        avp::put_hidden(&mut hidden, true, attribute, &covered);
        avp::put(&mut plain, true, 0, attribute, value);
        avp::put_hidden(&mut raw, padding & 1 != 0, attribute, value);
    }
    assert_eq!(Message::decode(&hidden, Some(&secret)), Message::decode(&plain, None));
    Message::decode(&hidden, None);
    Message::decode(&raw, Some(&secret));
}

/// Data messages of a call that stands, into the framing for pppd: what comes out is what went in, numbered or not, and no
/// more is kept than the limits say. A piece is the flags, a number, and the rest of the datagram behind the ids.
pub fn l2tp_data(data: &[u8]) {
    let lns = l2tp_proto::LnsConfig { name: "default".into(), no_assign: true, ..Default::default() };
    let config = l2tp_proto::EndpointConfig { default_lns: Some(lns.into()), ..Default::default() };
    let mut entropy = Entropy::new(1, 1);
    let fill = move |out: &mut [u8]| ike::EntropySource::fill(&mut entropy, out);
    let mut engine = l2tp_proto::Endpoint::new(config, l2tp_proto::SecretTable::default(), Box::new(fill));
    let mut now = Instant::default();
    let peer = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 2), 1701);
    let path = l2tp_proto::Path { local: Ipv4Addr::new(192, 0, 2, 1), peer, mark: 7 };
    let sccrq = Body::new(MessageType::SCCRQ).must(attr::ASSIGNED_TUNNEL_ID, &[0, 1]);
    let icrq = Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 1]);
    for (ns, body) in
        [sccrq, Body::new(MessageType::SCCCN), icrq, Body::new(MessageType::ICCN)].into_iter().enumerate()
    {
        let at =
            engine.status().first().map_or((0, 0), |t| (t.id, t.calls.first().map_or(0, |c| c.id.session)));
        let datagram = header::control(at.0, at.1, ns as u16, ns.min(2) as u16, &body.done());
        engine.handle(now, l2tp_proto::Input::Datagram { path, refuse_clear: false, data: &datagram });
        while engine.poll_output().is_some() {}
    }
    let tunnel = engine.status().swap_remove(0);
    let session = tunnel.calls[0].id.session;
    let mut sent = 0usize;
    let (mut stream, mut frames) = (Vec::new(), Vec::new());
    for piece in pieces(data).take(256) {
        let [flags, number, rest @ ..] = piece else { continue };
        let mut datagram = vec![flags & 0x4b, 2];
        if flags & 0x40 != 0 {
            datagram.extend((8 + rest.len() as u16 + if flags & 8 != 0 { 4 } else { 0 }).to_be_bytes());
        }
        datagram.extend(tunnel.id.to_be_bytes());
        datagram.extend(session.to_be_bytes());
        if flags & 8 != 0 {
            datagram.extend([0, *number, 0, 0]);
        }
        datagram.extend(rest);
        sent += 1;
        engine.handle(now, l2tp_proto::Input::Datagram { path, refuse_clear: false, data: &datagram });
        now = now + Duration::from_millis(u64::from(*number));
        if engine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            engine.handle(now, l2tp_proto::Input::Timeout);
        }
        while let Some(o) = engine.poll_output() {
            if let l2tp_proto::Output::Payload { frame, .. } = o {
                framing::encode(&frame, &mut stream);
                frames.push(frame);
            }
        }
    }
    assert!(frames.len() <= sent);
    let mut got = Vec::new();
    framing::Decoder::default().feed(&stream, |f| got.push(f.to_vec()));
    frames.retain(|f| !f.is_empty() && f.len() <= framing::MAX_FRAME);
    assert_eq!(got, frames);
}
