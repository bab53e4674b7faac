//! The wire, what we say: the messages and their AVPs, and the words of refusals and farewells, beside xl2tpd's. What is
//! wanted of a peer is in `wire_wanted`, headers, numbers and states are in `wire`.
//!
//! | xl2tpd 1.3.20 | here | test |
//! |---|---|---|
//! | the AVPs of each message, in order, with their M bits | same | `the_avps_of_every_message_we_send` |
//! | a Random Vector with `hidden bit`, and nothing hidden | what may be hidden is, once the peer has proved the secret | same; `both::both_ends_prove_the_secret_and_hide_…` |
//! | Rx Connect Speed always | with `rx bps` | same; `quirks::only_what_rfc_2661_says_is_mandatory` |
//! | never says OCRP, OCCN | with `accept outgoing` | same |
//! | result 1, or 2 with an error, and words | RFC 2661's codes, xl2tpd's words | `the_words_of_every_refusal_and_farewell` |

mod common;

use std::time::Duration;

use common::*;
use l2tp_proto::auth::{Carrier, response};
use l2tp_proto::avp::{Avps, attr};
use l2tp_proto::header::{self, Packet};
use l2tp_proto::message::{Body, Message, MessageType};
use l2tp_proto::{CallEnd, Input, LacConfig, LnsConfig, SecretBytes};

const S: Duration = Duration::from_secs(1);
const SECRET: &[u8] = b"swordfish";

fn secret() -> SecretBytes {
    SecretBytes::from(SECRET)
}

/// Each message that was sent: its type and its other AVPs, `?` behind those without M and `*` behind hidden ones.
fn avps(w: &mut World) -> Vec<(u16, String)> {
    let mut out = Vec::new();
    for (_, d) in w.take() {
        let Ok(Packet::Control(c)) = header::parse(&d) else { continue };
        let mut words = Vec::new();
        for a in Avps::new(c.body).map(Result::unwrap).skip(1) {
            let marks = [(!a.mandatory, "?"), (a.hidden, "*")];
            let marks: String = marks.iter().filter(|m| m.0).map(|m| m.1).collect();
            words.push(format!("{}{marks}", a.attribute));
        }
        let kind = Message::decode(c.body, None).kind.map_or(0, |k| k.0);
        out.extend((kind != 0).then(|| (kind, words.join(" "))));
    }
    out
}

/// As `standing` of other tests; what the engine has said is left to be taken.
fn say(w: &mut World, lac: &mut Lac, session: u16, body: Body) -> Vec<(u16, String)> {
    let d = lac.datagram(session, &body.done());
    lac.ns += 1;
    w.datagram(lac.path, &d);
    let all: Vec<_> = w.sent.clone();
    let said = avps(w);
    w.sent = all;
    lac.hear(w);
    said
}

