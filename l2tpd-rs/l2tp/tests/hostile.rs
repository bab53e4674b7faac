//! Whatever is sent, the engine neither panics nor keeps more than its limits allow.

mod common;

use common::*;
use l2tp_proto::LacConfig;
use l2tp_proto::avp::{self, attr};
use l2tp_proto::header;
use l2tp_proto::message::{Body, MessageType};
use proptest::prelude::*;

/// One thing a hostile peer with a tunnel may do.
#[derive(Clone, Debug)]
enum Act {
    Raw(Vec<u8>),
    Control { kind: u16, session: u8, ns: i8, nr: i8, avps: Vec<(bool, u16, Vec<u8>)> },
    Data { session: u8, payload: Vec<u8> },
    Wait(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let avps = proptest::collection::vec(
        (any::<bool>(), 0u16..41, proptest::collection::vec(any::<u8>(), 0..6)),
        0..5,
    );
    prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Act::Raw),
        6 => (0u16..18, 0u8..3, -1i8..3, -1i8..2, avps)
            .prop_map(|(kind, session, ns, nr, avps)| Act::Control { kind, session, ns, nr, avps }),
        2 => (0u8..3, proptest::collection::vec(any::<u8>(), 0..9)).prop_map(|(session, payload)| Act::Data { session, payload }),
        1 => any::<u8>().prop_map(Act::Wait),
    ]
}

/// Does it; `other` is at the far end of the engine's tunnel, whose call has `session`.
fn perform(act: Act, w: &mut World, other: &mut Lac, session: u16) {
    let session = |s: u8| [0, session, 9][usize::from(s)];
    match act {
        Act::Raw(d) => w.datagram(other.path, &d),
        Act::Wait(s) => w.pass(std::time::Duration::from_secs(s.into())),
        Act::Data { session: s, payload } => {
            let mut d = Vec::new();
            header::put_data(&mut d, other.lns_tid, session(s), false, None, &payload);
            w.datagram(other.path, &d);
        }
        Act::Control { kind, session: s, ns, nr, avps } => {
            let mut b = Body::new(MessageType(kind)).must(attr::ASSIGNED_SESSION_ID, &[0, 78]).done();
            for (m, a, v) in &avps {
                avp::put(&mut b, *m, 0, *a, v);
            }
            let (ns16, nr16) =
                (other.ns.wrapping_add_signed(ns.into()), other.nr.wrapping_add_signed(nr.into()));
            w.datagram(other.path, &header::control(other.lns_tid, session(s), ns16, nr16, &b));
            if ns == 0 {
                other.ns = other.ns.wrapping_add(1);
            }
        }
    }
}

/// A LAC with a call.
fn calling() -> (World, Lac, u16) {
    let (redial, max_redials, accept_outgoing) = (true, Some(2), true);
    placed(LacConfig { redial, max_redials, accept_outgoing, ..lac_config() })
}

/// An SCCRQ, as good or bad as can be.
fn sccrq() -> impl Strategy<Value = Vec<u8>> {
    let avps = proptest::collection::vec(
        (any::<bool>(), 0u16..3, 0u16..41, proptest::collection::vec(any::<u8>(), 0..20)),
        0..4,
    );
    (0u16..4, any::<bool>(), any::<bool>(), avps).prop_map(|(id, challenge, tie, avps)| {
        let mut b = Body::new(MessageType::SCCRQ);
        if id > 0 {
            b = b.must(attr::ASSIGNED_TUNNEL_ID, &id.to_be_bytes());
        }
        b = b.maybe(attr::CHALLENGE, challenge.then_some(&[7; 16][..]));
        b = b.maybe(attr::TIE_BREAKER, tie.then_some(&[7; 8][..]));
        let mut b = b.done();
        for (m, vendor, a, v) in &avps {
            avp::put(&mut b, *m, *vendor, *a, v);
        }
        b
    })
}

#[test]
fn of_a_half_open_tunnel_256_octets_are_kept_ahead_of_their_turn() {
    for (size, kept) in [(255, true), (256, true), (257, false)] {
        let mut w = World::new(config(lns()));
        let mut lac = Lac::new(path(10, 1701, 0), 1);
        let body = lac.sccrq();
        lac.say(&mut w, 0, body);
        lac.ns += 1;
        let icrq = |text: usize| {
            let sid = Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 7]);
            sid.may(attr::CALLED_NUMBER, &vec![b'1'; text]).done()
        };
        let body = icrq(size - icrq(0).len());
        assert_eq!(body.len(), size);
        w.datagram(lac.path, &lac.datagram(0, &body));
        lac.ns -= 1;
        lac.say(&mut w, 0, Body::new(MessageType::SCCCN));
        assert_eq!(w.engine.sizes().1, usize::from(kept), "{size} octets");
    }
}

