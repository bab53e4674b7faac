//! AH and IPComp: what is negotiated, and what the kernel gets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use std::time::Duration;

use ipsec_types::algo::{EspCipher, EspInteg};
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{ClientSpec, ConnType, Phase2};
use ipsec_types::kernel::{Dir, Layers, Mode, PolicyAction, SaProto, SaSpec};
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, EndSpec, HostSpec};
use sim::{CLIENT, Outcome, Pair, PairConfig, SERVER, clean, outcome};

fn end(host: std::net::IpAddr, net: &str) -> EndSpec {
    let client = ClientSpec::Net(net.parse().unwrap());
    EndSpec { host: HostSpec::Addr(host), client, ..EndSpec::default() }
}

fn conn(phase2: Phase2, compress: bool) -> ConnSpec {
    ConnSpec {
        name: "L2TP-PSK".into(),
        left: end(CLIENT, "10.2.0.0/16"),
        right: end(SERVER, "10.1.0.0/16"),
        authby: AuthBy::PSK,
        conn_type: ConnType::Tunnel,
        phase2,
        compress,
        ..ConnSpec::default()
    }
}

fn pair(server: ConnSpec, client: ConnSpec) -> Pair {
    Pair::new(PairConfig { server: vec![server], client, ..PairConfig::default() })
}

fn protos(pair: &Pair, host: usize) -> Vec<(SaProto, Mode)> {
    let mut all: Vec<_> = pair.hosts[host].kernel.sas().iter().map(|s| (s.id.proto, s.mode)).collect();
    all.sort_by_key(|x| x.0);
    all
}

/// What one end sends through is what the other receives through.
fn match_up(pair: &Pair) {
    for (from, to) in [(0, 1), (1, 0)] {
        for out in pair.hosts[from].kernel.sas().iter().filter(|s| !s.inbound) {
            let same = |s: &&SaSpec| s.inbound && s.id == out.id;
            let inbound = pair.hosts[to].kernel.sas().iter().find(same).expect("no inbound SA");
            assert_eq!((inbound.mode, inbound.cipher, inbound.integ), (out.mode, out.cipher, out.integ));
            assert_eq!(inbound.integ_key, out.integ_key);
        }
    }
}

fn layers_out(pair: &Pair, host: usize) -> Vec<Layers> {
    let out = pair.hosts[host].kernel.policies().iter().filter(|p| p.id.dir == Dir::Out);
    out.filter_map(|p| match p.action {
        PolicyAction::Esp { layers, .. } => Some(layers),
        _ => None,
    })
    .collect()
}

#[test]
fn ah_has_an_integrity_key_and_no_cipher() {
    let mut pair = pair(conn(Phase2::Ah, false), conn(Phase2::Ah, false));
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    for host in 0..2 {
        assert_eq!(protos(&pair, host), [(SaProto::Ah, Mode::Tunnel); 2]);
        let sa = &pair.hosts[host].kernel.sas()[0];
        assert_eq!((sa.cipher, sa.integ, sa.integ_key.len()), (EspCipher::Null, EspInteg::Sha256, 32));
        assert_eq!(layers_out(&pair, host), [Layers { proto: SaProto::Ah, comp: false }]);
    }
    match_up(&pair);
    assert!(pair.client().logged("tunnel mode {AH=>0x"));
    // Both ends are taken down by a Delete for AH.
    pair.down(1);
    pair.run_for(Duration::from_secs(1));
    pair.hosts.iter().for_each(|h| clean(h).unwrap());
}

#[test]
fn an_end_with_esp_and_one_with_ah_do_not_meet() {
    let mut pair = pair(conn(Phase2::Esp, false), conn(Phase2::Ah, false));
    pair.up(1);
    pair.run_for(Duration::from_secs(5));
    assert!(pair.server().logged("it offered AH HMAC_SHA2_256, AH HMAC_SHA1"));
    assert!(pair.server().logged("(AH proposed, but phase2=esp)"));
    assert!(pair.hosts[0].kernel.sas().is_empty());
}

#[test]
fn compression_is_inside_and_has_the_tunnel() {
    for phase2 in [Phase2::Esp, Phase2::Ah] {
        let mut pair = pair(conn(phase2, true), conn(phase2, true));
        assert!(pair.connect(), "{phase2:?}");
        pair.run_for(Duration::from_secs(1));
        let proto = if phase2 == Phase2::Ah { SaProto::Ah } else { SaProto::Esp };
        for host in 0..2 {
            let want = [(proto, Mode::Transport), (proto, Mode::Transport)];
            let comp = [(SaProto::Comp, Mode::Tunnel), (SaProto::Comp, Mode::Tunnel)];
            assert_eq!(protos(&pair, host), [want, comp].concat());
            assert_eq!(layers_out(&pair, host), [Layers { proto, comp: true }]);
        }
        match_up(&pair);
        assert!(pair.client().logged(" IPCOMP=>0x"));
        pair.down(1);
        pair.run_for(Duration::from_secs(1));
        pair.hosts.iter().for_each(|h| clean(h).unwrap());
    }
}

/// The end that wants it offers both; the other takes the one without, and no index is left over.
#[test]
fn compression_needs_both_ends() {
    let mut pair = pair(conn(Phase2::Esp, false), conn(Phase2::Esp, true));
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    for host in 0..2 {
        assert_eq!(protos(&pair, host), [(SaProto::Esp, Mode::Tunnel); 2]);
        assert!(pair.hosts[host].kernel.larval().is_empty());
        assert_eq!(layers_out(&pair, host), [Layers::default()]);
    }
    assert_eq!(outcome(&pair), Outcome::Established);
}

/// A trap is set before anybody knows whether there will be compression.
#[test]
fn a_trap_takes_on_the_layers_of_its_sa() {
    let mut pair = pair(conn(Phase2::Esp, true), conn(Phase2::Esp, true));
    let now = pair.now;
    pair.hosts[1].whack(now, Request::Route { name: "L2TP-PSK".into() });
    pair.run_for(Duration::from_millis(10));
    assert_eq!(layers_out(&pair, 1), [Layers::default()]);
    assert!(pair.connect());
    assert_eq!(layers_out(&pair, 1), [Layers { proto: SaProto::Esp, comp: true }]);
}
