//! The LNS against a scripted LAC: set-up, end, loss, repetition, order, collision, limits.

mod common;

use std::time::Duration;

use common::*;
use l2tp_proto::avp::{self, attr};
use l2tp_proto::header;
use l2tp_proto::message::{Body, MessageType};
use l2tp_proto::{CallEnd, Event, Input};

const S: Duration = Duration::from_secs(1);

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
fn what_pppds_exit_status_means_is_in_the_log_and_in_the_cdn() {
    // An exit status of pppd(8), part of our line, the result code of the CDN and its words.
    let could_not = "PPP could not be started";
    let orderly = [0, 5, 16].map(|status| (status, "", 1, ""));
    let table = [
        (1, "fatal error", 2, could_not),
        (2, "did not like its options", 2, could_not),
        (3, "not root", 2, could_not),
        (4, "the kernel has no PPP support", 2, could_not),
        (6, "lock the tty", 2, could_not),
        (7, "open the tty", 2, could_not),
        (8, "connect script", 2, could_not),
        (9, "pty command", 2, could_not),
        (10, "PPP negotiation failed", 1, ""),
        (11, "authentication failed: the peer did not prove who it is", 3, "PPP authentication failed"),
        (12, "idle for too long", 3, "Idle timeout"),
        (13, "up for as long as it may be", 3, "Limit reached"),
        (14, "called back", 1, ""),
        (15, "does not answer PPP echo requests", 1, ""),
        (17, "looped back", 1, ""),
        (18, "init script", 2, could_not),
        (19, "authentication failed: the peer did not accept ours", 3, "PPP authentication failed"),
        (20, "traffic limit", 3, "Limit reached"),
        (21, "too many authentication attempts", 3, "Limit reached"),
        (99, "for a reason this version does not know", 2, could_not),
    ];
    for (status, line, code, text) in orderly.into_iter().chain(table) {
        let mut w = World::new(config(lns()));
        let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
        lac.call(&mut w, 77);
        let call = w.started[0].call;
        w.log.clear();
        w.give(Input::CallEnded { call, end: CallEnd::Exit(status) });
        let got = lac.hear(&mut w).remove(0).1.result.unwrap();
        assert_eq!((got.code, got.text.as_str()), (code, text), "{status}");
        let words = format!("child_handler : call {}: ", call.session);
        let said = w.log.iter().find_map(|l| l.strip_prefix(&words)).unwrap_or("");
        assert!(said.contains(line) && said.is_empty() == line.is_empty(), "{status}: {said}");
    }
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
