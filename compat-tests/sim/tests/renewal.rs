//! Successors: which SA carries the packets while the peer has not read all of a Quick Mode.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use std::time::Duration;

use ipsec_types::algo::{EspCipher, EspInteg, EspSuite};
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{ClientSpec, ConnType};
use ipsec_types::kernel::{KernelEvent, SaId};
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, EndSpec, HostSpec};
use sim::{CLIENT, Host, Outcome, Pair, PairConfig, SERVER, outcome};

fn end(host: std::net::IpAddr, net: &str) -> EndSpec {
    let client = ClientSpec::Net(net.parse().unwrap());
    EndSpec { host: HostSpec::Addr(host), client, ..EndSpec::default() }
}

fn connected() -> Pair {
    connected_with(Vec::new())
}

fn tunnel_conn() -> ConnSpec {
    ConnSpec {
        name: "L2TP-PSK".into(),
        left: end(CLIENT, "10.2.0.0/16"),
        right: end(SERVER, "10.1.0.0/16"),
        authby: AuthBy::PSK,
        conn_type: ConnType::Tunnel,
        ..ConnSpec::default()
    }
}

fn connected_with(esp: Vec<EspSuite>) -> Pair {
    let conn = ConnSpec { esp, ..tunnel_conn() };
    let config = PairConfig { server: vec![conn.clone()], client: conn, ..PairConfig::default() };
    let mut pair = Pair::new(config);
    assert!(pair.connect());
    pair
}

fn outbound(host: &Host) -> Vec<SaId> {
    host.kernel.sas().iter().filter(|s| !s.inbound).map(|s| s.id).collect()
}

fn inbound(host: &Host) -> usize {
    host.kernel.sas().iter().filter(|s| s.inbound).count()
}

/// The client's SA is used up.
fn renew(pair: &mut Pair) {
    let id = outbound(&pair.hosts[1])[0];
    let now = pair.now;
    pair.client().kernel.inject(KernelEvent::Expire { id, hard: false });
    pair.client().collect_kernel(now);
}

#[test]
fn packets_leave_through_the_old_sa_until_the_peer_has_had_time_to_read_qi2() {
    let mut pair = connected();
    assert_eq!(outbound(&pair.hosts[1]).len(), 1, "the first SA is used at once");
    let old = outbound(&pair.hosts[1]);
    renew(&mut pair);
    assert!(pair.run_until(Duration::from_secs(5), |p| p.hosts[1].engine.established().len() == 2));
    pair.run_for(Duration::from_millis(900));
    assert_eq!((inbound(&pair.hosts[1]), outbound(&pair.hosts[1])), (2, old));
    pair.run_for(Duration::from_millis(200));
    assert_eq!(outbound(&pair.hosts[1]).len(), 2);
    pair.run_for(Duration::from_secs(60));
    assert_eq!(outcome(&pair), Outcome::Established);
}

/// QI2 is lost: the peer repeats QR1, and only then has what it needs.
#[test]
fn a_lost_qi2_puts_the_switch_off() {
    let mut pair = connected();
    renew(&mut pair);
    assert!(pair.run_until(Duration::from_secs(5), |p| p.hosts[1].engine.established().len() == 2));
    let now = pair.now;
    pair.filter = Some(Box::new(|d| d.src.ip() != CLIENT));
    pair.run_for(Duration::from_millis(500));
    pair.filter = None;
    assert_eq!(pair.hosts[0].engine.established().len(), 1, "the server waits for QI2");
    assert!(pair.run_until(Duration::from_secs(5), |p| p.hosts[0].engine.established().len() == 2));
    assert!(pair.now > now);
    assert_eq!(outbound(&pair.hosts[1]).len(), 1);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(outbound(&pair.hosts[1]).len(), 2);
}

/// Some peers delete the old SA as soon as they have the new one.
#[test]
fn a_delete_of_the_old_sa_switches_at_once() {
    let mut pair = connected();
    let old = outbound(&pair.hosts[1])[0];
    renew(&mut pair);
    assert!(pair.run_until(Duration::from_secs(5), |p| p.hosts[0].engine.established().len() == 2));
    let now = pair.now;
    pair.hosts[0].whack(now, Request::DeleteState { serial: 2 });
    pair.run_for(Duration::from_millis(500));
    let left = outbound(&pair.hosts[1]);
    assert!(left.len() == 1 && left[0] != old, "{left:?}");
    assert_eq!(outcome(&pair), Outcome::Established);
}

/// The kernel is slow, and the old SA goes while the successor's inbound SA is being installed.
#[test]
fn an_old_sa_that_goes_too_soon_leaves_no_gap() {
    for after in 0..60 {
        let mut pair = connected();
        pair.hosts[1].busy = Duration::from_millis(20);
        renew(&mut pair);
        assert!(pair.run_until(Duration::from_secs(1), |p| p.hosts[1].engine.counts()[1] == 2));
        pair.run_for(Duration::from_millis(5 * after));
        let now = pair.now;
        pair.hosts[1].whack(now, Request::DeleteState { serial: 2 });
        pair.run_for(Duration::from_secs(3));
        assert_eq!((inbound(&pair.hosts[1]), outbound(&pair.hosts[1]).len()), (1, 1), "{after}");
        assert_eq!(pair.hosts[1].engine.established().len(), 1, "{after}");
    }
}

