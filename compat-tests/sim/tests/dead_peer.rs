//! Dead peers (RFC 3706): what `dpdaction=` makes of the conns with one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::time::Duration;

use common::tunnel::{esp_out, pair_with, tunnel};
use ipsec_types::ConnSpec;
use ipsec_types::conn::DpdAction;
use sim::Pair;

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