proptest! {
    /// Whoever forges an address sees no answer; that he guesses our tunnel id is granted.
    #[test]
    fn a_stranger_draws_no_more_than_a_fifth_more_than_he_sends(
        challenge: bool,
        secret: bool,
        list in proptest::collection::vec((0u8..4, sccrq(), 1u16..20, 0u16..3, any::<u8>()), 1..30),
    ) {
        let mut l = lns();
        l.challenge = challenge;
        let mut w = World::with_secrets(config(l), if secret { "* * swordfish\n" } else { "" });
        let from = path(10, 1701, 0);
        let (mut sent, mut got) = (0, 0);
        for (what, sccrq, kind, ns, wait) in list {
            // An SCCCN is an answer to an SCCRP that was seen.
            let kind = if kind == MessageType::SCCCN.0 { 1 } else { kind };
            let ours = w.engine.status().first().map_or(9, |t| t.id);
            let d = match what {
                0 | 1 => header::control(0, 0, 0, 0, &sccrq),
                2 => header::control(ours, 0, ns, 0, &Body::new(MessageType(kind)).done()),
                _ => header::control(ours, 0, ns, 1, &[]),
            };
            sent += d.len();
            w.datagram(from, &d);
            w.pass(std::time::Duration::from_secs(u64::from(wait) / 16));
            got += w.take().iter().map(|(_, d)| d.len()).sum::<usize>();
            prop_assert!(got * 10 <= sent * 12, "{got} octets for {sent}");
        }
        w.pass(std::time::Duration::from_secs(600));
        got += w.take().iter().map(|(_, d)| d.len()).sum::<usize>();
        prop_assert!(got * 10 <= sent * 12, "{got} octets for {sent}");
        prop_assert!(w.engine.status().is_empty());
    }

    #[test]
    fn arbitrary_datagrams_leave_no_state(list in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..30)) {
        let mut w = World::new(config(lns()));
        for d in &list { w.datagram(path(10, 1701, 0), d); }
        prop_assert!(w.sent.is_empty());
        prop_assert!(w.engine.poll_timeout().is_none());
    }

    #[test]
    fn any_sequence_of_messages_ends_clean(ours: bool, acts in proptest::collection::vec(act(), 0..60)) {
        let mut l = lns();
        if ours {
            // Each call takes one of our addresses, too.
            (l.local_ip, l.local_pool) = (None, l.pool.clone());
        }
        let mut w = World::new(config(l));
        let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
        let session = lac.call(&mut w, 77);
        for a in acts {
            perform(a, &mut w, &mut lac, session);
            let calls: usize = w.engine.status().iter().map(|t| t.calls.len()).sum();
            let given = w.engine.leased();
            prop_assert!(given == calls || ours && (calls..=2 * calls).contains(&given), "{given} for {calls} calls");
            prop_assert!(w.engine.status().is_empty() || w.engine.poll_timeout().is_some(), "nobody waits for it");
            w.take();
        }
        // The peer falls silent: everything goes, and every PPP that was started was stopped.
        w.pass(std::time::Duration::from_secs(600));
        prop_assert!(w.engine.status().is_empty() && w.engine.poll_timeout().is_none());
        prop_assert_eq!(w.engine.leased(), 0);
        prop_assert_eq!(w.started.len(), w.stopped.len());
    }

    #[test]
    fn any_answers_to_a_dial_end_clean(acts in proptest::collection::vec(act(), 0..60)) {
        let (mut w, mut server, session) = calling();
        for a in acts {
            perform(a, &mut w, &mut server, session);
            prop_assert!(w.engine.status().is_empty() || w.engine.poll_timeout().is_some(), "nobody waits for it");
            w.take();
        }
        // The server falls silent, and so do those that are dialled after it.
        w.pass(std::time::Duration::from_secs(3600));
        prop_assert!(w.engine.status().is_empty() && w.engine.poll_timeout().is_none());
        prop_assert_eq!(w.started.len(), w.stopped.len());
    }
}
