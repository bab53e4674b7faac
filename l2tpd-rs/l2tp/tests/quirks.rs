//! Peers of the field and what sets them apart, each told by what it sends. Rows that other tests show:
//!
//! | peer | trait | test |
//! |---|---|---|
//! | Apple | Result Code in host byte order | here; `message::apples_byte_order_is_swapped` |
//! | Apple | strings end with a NUL, SLI | `lns::an_sli_is_handed_on_and_strings_with_a_nul_at_the_end_are_read` |
//! | MSL2TP | our id instead of its own in StopCCN and CDN | here; `lns::cdns_of_all_kinds_end_the_call_and_not_the_tunnel` |
//! | Windows | its whole set-up, GUID as vendor AVP | here; `message::a_vendors_avp_is_not_the_ietfs_of_the_same_number` |
//! | Windows | tunnel id 1 from everyone behind one NAT | `strangers::two_clients_behind_one_nat_with_the_same_tunnel_id` |
//! | Windows | SCCRQ again after 1 s | `lns::a_repeated_sccrq_gets_the_same_sccrp_and_no_new_state` |
//! | Android | its whole set-up, one message at a time | here; `transport::a_window_of_one_lets_one_message_out_at_a_time` |
//! | Android | never acknowledges HELLO | here |
//! | Cisco IOS | ICCN without speed and framing, AVPs where they do not belong | here |
//! | RouterOS | Result Code of two octets | here; `lns::cdns_of_all_kinds_…`, `message::a_result_code_may_lack_its_error_field` |
//! | BNG LACs | Broadband Forum's AVPs (vendor 3561) | here |
//! | Watchguard | no Rx Connect Speed | here: an ICCN has one with `rx bps` only |
//! | H3C | M only where RFC 2661 has it | here |
//! | Huawei, Cisco | acknowledge on session 0 | `lns::ten_thousand_calls_acknowledged_on_session_0_leave_the_pool_full` |
//! | all | CDN on session 0 | `lns::cdns_of_all_kinds_end_the_call_and_not_the_tunnel` |
//! | kl2tpd | SLI, WEN | `lns::messages_an_lns_has_no_use_for_cost_nothing` |
//! | LACs of carriers | proxy LCP and authentication, private group, old serial numbers, wrong M bits | here |
//! | carriers | padding after the datagram | here; `header::padding_after_the_stated_length_is_tolerated` |
//! | D-Link DIR-300 | tunnel id 0 on a tunnel that stands | here: not served, for whoever knows the address could speak for it |

mod common;

use std::time::Duration;

use common::*;
use l2tp_proto::avp::{self, Avps, attr};
use l2tp_proto::header::{self, Packet};
use l2tp_proto::message::{Body, Message, MessageType};
use l2tp_proto::{Input, LacConfig, LnsAddress};

const S: Duration = Duration::from_secs(1);

/// `body` and one more AVP.
fn with(body: Body, mandatory: bool, vendor: u16, attribute: u16, value: &[u8]) -> Vec<u8> {
    let mut b = body.done();
    avp::put(&mut b, mandatory, vendor, attribute, value);
    b
}

/// As [`Lac::say`], for a body that is done.
fn say(lac: &mut Lac, w: &mut World, session: u16, body: &[u8]) -> Vec<(Said, Message)> {
    let d = lac.datagram(session, body);
    lac.ns = lac.ns.wrapping_add(1);
    w.datagram(lac.path, &d);
    lac.hear(w)
}

fn icrq(sid: u16) -> Body {
    Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &sid.to_be_bytes())
}

fn standing() -> (World, Lac, u16) {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 5), 1);
    let session = lac.call(&mut w, 77);
    (w, lac, session)
}

#[test]
fn apple_ends_call_and_tunnel_in_its_own_byte_order() {
    let (mut w, mut lac, session) = standing();
    let cdn = Body::new(MessageType::CDN)
        .must(attr::RESULT_CODE, &[3, 0, 0, 0])
        .must(attr::ASSIGNED_SESSION_ID, &[0, 77]);
    assert_eq!(kinds(&lac.say(&mut w, session, cdn)), [0]);
    assert_eq!((w.stopped.len(), w.engine.leased()), (1, 0));
    let stopccn = Body::new(MessageType::STOPCCN)
        .must(attr::ASSIGNED_TUNNEL_ID, &[0, 1])
        .must(attr::RESULT_CODE, &[1, 0, 0, 0]);
    assert_eq!(kinds(&lac.say(&mut w, 0, stopccn)), [0]);
    for line in ["network=768, le=3", "network=256, le=1"] {
        assert!(
            w.logged(&format!("result_code_avp: result code endianness fix for buggy Apple client. {line}"))
        );
    }
    w.pass(40 * S);
    assert!(w.engine.status().is_empty());
}

