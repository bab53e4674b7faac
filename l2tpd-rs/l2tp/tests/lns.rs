//! The LNS against a scripted LAC: set-up, end, loss, repetition, order, collision, limits.

mod common;

use std::time::Duration;

use common::*;
use l2tp_proto::auth::{Carrier, response};
use l2tp_proto::avp::{self, attr};
use l2tp_proto::header;
use l2tp_proto::message::{Body, MessageType};
use l2tp_proto::{CallEnd, Event, Input, Limits, SecretBytes};

const S: Duration = Duration::from_secs(1);

fn kinds(said: &[(Said, l2tp_proto::message::Message)]) -> Vec<u16> {
    said.iter().map(|(s, _)| s.0).collect()
}

fn cdn(code: &[u8], sid: u16) -> Body {
    Body::new(MessageType::CDN)
        .must(attr::RESULT_CODE, code)
        .must(attr::ASSIGNED_SESSION_ID, &sid.to_be_bytes())
}

fn stopccn(tid: u16) -> Body {
    Body::new(MessageType::STOPCCN)
        .must(attr::ASSIGNED_TUNNEL_ID, &tid.to_be_bytes())
        .result(1, 0, "Goodbye!")
}

#[test]
fn a_call_from_sccrq_to_data() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 0), 1);
    let body = lac.sccrq();
    let got = lac.say(&mut w, 0, body);
    assert_eq!(got[0].0, (2, 0, 0, 1));
    assert_eq!(got[0].1.receive_window, Some(4));
    let got = lac.say(&mut w, 0, Body::new(MessageType::SCCCN));
    assert_eq!(got[0].0, (0, 0, 1, 2), "the SCCCN is acknowledged at once");
    let session = lac.call(&mut w, 77);
    let s = &w.started[0];
    assert_eq!((s.remote_ip, s.local_ip), (Some([192, 168, 1, 128].into()), Some([192, 168, 1, 99].into())));
    let (l, t) = (s.call.session, s.call.tunnel);
    assert_eq!(
        w.log,
        [
            format!(
                "Connection established to 203.0.113.10, 1701.  Local: {t}, Remote: 1 (ref=0/0).  LNS session is 'default'"
            ),
            format!("Call established with 203.0.113.10, PID: 4711, Local: {l}, Remote: 77, Serial: 7"),
        ]
    );
    let mut d = Vec::new();
    header::put_data(&mut d, lac.lns_tid, session, false, None, b"\xff\x03\xc0\x21");
    w.datagram(lac.path, &d);
    assert_eq!(w.frames, [(w.started[0].call, b"\xff\x03\xc0\x21".to_vec())]);
    let mut out = Vec::new();
    assert_eq!(w.engine.encapsulate(w.started[0].call, b"ppp", &mut out), Some(lac.path));
    assert_eq!(out, [0x40, 2, 0, 11, 0, 1, 0, 77, b'p', b'p', b'p']);
}

#[test]
fn the_acknowledgement_of_a_calls_message_is_on_that_call() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    let session = lac.call(&mut w, 77);
    let got = lac.say(&mut w, session, cdn(&[0, 1, 0, 0], 77));
    assert_eq!(got[0].0.0, 0);
    assert_eq!(got[0].0.1, 77);
    assert_eq!((w.stopped.len(), w.engine.leased()), (1, 0));
}

#[test]
fn cdns_of_all_kinds_end_the_call_and_not_the_tunnel() {
    // By header; on session 0 by AVP; with an 8-octet Result Code; with an unheard-of code; with our own id.
    for (by_header, code, own) in [
        (true, &[0, 1, 0, 0][..], false),
        (false, &[0, 3], false),
        (true, &[0, 200, 0, 0], false),
        (false, &[0, 1], true),
        (true, &[1], false),
    ] {
        let mut w = World::new(config(lns()));
        let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
        let session = lac.call(&mut w, 77);
        lac.say(&mut w, if by_header { session } else { 0 }, cdn(code, if own { session } else { 77 }));
        assert_eq!((w.stopped.len(), w.engine.leased()), (1, 0), "{code:?}");
        assert!(w.engine.status()[0].established);
        lac.call(&mut w, 78);
        assert_eq!(w.engine.status()[0].calls.len(), 1);
    }
}

