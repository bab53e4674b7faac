//! The wire, header to states: what xl2tpd does there, and what we do. "Same" is said of what peers can see. Rows that
//! other tests show name them; messages and their AVPs are in `wire_messages`, peers with a name in `quirks`.
//!
//! | xl2tpd 1.3.20 | here | test |
//! |---|---|---|
//! | control: `C802`, length, ids, Ns, Nr | same | `every_control_message_…` |
//! | wants T, L, S and version 2; reserved bits are not looked at | same | `what_a_control_header_must_have` |
//! | length other than the datagram's: dropped | padding is taken, as some carriers pad | same test; `header` |
//! | data: six octets, eight with `length bit`; never S | S with `sequencing` | `the_header_of_data_…` |
//! | reads L, S, O of data, P is nothing | same | `data_with_every_…` |
//! | what pppd gets is what the peer has sent, FF 03 or not | same | `data_with_every_…` |
//! | ids may be 0 or in use | they never are | `ids_are_never_0_…` |
//! | whoever knows a tunnel's id may speak for it | only its peer | `strangers::what_comes_from_elsewhere_…` |
//! | a peer whose port changes is lost | followed when it proves itself | `strangers::a_peer_whose_nat_has_moved_…` |
//! | ZLB with the call's id for a call's message | same | `lns::the_acknowledgement_of_a_calls_message_…` |
//! | older Ns: ZLB, unless it is one itself | same | `old_new_and_far_…` |
//! | newer Ns: dropped | kept as far as our window goes | `old_new_and_far_…`, `lns::scccn_and_icrq_…` |
//! | any Nr is believed | only of what was sent | `transport::acknowledgements_of_what_was_never_sent_…` |
//! | acknowledges at once, an ICRQ twice | at once, once | `every_message_is_acknowledged_at_once` |
//! | sends everything at once | as far as the peer's window goes | `transport::a_window_of_one_…`, `common::windows` |
//! | breaks at 65536 messages | does not | `sixty_six_thousand_messages_…`, `transport::numbers_wrap_…` |
//! | unknown session: acknowledged with its id | acknowledged on session 0 | `quirks::what_is_about_a_call_nobody_knows_…` |
//! | unknown tunnel: silence and a line | same, but a StopCCN is acknowledged | `strangers`, `lns::a_stopccn_…` |
//! | anything to tunnel 0 opens one | an SCCRQ with Ns 0 on session 0 | `quirks::nothing_but_an_sccrq_…` |
//! | 0, 1, 3, 7, 15 s, given up at 31 | same | `transport::a_message_goes_out_at_…` |
//! | `max retries = 100`: the sixth wait is 32 s, the tenth 512 | same | `a_hundred_retries_…` |
//! | `cap backoff` does nothing | bounds the wait | `transport::the_cap_bounds_…` |
//! | StopCCN `Timeout`, repeated for another 31 s | said once | `lns::hello_only_when_idle_…` |
//! | HELLO every 60 s | after `hello interval` of silence; a HELLO of the peer's breaks it | `a_peers_hellos_…` |
//! | a message out of place ends call or tunnel | costs nothing | `a_message_out_of_place_…` (both roles) |
//! | LAC: SCCCN and ICRQ together | same, unless the peer's window is 1 | `a_lac_asks_for_its_call_…` |
//! | OCRQ → OCRP → OCCN, then pppd | same | `an_outgoing_call_starts_with_its_occn` |
//! | tie breakers are nothing | RFC 2661 §5.6 | `both::of_two_tunnels_opened_at_once_…` |
//! | L2F, PPTP, L2TPv3: dropped, but a tunnel leaks | dropped | `what_a_control_header_must_have`, `quirks` |

mod common;

use std::time::Duration;

use common::*;
use l2tp_proto::avp::attr;
use l2tp_proto::header::{self, Packet};
use l2tp_proto::message::{Body, MessageType};
use l2tp_proto::{CallEnd, Endpoint, Input, LacConfig, LnsConfig, Output, SecretTable};

