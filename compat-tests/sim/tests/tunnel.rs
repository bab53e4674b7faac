//! Tunnels between gateways: selectors, traps, exceptions, renewal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::time::Duration;

use common::tunnel::{end, esp_out, pair_of, pair_with, route, tunnel, whack};
use ike::Input;
use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite, HashAlg, IkeCipher, IkeSuite};
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{ConnType, DpdAction, FailureShunt};
use ipsec_types::kernel::{Dir, KernelEvent, KernelRequest, Mode, PolicyAction, Selector};
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, Port, ProtoPort};
use sim::{CLIENT, Outcome, Pair, PairConfig, SERVER, outcome};

const HOUR: Duration = Duration::from_secs(3600);

/// A packet from the client's network hits its trap.
fn acquire(pair: &mut Pair) {
    let reqid = match esp_out(pair, 1)[..] {
        [PolicyAction::Esp { reqid, .. }] => reqid,
        ref other => panic!("{other:?}"),
    };
    let selector = Selector {
        src: "10.2.0.5/32".parse().unwrap(),
        dst: "10.1.0.9/32".parse().unwrap(),
        proto: 1,
        sport: 8,
        dport: 0,
    };
    let now = pair.now;
    pair.client().kernel.inject(KernelEvent::Acquire { selector, reqid });
    pair.client().collect_kernel(now);
}

#[test]
fn networks_are_joined_with_pfs_and_three_policies_each() {
    let mut pair = pair_of(&tunnel());
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    assert_eq!(outcome(&pair), Outcome::Established);
    assert!(pair.client().logged("pfsgroup=OAKLEY_GROUP_CURVE25519"));
    for host in 0..2 {
        let dirs: Vec<Dir> = pair.hosts[host].kernel.policies().iter().map(|p| p.id.dir).collect();
        assert_eq!(dirs.len(), 3, "{dirs:?}");
        assert!(pair.hosts[host].kernel.sas().iter().all(|s| s.mode == Mode::Tunnel));
    }
    let out = pair.hosts[1].kernel.policies().iter().find(|p| p.id.dir == Dir::Out).unwrap();
    assert_eq!(out.id.selector.src, "10.2.0.0/16".parse().unwrap());
}

#[test]
fn every_cipher_makes_the_same_keys_on_both_ends() {
    for cipher in EspCipher::ALL {
        let integ = if cipher.tag_len().is_some() { EspInteg::None } else { EspInteg::AesXcbc };
        let mut pair = pair_of(&ConnSpec { esp: vec![EspSuite { cipher, integ }], ..tunnel() });
        assert!(pair.connect(), "{cipher:?}");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(outcome(&pair), Outcome::Established, "{cipher:?}");
        let sa = &pair.hosts[0].kernel.sas()[0];
        assert_eq!((sa.cipher, sa.cipher_key.len()), (cipher, cipher.key_len()));
    }
}

#[test]
fn every_group_and_ike_cipher_serves_both_phases() {
    let groups = DhGroup::ALL.map(|g| (IkeCipher::Camellia(192), g));
    let ciphers = IkeCipher::ALL.map(|c| (c, DhGroup::Ecp521));
    for (cipher, group) in groups.into_iter().chain(ciphers) {
        let ike = vec![IkeSuite { cipher, hash: HashAlg::Sha512, group }];
        let mut pair = pair_of(&ConnSpec { ike, pfs_group: Some(group), ..tunnel() });
        assert!(pair.connect(), "{cipher:?} {group:?}");
    }
}

#[test]
fn cut_tags_reach_the_kernel() {
    let esp = vec![EspSuite { cipher: EspCipher::Aes(128), integ: EspInteg::Sha256 }];
    let mut pair = pair_of(&ConnSpec { esp, sha2_truncbug: true, ..tunnel() });
    assert!(pair.connect());
    assert!(pair.server().kernel.sas().iter().all(|s| s.integ.trunc_bits() == 96));
}