#[test]
fn pppds_exit_is_told_to_the_peer_and_frees_the_address_once() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    lac.call(&mut w, 77);
    let call = w.started[0].call;
    w.give(Input::CallEnded { call, end: CallEnd::Exit(11) });
    let got = lac.hear(&mut w);
    assert_eq!((got[0].0.0, got[0].0.1), (14, 77));
    assert_eq!(got[0].1.result.as_ref().unwrap().code, 3);
    assert!(w.logged("child_handler : pppd exited for call 77 with code 11"));
    assert!(w.logged("authentication failed"));
    assert_eq!(w.engine.leased(), 0);
    w.give(Input::CallEnded { call, end: CallEnd::Exit(0) });
    assert!(lac.hear(&mut w).is_empty(), "the end of a call is told once");
    lac.zlb(&mut w);
    w.pass(10 * S);
    assert!(lac.hear(&mut w).is_empty(), "an acknowledgement on session 0 ends the repetition");
}

#[test]
fn a_pppd_that_outlives_its_call_still_tells_its_exit() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    let session = lac.call(&mut w, 77);
    lac.say(&mut w, session, cdn(&[0, 1, 0, 0], 77));
    w.give(Input::CallEnded { call: w.started[0].call, end: CallEnd::Exit(11) });
    assert!(w.logged("pppd exited for call 77 with code 11") && w.logged("authentication failed"));
    assert!(lac.hear(&mut w).is_empty());
}

#[test]
fn a_peer_that_says_nothing_more_gets_two_sccrps_at_most_and_leaves_nothing() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 5), 1);
    let body = lac.sccrq();
    assert_eq!(kinds(&lac.say(&mut w, 0, body)), [2]);
    w.pass(30 * S);
    assert_eq!(kinds(&lac.hear(&mut w)), [2]);
    w.pass(10 * S);
    assert!(lac.hear(&mut w).is_empty());
    assert!(w.engine.status().is_empty() && w.engine.poll_timeout().is_none());
}

#[test]
fn a_repeated_sccrq_gets_the_same_sccrp_and_no_new_state() {
    let mut w = World::new(config(lns()));
    let lac = Lac::new(path(10, 1701, 0), 1);
    let d = lac.datagram(0, &lac.sccrq().done());
    w.datagram(lac.path, &d);
    let first = w.take();
    for _ in 0..3 {
        w.datagram(lac.path, &d);
        assert_eq!(w.take(), first);
    }
    assert_eq!(w.engine.status().len(), 1);
    assert!(w.logged("control_finish: Peer requested tunnel 1 twice, ignoring second one."));
    w.pass(30 * S);
    assert!(w.take().is_empty(), "what was repeated on request is not repeated by the timer");
}

#[test]
fn a_lost_scccn_and_a_lost_acknowledgement_are_survived() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 5), 1);
    let body = lac.sccrq();
    lac.say(&mut w, 0, body);
    let scccn = lac.datagram(0, &Body::new(MessageType::SCCCN).done());
    w.pass(S);
    assert_eq!(kinds(&lac.hear(&mut w)), [2], "the SCCCN was lost: SCCRP again");
    w.datagram(lac.path, &scccn);
    assert_eq!(kinds(&lac.hear(&mut w)), [0]);
    w.datagram(lac.path, &scccn);
    assert_eq!(kinds(&lac.hear(&mut w)), [0], "its acknowledgement was lost: acknowledged again");
    assert_eq!(w.log.iter().filter(|l| l.contains("Connection established")).count(), 1);
}

#[test]
fn scccn_and_icrq_in_the_wrong_order_are_put_right() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 0), 1);
    let body = lac.sccrq();
    lac.say(&mut w, 0, body);
    let scccn = lac.datagram(0, &Body::new(MessageType::SCCCN).done());
    lac.ns += 1;
    let icrq = Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 77]);
    assert!(lac.say(&mut w, 0, icrq).is_empty());
    w.datagram(lac.path, &scccn);
    assert_eq!(lac.hear(&mut w)[0].0, (11, 77, 1, 3));
}