#[test]
fn a_stopccn_ends_the_tunnel_whatever_is_wrong_with_it() {
    let good = |id: u16, code: &[u8]| {
        Body::new(MessageType::STOPCCN)
            .must(attr::ASSIGNED_TUNNEL_ID, &id.to_be_bytes())
            .must(attr::RESULT_CODE, code)
    };
    let (_, lac, _) = standing();
    for body in [
        good(lac.lns_tid, &[0, 1, 0, 0]),
        good(999, &[0, 1, 0, 0]),
        good(1, &[0, 1]),
        good(1, &[0, 200, 0, 0]),
        good(1, &[]),
        Body::new(MessageType::STOPCCN),
    ] {
        let (mut w, mut lac, _) = standing();
        assert_eq!(kinds(&lac.say(&mut w, 0, body)), [0], "it is acknowledged, too");
        assert_eq!((w.stopped.len(), w.engine.leased(), w.engine.status().len()), (1, 0, 0));
    }
}

#[test]
fn windows_calls_with_its_guid() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 5), 1);
    let sccrq = Body::new(MessageType::SCCRQ)
        .must(attr::PROTOCOL_VERSION, &[1, 0])
        .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 1])
        .must(attr::BEARER_CAPABILITIES, &[0; 4])
        .may(attr::FIRMWARE_REVISION, &[10, 0])
        .must(attr::HOST_NAME, b"DESKTOP-1")
        .may(attr::VENDOR_NAME, b"Microsoft")
        .must(attr::ASSIGNED_TUNNEL_ID, &[0, 1])
        .must(attr::RECEIVE_WINDOW_SIZE, &[0, 8]);
    assert_eq!(kinds(&lac.say(&mut w, 0, sccrq)), [2]);
    assert_eq!(kinds(&lac.say(&mut w, 0, Body::new(MessageType::SCCCN))), [0]);
    let body = icrq(1).must(attr::CALL_SERIAL_NUMBER, &[0; 4]).must(attr::BEARER_TYPE, &[0, 0, 0, 2]);
    let got = say(&mut lac, &mut w, 0, &with(body, false, 311, 1, &[0xa5; 16]));
    assert_eq!(kinds(&got), [11]);
    assert_eq!(w.engine.status()[0].calls.len(), 1);
    assert!(!w.logged("handle_avps"), "{:?}", w.log);
}

#[test]
fn android_hears_one_message_at_a_time_and_each_acknowledgement_at_once() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 40_000, 5), 4711);
    let sccrq = Body::new(MessageType::SCCRQ)
        .must(attr::PROTOCOL_VERSION, &[1, 0])
        .must(attr::HOST_NAME, b"anonymous")
        .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3])
        .must(attr::ASSIGNED_TUNNEL_ID, &4711u16.to_be_bytes())
        .must(attr::RECEIVE_WINDOW_SIZE, &[0, 1]);
    assert_eq!(kinds(&lac.say(&mut w, 0, sccrq)), [2]);
    let scccn = lac.say(&mut w, 0, Body::new(MessageType::SCCCN));
    assert_eq!(scccn.iter().map(|s| s.0).collect::<Vec<_>>(), [(0, 0, 1, 2)], "its ICRQ waits for this");
    let got = lac.say(&mut w, 0, icrq(5).must(attr::CALL_SERIAL_NUMBER, &0xdead_beefu32.to_be_bytes()));
    assert_eq!(kinds(&got), [11]);
    let session = got[0].1.assigned_session.unwrap();
    let iccn = Body::new(MessageType::ICCN)
        .must(attr::TX_CONNECT_SPEED, &100_000_000u32.to_be_bytes())
        .must(attr::FRAMING_TYPE, &[0, 0, 0, 3]);
    let got = lac.say(&mut w, session, iccn);
    assert_eq!(kinds(&got), [0], "its PPP waits for this");
    assert_eq!((w.started.len(), w.engine.status()[0].calls[0].serial), (1, 0xdead_beef));
    // It masks the flags of what it gets with 0xCB0F and wants 0xC802.
    w.give(Input::HangUp(w.started[0].call));
    w.give(Input::CloseTunnel { tunnel: lac.lns_tid, text: "Goodbye!" });
    let sent = w.take();
    assert_eq!(sent.len(), 1, "the StopCCN waits for the acknowledgement of the CDN");
    assert_eq!(u16::from_be_bytes([sent[0].1[0], sent[0].1[1]]) & 0xcb0f, 0xc802);
    lac.nr += 1;
    assert_eq!(kinds(&lac.zlb(&mut w)), [4]);
}