/// `replay-window=`: of the inbound SA; 0 is none.
#[test]
fn the_replay_window_reaches_the_kernel() {
    for window in [0, 1, 32, 33, 64, 4096] {
        let mut pair = pair_with(ConnSpec { replay_window: window, ..tunnel() }, tunnel());
        assert!(pair.connect());
        pair.run_for(Duration::from_secs(1));
        let of = |host: &sim::Host| {
            host.kernel.sas().iter().map(|s| (s.inbound, s.replay_window)).collect::<Vec<_>>()
        };
        let (mut ours, mut theirs) = (of(&pair.hosts[0]), of(&pair.hosts[1]));
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, [(false, 0), (true, window)]);
        assert_eq!(theirs, [(false, 0), (true, ConnSpec::default().replay_window)]);
    }
}

#[test]
fn pfs_no_follows_a_peer_that_asks_and_pfs_yes_insists() {
    let mut pair = pair_with(ConnSpec { pfs: false, ..tunnel() }, tunnel());
    assert!(pair.connect());
    let mut pair = pair_with(tunnel(), ConnSpec { pfs: false, keyingtries: 1, ..tunnel() });
    assert!(!pair.connect());
    assert!(pair.server().logged("we require PFS but Quick I1 SA specifies no GROUP_DESCRIPTION"));
}

/// Groups that are known to be weak or suspect are taken where they are named, for either phase.
#[test]
fn weak_groups_must_be_allowed_for_pfs_too() {
    use ipsec_types::auth::CryptoPolicy::{Compat, Legacy, Modern};
    let strong = DhGroup::Curve25519;
    for (group, policy, named, accepted) in [
        (DhGroup::Dh22, Compat, strong, false),
        (DhGroup::Dh23, Legacy, strong, false),
        (DhGroup::Dh24, Modern, strong, false),
        (DhGroup::Dh24, Compat, DhGroup::Dh24, true),
        (DhGroup::Modp768, Legacy, strong, false),
        (DhGroup::Modp1024, Compat, strong, true),
        (DhGroup::Modp1024, Modern, strong, false),
        (DhGroup::Modp1024, Modern, DhGroup::Modp1024, true),
        (DhGroup::Modp2048, Modern, strong, true),
    ] {
        for pfs in [true, false] {
            let crypto_policy = Some(policy);
            let server = ConnSpec { pfs, pfs_group: Some(named), crypto_policy, ..tunnel() };
            let client = ConnSpec { pfs_group: Some(group), keyingtries: 1, ..tunnel() };
            let mut pair = pair_with(server, client);
            assert_eq!(pair.connect(), accepted, "{group:?} {policy:?} {:#?}", pair.hosts[0].log);
            let why = format!("pfsgroup={} would allow it", group.name());
            assert_eq!(pair.server().logged(&why), !accepted, "{:#?}", pair.hosts[0].log);
            assert!(!pair.server().logged("; crypto-policy="), "nothing is wrong with the ciphers");
            assert!(!pair.server().logged("; esp="), "nothing is wrong with the ciphers");
        }
    }
    // The group of phase 1 serves phase 2 as well.
    let ike = vec![IkeSuite { cipher: IkeCipher::Aes(128), hash: HashAlg::Sha1, group: DhGroup::Dh24 }];
    assert!(pair_of(&ConnSpec { ike, ..tunnel() }).connect());
}

#[test]
fn a_trap_asks_for_an_sa_and_stays_when_it_is_gone() {
    let mut pair = pair_of(&tunnel());
    route(&mut pair, 1);
    assert_eq!(esp_out(&pair, 1).len(), 1);
    acquire(&mut pair);
    pair.run_for(Duration::from_millis(1));
    acquire(&mut pair);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.client().engine.established().len(), 1, "one packet or two, it is one SA");
    assert_eq!(pair.client().times_logged("initiate on demand from 10.2.0.5:8 to 10.1.0.9:0 proto=1"), 1);
    pair.down(1);
    pair.run_for(Duration::from_secs(2));
    assert_eq!((esp_out(&pair, 1).len(), esp_out(&pair, 0).len()), (1, 0));
    whack(&mut pair, 1, Request::Unroute { name: "L2TP-PSK".into() });
    assert!(pair.hosts[1].kernel.policies().is_empty());
}

