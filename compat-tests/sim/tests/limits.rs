//! Each limit one below, at, and one above; its counter; and what a flood of strangers does to somebody who means well.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use common::{Script, answers, limit};
use ike::Limits;
use ike::wire::Exchange;
use ike::wire::payload::Kind;
use ipsec_types::HostSpec;
use sim::{Pair, PairConfig, SERVER, clean, server_conn};

const PEER: &str = "198.51.100.77:500";

fn with(limits: Limits) -> Pair {
    Pair::new(PairConfig { limits, ..PairConfig::default() })
}

/// One below, at, and one above.
fn around(n: usize) -> [usize; 3] {
    [n - 1, n, n + 1]
}

fn still_answers(pair: &mut Pair) {
    let had = pair.server().engine.established().len();
    let mut peer = Script::new("198.51.100.200:500", 0xee);
    peer.main_mode(pair, &[]);
    peer.quick_mode(pair, 0xeeee, 0xee00_0001);
    assert_eq!(pair.server().engine.established().len(), had + 1);
}

/// A stranger of his own address.
fn stranger(n: usize) -> Script {
    let at = SocketAddr::new(Ipv4Addr::from(0xcb00_0000 + n as u32).into(), 500);
    let mut s = Script::new(&at.to_string(), n as u8);
    s.icookie = (n as u64 + 1).to_be_bytes();
    s
}

#[test]
fn half_open_from_one_address() {
    let most = Limits::default().half_open_per_peer;
    for n in around(most) {
        let mut pair = Pair::new(PairConfig::default());
        for i in 1..=n {
            let peer = Script::new(PEER, i as u8);
            let answered = peer.send(&mut pair, peer.mi1()).len();
            assert_eq!(answered, usize::from(i <= most), "message {i}");
        }
        assert_eq!(pair.server().engine.counts()[0], n.min(most));
        assert_eq!(limit(&mut pair, "max-halfopen-per-peer"), (most as u64, None, (n - n.min(most)) as u64));
        assert_eq!(limit(&mut pair, "max-halfopen-ike").1, Some(n.min(most) as u64));
        still_answers(&mut pair);
        pair.run_for(Duration::from_secs(40));
        assert_eq!(pair.server().engine.counts()[..2], [1, 1], "the flood is forgotten");
        let late = Script::new(PEER, 200);
        assert_eq!(late.send(&mut pair, late.mi1()).len(), 1, "the address may come again");
    }
}

/// A host may take any address of its /64.
#[test]
fn half_open_from_one_network_of_ipv6() {
    let mut config = PairConfig::default();
    let server: IpAddr = "2001:db8::1".parse().unwrap();
    config.server[0].left.host = HostSpec::Addr(server);
    let mut pair = Pair::new(config);
    let now = ipsec_types::Now::default();
    let interfaces = vec![ike::Interface { name: "eth0".into(), addr: server, port: 500 }];
    pair.server().engine.handle(now, ike::Input::Listening { interfaces, client: None });
    pair.server().addr = server;
    let most = Limits::default().half_open_per_peer;
    let mut ask = |net: u16, host: u16, n: usize| {
        let at = SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 0, net, 0, 0, 0, host).into(), 500);
        let mut peer = Script::new(&at.to_string(), n as u8);
        peer.icookie = (n as u64).to_be_bytes();
        let before = answers(&pair, at).len();
        pair.inject(at, SocketAddr::new(server, 500), peer.mi1());
        answers(&pair, at).len() - before
    };
    for n in 1..=most + 1 {
        assert_eq!(ask(1, n as u16, n), usize::from(n <= most), "host {n}");
    }
    assert_eq!(ask(2, 1, 100), 1, "another network");
}

