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