#[test]
fn frames_that_overtake_the_iccn_are_kept() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    let icrq = Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 77]);
    let session = lac.say(&mut w, 0, icrq)[0].1.assigned_session.unwrap();
    let mut d = Vec::new();
    header::put_data(&mut d, lac.lns_tid, session, false, None, b"early");
    for _ in 0..50 {
        w.datagram(lac.path, &d);
    }
    assert!(w.frames.is_empty());
    lac.say(&mut w, session, Body::new(MessageType::ICCN));
    assert_eq!(w.frames.len(), 4);
}

#[test]
fn two_clients_behind_one_nat_with_the_same_tunnel_id() {
    let mut w = World::new(config(lns()));
    let mut a = Lac::open(&mut w, path(10, 1701, 10), 1);
    let mut b = Lac::open(&mut w, path(10, 1701, 11), 1);
    let mut c = Lac::open(&mut w, path(10, 4711, 0), 1);
    for lac in [&mut a, &mut b, &mut c] {
        lac.call(&mut w, 1);
    }
    assert_eq!(w.engine.status().len(), 3);
    assert_eq!(w.engine.leased(), 3);
}

#[test]
fn what_comes_from_elsewhere_never_touches_a_tunnel() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 10), 1);
    let session = lac.call(&mut w, 77);
    for elsewhere in [path(11, 1701, 10), path(10, 1702, 10), path(10, 1701, 11), path(10, 1701, 0)] {
        // Through the same SA, only one with wrong numbers: right ones would prove it.
        let right = (lac.ns, lac.nr);
        if elsewhere.mark == 10 {
            lac.ns = lac.ns.wrapping_add(1);
        }
        let d = lac.datagram(0, &Body::new(MessageType::HELLO).done());
        w.datagram(elsewhere, &d);
        assert!(w.take().is_empty());
        if elsewhere.mark == 10 {
            (lac.ns, lac.nr) = (right.0, right.1.wrapping_add(7));
            let d = lac.datagram(0, &Body::new(MessageType::HELLO).done());
            w.datagram(elsewhere, &d);
            lac.ns = right.0.wrapping_sub(1);
        }
        let d = lac.datagram(session, &cdn(&[0, 1], 77).done());
        w.datagram(elsewhere, &d);
        let mut d = Vec::new();
        header::put_data(&mut d, lac.lns_tid, session, false, None, b"x");
        w.datagram(elsewhere, &d);
        (lac.ns, lac.nr) = right;
    }
    assert!(w.frames.is_empty() && w.stopped.is_empty() && w.take().is_empty());
    assert!(w.logged(&format!("Can not find tunnel {} (refhim=0)", lac.lns_tid)));
}

#[test]
fn a_peer_whose_nat_has_moved_is_followed_when_it_proves_itself_over_its_own_sa() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 10), 1);
    let session = lac.call(&mut w, 77);
    lac.path = path(20, 4711, 10);
    assert_eq!(kinds(&lac.say(&mut w, 0, Body::new(MessageType::HELLO))), [0]);
    let mut d = Vec::new();
    header::put_data(&mut d, lac.lns_tid, session, false, None, b"x");
    w.datagram(lac.path, &d);
    assert_eq!((w.frames.len(), w.stopped.len()), (1, 0));
    let tunnel = lac.lns_tid;
    assert!(w.events.contains(&Event::TunnelMoved { tunnel, path: lac.path }));
    let mut out = Vec::new();
    assert_eq!(w.engine.encapsulate(w.started[0].call, b"ppp", &mut out), Some(lac.path));
    // The old place is nobody's now, and the mark still names the tunnel.
    w.datagram(path(10, 1701, 10), &d);
    assert_eq!(w.frames.len(), 1);
    w.give(Input::PathGone { mark: 10 });
    assert_eq!(w.engine.status().len(), 0);
}

#[test]
fn a_half_open_tunnel_whose_sccrp_is_acknowledged_is_forgotten_nevertheless() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 0), 1);
    let body = lac.sccrq();
    lac.say(&mut w, 0, body);
    lac.zlb(&mut w);
    w.pass(30 * S);
    assert_eq!(w.engine.status().len(), 1);
    w.pass(2 * S);
    assert!(w.engine.status().is_empty() && w.engine.poll_timeout().is_none());
}