/// Whom a conn names may have four times as many.
#[test]
fn half_open_from_a_peer_that_is_named() {
    let mut conn = server_conn(ipsec_types::algo::DhGroup::Ecp256);
    let peer: SocketAddr = PEER.parse().unwrap();
    (conn.name, conn.right.host) = ("named".into(), HostSpec::Addr(peer.ip()));
    conn.right.client = ipsec_types::conn::ClientSpec::Host;
    let mut config = PairConfig::default();
    config.server.push(conn);
    let mut pair = Pair::new(config);
    let most = 4 * Limits::default().half_open_per_peer;
    for n in 1..=most + 1 {
        let peer = Script::new(PEER, n as u8);
        assert_eq!(peer.send(&mut pair, peer.mi1()).len(), usize::from(n <= most), "message {n}");
    }
}

#[test]
fn half_open_in_all() {
    for n in around(50) {
        let mut pair = with(Limits { half_open: 50, ..Limits::default() });
        let mut all: Vec<Script> = (0..n).map(stranger).collect();
        all.iter_mut().for_each(|s| s.open(&mut pair));
        let over = n.saturating_sub(50);
        assert_eq!(pair.server().engine.counts()[..3], [n - over, 0, n - over + 1]);
        assert_eq!(limit(&mut pair, "max-halfopen-ike"), (50, Some((n - over) as u64), over as u64));
        // The oldest has made room; whoever came after him goes on.
        let first = all[0].send(&mut pair, all[0].mi2()).len();
        assert_eq!(first, usize::from(over == 0));
        assert_eq!(all[1].send(&mut pair, all[1].mi2()).len(), 1);
        pair.run_for(Duration::from_secs(40));
        clean(pair.server()).unwrap();
        still_answers(&mut pair);
    }
}

/// Who has shown that he receives what we send is not driven out.
#[test]
fn a_flood_drives_nobody_out_who_answers() {
    let mut pair = with(Limits { half_open: 20, ..Limits::default() });
    let mut all: Vec<Script> = (0..20).map(stranger).collect();
    for s in &mut all {
        s.open(&mut pair);
        assert_eq!(s.send(&mut pair, s.mi2()).len(), 1);
    }
    let late = stranger(100);
    assert!(late.send(&mut pair, late.mi1()).is_empty());
    assert!(pair.server().logged("too many half-open ISAKMP SAs"));
    assert_eq!(limit(&mut pair, "max-halfopen-ike"), (20, Some(20), 1));
}

/// 20,000 first messages a second with forged addresses; somebody dials, 15 ms away, and is connected within 5 seconds.
#[test]
fn a_good_peer_gets_in_through_a_flood() {
    let mut pair = Pair::new(PairConfig::default());
    pair.net.link.delay = Duration::from_millis(15);
    let template = stranger(0).mi1();
    pair.up(1);
    let mut connected = None;
    for n in 0..20_000u32 {
        let mut data = template.clone();
        data[..8].copy_from_slice(&(u64::from(n) + 1).to_be_bytes());
        let from = SocketAddr::new(Ipv4Addr::from(0x1400_0000 + n).into(), 500);
        pair.inject(from, SocketAddr::new(SERVER, 500), data);
        pair.sent.clear();
        pair.delivered.clear();
        pair.run_for(Duration::from_micros(50));
        if connected.is_none() && pair.hosts[1].engine.established().len() == 1 {
            connected = Some(pair.now);
        }
    }
    let at = connected.expect("the good peer is not connected after a second");
    assert!(at.0 < 5_000_000_000);
    assert!(pair.server().engine.counts()[0] <= 1002);
    assert_eq!(limit(&mut pair, "max-halfopen-ike").1, Some(1000));
}

#[test]
fn the_life_of_a_half_open_one() {
    let life = Duration::from_secs(7);
    for (seconds, left) in [(6, 1), (7, 0), (8, 0)] {
        let mut pair = with(Limits { half_open_life: life, ..Limits::default() });
        Script::new(PEER, 1).open(&mut pair);
        pair.run_for(Duration::from_secs(seconds));
        assert_eq!(pair.server().engine.counts()[0], left, "{seconds} s");
        assert_eq!(limit(&mut pair, "halfopen-timeout"), (7, None, 1 - left as u64));
    }
}

