//! Dead peers (RFC 3706): what `dpdaction=` makes of the conns with one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::time::Duration;

use common::tunnel::{end, esp_out, pair_with, tunnel, whack};
use ipsec_types::ConnSpec;
use ipsec_types::conn::DpdAction;
use ipsec_types::whack::Request;
use sim::{CLIENT, Pair, PairConfig};

fn dead_peer(action: DpdAction) -> Pair {
    let conn = ConnSpec { dpd_delay: 10, dpd_timeout: 30, dpd_action: action, ..tunnel() };
    let mut pair = pair_with(ConnSpec { dpd_delay: 0, ..conn.clone() }, conn);
    assert!(pair.connect());
    pair.filter = Some(Box::new(|_| false));
    pair.run_for(Duration::from_secs(45));
    assert!(pair.client().logged("DPD: No response from peer - declaring peer dead"));
    pair
}

#[test]
fn a_dead_peer_is_forgotten_trapped_or_called_again() {
    let mut pair = dead_peer(DpdAction::Clear);
    assert!(pair.client().logged("DPD: Clearing Connection"));
    assert!(pair.hosts[1].kernel.policies().is_empty() && pair.hosts[1].kernel.sas().is_empty());

    let mut pair = dead_peer(DpdAction::Hold);
    assert!(pair.client().logged("DPD: Putting connection into %trap"));
    assert_eq!((esp_out(&pair, 1).len(), pair.hosts[1].kernel.sas().len()), (1, 0));

    for action in [DpdAction::Restart, DpdAction::RestartByPeer] {
        let mut pair = dead_peer(action);
        assert!(pair.client().logged("DPD: Restarting"));
        pair.filter = None;
        pair.run_for(Duration::from_secs(120));
        assert_eq!(pair.client().engine.established().len(), 1, "{action:?}");
    }
}

/// Two ISAKMP SAs with one peer, as the conns have names of their own: `restart_by_peer` renews what stands on either.
#[test]
fn all_conns_with_a_dead_peer_are_called_again() {
    for (action, both) in [(DpdAction::RestartByPeer, true), (DpdAction::Restart, false)] {
        let second = |id: &str| {
            let mut c = ConnSpec { name: "second".into(), left: end(CLIENT, "10.3.0.0/16"), ..tunnel() };
            c.left.id = id.parse().unwrap();
            c
        };
        let watched = ConnSpec { dpd_delay: 10, dpd_timeout: 30, dpd_action: action, ..tunnel() };
        let mut pair = Pair::new(PairConfig {
            server: vec![tunnel(), second("@second")],
            client: watched,
            ..PairConfig::default()
        });
        whack(&mut pair, 1, Request::Add(Box::new(second("@second"))));
        for name in ["L2TP-PSK", "second"] {
            whack(&mut pair, 1, Request::Initiate { name: name.into(), asynchronous: true });
            pair.run_for(Duration::from_secs(3));
        }
        assert_eq!(pair.client().engine.counts()[..2], [2, 2], "{:#?}", pair.hosts[1].log);
        let before = pair.client().engine.established();
        pair.filter = Some(Box::new(|_| false));
        pair.run_for(Duration::from_secs(45));
        assert!(pair.client().logged("DPD: Restarting"));
        pair.filter = None;
        pair.run_for(Duration::from_secs(120));
        let after = pair.client().engine.established();
        let kept = before.iter().filter(|sa| after.contains(sa)).count();
        assert_eq!((after.len(), kept), (2, usize::from(!both)), "{action:?}");
    }
}

/// How many datagrams a host has sent since there were `since`.
fn sent_by(pair: &Pair, host: usize, since: usize) -> usize {
    pair.sent[since..].iter().filter(|d| d.src.ip() == pair.hosts[host].addr).count()
}

/// For `rounds` times ten seconds, packets come through the tunnel to the client.
fn traffic(pair: &mut Pair, rounds: std::ops::Range<u64>) {
    for n in rounds {
        pair.hosts[1].kernel.carry(n * 100, 0);
        pair.run_for(Duration::from_secs(10));
    }
}