#[test]
fn a_call_that_is_not_connected_gives_its_address_back() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    lac.say(&mut w, 0, Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 77]));
    for _ in 0..6 {
        assert_eq!(w.engine.leased(), 1);
        lac.zlb(&mut w);
        w.pass(10 * S);
    }
    assert_eq!(w.engine.leased(), 0);
    assert!(kinds(&lac.hear(&mut w)).contains(&14));
    assert!(w.stopped.is_empty() && w.engine.status()[0].established);
}

#[test]
fn the_pool_follows_the_address_ppp_has_agreed_on() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    let mut address = |w: &mut World, sid| {
        lac.call(w, sid);
        let start = w.started.last().unwrap();
        (start.call, start.remote_ip.unwrap())
    };
    let (call, first) = address(&mut w, 77);
    assert!(w.events.iter().any(|e| matches!(e, Event::AddressGiven { addr, .. } if *addr == first)));
    let fixed = std::net::Ipv4Addr::from(u32::from(first) + 1);
    w.give(Input::CallAddress { call, addr: fixed });
    w.give(Input::CallAddress { call, addr: fixed });
    assert_eq!((w.engine.leased(), w.engine.status()[0].calls[0].remote_ip), (1, Some(fixed)));
    assert_eq!(address(&mut w, 78).1, first, "it went back");
    let (third, addr) = address(&mut w, 79);
    assert_ne!(addr, fixed, "it is in use");
    // Somebody else has it: nothing is given back twice.
    w.give(Input::CallAddress { call: third, addr: fixed });
    assert_eq!(w.engine.leased(), 2);
    w.give(Input::CallEnded { call: third, end: CallEnd::Exit(0) });
    assert_eq!(w.engine.leased(), 2);
    w.give(Input::CallEnded { call, end: CallEnd::Exit(0) });
    assert_eq!(w.engine.leased(), 1);
}

#[test]
fn every_limit_holds_at_one_less_and_itself_and_counts_one_more() {
    for limit in [3, 4] {
        let all = 100;
        for which in 0..5 {
            let mut cfg = config(lns());
            let mut limits = Limits {
                half_open_per_peer: all,
                half_open: all,
                tunnels: all,
                calls_per_tunnel: all,
                calls: all,
                ..Limits::default()
            };
            let fields = [
                &mut limits.half_open_per_peer,
                &mut limits.half_open,
                &mut limits.tunnels,
                &mut limits.calls_per_tunnel,
                &mut limits.calls,
            ];
            *fields.into_iter().nth(which).unwrap() = limit;
            cfg.limits = limits;
            let mut w = World::new(cfg);
            let mut lac = (which >= 3).then(|| Lac::open(&mut w, path(1, 1701, 0), 1));
            let size = |w: &World| if which < 3 { w.engine.sizes().0 } else { w.engine.sizes().1 };
            for n in 1..=limit + 1 {
                match &mut lac {
                    None => {
                        let mut l = Lac::new(path(1, 1000 + n as u16, 0), n as u16);
                        let body = l.sccrq();
                        l.say(&mut w, 0, body);
                    }
                    Some(l) => {
                        let icrq =
                            Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, n as u8]);
                        l.say(&mut w, 0, icrq);
                    }
                }
                assert_eq!(size(&w), n.min(limit), "limit {which}, number {n}");
            }
            let c = w.engine.counters();
            let counts = [
                c.limit_half_open_per_peer,
                c.limit_half_open,
                c.limit_tunnels,
                c.limit_calls_per_tunnel,
                c.limit_calls,
            ];
            assert_eq!((counts[which], counts.iter().sum::<u64>()), (1, 1));
        }
    }
}

#[test]
fn a_stranger_gets_no_more_octets_than_he_has_sent_and_a_fifth() {
    let mut w = World::new(config(lns()));
    let (mut sent, mut got) = (0, 0);
    for n in 1..=100u16 {
        let mut b = Body::new(MessageType::SCCRQ)
            .must(attr::PROTOCOL_VERSION, &[1, 0])
            .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3])
            .must(attr::HOST_NAME, b"anonymous")
            .must(attr::ASSIGNED_TUNNEL_ID, &n.to_be_bytes())
            .done();
        avp::put(&mut b, true, 0, attr::RECEIVE_WINDOW_SIZE, &[0, 1]);
        let d = header::control(0, 0, 0, 0, &b);
        sent += d.len();
        w.datagram(path(n as u8, 1701, 0), &d);
        got += w.take().iter().map(|(_, d)| d.len()).sum::<usize>();
    }
    w.pass(60 * S);
    got += w.take().iter().map(|(_, d)| d.len()).sum::<usize>();
    assert!(got * 10 <= sent * 12, "{got} octets for {sent}");
}