const S: Duration = Duration::from_secs(1);

fn standing() -> (World, Lac, u16) {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 5), 1);
    let session = lac.call(&mut w, 77);
    (w, lac, session)
}

#[test]
fn every_control_message_has_the_same_flags_and_its_length() {
    let mut all = Vec::new();
    let (mut w, mut lac, session) = standing();
    lac.say(&mut w, session, Body::new(MessageType::WEN));
    w.give(Input::HangUp(w.started[0].call));
    all.append(&mut w.take());
    lac.nr += 1;
    lac.zlb(&mut w);
    w.pass(61 * S);
    all.append(&mut w.take());
    lac.nr += 1;
    lac.zlb(&mut w);
    w.give(Input::Shutdown);
    all.append(&mut w.take());
    let mut w = World::new(dials(lac_config()));
    w.give(Input::Dial { lac: "isp", number: None, credentials: Default::default() });
    all.append(&mut w.take());
    assert_eq!(all.len(), 5, "CDN, HELLO twice, StopCCN, SCCRQ");
    for (_, d) in all {
        assert_eq!((&d[..2], usize::from(d[2]) << 8 | usize::from(d[3])), (&[0xc8, 0x02][..], d.len()));
    }
}

#[test]
fn what_a_control_header_must_have() {
    for (flags, length, taken) in [
        (0xc802u16, 0, true),
        // Reserved bits, and those that are data's.
        (0xfcf2, 0, true),
        (0xcb02, 0, true),
        // Without length, without numbers, without either.
        (0x8802, 0, false),
        (0xc002, 0, false),
        (0x8002, 0, false),
        // L2F, PPTP's and L2TPv3's version.
        (0xc801, 0, false),
        (0xc800, 0, false),
        (0xc803, 0, false),
        // Padding, and a length beyond the end.
        (0xc802, -5, true),
        (0xc802, 1, false),
        (0xc802, -9, false),
    ] {
        let (mut w, mut lac, _) = standing();
        let mut d = lac.datagram(0, &Body::new(MessageType::HELLO).done());
        let padding = if length == -5 { 5 } else { 0 };
        d.resize(d.len() + padding, 0);
        d[..2].copy_from_slice(&flags.to_be_bytes());
        d[3] = u8::try_from(d.len() as i32 + length).unwrap();
        w.datagram(lac.path, &d);
        let got = kinds(&lac.hear(&mut w));
        assert_eq!(got, if taken { vec![0] } else { vec![] }, "{flags:04x} {length}");
        assert_eq!((w.stopped.len(), w.engine.status().len()), (0, 1));
    }
}

#[test]
fn the_header_of_data_has_what_the_section_says() {
    for (length_bit, sequencing, want) in [
        (false, false, &[0x00, 0x02, 0, 1, 0, 77][..]),
        (true, false, &[0x40, 0x02, 0, 9, 0, 1, 0, 77]),
        (false, true, &[0x08, 0x02, 0, 1, 0, 77, 0, 0, 0, 0]),
        (true, true, &[0x48, 0x02, 0, 13, 0, 1, 0, 77, 0, 0, 0, 0]),
    ] {
        let mut w = World::new(config(LnsConfig { length_bit, sequencing, ..lns() }));
        let mut lac = Lac::open(&mut w, path(10, 1701, 5), 1);
        lac.call(&mut w, 77);
        let mut d = Vec::new();
        w.engine.encapsulate(w.started[0].call, b"x", &mut d);
        assert_eq!(d, [want, b"x"].concat());
    }
}

