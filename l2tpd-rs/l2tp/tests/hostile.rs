//! Whatever is sent, the engine neither panics nor keeps more than its limits allow.

mod common;

use common::*;
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

proptest! {
    #[test]
    fn arbitrary_datagrams_leave_no_state(list in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..30)) {
        let mut w = World::new(config(lns()));
        for d in &list { w.datagram(path(10, 1701, 0), d); }
        prop_assert!(w.sent.is_empty());
        prop_assert!(w.engine.poll_timeout().is_none());
    }

    #[test]
    fn any_sequence_of_messages_ends_clean(acts in proptest::collection::vec(act(), 0..60)) {
        let mut w = World::new(config(lns()));
        let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
        let session = lac.call(&mut w, 77);
        for a in acts {
            match a {
                Act::Raw(d) => w.datagram(lac.path, &d),
                Act::Wait(s) => w.pass(std::time::Duration::from_secs(s.into())),
                Act::Data { session: s, payload } => {
                    let mut d = Vec::new();
                    header::put_data(&mut d, lac.lns_tid, [0, session, 9][usize::from(s)], false, None, &payload);
                    w.datagram(lac.path, &d);
                }
                Act::Control { kind, session: s, ns, nr, avps } => {
                    let mut b = Body::new(MessageType(kind)).must(attr::ASSIGNED_SESSION_ID, &[0, 78]).done();
                    for (m, a, v) in &avps { avp::put(&mut b, *m, 0, *a, v); }
                    let (ns16, nr16) = (lac.ns.wrapping_add_signed(ns.into()), lac.nr.wrapping_add_signed(nr.into()));
                    w.datagram(lac.path, &header::control(lac.lns_tid, [0, session, 9][usize::from(s)], ns16, nr16, &b));
                    if ns == 0 { lac.ns = lac.ns.wrapping_add(1); }
                }
            }
            let calls: usize = w.engine.status().iter().map(|t| t.calls.len()).sum();
            prop_assert_eq!(w.engine.leased(), calls, "one address a call");
            w.take();
        }
        // The peer falls silent: everything goes, and every PPP that was started was stopped.
        w.pass(std::time::Duration::from_secs(600));
        prop_assert!(w.engine.status().is_empty() && w.engine.poll_timeout().is_none());
        prop_assert_eq!(w.engine.leased(), 0);
        prop_assert_eq!(w.started.len(), w.stopped.len());
    }
}