#[test]
fn an_sccrp_that_is_larger_than_a_stranger_may_have_waits_for_his_repetition() {
    let mut l = lns();
    l.challenge = true;
    let mut w = World::with_secrets(config(l), "* * swordfish\n");
    let lac = Lac::new(path(10, 1701, 0), 1);
    let d = lac.datagram(0, &lac.sccrq().done());
    w.datagram(lac.path, &d);
    assert!(w.take().is_empty());
    w.datagram(lac.path, &d);
    assert_eq!(w.take().len(), 1);
    assert_eq!(w.engine.status().len(), 1);
}

#[test]
fn an_sli_is_handed_on_and_strings_with_a_nul_at_the_end_are_read() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 5), 1);
    let body = Body::new(MessageType::SCCRQ)
        .must(attr::HOST_NAME, b"iPhone\0")
        .must(attr::ASSIGNED_TUNNEL_ID, &[0, 1]);
    lac.say(&mut w, 0, body);
    lac.say(&mut w, 0, Body::new(MessageType::SCCCN));
    assert_eq!(w.engine.status()[0].peer_host, "iPhone");
    let session = lac.call(&mut w, 77);
    let accm = [0, 0, 0, 0, 0, 1, 0, 2, 0, 0];
    lac.say(&mut w, session, Body::new(MessageType::SLI).must(attr::ACCM, &accm));
    let call = w.started[0].call;
    assert!(w.events.contains(&Event::LinkInfo { call, send_accm: 1, recv_accm: 0x2_0000 }));
}

#[test]
fn a_peer_that_starts_anew_with_the_same_id_replaces_its_tunnel_when_it_has_shown_itself() {
    let mut w = World::new(config(lns()));
    let mut old = Lac::open(&mut w, path(10, 1701, 0), 1);
    old.call(&mut w, 77);
    let mut new = Lac::new(old.path, 1);
    let body = new.sccrq().may(attr::FIRMWARE_REVISION, &[1, 1]);
    assert_eq!(kinds(&new.say(&mut w, 0, body)), [2]);
    assert!(w.stopped.is_empty(), "an SCCRQ alone, which can be forged, ends nothing");
    new.say(&mut w, 0, Body::new(MessageType::SCCCN));
    assert_eq!((w.stopped.len(), w.engine.leased(), w.engine.status().len()), (1, 0, 1));
}

#[test]
fn in_clear_where_ipsec_is_required_there_is_no_answer() {
    let mut w = World::new(config(lns()));
    w.refuse_clear = true;
    let mut lac = Lac::new(path(10, 1701, 0), 1);
    for _ in 0..1000 {
        let body = lac.sccrq();
        lac.ns = 0;
        assert!(lac.say(&mut w, 0, body).is_empty());
    }
    let line = "control_finish: Denied connection to unauthorized peer 203.0.113.10: SCCRQ came in clear, not through \
                IPsec (listen-plain = no)";
    assert!(w.logged(line));
    assert!(w.log.len() <= 20, "{}", w.log.len());
    let d = lac.datagram(0, &stopccn(1).done());
    w.datagram(lac.path, &d);
    assert!(w.take().is_empty());
}

#[test]
fn half_open_tunnels_are_limited_by_address_and_in_all() {
    let mut cfg = config(lns());
    cfg.limits = Limits { half_open: 20, ..Limits::default() };
    let mut w = World::new(cfg);
    for last in 1..=4 {
        for tid in 1..=10 {
            let mut lac = Lac::new(path(last, 1000 + tid, 0), tid);
            let body = lac.sccrq();
            lac.say(&mut w, 0, body);
        }
    }
    assert_eq!(w.engine.status().len(), 20, "8 + 8 + 4");
    w.pass(40 * S);
    assert!(w.engine.status().is_empty());
    Lac::open(&mut w, path(1, 1701, 0), 1);
}

