//! Our LAC against our LNS: dialling, calls, secrets, numbered data, collisions, and lives of many seeds.

mod common;

use std::time::Duration;

use common::pair::*;
use common::{config, lns};
use l2tp_proto::header::{self, Packet};
use l2tp_proto::message::{Message, MessageType};
use l2tp_proto::{
    CallEnd, EndpointConfig, Event, Input, Instant, LacConfig, LacState, LnsAddress, LnsConfig, SecretTable,
};

const S: Duration = Duration::from_secs(1);

#[test]
fn a_dial_makes_a_call_and_frames_go_both_ways() {
    let mut n = pair(1);
    n.dial();
    n.run(2 * S);
    assert!(matches!(n.lac(), LacState::Up));
    for line in [
        "Connecting to host 192.0.2.1, port 1701",
        "Calling on tunnel ",
        "Call established with 192.0.2.1, Local: ",
    ] {
        assert!(n.logged(LAC, line), "{line}: {:?}", n.hosts[LAC].log);
    }
    let t = &n.hosts[LNS].engine.status()[0];
    assert_eq!((t.peer_host.as_str(), t.calls[0].serial), ("lac", 1));
    let (a, b) = (n.call(LNS), n.call(LAC));
    n.frame(LNS, a, b"to the lac");
    n.frame(LAC, b, b"to the lns");
    n.run(S);
    assert_eq!(n.hosts[LAC].frames, [b"to the lac".to_vec()]);
    assert_eq!(n.hosts[LNS].frames, [b"to the lns".to_vec()]);
    n.check();
    n.run(10 * S);
    n.give(LAC, Input::HangUp(b));
    n.run(S);
    let told = n.hosts[LNS].events.iter().find_map(|e| match e {
        Event::CallDown { call, peer, words } => {
            Some((call.id, call.rx.bytes, call.tx.packets, n.now.since(call.since), *peer, words.as_str()))
        }
        _ => None,
    });
    let (id, received, sent, age, peer, words) = told.unwrap();
    assert_eq!((id, received, sent, peer), (a, 10, 1, addr(2)));
    assert!(age > 10 * S && words == "the peer has hung up: 3 (Goodbye!)", "{words}");
}

#[test]
fn a_hostname_with_a_dead_address_falls_back_to_the_next_and_then_to_the_next_host() {
    let mut l = lac();
    l.lns.insert(0, LnsAddress { host: "vpn.example".into(), port: 1701 });
    l.lns.insert(0, LnsAddress { host: "unknown.example".into(), port: 1701 });
    let mut n = Net::new(2, config(lns()), lac_side(l), "");
    n.hosts[LAC].names.insert("vpn.example".into(), vec![[192, 0, 2, 8].into(), [192, 0, 2, 9].into()]);
    n.dial();
    n.run(61 * S);
    assert!(n.logged(LAC, "Host name lookup failed for unknown.example."));
    assert!(matches!(n.lac(), LacState::Dialling));
    n.run(3 * S);
    assert!(matches!(n.lac(), LacState::Up), "{:?}", n.hosts[LAC].log);
    assert!(n.logged(LAC, "(Start-Control-Connection-Request was not acknowledged)"));
}

#[test]
fn redials_are_as_many_and_as_far_apart_as_configured() {
    let mut l = lac();
    (l.redial, l.redial_timeout, l.max_redials) = (true, 5 * S, Some(2));
    l.lns[0].host = "192.0.2.77".into();
    let mut n = Net::new(3, config(lns()), lac_side(l), "");
    n.dial();
    n.run(30 * S);
    assert!(!n.logged(LAC, "Will redial in 5 seconds"));
    n.run(2 * S);
    assert!(n.logged(LAC, "Will redial in 5 seconds"));
    n.run(36 * S + 36 * S);
    assert_eq!(n.hosts[LAC].log.iter().filter(|l| l.contains("Connecting to host")).count(), 3);
    assert!(n.logged(LAC, "magic_lac_dial: maximum retries exceeded."));
    assert_eq!(n.lac(), LacState::Idle);
    assert!(n.hosts[LAC].events.contains(&Event::GivenUp { lac: "isp".into() }));
    assert!(n.hosts[LAC].engine.poll_timeout().is_none() && n.hosts[LAC].engine.sizes() == (0, 0));
}