#[test]
fn a_peer_that_never_acknowledges_a_hello_stays_while_it_is_heard() {
    let (mut w, mut lac, session) = standing();
    let mut frame = Vec::new();
    header::put_data(&mut frame, lac.lns_tid, session, false, None, b"x");
    // It sleeps, hears HELLOs without a word, and wakes up before it is given up; again and again.
    for _ in 0..5 {
        w.pass(80 * S);
        assert!(kinds(&lac.hear(&mut w)).contains(&6));
        w.datagram(lac.path, &frame);
    }
    assert_eq!((w.stopped.len(), w.engine.status()[0].calls.len()), (0, 1));
    w.pass(100 * S);
    assert_eq!((w.stopped.len(), w.engine.status().len()), (1, 0), "and not when it is not");
}

#[test]
fn frames_that_the_kernel_has_taken_show_that_the_peer_is_there() {
    let (mut w, mut lac, _) = standing();
    let tunnel = lac.lns_tid;
    for _ in 0..10 {
        assert!(w.engine.suspects(w.now).is_empty());
        w.now = w.now + 60 * S;
        assert_eq!(w.engine.suspects(w.now), [w.started[0].call]);
        w.give(Input::Heard { tunnel });
        w.pass(Duration::ZERO);
    }
    assert!(lac.hear(&mut w).is_empty(), "nobody has to ask it");
    w.pass(100 * S);
    assert_eq!(w.engine.status().len(), 0);
}

#[test]
fn cisco_connects_without_a_word_of_speed_and_framing() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    // A Receive Window Size where it does not belong changes nothing.
    let got = lac.say(&mut w, 0, icrq(9).must(attr::RECEIVE_WINDOW_SIZE, &[0, 1]));
    let session = got[0].1.assigned_session.unwrap();
    assert_eq!(kinds(&lac.say(&mut w, session, Body::new(MessageType::ICCN))), [0]);
    assert_eq!(w.started.len(), 1);
    assert!(w.logged("control_finish: Warning: Peer did not specify transmit speed"));
}

#[test]
fn broadband_forums_avps_are_nobody_elses() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    // Its Agent-Remote-Id has the number of Protocol Version, its Access-Loop one that of Assigned Session ID.
    let mut body = icrq(9).done();
    avp::put(&mut body, false, 3561, 2, b"subscriber 0815 ");
    avp::put(&mut body, false, 3561, 14, &[0, 1]);
    let got = say(&mut lac, &mut w, 0, &body);
    assert_eq!((kinds(&got), got[0].0.1), (vec![11], 9));
}

#[test]
fn only_what_rfc_2661_says_is_mandatory() {
    let optional = [attr::FIRMWARE_REVISION, attr::VENDOR_NAME, attr::RX_CONNECT_SPEED];
    let mandatory_where_it_may_be = |body: &[u8]| {
        for a in Avps::new(body) {
            let a = a.unwrap();
            assert_eq!(a.mandatory, !optional.contains(&a.attribute), "attribute {}", a.attribute);
        }
    };
    for (rx, has_rx) in [(0, false), (128_000, true)] {
        let l = LacConfig {
            lns: vec![LnsAddress { host: "203.0.113.10".into(), port: 1701 }],
            tx_bps: 64_000,
            rx_bps: rx,
            name: "x".into(),
            ..LacConfig::default()
        };
        let mut cfg = config(lns());
        cfg.lac = vec![l.into()];
        let mut w = World::new(cfg);
        w.give(Input::Dial { lac: "x", number: None, credentials: Default::default() });
        let mut said = Vec::new();
        let mut take = |w: &mut World| -> Vec<(u16, u16, Message)> {
            let sent = w.take().into_iter().map(|(_, d)| match header::parse(&d) {
                Ok(Packet::Control(c)) => {
                    mandatory_where_it_may_be(c.body);
                    said.extend(Avps::new(c.body).map(|a| a.unwrap().attribute));
                    (c.tunnel, c.session, Message::decode(c.body, None))
                }
                other => panic!("{other:?}"),
            });
            sent.collect()
        };
        let sccrq = take(&mut w).remove(0).2;
        let mut server = Lac::new(path(10, 1701, 0), 0);
        server.lns_tid = sccrq.assigned_tunnel.unwrap();
        server.nr = 1;
        let sccrp = Body::new(MessageType::SCCRP)
            .must(attr::PROTOCOL_VERSION, &[1, 0])
            .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3])
            .must(attr::HOST_NAME, b"lns")
            .must(attr::ASSIGNED_TUNNEL_ID, &[0, 9]);
        let d = server.datagram(0, &sccrp.done());
        w.datagram(server.path, &d);
        let icrq = take(&mut w).into_iter().find_map(|(.., m)| m.assigned_session).unwrap();
        (server.ns, server.nr) = (1, 3);
        let d = server
            .datagram(icrq, &Body::new(MessageType::ICRP).must(attr::ASSIGNED_SESSION_ID, &[0, 3]).done());
        w.datagram(server.path, &d);
        take(&mut w);
        assert!(said.contains(&attr::TX_CONNECT_SPEED));
        assert_eq!(said.contains(&attr::RX_CONNECT_SPEED), has_rx, "Watchguard does not like it");
    }
}