#[test]
fn calls_of_a_tunnel_are_limited() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    for sid in 1..=32 {
        lac.call(&mut w, sid);
    }
    let icrq = Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 33]);
    let got = lac.say(&mut w, 0, icrq);
    assert_eq!((got[0].0.0, got[0].0.1, got[0].1.result.as_ref().unwrap().code), (14, 33, 4));
    assert_eq!(w.engine.leased(), 32);
}

#[test]
fn ten_thousand_calls_acknowledged_on_session_0_leave_the_pool_full() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    for i in 0..10_000u32 {
        lac.call(&mut w, (i % 60_000 + 1) as u16);
        let call = w.started.last().unwrap().call;
        w.give(Input::CallEnded { call, end: CallEnd::Exit(16) });
        lac.hear(&mut w);
        lac.zlb(&mut w);
        assert_eq!(w.engine.leased(), 0);
    }
}

#[test]
fn an_empty_pool_is_told() {
    let mut l = lns();
    l.pool[0].range.end = l.pool[0].range.start;
    let mut w = World::new(config(l));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    lac.call(&mut w, 1);
    let got = lac.say(&mut w, 0, Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 2]));
    let r = got[0].1.result.clone().unwrap();
    assert_eq!((r.code, r.error, r.text.as_str()), (2, Some(4), "No available IP address"));
    assert!(w.logged("control_finish: Out of IP addresses on tunnel 1!"));
}

#[test]
fn hello_only_when_idle_and_a_silent_peer_is_given_up() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    let session = lac.call(&mut w, 77);
    let mut d = Vec::new();
    header::put_data(&mut d, lac.lns_tid, session, false, None, b"x");
    for _ in 0..5 {
        w.pass(50 * S);
        w.datagram(lac.path, &d);
    }
    assert!(lac.hear(&mut w).is_empty(), "data shows that the peer is there");
    w.pass(60 * S);
    assert_eq!(kinds(&lac.hear(&mut w)), [6]);
    lac.zlb(&mut w);
    w.pass(59 * S);
    assert!(lac.hear(&mut w).is_empty());
    w.pass(33 * S);
    assert_eq!(kinds(&lac.hear(&mut w)), [6, 6, 6, 6, 6, 4]);
    assert!(w.logged("Maximum retries exceeded for tunnel"));
    assert!(w.logged("Connection 1 closed to 203.0.113.10, port 1701 (Timeout)"));
    assert_eq!((w.stopped.len(), w.engine.leased(), w.engine.status().len()), (1, 0, 0));
}

#[test]
fn a_stopccn_is_acknowledged_again_for_a_while_and_after_that_too() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    lac.call(&mut w, 77);
    let d = lac.datagram(0, &stopccn(1).done());
    let got = lac.say(&mut w, 0, stopccn(1));
    assert_eq!(kinds(&got), [0]);
    assert_eq!((w.stopped.len(), w.engine.leased(), w.engine.status().len()), (1, 0, 0));
    assert!(w.logged("control_finish: Connection closed to 203.0.113.10, port 1701 (Goodbye!), Local:"));
    for _ in 0..2 {
        w.datagram(lac.path, &d);
        assert_eq!(lac.hear(&mut w)[0].0.3, lac.ns);
        w.pass(40 * S);
    }
    assert!(w.engine.poll_timeout().is_none());
}

#[test]
fn shutdown_tells_every_peer_and_is_quiet_when_they_have_answered() {
    let mut w = World::new(config(lns()));
    let mut a = Lac::open(&mut w, path(10, 1701, 0), 1);
    a.call(&mut w, 77);
    let mut stranger = Lac::new(path(11, 1701, 0), 1);
    let body = stranger.sccrq();
    stranger.say(&mut w, 0, body);
    w.give(Input::Shutdown);
    assert!(!w.sent.iter().any(|(p, _)| *p == stranger.path), "a stranger is told nothing more");
    let got = a.hear(&mut w);
    assert_eq!((got[0].0.0, got[0].1.result.as_ref().unwrap().text.as_str()), (4, "Server closing"));
    assert!(!w.engine.is_quiet());
    assert_eq!(w.stopped.len(), 1);
    a.zlb(&mut w);
    assert!(w.engine.is_quiet() && w.engine.poll_timeout().is_none());
}