#[test]
fn a_peer_whose_packets_come_is_not_asked() {
    let conn = ConnSpec { dpd_delay: 10, dpd_timeout: 30, ..tunnel() };
    let mut pair = pair_with(ConnSpec { dpd_delay: 0, ..conn.clone() }, conn);
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    let quiet = pair.sent.len();
    traffic(&mut pair, 1..30);
    assert_eq!(pair.sent.len(), quiet, "nothing but packets in the tunnel");
    // They end: he is asked as often as before, and answers.
    pair.run_for(Duration::from_secs(100));
    assert_eq!((sent_by(&pair, 1, quiet), sent_by(&pair, 0, quiet)), (10, 10));
    // Who neither sends nor answers is dead.
    pair.filter = Some(Box::new(|_| false));
    pair.run_for(Duration::from_secs(45));
    assert!(pair.client().logged("DPD: No response from peer - declaring peer dead"));
}

/// IKE is cut, ESP is not: packets that come after a probe without an answer show that the peer lives.
#[test]
fn packets_stand_for_an_answer() {
    let conn = ConnSpec { dpd_delay: 10, dpd_timeout: 30, dpd_action: DpdAction::Clear, ..tunnel() };
    let mut pair = pair_with(ConnSpec { dpd_delay: 0, ..conn.clone() }, conn);
    assert!(pair.connect());
    pair.filter = Some(Box::new(|_| false));
    let before = pair.sent.len();
    for start in [1, 11, 21] {
        pair.run_for(Duration::from_secs(25));
        assert!(sent_by(&pair, 1, before) > 0);
        traffic(&mut pair, start..start + 3);
    }
    assert!(!pair.client().logged("declaring peer dead"));
    assert_eq!(pair.client().engine.counts()[..2], [1, 1]);
}

/// Through a NAT the probes keep the mapping, whatever comes the other way.
#[test]
fn through_a_nat_the_peer_is_asked_all_the_same() {
    let mut client = sim::client_conn(ipsec_types::algo::DhGroup::Ecp256, CLIENT);
    (client.dpd_delay, client.dpd_timeout) = (10, 30);
    let mut pair = Pair::new(PairConfig { nat: true, client, ..PairConfig::default() });
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    let before = pair.sent.len();
    traffic(&mut pair, 1..11);
    let long = pair.sent[before..].iter().filter(|d| d.src.ip() == pair.hosts[1].addr && d.data.len() > 1);
    assert_eq!(long.count(), 10);
}

/// Both ends watch: who was asked need not ask.
#[test]
fn a_peer_that_asks_is_not_asked() {
    let conn = |delay| ConnSpec { dpd_delay: delay, dpd_timeout: 60, ..tunnel() };
    let mut pair = pair_with(conn(5), conn(10));
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    let before = pair.sent.len();
    pair.run_for(Duration::from_secs(100));
    assert_eq!((sent_by(&pair, 0, before), sent_by(&pair, 1, before)), (20, 20), "probes, and their answers");
    // The other one dies: it is missed all the same.
    pair.filter = Some(Box::new(|_| false));
    pair.run_for(Duration::from_secs(90));
    assert!(pair.client().logged("DPD: No response from peer - declaring peer dead"));
}

/// `inactivity=`: an SA nothing goes through is deleted, at both ends; one that carries packets stays, and so does one whose
/// conn does not have the word.
#[test]
fn an_idle_sa_is_deleted_and_a_busy_one_is_not() {
    let run = |inactivity: u32, busy: bool| {
        let conn = ConnSpec { inactivity, ..tunnel() };
        let mut pair = pair_with(ConnSpec { inactivity: 0, ..conn.clone() }, conn);
        assert!(pair.connect());
        for n in 1..=40 {
            if busy {
                pair.client().kernel.carry(n * 100, 0);
            }
            pair.run_for(Duration::from_secs(5));
        }
        let ends = [0, 1].map(|host: usize| pair.hosts[host].kernel.sas().len());
        (ends, pair.client().logged("deleting IPsec SA after 60 seconds of inactivity"))
    };
    assert_eq!(run(60, false), ([0, 0], true));
    assert_eq!(run(60, true), ([2, 2], false));
    assert_eq!(run(0, false), ([2, 2], false));
}