#[test]
fn the_avps_of_every_message_we_send() {
    let kind = |k: MessageType, avps: &str| (k.0, avps.to_string());
    // As LNS, plainly.
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 5), 1);
    let sccrq = lac.sccrq();
    assert_eq!(say(&mut w, &mut lac, 0, sccrq), [kind(MessageType::SCCRP, "2 3 4 6? 7 8? 9 10")]);
    say(&mut w, &mut lac, 0, Body::new(MessageType::SCCCN));
    let icrq = with_session(MessageType::ICRQ, 77);
    assert_eq!(say(&mut w, &mut lac, 0, icrq), [kind(MessageType::ICRP, "14")]);
    let session = w.engine.status()[0].calls[0].id.session;
    say(&mut w, &mut lac, session, Body::new(MessageType::ICCN));
    w.give(Input::HangUp(w.started[0].call));
    assert_eq!(avps(&mut w), [kind(MessageType::CDN, "1 14")]);
    lac.nr += 1;
    lac.zlb(&mut w);
    w.pass(60 * S);
    assert_eq!(avps(&mut w), [kind(MessageType::HELLO, "")]);
    lac.nr += 1;
    lac.zlb(&mut w);
    w.give(Input::Shutdown);
    assert_eq!(avps(&mut w), [kind(MessageType::STOPCCN, "9 1")]);
    // With a challenge from both sides, and with what may be hidden: the peer has proved the secret by then.
    let l = LnsConfig { challenge: true, hidden_bit: true, accept_outgoing: true, ..lns() };
    let mut w = World::with_secrets(config(l), "* * swordfish\n");
    let mut lac = Lac::new(path(10, 1701, 5), 1);
    let sccrq = lac.sccrq().must(attr::CHALLENGE, b"0123456789");
    let m = lac.say(&mut w, 0, sccrq).remove(0).1;
    let proof = response(Carrier::Scccn, &secret(), &m.challenge.unwrap());
    lac.say(&mut w, 0, Body::new(MessageType::SCCCN).must(attr::CHALLENGE_RESPONSE, &proof));
    let icrq = with_session(MessageType::ICRQ, 77);
    assert_eq!(say(&mut w, &mut lac, 0, icrq), [kind(MessageType::ICRP, "36 14*")]);
    let ocrq = with_session(MessageType::OCRQ, 78);
    let said = say(&mut w, &mut lac, 0, ocrq);
    assert_eq!(said, [kind(MessageType::OCRP, "36 14*"), kind(MessageType::OCCN, "36 24* 19*")]);
    // As LAC.
    for (l, number, want) in [
        (lac_config(), None, ["2 3 4 6? 7 8? 9 10", "", "14 15 18", "24 19"]),
        (LacConfig { rx_bps: 1, ..lac_config() }, None, ["2 3 4 6? 7 8? 9 10", "", "14 15 18", "24 19 38?"]),
        (
            LacConfig { sequencing: true, challenge: true, tie_breaker: true, ..lac_config() },
            None,
            ["2 3 4 6? 7 8? 9 10 11 5?", "13", "14 15 18", "24 19 39"],
        ),
        (lac_config(), Some("5551234"), ["2 3 4 6? 7 8? 9 10", "", "14 15 16 17 18 19 21", ""]),
    ] {
        let mut w = World::with_secrets(dials(l), "* * swordfish\n");
        let call = number.map(String::from);
        w.give(Input::Dial { lac: "isp", number: call, credentials: Default::default() });
        let first = w.sent.clone();
        assert_eq!(avps(&mut w), [kind(MessageType::SCCRQ, want[0])]);
        w.sent = first;
        let (path, sccrq) = w.take().remove(0);
        let Ok(Packet::Control(c)) = header::parse(&sccrq) else { panic!() };
        let m = Message::decode(c.body, None);
        let mut server = Lac::new(path, 5);
        (server.lns_tid, server.nr) = (m.assigned_tunnel.unwrap(), 1);
        let proof = m.challenge.map(|c| response(Carrier::Sccrp, &secret(), &c));
        let body = sccrp()
            .maybe(attr::CHALLENGE_RESPONSE, proof.as_ref().map(|p| &p[..]))
            .maybe(attr::CHALLENGE, (!want[1].is_empty()).then_some(b"to you"));
        let asks = if number.is_some() { MessageType::OCRQ } else { MessageType::ICRQ };
        let said = say(&mut w, &mut server, 0, body);
        assert_eq!(said, [kind(MessageType::SCCCN, want[1]), kind(asks, want[2])]);
        let session = w.engine.status()[0].calls[0].id.session;
        let answer = if number.is_some() { MessageType::OCRP } else { MessageType::ICRP };
        let said = say(&mut w, &mut server, session, with_session(answer, 77));
        let iccn = kind(MessageType::ICCN, want[3]);
        assert_eq!(said, if number.is_some() { vec![] } else { vec![iccn] });
    }
}