#[test]
fn quick_modes_under_way() {
    let most = Limits::default().exchanges;
    for n in around(most) {
        let mut pair = Pair::new(PairConfig::default());
        let mut peer = Script::new(PEER, 1);
        peer.main_mode(&mut pair, &[]);
        for i in 1..=n as u32 {
            let qi1 = peer.phase2(Exchange::Quick, i, &peer.qi1(12, 0xabcd_0000 + i, peer.l2tp_ids()));
            let answered = peer.send(&mut pair, qi1).len();
            assert_eq!(answered, usize::from(i as usize <= most), "Quick Mode {i}");
        }
        assert_eq!(limit(&mut pair, "max-quick-modes"), (most as u64, None, n.saturating_sub(most) as u64));
        pair.run_for(Duration::from_secs(200));
        assert_eq!(pair.server().engine.counts(), [1, 0, 2, 0]);
        assert!(pair.server().kernel.sas().is_empty());
        still_answers(&mut pair);
    }
}

#[test]
fn answers_to_repetitions() {
    for n in around(3) {
        for established in [false, true] {
            let mut pair = with(Limits { duplicates: 3, ..Limits::default() });
            let mut peer = Script::new(PEER, 1);
            let first = peer.mi1();
            peer.open(&mut pair);
            let again = if established { peer.mi3(&mut pair, &[]) } else { first };
            if established {
                assert_eq!(peer.send(&mut pair, again.clone()).len(), 1);
            }
            let answered: usize = (0..n).map(|_| peer.send(&mut pair, again.clone()).len()).sum();
            assert_eq!(answered, n.min(3), "{n}, {established}");
            assert_eq!(limit(&mut pair, "max-duplicates"), (3, None, n.saturating_sub(3) as u64));
        }
    }
}

#[test]
fn notifications_of_malformed_messages() {
    for n in around(3) {
        let mut pair = with(Limits { malformed: 3, ..Limits::default() });
        let mut peer = Script::new(PEER, 1);
        peer.main_mode(&mut pair, &[]);
        let told: usize = (1..=n as u32)
            .map(|i| {
                let bad =
                    peer.phase2(Exchange::Quick, i, &[(Kind::Sa, vec![1; 9]), (Kind::Nonce, vec![9; 16])]);
                peer.send(&mut pair, bad).len()
            })
            .sum();
        assert_eq!(told, n.min(3));
        assert_eq!(limit(&mut pair, "max-malformed-notify"), (3, None, n.saturating_sub(3) as u64));
        still_answers(&mut pair);
    }
}

#[test]
fn payloads_of_a_message() {
    for (most, n) in around(64).map(|n| (64, n)).into_iter().chain(around(5).map(|n| (5, n))) {
        let mut pair = with(Limits { payloads: most, ..Limits::default() });
        let peer = Script::new(PEER, 1);
        let mut payloads = vec![(Kind::Sa, peer.sa_i.clone())];
        payloads.resize(n, (Kind::Vendor, vec![7; 8]));
        let message = peer.clear(Exchange::Main, &payloads);
        assert_eq!(peer.send(&mut pair, message).len(), usize::from(n <= most), "{n} of {most}");
        assert_eq!(limit(&mut pair, "max-payloads"), (most as u64, None, u64::from(n > most)));
    }
}

/// An address that has proved nothing gets one answer to each message, of at most half as much again.
#[test]
fn amplification_to_a_stranger() {
    let mut pair = Pair::new(PairConfig::default());
    let peer = Script::new(PEER, 1);
    let mi1 = peer.mi1();
    for _ in 0..20 {
        let answer = peer.send(&mut pair, mi1.clone());
        assert!(answer.len() <= 1);
        assert!(answer.iter().all(|a| 2 * a.len() <= 3 * mi1.len()), "{} for {}", answer[0].len(), mi1.len());
    }
    pair.run_for(Duration::from_secs(120));
    assert!(answers(&pair, peer.at).len() <= 9, "nothing is sent unasked");
}