#[test]
fn failureshunt_decides_once_nobody_answers_and_an_sa_later_puts_it_right() {
    for (shunt, want) in
        [(FailureShunt::Passthrough, PolicyAction::Allow), (FailureShunt::Drop, PolicyAction::Block)]
    {
        let conn =
            ConnSpec { failure_shunt: shunt, negotiation_shunt: FailureShunt::Passthrough, ..tunnel() };
        let mut pair = pair_of(&conn);
        route(&mut pair, 1);
        pair.filter = Some(Box::new(|_| false));
        acquire(&mut pair);
        pair.run_for(Duration::from_secs(1));
        assert_eq!(esp_out(&pair, 1), [PolicyAction::Allow], "while it is negotiated");
        pair.run_for(Duration::from_secs(300));
        assert_eq!(esp_out(&pair, 1), [want]);
        pair.filter = None;
        assert!(pair.connect());
        assert!(matches!(esp_out(&pair, 1)[..], [PolicyAction::Esp { .. }]), "{:?}", esp_out(&pair, 1));
    }
}

#[test]
fn passthrough_and_drop_are_policies_without_a_peer() {
    for (conn_type, want) in [
        (ConnType::Passthrough, PolicyAction::Allow),
        (ConnType::Drop, PolicyAction::Block),
        (ConnType::Reject, PolicyAction::Block),
    ] {
        let conn = ConnSpec { conn_type, authby: AuthBy::default(), ..tunnel() };
        let mut pair = pair_of(&conn);
        route(&mut pair, 1);
        assert_eq!(pair.hosts[1].kernel.policies().len(), 3);
        assert_eq!(esp_out(&pair, 1), [want]);
        pair.up(1);
        pair.run_for(Duration::from_secs(1));
        assert!(pair.sent.is_empty(), "it never negotiates");
        whack(&mut pair, 1, Request::Delete { name: "L2TP-PSK".into() });
        assert!(pair.hosts[1].kernel.policies().is_empty());
    }
}

/// Both phases are renewed a day long; at no moment is there no SA.
#[test]
fn a_day_without_a_gap() {
    let conn =
        ConnSpec { ike_lifetime: 3600, sa_lifetime: 3000, rekey_margin: 300, rekey_fuzz: 100, ..tunnel() };
    let mut pair = pair_of(&conn);
    assert!(pair.connect());
    for _ in 0..24 * 60 {
        pair.run_for(Duration::from_secs(60));
        for host in 0..2 {
            assert!(!pair.hosts[host].engine.established().is_empty(), "gap at {:?}", pair.now);
            let [ikes, children, ..] = pair.hosts[host].engine.counts();
            assert!(ikes <= 3 && children <= 3, "{ikes} {children}");
        }
    }
    assert_eq!(outcome(&pair), Outcome::Established);
}

#[test]
fn octets_used_up_ask_for_a_successor() {
    let conn = ConnSpec { life_bytes: 250 << 20, ..tunnel() };
    let mut pair = pair_with(tunnel(), conn);
    assert!(pair.connect());
    let limits: Vec<_> = pair.hosts.iter().flat_map(|h| h.kernel.sas()).map(|s| s.life_bytes.1).collect();
    assert_eq!(limits, [250 << 20; 4], "the responder has it from the proposal");
    let id = pair.hosts[1].kernel.sas().iter().find(|s| !s.inbound).unwrap().id;
    let now = pair.now;
    pair.client().kernel.inject(KernelEvent::Expire { id, hard: false });
    pair.client().collect_kernel(now);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.client().engine.established().len(), 2);
    assert!(pair.client().logged("initiating Quick Mode PSK+ENCRYPT+TUNNEL+PFS+UP+SAREFTRACK to replace"));
}