#[test]
fn what_the_avps_of_an_introduction_say() {
    let mut w = World::new(dials(lac_config()));
    w.give(Input::Dial { lac: "isp", number: None, credentials: Default::default() });
    let (_, d) = w.take().remove(0);
    let Ok(Packet::Control(c)) = header::parse(&d) else { panic!() };
    let value = |n| Avps::new(c.body).flatten().find(|a| a.attribute == n).unwrap().value;
    assert_eq!(value(attr::PROTOCOL_VERSION), [1, 0]);
    assert_eq!(value(attr::FRAMING_CAPABILITIES), [0, 0, 0, 3]);
    assert_eq!(value(attr::BEARER_CAPABILITIES), [0; 4]);
    assert_eq!(value(attr::FIRMWARE_REVISION), [0x06, 0x90]);
    assert_eq!((value(attr::HOST_NAME), value(attr::VENDOR_NAME)), (&b"lac"[..], &b"xelerance.com"[..]));
    assert_eq!(value(attr::RECEIVE_WINDOW_SIZE), [0, 4]);
}

/// The last StopCCN or CDN that was sent: result, error, words.
fn farewell(w: &mut World) -> Option<(u16, u16, u16, String)> {
    w.take().into_iter().rev().find_map(|(_, d)| match header::parse(&d) {
        Ok(Packet::Control(c)) => {
            let m = Message::decode(c.body, None);
            let r = m.result?;
            Some((m.kind?.0, r.code, r.error?, r.text))
        }
        _ => None,
    })
}