#[test]
fn max_redials_of_one_places_a_call_and_redials_once() {
    // xl2tpd never gets to the call with it.
    let mut l = lac();
    (l.redial, l.redial_timeout, l.max_redials) = (true, S, Some(1));
    let mut n = Net::new(3, config(lns()), lac_side(l), "");
    n.dial();
    n.run(S);
    assert!(matches!(n.lac(), LacState::Up));
    let call = n.call(LAC);
    n.hosts[LAC].ppp.remove(&call);
    n.give(LAC, Input::CallEnded { call, end: CallEnd::Exit(15) });
    n.run(3 * S);
    assert!(matches!(n.lac(), LacState::Up), "{:?}", n.hosts[LAC].log);
    assert_eq!(n.hosts[LAC].engine.status().len(), 1, "on the same tunnel");
    assert_eq!(n.hosts[LNS].started, 2);
    n.check();
}

#[test]
fn disconnecting_ends_tunnel_call_and_redials() {
    let mut l = lac();
    l.redial = true;
    let mut n = Net::new(4, config(lns()), lac_side(l), "");
    n.dial();
    n.run(S);
    n.give(LAC, Input::DisconnectLac { lac: "ISP" });
    n.run(600 * S);
    assert_eq!(n.lac(), LacState::Idle);
    assert!(n.logged(LNS, "(Goodbye!)"));
    for h in &n.hosts {
        assert_eq!((h.engine.sizes(), h.engine.leased(), h.ppp.len()), ((0, 0), 0, 0));
        assert!(h.engine.poll_timeout().is_none());
    }
    // While a redial is waited for, too.
    n.hosts[LNS].addr = addr(99);
    n.dial();
    n.run(40 * S);
    assert!(matches!(n.lac(), LacState::Waiting(_)));
    n.give(LAC, Input::DisconnectLac { lac: "isp" });
    assert!(n.hosts[LAC].engine.poll_timeout().is_none());
}

#[test]
fn a_lost_server_is_dialled_again_when_it_is_back() {
    let mut l = lac();
    l.redial = true;
    let mut n = Net::new(5, config(lns()), lac_side(l), "");
    n.dial();
    n.run(S);
    n.hosts[LNS].addr = addr(99);
    n.run(60 * S + 31 * S + 2 * S);
    assert!(
        n.hosts[LAC].events.iter().any(|e| matches!(e, Event::TunnelDown { .. })),
        "{:?}",
        n.hosts[LAC].log
    );
    n.hosts[LNS].addr = addr(1);
    n.run(40 * S);
    assert!(matches!(n.lac(), LacState::Up), "{:?}", n.hosts[LAC].log);
}

#[test]
fn outgoing_calls_are_answered_where_that_is_allowed_only() {
    for allowed in [true, false] {
        let served = LnsConfig { accept_outgoing: allowed, ..lns() };
        let mut n = Net::new(6, config(served), lac_side(lac()), "");
        let number = Some("5551234".to_string());
        n.give(LAC, Input::Dial { lac: "isp", number, credentials: Default::default() });
        n.run(2 * S);
        assert_eq!((n.hosts[LAC].started, n.hosts[LNS].started), if allowed { (1, 1) } else { (0, 0) });
        assert_eq!(n.logged(LAC, "(This tunnel cannot accept calls)"), !allowed);
        if allowed {
            assert_eq!(n.hosts[LNS].engine.status()[0].calls[0].called_number.as_deref(), Some("5551234"));
            let (a, b) = (n.call(LNS), n.call(LAC));
            n.frame(LNS, a, b"x");
            n.frame(LAC, b, b"y");
            n.run(S);
            assert_eq!((n.hosts[LAC].frames.len(), n.hosts[LNS].frames.len()), (1, 1));
        }
        n.check();
    }
}