/// A peer that cuts SHA2-256 to 96 bits (Android to version 7) is found out by what fails the check; both SAs and their
/// successors do as it does. Where that was not it, all is as before.
#[test]
fn the_truncation_of_sha2_256_is_the_peers() {
    let sha256 = EspSuite { cipher: EspCipher::Aes(128), integ: EspInteg::Sha256 };
    let used =
        |pair: &Pair| -> Vec<EspInteg> { pair.hosts[1].kernel.sas().iter().map(|s| s.integ).collect() };
    let mut pair = connected_with(vec![sha256]);
    pair.run_for(Duration::from_secs(120));
    assert_eq!(used(&pair), [EspInteg::Sha256; 2], "nothing has come, so nothing is known");

    let mut pair = connected_with(vec![sha256]);
    pair.client().kernel.fail_integrity(Some(EspInteg::Sha256));
    pair.run_for(Duration::from_secs(2));
    assert!(pair.client().logged("SHA2-256 is cut to 96 bits for it now, as with sha2-truncbug=yes"));
    assert_eq!(used(&pair), [EspInteg::Sha256Trunc96; 2]);
    pair.client().kernel.carry(1000, 1000);
    pair.run_for(Duration::from_secs(60));
    renew(&mut pair);
    pair.run_for(Duration::from_secs(60));
    assert_eq!(used(&pair)[2..], [EspInteg::Sha256Trunc96; 2], "{:?}", pair.hosts[1].log);
    assert_eq!(pair.client().times_logged("is cut to"), 1);

    // Rubbish before a long silence: the change is taken back, and no successor has it.
    let mut pair = connected_with(vec![sha256]);
    pair.client().kernel.fail_integrity(Some(EspInteg::Sha256));
    pair.run_for(Duration::from_millis(1500));
    assert_eq!(used(&pair), [EspInteg::Sha256Trunc96; 2]);
    pair.client().kernel.fail_integrity(None);
    pair.run_for(Duration::from_secs(60));
    renew(&mut pair);
    pair.run_for(Duration::from_secs(60));
    assert!(used(&pair).iter().all(|i| *i == EspInteg::Sha256), "{:?}", used(&pair));

    // Somebody else's rubbish, or a wrong key: neither truncation helps.
    let mut pair = connected_with(vec![sha256]);
    pair.client().kernel.fail_integrity(Some(EspInteg::Sha256));
    pair.run_for(Duration::from_millis(1500));
    pair.client().kernel.fail_integrity(Some(EspInteg::Sha256Trunc96));
    pair.run_for(Duration::from_secs(60));
    assert!(pair.client().logged("fail the integrity check with either truncation"));
    assert_eq!(used(&pair), [EspInteg::Sha256; 2]);
}

/// `rekeymargin=` before the end the initiator renews, more by as much of it as `rekeyfuzz=` allows and chance says; the
/// responder, if the other has not, when half of the margin is left.
#[test]
fn each_end_renews_in_its_margin() {
    let conn = ConnSpec {
        sa_lifetime: 1000,
        ike_lifetime: 10_000,
        rekey_margin: 100,
        rekey_fuzz: 100,
        ..tunnel_conn()
    };
    let renewed_at = |initiator: bool, responder: bool, ike_lifetime: u32, seed: u64| {
        let server = ConnSpec { rekey: responder, ike_lifetime, ..conn.clone() };
        let client = ConnSpec { rekey: initiator, ike_lifetime, ..conn.clone() };
        let mut pair = Pair::new(PairConfig { seed, server: vec![server], client, ..PairConfig::default() });
        assert!(pair.connect());
        let renews = |h: &Host| h.logged(" to replace #");
        let any = pair.run_until(Duration::from_secs(999), |p| p.hosts.iter().any(renews));
        any.then(|| (renews(&pair.hosts[0]), pair.now.0 / 1_000_000_000))
    };
    let when: Vec<u64> = (0..60)
        .map(|seed| {
            let (responder, at) = renewed_at(true, true, 10_000, seed).unwrap();
            assert!(!responder, "the initiator comes first");
            at
        })
        .collect();
    let (first, last) = (when.iter().min().unwrap(), when.iter().max().unwrap());
    assert!(*first >= 800 && *last <= 900, "{when:?}");
    assert!(*first < 820 && *last > 880, "all of the fuzz is used: {when:?}");
    assert_eq!(renewed_at(false, true, 10_000, 1), Some((true, 950)));
    assert_eq!(renewed_at(false, false, 10_000, 1), None);
    // Phase 1, likewise.
    let (responder, at) = renewed_at(true, true, 600, 1).unwrap();
    assert!(!responder && (400..=500).contains(&at), "{at}");
    assert_eq!(renewed_at(false, true, 600, 1), Some((true, 550)));
}