#[test]
fn a_lac_may_tell_all_it_knows_with_whatever_m_bits() {
    for m in [false, true] {
        let mut w = World::new(config(lns()));
        let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
        let mut body = Body::new(MessageType::ICRQ).done();
        avp::put(&mut body, m, 0, attr::ASSIGNED_SESSION_ID, &[0, 9]);
        // The serial number of old LACs has two octets. Physical channel, called, calling number and sub-address.
        for (n, v) in
            [(15, &[0x12, 0x34][..]), (18, &[0; 4]), (25, &[0; 4]), (21, b"1"), (22, b"2"), (23, b"3")]
        {
            avp::put(&mut body, m, 0, n, v);
        }
        let got = say(&mut lac, &mut w, 0, &body);
        assert_eq!(kinds(&got), [11]);
        let mut body = Body::new(MessageType::ICCN).done();
        // Proxy LCP, proxy authentication, private group.
        for n in (26..=33).chain([37]) {
            avp::put(&mut body, m, 0, n, &[1, 4, 5, 120]);
        }
        let session = got[0].1.assigned_session.unwrap();
        assert_eq!(kinds(&say(&mut lac, &mut w, session, &body)), [0]);
        assert_eq!(w.started[0].calling_number.as_deref(), Some("2"));
        assert_eq!(w.engine.status()[0].calls[0].serial, 0x1234);
        assert!(!w.logged("handle_avps"), "{:?}", w.log);
    }
}

#[test]
fn padding_and_reserved_bits_cost_nothing() {
    let (mut w, mut lac, session) = standing();
    let mut d = lac.datagram(0, &Body::new(MessageType::HELLO).done());
    lac.ns += 1;
    d[0] |= 0x34;
    d[1] |= 0xf0;
    d.extend_from_slice(&[0; 7]);
    w.datagram(lac.path, &d);
    assert_eq!(kinds(&lac.hear(&mut w)), [0]);
    // Priority, offset and length with a data message.
    let mut d = vec![0x43, 0x02, 0, 15];
    d.extend_from_slice(&lac.lns_tid.to_be_bytes());
    d.extend_from_slice(&session.to_be_bytes());
    d.extend_from_slice(&[0, 2, 9, 9, b'p', b'p', b'p', 0, 0]);
    w.datagram(lac.path, &d);
    assert_eq!(w.frames.last().unwrap().1, b"ppp");
}

#[test]
fn what_is_about_a_call_nobody_knows_is_acknowledged_and_costs_nothing() {
    let (mut w, mut lac, _) = standing();
    let unknown = (1..).find(|s| w.engine.status()[0].calls[0].id.session != *s).unwrap();
    for kind in [MessageType::ICCN, MessageType::CDN, MessageType::WEN, MessageType::SLI, MessageType::ICRP] {
        let got = lac.say(&mut w, unknown, Body::new(kind));
        assert_eq!((kinds(&got), got[0].0.1), (vec![0], 0), "{kind:?}");
    }
    // Neither does a call without an id.
    assert_eq!(kinds(&lac.say(&mut w, 0, Body::new(MessageType::ICRQ))), [0]);
    assert_eq!((w.stopped.len(), w.engine.status()[0].calls.len()), (0, 1));
}

#[test]
fn nothing_but_an_sccrq_opens_a_tunnel_and_tunnel_0_is_nobodys() {
    let (mut w, lac, session) = standing();
    let hello = Body::new(MessageType::HELLO).done();
    let sccrq = lac.sccrq().done();
    let mut l2tpv3 = header::control(0, 0, 0, 0, &sccrq);
    l2tpv3[1] = 3;
    let stranger = path(99, 1701, 0);
    for d in [
        header::control(0, 0, 0, 0, &hello),
        header::control(0, 0, 0, 0, &[]),
        header::control(0, session, 0, 0, &sccrq),
        header::control(0, 0, 1, 0, &sccrq),
        l2tpv3,
        // D-Link's DIR-300 means the tunnel that stands.
        header::control(0, 0, lac.ns, lac.nr, &hello),
    ] {
        for from in [stranger, lac.path] {
            w.datagram(from, &d);
            assert!(w.take().is_empty());
        }
    }
    assert_eq!((w.engine.status().len(), w.stopped.len()), (1, 0));
}
