//! Messages that cross on the wire: the SCCRQs of two ends that dial each other; HELLO, CDN and StopCCN from both ends at
//! the same time, in every combination, on a good network and on a bad one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by panicking"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::pair::*;
use common::{config, lns};
use l2tp_proto::message::MessageType;
use l2tp_proto::{CallEnd, EndpointConfig, Event, Input, LacState};

const S: Duration = Duration::from_secs(1);

/// What an end may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// It asks whether the other is there.
    Hello,
    /// It hangs up.
    Cdn,
    /// Its PPP ends by itself.
    PppEnds,
    /// It closes the tunnel.
    StopCcn,
    /// It ends altogether.
    Shutdown,
}
use Act::{Cdn, Hello, PppEnds, Shutdown, StopCcn};
const ACTS: [Act; 5] = [Hello, Cdn, PppEnds, StopCcn, Shutdown];

impl Act {
    fn kind(self) -> MessageType {
        match self {
            Hello => MessageType::HELLO,
            Cdn | PppEnds => MessageType::CDN,
            StopCcn | Shutdown => MessageType::STOPCCN,
        }
    }

    fn perform(self, n: &mut Net, h: usize) {
        let (call, tunnel) = (n.call(h), n.hosts[h].engine.status()[0].id);
        match self {
            Hello => n.give(h, Input::Timeout),
            Cdn => n.give(h, Input::HangUp(call)),
            PppEnds => {
                n.hosts[h].ppp.remove(&call);
                n.give(h, Input::CallEnded { call, end: CallEnd::Exit(16) });
            }
            StopCcn => n.give(h, Input::CloseTunnel { tunnel, text: "Goodbye!" }),
            Shutdown => n.give(h, Input::Shutdown),
        }
    }
}

/// Both ends with a call, at the moment when both owe the other a HELLO.
fn silent_for_long(seed: u64) -> Net {
    // As patient as it takes not to take a bad network for a dead peer.
    let patient = |cfg: EndpointConfig| EndpointConfig { max_retries: 15, cap_backoff: 2 * S, ..cfg };
    let mut n = Net::new(seed, patient(config(lns())), patient(lac_side(lac())), "");
    n.dial();
    n.run(2 * S);
    let due = n.hosts.iter().map(|h| h.engine.poll_timeout().unwrap().0).max().unwrap();
    n.now = due;
    n
}

fn cross(seed: u64, loss: u64, acts: [Act; 2]) {
    let mut n = silent_for_long(seed);
    (n.loss, n.double, n.delay) = (loss, loss, 200);
    n.kinds.clear();
    for h in [LNS, LAC] {
        acts[h].perform(&mut n, h);
    }
    // Nothing has arrived yet: they do cross.
    let said: Vec<u16> = acts.iter().map(|a| a.kind().0).collect();
    assert_eq!(n.kinds, said);
    n.run(40 * S);
    n.check();
    let what = format!("{acts:?}, seed {seed}, loss {loss}: {:#?} {:#?}", n.hosts[LNS].log, n.hosts[LAC].log);
    let (call_over, tunnel_over) =
        (acts.iter().any(|a| *a != Hello), acts.iter().any(|a| matches!(a, StopCcn | Shutdown)));
    for h in &n.hosts {
        let open = h.engine.status();
        assert_eq!(open.len(), usize::from(!tunnel_over), "{what}");
        assert_eq!(open.iter().map(|t| t.calls.len()).sum::<usize>(), usize::from(!call_over), "{what}");
        assert_eq!((h.ppp.is_empty(), h.stopped), (call_over, usize::from(call_over)), "{what}");
        let told = |f: fn(&Event) -> bool| h.events.iter().filter(|e| f(e)).count();
        assert_eq!(told(|e| matches!(e, Event::CallDown { .. })), usize::from(call_over), "{what}");
        assert_eq!(told(|e| matches!(e, Event::TunnelDown { .. })), usize::from(tunnel_over), "{what}");
    }
    assert_eq!(n.hosts[LNS].engine.leased(), usize::from(!call_over), "{what}");
    // A tunnel that stands is good for another call.
    if call_over && !tunnel_over {
        (n.loss, n.double) = (0, 0);
        n.dial();
        n.run(2 * S);
        assert_eq!(n.hosts.iter().map(|h| h.ppp.len()).collect::<Vec<_>>(), [1, 1], "{what}");
    }
    for h in [LNS, LAC] {
        n.give(h, Input::Shutdown);
    }
    n.run(100 * S);
    for h in &n.hosts {
        assert_eq!(
            (h.engine.sizes(), h.engine.leased(), h.engine.poll_timeout()),
            ((0, 0), 0, None),
            "{what}"
        );
    }
}

#[test]
fn whatever_crosses_on_the_wire_the_call_ends_once_and_the_tunnel_as_it_was_told() {
    for a in ACTS {
        for b in ACTS {
            cross(1, 0, [a, b]);
        }
    }
}

#[test]
fn and_so_it_does_when_some_of_it_is_lost_or_doubled() {
    for seed in 0..40 {
        for a in ACTS {
            for b in ACTS {
                cross(seed, 25, [a, b]);
            }
        }
    }
}

#[test]
fn of_two_tunnels_opened_at_once_the_lower_tie_breaker_stands() {
    let ties = [(true, true), (true, false), (false, true)];
    // Whichever message comes first.
    for (seed, (a, b)) in (0..300).zip(ties.into_iter().cycle()) {
        let side = |last: u8, tie| {
            let mut cfg = config(lns());
            let mut l = lac();
            l.lns[0].host = format!("192.0.2.{last}");
            l.tie_breaker = tie;
            cfg.lac = vec![Arc::new(l)];
            cfg
        };
        let mut n = Net::new(seed, side(2, a), side(1, b), "");
        for h in [LNS, LAC] {
            n.give(h, Input::Dial { lac: "isp", number: None, credentials: Default::default() });
        }
        // What the loser's SCCRQ has left with the winner is forgotten.
        n.run(40 * S);
        for h in &n.hosts {
            assert_eq!(h.engine.status().len(), 1, "{a} {b}, seed {seed}: {:?}", h.log);
        }
        assert_eq!(n.hosts[LNS].started + n.hosts[LAC].started, 2, "seed {seed}");
        if a != b {
            let winner = if a { LNS } else { LAC };
            assert_eq!(n.hosts[winner].engine.lac_status()[0].state, LacState::Up);
        }
    }
}

#[test]
fn without_tie_breakers_both_tunnels_stand() {
    let side = |last: u8| {
        let mut cfg = config(lns());
        let mut l = lac();
        l.lns[0].host = format!("192.0.2.{last}");
        cfg.lac = vec![Arc::new(l)];
        cfg
    };
    let mut n = Net::new(12, side(2), side(1), "");
    for h in [LNS, LAC] {
        n.give(h, Input::Dial { lac: "isp", number: None, credentials: Default::default() });
    }
    n.run(2 * S);
    assert_eq!(n.hosts[LNS].engine.status().len(), 2);
    n.check();
}