/// Hands `hosts[host]` the news that its outbound SA has had so many packets.
fn expire(pair: &mut Pair, host: usize, hard: bool) {
    let id = pair.hosts[host].kernel.sas().iter().find(|s| !s.inbound).unwrap().id;
    let now = pair.now;
    pair.hosts[host].kernel.inject(KernelEvent::Expire { id, hard });
    pair.hosts[host].collect_kernel(now);
    pair.run_for(Duration::from_secs(2));
}

/// `lifepackets=` is each end's own: no proposal tells the peer of it.
#[test]
fn packets_used_up_ask_for_a_successor() {
    let limited = || ConnSpec { life_packets: 1000, ..tunnel() };
    let limits = |pair: &Pair| -> Vec<Vec<(u64, u64)>> {
        pair.hosts.iter().map(|h| h.kernel.sas().iter().map(|s| s.life_packets).collect()).collect()
    };
    let mut pair = pair_with(tunnel(), limited());
    assert!(pair.connect());
    assert_eq!(limits(&pair), [[(0, 0); 2], [(900, 1000); 2]]);
    expire(&mut pair, 1, false);
    assert!(pair.client().logged("initiating Quick Mode PSK+ENCRYPT+TUNNEL+PFS+UP+SAREFTRACK to replace"));
    assert_eq!(pair.client().engine.established().len(), 2);
    assert_eq!(limits(&pair)[1], [(900, 1000); 4], "the successor has a thousand of its own");
    // The old one is used to its last packet.
    expire(&mut pair, 1, true);
    assert!(pair.client().logged("IPsec SA expired (LATEST!)"));
    assert_eq!(outcome(&pair), Outcome::Established);
    assert_eq!(pair.client().engine.established().len(), 1);
    // The responder, whose limit it is, asks a little later; and with rekey=no nobody does.
    for rekey in [true, false] {
        let mut pair = pair_with(ConnSpec { rekey, ..limited() }, tunnel());
        assert!(pair.connect());
        assert_eq!(limits(&pair), [[(950, 1000); 2], [(0, 0); 2]]);
        expire(&mut pair, 0, false);
        assert_eq!(pair.server().engine.established().len(), 1 + usize::from(rekey));
        if !rekey {
            expire(&mut pair, 0, true);
            assert_eq!(outcome(&pair), Outcome::Failed, "it is over, and the peer was told");
        }
    }
}

/// `leftsubnets=` makes conns that are reached by one alias.
#[test]
fn an_alias_brings_all_its_conns_up() {
    let named = |n: u8| ConnSpec {
        name: format!("multi/{n}x0"),
        aliases: vec!["multi".into()],
        left: end(CLIENT, &format!("10.{}.0.0/16", 20 + n)),
        ..tunnel()
    };
    let mut pair = Pair::new(PairConfig {
        server: (1..=3).map(named).collect(),
        client: named(1),
        ..PairConfig::default()
    });
    for n in 2..=3 {
        whack(&mut pair, 1, Request::Add(Box::new(named(n))));
    }
    whack(&mut pair, 1, Request::Initiate { name: "multi".into(), asynchronous: true });
    pair.run_for(Duration::from_secs(3));
    assert_eq!(pair.server().engine.established().len(), 3);
    assert_eq!(pair.server().engine.counts()[0], 1);
}

#[test]
fn version_6_goes_through_version_4() {
    let mut conn = tunnel();
    conn.left = end(CLIENT, "2001:db8:2::/48");
    conn.right = end(SERVER, "2001:db8:1::/48");
    let mut pair = pair_of(&conn);
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    assert_eq!(outcome(&pair), Outcome::Established);
    let out = pair.hosts[1].kernel.policies().iter().find(|p| p.id.dir == Dir::Out).unwrap();
    assert_eq!(out.id.selector.dst, "2001:db8:1::/48".parse().unwrap());
}