#[test]
fn data_with_every_mixture_of_bits_is_read() {
    // Length, numbers, offset, priority; the frame with and without address and control field.
    for bits in 0..16u16 {
        for frame in [&b"\xff\x03\x00\x21ip"[..], b"\x21ip", b"x"] {
            let (mut w, lac, session) = standing();
            let bit = |n: u16, flag: u16| if bits >> n & 1 != 0 { flag } else { 0 };
            let flags = 2 | bit(0, 0x4000) | bit(1, 0x0800) | bit(2, 0x0200) | bit(3, 0x0100);
            let mut rest = [lac.lns_tid.to_be_bytes(), session.to_be_bytes()].concat();
            if bits & 2 != 0 {
                rest.extend([0, 7, 0, 0]);
            }
            if bits & 4 != 0 {
                rest.extend([0, 3, 9, 9, 9]);
            }
            rest.extend(frame);
            let length = (rest.len() as u16 + 4).to_be_bytes();
            let head = flags.to_be_bytes();
            let d = [&head[..], if bits & 1 != 0 { &length[..] } else { &[] }, &rest].concat();
            w.datagram(lac.path, &d);
            assert_eq!(w.frames, [(w.started[0].call, frame.to_vec())], "{flags:04x}");
        }
    }
}

#[test]
fn ids_are_never_0_and_never_in_use() {
    let mut w = World::new(config(lns()));
    // A source of nothing but zeros.
    w.engine = Endpoint::new(config(lns()), SecretTable::default(), Box::new(|out: &mut [u8]| out.fill(0)));
    let mut seen = Vec::new();
    for n in 1..=5 {
        let mut lac = Lac::open(&mut w, path(n, 1701, 5), 1);
        for sid in 1..=5 {
            seen.push((lac.lns_tid, lac.call(&mut w, sid)));
        }
    }
    let tunnels: Vec<u16> = seen.iter().map(|s| s.0).step_by(5).collect();
    let calls: Vec<u16> = seen.iter().map(|s| s.1).collect();
    assert_eq!((tunnels, calls), ((1..=5).collect(), (1..=25).collect()));
}

#[test]
fn old_new_and_far_numbers() {
    let hello = Body::new(MessageType::HELLO).done();
    // How far from the expected Ns, whether there is a message, and what is answered.
    for (ahead, body, answer) in [
        (0i32, &hello[..], vec![0]),
        (-1, &hello[..], vec![0]),
        (-3, &hello[..], vec![0]),
        (-1, &[][..], vec![]),
        (0, &[][..], vec![]),
        (1, &hello[..], vec![]),
        (3, &hello[..], vec![]),
        (4, &hello[..], vec![]),
        (0x7fff, &hello[..], vec![]),
    ] {
        let (mut w, mut lac, _) = standing();
        let before = lac.ns;
        lac.ns = (i32::from(before) + ahead) as u16;
        let d = lac.datagram(0, body);
        w.datagram(lac.path, &d);
        let got = lac.hear(&mut w);
        assert_eq!(kinds(&got), answer, "{ahead}");
        // What was ahead, but not too far, is taken when the gap is filled.
        lac.ns = before;
        if ahead > 0 {
            let filled = (0..ahead.min(3)).flat_map(|_| lac.say(&mut w, 0, Body::new(MessageType::HELLO)));
            let last = filled.last().unwrap().0;
            let want = if ahead < 4 { before as i32 + ahead + 1 } else { before as i32 + 3 };
            assert_eq!(i32::from(last.3), want, "{ahead}");
        }
    }
}

#[test]
fn every_message_is_acknowledged_at_once() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 5), 1);
    let sccrq = lac.sccrq();
    assert_eq!(kinds(&lac.say(&mut w, 0, sccrq)), [2]);
    assert_eq!(kinds(&lac.say(&mut w, 0, Body::new(MessageType::SCCCN))), [0]);
    let icrp = lac.say(&mut w, 0, with_session(MessageType::ICRQ, 77));
    assert_eq!((kinds(&icrp), icrp[0].0.3), (vec![11], 3), "the answer acknowledges as well");
    let session = icrp[0].1.assigned_session.unwrap();
    for (on, body) in [
        (session, Body::new(MessageType::ICCN)),
        (0, Body::new(MessageType::HELLO)),
        (session, Body::new(MessageType::WEN)),
        (session, Body::new(MessageType::SLI)),
        (session, cdn(&[0, 1, 0, 0], 77)),
        (0, stopccn(1)),
    ] {
        let got = lac.say(&mut w, on, body);
        assert_eq!((kinds(&got), got[0].0.3), (vec![0], lac.ns));
    }
}