/// What happens, and the farewell that comes of it.
type Row = (fn() -> World, (u16, u16, u16, &'static str));

#[test]
fn the_words_of_every_refusal_and_farewell() {
    fn open(l: LnsConfig) -> (World, Lac) {
        let mut w = World::with_secrets(config(l), "* lac swordfish\n");
        let lac = Lac::open(&mut w, path(10, 1701, 5), 1);
        (w, lac)
    }
    fn raw(w: &mut World, lac: &mut Lac, session: u16, body: Body) {
        let d = lac.datagram(session, &body.done());
        lac.ns += 1;
        w.datagram(lac.path, &d);
    }
    fn ended(end: CallEnd) -> World {
        let (mut w, mut lac) = open(lns());
        lac.call(&mut w, 77);
        let call = w.started[0].call;
        w.give(Input::CallEnded { call, end });
        w
    }
    fn server(body: Body, secrets: &str, challenge: bool) -> World {
        let mut w = World::with_secrets(dials(LacConfig { challenge, ..lac_config() }), secrets);
        let (mut server, _) = dialled(&mut w, None);
        raw(&mut w, &mut server, 0, body);
        w
    }
    fn first(l: LnsConfig, access_control: bool, body: fn(&Lac) -> Body) -> World {
        let mut cfg = config(l);
        cfg.access_control = access_control;
        let mut w = World::with_secrets(cfg, "* else swordfish\n");
        let mut lac = Lac::new(path(10, 1701, 5), 1);
        let sccrq = body(&lac);
        raw(&mut w, &mut lac, 0, sccrq);
        w
    }
    let rows: &[Row] = &[
        (
            || {
                let (mut w, mut lac) = open(lns());
                lac.call(&mut w, 77);
                w.give(Input::CloseTunnel { tunnel: lac.lns_tid, text: "Goodbye!" });
                w
            },
            (4, 1, 0, "Goodbye!"),
        ),
        (
            || {
                let (mut w, _) = open(lns());
                w.give(Input::Shutdown);
                w
            },
            (4, 6, 0, "Server closing"),
        ),
        (
            || {
                let (mut w, _) = open(lns());
                w.pass(92 * S);
                w
            },
            (4, 1, 0, "Timeout"),
        ),
        (|| first(lns(), true, Lac::sccrq), (4, 4, 0, "No Authorization")),
        (
            || first(lns(), false, |l| l.sccrq().must(attr::CHALLENGE, b"x")),
            (4, 4, 0, "No secret on our side"),
        ),
        (
            || first(LnsConfig { challenge: true, ..lns() }, false, Lac::sccrq),
            (4, 4, 0, "No secret on our side"),
        ),
        (
            || first(lns(), false, |l| l.sccrq().must(40, b"x")),
            (4, 2, 8, "mandatory attribute 40 cannot be handled"),
        ),
        (
            || {
                let l = LnsConfig { challenge: true, ..lns() };
                let mut w = World::with_secrets(config(l), "* lac swordfish\n");
                let mut lac = Lac::new(path(10, 1701, 5), 1);
                let sccrq = lac.sccrq();
                lac.say(&mut w, 0, sccrq);
                raw(&mut w, &mut lac, 0, Body::new(MessageType::SCCCN));
                w
            },
            (4, 4, 0, "Invalid challenge authentication"),
        ),
        (|| server(Body::new(MessageType::SCCRP), "", false), (4, 2, 6, "Specify your assigned tunnel ID")),
        (|| server(sccrp().must(attr::CHALLENGE, b"x"), "", false), (4, 4, 0, "No secret on our side")),
        (|| server(sccrp(), "", true), (4, 4, 0, "No secret on our side")),
        (|| server(sccrp(), "* * x", true), (4, 4, 0, "Invalid challenge authentication")),
        (
            || {
                let (mut w, mut lac) = open(LnsConfig { pool: Vec::new(), ..lns() });
                raw(&mut w, &mut lac, 0, with_session(MessageType::ICRQ, 77));
                w
            },
            (14, 2, 4, "No available IP address"),
        ),
        (
            || {
                let mut l = lns();
                l.local_pool = vec![l.pool[0]];
                let one = [10, 0, 0, 1].into();
                l.local_pool[0].range = l2tp_proto::AddrRange { start: one, end: one };
                let (mut w, mut lac) = open(l);
                for sid in [77, 78] {
                    let icrp = lac.say(&mut w, 0, with_session(MessageType::ICRQ, sid));
                    let session = icrp.iter().find_map(|(_, m)| m.assigned_session).unwrap();
                    raw(&mut w, &mut lac, session, Body::new(MessageType::ICCN));
                }
                w
            },
            (14, 2, 4, "No available local IP addresses"),
        ),
        (
            || {
                let (mut w, mut lac) = open(lns());
                raw(&mut w, &mut lac, 0, with_session(MessageType::OCRQ, 77));
                w
            },
            (14, 5, 0, "This tunnel cannot accept calls"),
        ),
        (
            || {
                let (mut w, mut lac) = open(lns());
                lac.call(&mut w, 77);
                w.give(Input::HangUp(w.started[0].call));
                w
            },
            (14, 3, 0, "Goodbye!"),
        ),
        (|| ended(CallEnd::Exit(0)), (14, 1, 0, "")),
        (|| ended(CallEnd::Exit(16)), (14, 1, 0, "")),
        (|| ended(CallEnd::Signal(9)), (14, 1, 0, "")),
        (|| ended(CallEnd::Exit(11)), (14, 3, 0, "PPP authentication failed")),
        (|| ended(CallEnd::Exit(12)), (14, 3, 0, "Idle timeout")),
        (|| ended(CallEnd::Exit(13)), (14, 3, 0, "Limit reached")),
        (|| ended(CallEnd::Exit(4)), (14, 2, 6, "PPP could not be started")),
        (|| ended(CallEnd::NotStarted("no ptys left".into())), (14, 2, 6, "PPP could not be started")),
    ];
    for (n, (act, want)) in rows.iter().enumerate() {
        let mut w = act();
        let got = farewell(&mut w);
        let got = got.as_ref().map(|(kind, code, error, words)| (*kind, *code, *error, words.as_str()));
        assert_eq!(got, Some(*want), "row {n}: {:?}", w.log);
    }
}