#[test]
fn unknown_mandatory_avps_end_what_they_are_about() {
    let vendor = |b: Body, m| {
        let mut b = b.done();
        avp::put(&mut b, m, 9, 1, b"x");
        b
    };
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    let icrq = |sid: u8| Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, sid]);
    let d = lac.datagram(0, &vendor(icrq(5), true));
    lac.ns += 1;
    w.datagram(lac.path, &d);
    let got = lac.hear(&mut w);
    assert_eq!((got[0].0.0, got[0].0.1), (14, 5), "a call's message costs the call");
    assert_eq!(got[0].1.result.as_ref().unwrap().error, Some(8));
    let d = lac.datagram(0, &vendor(icrq(6), false));
    lac.ns += 1;
    w.datagram(lac.path, &d);
    assert_eq!(kinds(&lac.hear(&mut w)), [11], "one that is not mandatory is skipped");
    let d = lac.datagram(0, &vendor(Body::new(MessageType::HELLO), true));
    lac.ns += 1;
    w.datagram(lac.path, &d);
    assert_eq!(kinds(&lac.hear(&mut w)), [4], "the tunnel's message costs the tunnel");
}

#[test]
fn messages_an_lns_has_no_use_for_cost_nothing() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    let session = lac.call(&mut w, 77);
    for (kind, on) in [
        (MessageType::WEN, session),
        (MessageType::SLI, session),
        (MessageType::OCCN, 0),
        (MessageType::SCCRP, 0),
    ] {
        assert_eq!(kinds(&lac.say(&mut w, on, Body::new(kind))), [0], "{kind:?}");
    }
    let ocrq = Body::new(MessageType::OCRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 9]);
    assert_eq!(kinds(&lac.say(&mut w, 0, ocrq)), [14]);
    assert_eq!(w.engine.status()[0].calls.len(), 1);
    assert_eq!(kinds(&lac.say(&mut w, session, Body::new(MessageType(20)))), [14]);
    assert_eq!(kinds(&lac.say(&mut w, 0, Body::new(MessageType(20)))), [4]);
}

#[test]
fn both_sides_prove_the_secret() {
    let mut l = lns();
    l.challenge = true;
    let secret = SecretBytes::from(&b"swordfish"[..]);
    for (key, good) in [(&b"swordfish"[..], true), (b"herring", false)] {
        let mut w = World::with_secrets(config(l.clone()), "* lac swordfish\n");
        let mut lac = Lac::new(path(10, 1701, 5), 1);
        let body = lac.sccrq().must(attr::CHALLENGE, b"0123456789");
        let m = lac.say(&mut w, 0, body).remove(0).1;
        assert_eq!(
            m.challenge_response.as_deref(),
            Some(&response(Carrier::Sccrp, &secret, b"0123456789")[..])
        );
        let answer = response(Carrier::Scccn, &SecretBytes::from(key), &m.challenge.unwrap());
        let got = lac.say(&mut w, 0, Body::new(MessageType::SCCCN).must(attr::CHALLENGE_RESPONSE, &answer));
        assert_eq!(kinds(&got), [if good { 0 } else { 4 }]);
        assert_eq!(w.logged("Connection established"), good);
        assert_eq!(w.logged("control_finish: Invalid authentication for host 'lac'"), !good);
    }
}

#[test]
fn a_challenge_without_a_secret_is_refused_and_not_answered_with_zeros() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 0), 1);
    let body = lac.sccrq().must(attr::CHALLENGE, b"0123456789");
    let got = lac.say(&mut w, 0, body);
    assert_eq!((got[0].0.0, got[0].1.result.as_ref().unwrap().code), (4, 4));
    assert!(w.engine.status().is_empty());
}

#[test]
fn nobody_serves_a_peer_without_a_section() {
    let mut cfg = config(lns());
    cfg.access_control = true;
    let mut w = World::new(cfg);
    let mut lac = Lac::new(path(10, 1701, 0), 1);
    let body = lac.sccrq();
    let got = lac.say(&mut w, 0, body);
    assert_eq!(got[0].1.result.as_ref().unwrap().text, "No Authorization");
    assert!(w.logged("control_finish: Denied connection to unauthorized peer 203.0.113.10"));
    assert!(w.engine.status().is_empty() && w.engine.poll_timeout().is_none());
}