/// Two networks at one end are two conns, but one Main Mode.
#[test]
fn conns_between_the_same_ends_share_an_ike_sa() {
    let second = ConnSpec { name: "second".into(), left: end(CLIENT, "10.3.0.0/16"), ..tunnel() };
    let mut pair = Pair::new(PairConfig {
        server: vec![tunnel(), second.clone()],
        client: tunnel(),
        ..PairConfig::default()
    });
    whack(&mut pair, 1, Request::Add(Box::new(second)));
    pair.up(1);
    whack(&mut pair, 1, Request::Initiate { name: "second".into(), asynchronous: true });
    pair.run_for(Duration::from_secs(3));
    assert_eq!(pair.client().engine.established().len(), 2);
    assert_eq!(pair.server().engine.established().len(), 2);
    assert_eq!(pair.client().engine.counts()[0], 1, "one IKE SA");
}

#[test]
fn protocols_and_ports_are_matched() {
    let pp = |port| ProtoPort { proto: 17, port };
    let with = |left, right| {
        let mut c = tunnel();
        (c.left.protoport, c.right.protoport) = (left, right);
        ConnSpec { keyingtries: 1, ..c }
    };
    // (client's left and right, server's left and right, whether it fits)
    let all = pp(Port::All);
    let (one, other) = (pp(Port::Number(1701)), pp(Port::Number(5000)));
    for (client, server, fits) in [
        (with(all, all), with(all, all), true),
        (with(one, one), with(one, one), true),
        (with(other, one), with(pp(Port::Any), one), true),
        (with(other, one), with(one, one), false),
        (with(one, all), with(one, one), false),
        (with(ProtoPort::default(), ProtoPort::default()), with(all, all), false),
    ] {
        let text = format!("{:?} {:?}", client.left.protoport, server.left.protoport);
        let mut pair = pair_with(server, client);
        assert_eq!(pair.connect(), fits, "{text}");
    }
}

/// A tunnel follows its peer to another address.
#[test]
fn a_peer_that_moved_keeps_its_tunnel() {
    let conn = ConnSpec { pfs: false, ..tunnel() };
    let mut pair = pair_of(&conn);
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    let id = pair.hosts[0].kernel.sas().iter().find(|s| s.inbound).unwrap().id;
    let new = "198.51.100.99:4500".parse().unwrap();
    let now = pair.now;
    let before = pair.hosts[0].kernel.requests().len();
    pair.hosts[0].handle(now, Input::Kernel(KernelEvent::Mapping { id, new }));
    pair.run_for(Duration::from_millis(1));
    let moved = pair.hosts[0].kernel.requests()[before..]
        .iter()
        .filter(|r| matches!(r, KernelRequest::UpdateEncap { .. } | KernelRequest::AddPolicy(_)))
        .count();
    assert_eq!(moved, 5, "two SAs, three policies");
    assert!(pair.hosts[0].kernel.sas().iter().all(|s| [s.id.src, s.id.dst].contains(&new.ip())));
    whack(&mut pair, 0, Request::Terminate { name: "L2TP-PSK".into() });
    assert!(pair.hosts[0].kernel.sas().is_empty() && pair.hosts[0].kernel.policies().is_empty());
}

#[test]
fn a_conn_that_is_to_be_up_comes_back_after_a_delete_and_with_auto_keep_after_anything() {
    let mut pair = pair_of(&tunnel());
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    pair.down(0);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.client().logged("payload: replace IPSEC State #2 in 10 seconds"));
    assert!(pair.client().engine.established().is_empty());
    pair.run_for(Duration::from_secs(12));
    assert_eq!(outcome(&pair), Outcome::Established);
    // Asked to be down, it stays down.
    pair.down(1);
    pair.run_for(HOUR);
    assert!(pair.hosts.iter().all(|h| h.engine.established().is_empty()));

    let dpd = ConnSpec { dpd_delay: 10, dpd_timeout: 30, dpd_action: DpdAction::Clear, ..tunnel() };
    let conn = ConnSpec { auto: ipsec_types::conn::Auto::Keep, keyingtries: 1, ..dpd };
    let mut pair = pair_with(tunnel(), conn);
    assert!(pair.connect());
    pair.filter = Some(Box::new(|_| false));
    pair.run_for(HOUR);
    assert!(pair.client().engine.established().is_empty());
    pair.filter = None;
    pair.run_for(Duration::from_secs(150));
    assert_eq!(pair.client().engine.established().len(), 1);
}