#[test]
fn further_calls_and_tunnels_of_the_same_peer() {
    let mut n = pair(7);
    n.dial();
    n.run(S);
    let tunnel = n.hosts[LAC].engine.status()[0].id;
    for _ in 0..3 {
        n.give(LAC, Input::PlaceCall { tunnel, number: None, credentials: Default::default() });
    }
    n.give(LAC, Input::OpenTunnel(LnsAddress { host: "192.0.2.1".into(), port: 1701 }));
    n.run(S);
    let status = n.hosts[LNS].engine.status();
    let mut calls: Vec<_> = status.iter().map(|t| t.calls.len()).collect();
    calls.sort_unstable();
    assert_eq!(calls, [0, 4]);
    n.check();
}

#[test]
fn both_ends_prove_the_secret_and_hide_what_may_be_hidden() {
    let served = LnsConfig { challenge: true, hidden_bit: true, ..lns() };
    let dials = LacConfig { challenge: true, hidden_bit: true, ..lac() };
    let mut n = Net::new(8, config(served.clone()), lac_side(dials.clone()), "* * swordfish\n");
    n.dial();
    n.run(2 * S);
    assert!(matches!(n.lac(), LacState::Up), "{:?} {:?}", n.hosts[LAC].log, n.hosts[LNS].log);
    n.check();
    // Somebody without the secret reads neither id nor number: the ICRQ of before, seen by an onlooker.
    let mut n = Net::new(8, config(served), lac_side(dials), "* * swordfish\n");
    n.dial();
    let mut hidden = 0;
    while n.step(Instant(2_000_000_000)) {
        for (.., d) in &n.wire {
            let Ok(Packet::Control(c)) = header::parse(d) else { continue };
            let m = Message::decode(c.body, None);
            if m.kind == Some(MessageType::ICRQ) {
                assert!(m.still_hidden && m.assigned_session.is_none() && m.serial.is_none());
                hidden += 1;
            }
        }
    }
    assert!(hidden > 0);
}

#[test]
fn a_server_that_cannot_prove_the_secret_is_not_called() {
    let dials = LacConfig { challenge: true, ..lac() };
    let mut n = Net::new(9, config(lns()), lac_side(dials), "* * swordfish\n");
    n.hosts[LNS].engine.set_secrets(SecretTable::parse("* * herring\n").0);
    n.dial();
    n.run(2 * S);
    assert_eq!(n.hosts[LNS].started + n.hosts[LAC].started, 0);
    assert!(n.logged(LAC, "control_finish: Invalid authentication for host 'vpn'"));
    assert_eq!(n.lac(), LacState::Idle);
}

#[test]
fn numbered_data_comes_in_order_and_gaps_do_not_stop_it() {
    let served = LnsConfig { sequencing: true, ..lns() };
    let mut n = Net::new(10, config(served), lac_side(LacConfig { sequencing: true, ..lac() }), "");
    n.dial();
    n.run(S);
    (n.loss, n.double, n.delay) = (10, 10, 30);
    let call = n.call(LAC);
    for i in 0..2000u32 {
        n.frame(LAC, call, &i.to_be_bytes());
        n.run(Duration::from_millis(5));
    }
    n.run(S);
    let got: Vec<u32> =
        n.hosts[LNS].frames.iter().map(|f| u32::from_be_bytes(f[..].try_into().unwrap())).collect();
    assert!(got.len() > 1700, "{}", got.len());
    assert!(got.is_sorted_by(|a, b| a < b), "in order and once");
    assert!(*got.last().unwrap() > 1990);
    let lost = n.hosts[LNS].engine.status()[0].calls[0].rx_lost;
    assert!(lost > 100 && lost < 300, "{lost}");
}

