//! The LNS and those it does not know: limits, forged addresses, secrets, who may speak for a tunnel.

mod common;

use std::time::Duration;

use common::*;
use l2tp_proto::auth::{Carrier, response};
use l2tp_proto::avp::{self, attr};
use l2tp_proto::header;
use l2tp_proto::message::{Body, MessageType};
use l2tp_proto::{Event, Input, Limits, SecretBytes};

const S: Duration = Duration::from_secs(1);

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
fn the_limits_nobody_has_set() {
    let l = Limits::default();
    let few = (l.half_open_per_peer, l.half_open, l.calls_per_tunnel, l.calls, l.tunnels);
    assert_eq!(few, (8, 256, 32, 1000, 20_000));
}

#[test]
fn who_acknowledges_nothing_has_to_wait_and_takes_no_ids_from_others() {
    let mut w = World::new(config(lns()));
    let greedy = Lac::open(&mut w, path(10, 1701, 10), 1);
    let state = |w: &World| w.engine.tunnel(greedy.lns_tid).map(|t| (t.nr, t.unacknowledged)).unwrap();
    for n in 0..3000u16 {
        let icrq = with_session(MessageType::ICRQ, n | 1).done();
        let d = header::control(greedy.lns_tid, 0, state(&w).0, greedy.nr, &icrq);
        w.datagram(greedy.path, &d);
        (w.sent, w.log) = Default::default();
    }
    let (nr, waiting) = state(&w);
    assert!((32..=257).contains(&waiting), "{waiting} messages are kept");
    // A HELLO, which costs nothing, is heard, and others have their calls.
    let hello = Body::new(MessageType::HELLO).done();
    w.datagram(greedy.path, &header::control(greedy.lns_tid, 0, nr, greedy.nr, &hello));
    assert_eq!(state(&w).0, nr.wrapping_add(1));
    w.take();
    Lac::open(&mut w, path(11, 1701, 11), 1).call(&mut w, 7);
    // With what is under way acknowledged the next request is taken.
    let icrq = with_session(MessageType::ICRQ, 9).done();
    for acknowledged in [0, 4] {
        let nr = state(&w).0;
        let d = header::control(greedy.lns_tid, 0, nr, greedy.nr.wrapping_add(acknowledged), &icrq);
        w.datagram(greedy.path, &d);
        assert_eq!(state(&w).0, nr.wrapping_add(u16::from(acknowledged > 0)));
    }
}

/// However they are ordered and spelled, messages that draw one cannot make more than some hundreds wait.
#[test]
fn who_acknowledges_nothing_finds_no_other_way_to_be_answered() {
    let odd = |kind: MessageType, session: u16| {
        let mut body = with_session(kind, session).done();
        // An attribute nobody knows, mandatory.
        body.extend_from_slice(&[0x80, 6, 0, 99, 0, 1]);
        body
    };
    for kind in [MessageType::ICRQ, MessageType::WEN, MessageType::SLI, MessageType::ICRP, MessageType::OCCN]
    {
        let mut w = World::new(config(lns()));
        let greedy = Lac::open(&mut w, path(10, 1701, 10), 1);
        let state = |w: &World| w.engine.tunnel(greedy.lns_tid).map(|t| (t.nr, t.unacknowledged)).unwrap();
        for n in 0..1000u16 {
            let (nr, waited) = state(&w);
            let hello = Body::new(MessageType::HELLO).done();
            // Three ahead of a gap, and then what fills it.
            for (ahead, body) in
                [(1, odd(kind, n | 1)), (2, odd(kind, n | 1)), (3, odd(kind, n | 1)), (0, hello)]
            {
                let d = header::control(greedy.lns_tid, 0, nr.wrapping_add(ahead), greedy.nr, &body);
                w.datagram(greedy.path, &d);
            }
            (w.sent, w.log) = Default::default();
            if kind == MessageType::ICRQ && waited >= 256 {
                assert_eq!(
                    state(&w).0,
                    nr.wrapping_add(1),
                    "a request that gets no answer is not acknowledged"
                );
            }
        }
        let (_, waiting) = state(&w);
        assert!((32..=260).contains(&waiting), "{}: {waiting} messages are kept", kind.name());
    }
}

#[test]
fn an_sccrq_with_a_tie_breaker_that_was_forged_does_not_end_our_dial() {
    let mut cfg = dials(lac_config());
    cfg.default_lns = Some(lns().into());
    let mut w = World::new(cfg);
    let (mut server, _) = dialled(&mut w, None);
    let forged = Lac::new(server.path, 9);
    let d = forged.datagram(0, &forged.sccrq().may(attr::TIE_BREAKER, &[0; 8]).done());
    w.datagram(forged.path, &d);
    w.take();
    assert_eq!(kinds(&server.say(&mut w, 0, sccrp()))[0], MessageType::SCCCN.0);
    assert!(w.logged("Connection established to 203.0.113.10"));
}

#[test]
fn what_comes_before_the_sccrp_is_not_answered_and_does_not_end_our_dial() {
    for kind in
        [MessageType::ICRQ, MessageType::WEN, MessageType::HELLO, MessageType::OCRQ, MessageType::SCCCN]
    {
        let mut w = World::new(dials(lac_config()));
        let (mut server, _) = dialled(&mut w, None);
        for _ in 0..3 {
            // With an attribute nobody knows, mandatory.
            let d = server.datagram(0, &with_session(kind, 7).must(99, &[0]).done());
            server.ns = server.ns.wrapping_add(1);
            w.datagram(server.path, &d);
            for (_, said) in std::mem::take(&mut w.sent) {
                let Ok(header::Packet::Control(c)) = header::parse(&said) else { unreachable!() };
                assert!(c.body.is_empty(), "{}: {said:?}", kind.name());
            }
        }
        assert_eq!(kinds(&server.say(&mut w, 0, sccrp()))[0], MessageType::SCCCN.0);
    }
}