#[test]
fn sixty_six_thousand_messages_each_way_leave_the_tunnel_up() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    for _ in 0..33_000 {
        lac.call(&mut w, 77);
        let call = w.started.pop().unwrap().call;
        w.give(Input::CallEnded { call, end: CallEnd::Exit(16) });
        lac.hear(&mut w);
        lac.zlb(&mut w);
        w.stopped.clear();
        w.log.clear();
    }
    assert_eq!((lac.ns, lac.nr), ((2 + 66_000u32) as u16, (1 + 66_000u32) as u16));
    assert!(w.engine.status()[0].established && w.engine.leased() == 0);
}

#[test]
fn a_hundred_retries_wait_up_to_512_seconds_and_more() {
    let mut cfg = config(lns());
    cfg.max_retries = 100;
    let mut w = World::new(cfg);
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    lac.call(&mut w, 77);
    w.give(Input::HangUp(w.started[0].call));
    lac.hear(&mut w);
    let (mut waits, mut last) = (Vec::new(), w.now);
    while waits.len() < 10 {
        // The time of its HELLO comes in between, which waits behind the CDN.
        w.now = w.engine.poll_timeout().unwrap().0;
        w.give(Input::Timeout);
        if !lac.hear(&mut w).is_empty() {
            waits.push(w.now.since(last).as_secs());
            last = w.now;
        }
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
}

#[test]
fn a_peers_hellos_show_that_it_is_there() {
    let (mut w, mut lac, _) = standing();
    for _ in 0..5 {
        w.pass(50 * S);
        assert_eq!(kinds(&lac.say(&mut w, 0, Body::new(MessageType::HELLO))), [0]);
    }
    w.pass(60 * S);
    assert_eq!(kinds(&lac.hear(&mut w)), [6]);
}

#[test]
fn a_message_out_of_place_costs_nothing_at_an_lns() {
    // What, on the call or the tunnel, and the answer. All of it comes when tunnel and call stand.
    for (kind, on_call, answer) in [
        (MessageType::SCCRQ, false, 0),
        (MessageType::SCCRQ, true, 0),
        (MessageType::SCCRP, false, 0),
        (MessageType::SCCRP, true, 0),
        (MessageType::SCCCN, false, 0),
        (MessageType::SCCCN, true, 0),
        (MessageType::HELLO, true, 0),
        (MessageType::OCRQ, false, 14),
        (MessageType::OCRP, false, 0),
        (MessageType::OCRP, true, 0),
        (MessageType::OCCN, false, 0),
        (MessageType::OCCN, true, 0),
        (MessageType::ICRP, false, 0),
        (MessageType::ICRP, true, 0),
        (MessageType::ICCN, false, 0),
        (MessageType::ICCN, true, 0),
        (MessageType::WEN, false, 0),
        (MessageType::WEN, true, 0),
        (MessageType::SLI, false, 0),
        (MessageType::SLI, true, 0),
        // The second request for a call that stands.
        (MessageType::ICRQ, false, 0),
    ] {
        let (mut w, mut lac, session) = standing();
        let id = if kind == MessageType::ICRQ { 77 } else { 78 };
        let got = lac.say(&mut w, if on_call { session } else { 0 }, with_session(kind, id));
        assert_eq!(kinds(&got), [answer], "{kind:?} {on_call}");
        let calls = w.engine.status()[0].calls.len();
        assert_eq!((w.stopped.len(), calls, w.engine.leased()), (0, 1, 1), "{kind:?}");
        lac.call(&mut w, 79);
    }
}

#[test]
fn a_message_out_of_place_costs_nothing_at_a_lac() {
    for (kind, on_call, answer) in [
        (MessageType::SCCRQ, false, 0),
        (MessageType::SCCRP, false, 0),
        (MessageType::SCCCN, false, 0),
        (MessageType::ICRP, true, 0),
        (MessageType::ICRP, false, 0),
        (MessageType::ICCN, true, 0),
        (MessageType::OCRP, true, 0),
        (MessageType::OCCN, true, 0),
        (MessageType::WEN, true, 0),
        // A call to us: there is no section that would take it.
        (MessageType::ICRQ, false, 14),
        (MessageType::OCRQ, false, 14),
    ] {
        let (mut w, mut server, session) = placed(lac_config());
        let got = server.say(&mut w, if on_call { session } else { 0 }, with_session(kind, 78));
        assert_eq!(kinds(&got), [answer], "{kind:?} {on_call}");
        assert_eq!(
            (w.started.len(), w.stopped.len(), w.engine.status()[0].calls.len()),
            (1, 0, 1),
            "{kind:?}"
        );
    }
}

#[test]
fn a_lac_asks_for_its_call_together_with_its_scccn_unless_the_window_is_one() {
    for (window, together) in [(None, true), (Some(1u16), false)] {
        let mut w = World::new(dials(lac_config()));
        let (mut server, _) = dialled(&mut w, None);
        let window = window.map(u16::to_be_bytes);
        let body = sccrp().maybe(attr::RECEIVE_WINDOW_SIZE, window.as_ref().map(|b| &b[..]));
        let said = server.say(&mut w, 0, body);
        assert_eq!(kinds(&said), if together { vec![3, 10] } else { vec![3] });
        if !together {
            assert_eq!(kinds(&server.zlb(&mut w)), [10]);
        }
        let session = w.engine.status()[0].calls[0].id.session;
        let said = server.say(&mut w, session, with_session(MessageType::ICRP, 77));
        assert_eq!((kinds(&said), said[0].0.1, w.started.len()), (vec![12], 77, 1), "pppd does not wait");
    }
}

#[test]
fn an_outgoing_call_starts_with_its_occn() {
    let mut w = World::new(dials(LacConfig { length_bit: true, ..lac_config() }));
    let (mut server, _) = dialled(&mut w, Some("5551234"));
    let said = server.say(&mut w, 0, sccrp());
    assert_eq!(kinds(&said), [3, 7]);
    let session = said[1].1.assigned_session.unwrap();
    assert_eq!(kinds(&server.say(&mut w, session, with_session(MessageType::OCRP, 77))), [0]);
    assert!(w.started.is_empty());
    assert_eq!(kinds(&server.say(&mut w, session, Body::new(MessageType::OCCN))), [0]);
    assert_eq!(w.started[0].number.as_deref(), Some("5551234"));
    // xl2tpd forgets the length bit of such a call.
    let mut d = Vec::new();
    w.engine.encapsulate(w.started[0].call, b"x", &mut d);
    assert_eq!(d, [0x40, 0x02, 0, 9, 0, 5, 0, 77, b'x']);
}

#[test]
fn a_datagram_of_4096_octets_is_read() {
    let (mut w, lac, session) = standing();
    let frame = vec![0x5a; 4096 - 8];
    let mut d = Vec::new();
    header::put_data(&mut d, lac.lns_tid, session, true, None, &frame);
    assert!(matches!(header::parse(&d), Ok(Packet::Data(_))));
    w.engine.handle(w.now, Input::Datagram { path: lac.path, refuse_clear: false, data: &d });
    let out = std::iter::from_fn(|| w.engine.poll_output());
    assert_eq!(out.filter(|o| matches!(o, Output::Payload { frame: f, .. } if *f == frame)).count(), 1);
}