/// One life of two ends on a bad network: dial, hang up from a random side in a random way, and silence.
fn life(seed: u64) -> usize {
    let mut r = Random::new(seed ^ 0x5bd1);
    let mut l = lac();
    (l.redial, l.redial_timeout) = (r.percent(50), S * (1 + (r.next() % 20) as u32));
    l.max_redials = r.percent(50).then_some(5);
    l.hidden_bit = r.percent(30);
    l.challenge = r.percent(30);
    l.sequencing = r.percent(30);
    l.window = Some(1 + (r.next() % 5) as u16);
    let served = LnsConfig {
        challenge: r.percent(30),
        hidden_bit: r.percent(30),
        sequencing: r.percent(30),
        window: Some(1 + (r.next() % 5) as u16),
        accept_outgoing: true,
        ..lns()
    };
    // Some ask all the time whether the other is there, so that this crosses everything else.
    let impatient = r.percent(30);
    let mut hello = |cfg: EndpointConfig| {
        let hello_interval = if impatient { S * (1 + (r.next() % 10) as u32) } else { cfg.hello_interval };
        EndpointConfig { hello_interval, ..cfg }
    };
    let mut n = Net::new(seed, hello(config(served)), hello(lac_side(l)), "* * swordfish\n");
    (n.loss, n.double, n.delay) = (r.next() % 35, r.next() % 20, 1 + r.next() % 400);
    let number = r.percent(30).then(|| "1".to_string());
    n.give(LAC, Input::Dial { lac: "isp", number, credentials: Default::default() });
    for _ in 0..6 {
        n.run(Duration::from_millis(r.next() % 30_000));
        n.check();
        let h = (r.next() % 2) as usize;
        let call = n.hosts[h].ppp.first().copied();
        let tunnel = n.hosts[h].engine.status().first().map(|t| t.id);
        match (r.next() % 6, call, tunnel) {
            (0, Some(call), _) => {
                n.hosts[h].ppp.remove(&call);
                n.give(h, Input::CallEnded { call, end: CallEnd::Exit((r.next() % 22) as i32) });
            }
            (1, Some(call), _) => n.give(h, Input::HangUp(call)),
            (2, _, Some(tunnel)) => n.give(h, Input::CloseTunnel { tunnel, text: "Goodbye!" }),
            (3, _, Some(_)) => {
                // Both at once.
                for h in [LNS, LAC] {
                    if let Some(t) = n.hosts[h].engine.status().first().map(|t| t.id) {
                        n.give(h, Input::CloseTunnel { tunnel: t, text: "Goodbye!" });
                    }
                }
            }
            (4, Some(_), _) => {
                for h in [LNS, LAC] {
                    if let Some(&call) = n.hosts[h].ppp.first() {
                        n.give(h, Input::HangUp(call));
                    }
                }
            }
            _ => n.dial(),
        }
        n.check();
    }
    n.give(LAC, Input::DisconnectLac { lac: "isp" });
    n.give(LNS, Input::Shutdown);
    n.give(LAC, Input::Shutdown);
    n.run(300 * S);
    for h in &n.hosts {
        assert_eq!((h.engine.sizes(), h.engine.leased()), ((0, 0), 0), "seed {seed}: {:#?}", h.log);
        assert!(h.engine.poll_timeout().is_none(), "seed {seed}");
        assert!(h.ppp.is_empty(), "seed {seed}");
        let up = h.events.iter().filter(|e| matches!(e, Event::TunnelUp { .. })).count();
        let down = h.events.iter().filter(|e| matches!(e, Event::TunnelDown { .. })).count();
        assert_eq!(up, down, "seed {seed}");
        let down = h.events.iter().filter(|e| matches!(e, Event::CallDown { .. })).count();
        assert_eq!((h.started, h.stopped), (down, down), "seed {seed}");
    }
    n.windows.together
}

#[test]
fn lives_of_many_seeds_end_clean() {
    let together: usize = (0..10_000).map(life).sum();
    assert!(together > 1000, "windows were hardly used: {together}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut n = pair(77);
        (n.loss, n.double, n.delay) = (20, 10, 300);
        n.dial();
        n.run(120 * S);
        (n.kinds.clone(), n.hosts[LAC].log.clone(), n.hosts[LNS].log.clone())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_call_is_up_within_thirty_seconds_at_twenty_per_cent_loss() {
    let good = |seed| {
        let mut n = pair(seed);
        (n.loss, n.delay) = (20, 50);
        n.dial();
        n.run(30 * S);
        usize::from(n.hosts[LNS].started > 0)
    };
    assert!((0..200).map(good).sum::<usize>() >= 190, "95 % of them");
}
