//! What `ipsec.conf` says about exchanges: how often is tried, what follows a new IKE SA, who is told to forget, and when
//! a NAT is kept awake.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::Script;
use ike::Input;
use ike::wire::Exchange;
use ike::wire::attr;
use ike::wire::notify::emit_delete;
use ike::wire::payload::Kind;
use ike::wire::sa::{PROTO_ESP, PROTO_ISAKMP, SaWriter};
use ipsec_types::ConnSpec;
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{ClientSpec, ConnType};
use ipsec_types::whack::Request;
use sim::{CLIENT, Outcome, Pair, PairConfig, SERVER, clean, outcome};

const PEER: &str = "198.51.100.77:500";

fn site(name: &str, net: &str) -> ConnSpec {
    let end = |host, net: &str| ipsec_types::EndSpec {
        host: ipsec_types::HostSpec::Addr(host),
        client: ClientSpec::Net(net.parse().unwrap()),
        ..Default::default()
    };
    ConnSpec {
        name: name.into(),
        left: end(CLIENT, net),
        right: end(SERVER, "10.1.0.0/16"),
        authby: AuthBy::PSK,
        conn_type: ConnType::Tunnel,
        ..ConnSpec::default()
    }
}

fn sites(conn: &ConnSpec) -> Pair {
    Pair::new(PairConfig { server: vec![conn.clone()], client: conn.clone(), ..PairConfig::default() })
}

fn add(pair: &mut Pair, host: usize, conn: &ConnSpec) {
    let now = pair.now;
    pair.hosts[host].whack(now, Request::Add(Box::new(conn.clone())));
}

fn call(pair: &mut Pair, host: usize, name: &str) {
    let now = pair.now;
    pair.hosts[host].whack(now, Request::Initiate { name: name.into(), asynchronous: true });
}

#[test]
fn keyingtries_counts_attempts() {
    for (tries, most) in [(1, 1), (3, 3), (0, usize::MAX)] {
        let mut pair = sites(&ConnSpec { keyingtries: tries, ..site("L2TP-PSK", "10.2.0.0/16") });
        pair.filter = Some(Box::new(|_| false));
        pair.up(1);
        pair.run_for(Duration::from_secs(20 * 127));
        let begun = pair.hosts[1].times_logged("initiating Main Mode");
        assert!(begun == most.min(begun) && begun >= most.min(15), "keyingtries={tries}: {begun}");
        if tries > 0 {
            clean(&pair.hosts[1]).unwrap();
        }
    }
}

#[test]
fn reauth_renews_the_children_of_every_conn_on_the_ike_sa() {
    let conn = |name, net| ConnSpec {
        reauth: true,
        ike_lifetime: 600,
        rekey_margin: 60,
        rekey_fuzz: 0,
        ..site(name, net)
    };
    let mut pair = sites(&conn("L2TP-PSK", "10.2.0.0/16"));
    let other = conn("other", "10.3.0.0/16");
    (0..2).for_each(|h| add(&mut pair, h, &other));
    assert!(pair.connect());
    call(&mut pair, 1, "other");
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.hosts[1].engine.counts()[..2], [1, 2], "both stand on one ISAKMP SA");
    let before = pair.hosts[1].times_logged("initiating Quick Mode");
    pair.run_for(Duration::from_secs(590));
    assert_eq!(pair.hosts[1].times_logged("initiating Main Mode to replace"), 1);
    assert_eq!(pair.hosts[1].times_logged("initiating Quick Mode"), before + 2);
    let without = sites(&ConnSpec { reauth: false, ..conn("L2TP-PSK", "10.2.0.0/16") });
    let mut pair = without;
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(590));
    assert_eq!(pair.hosts[1].times_logged("initiating Main Mode to replace"), 1);
    assert_eq!(pair.hosts[1].times_logged("initiating Quick Mode"), 1);
}

/// RFC 4304's attribute: an SA with it would not be read by a kernel that was not told.
#[test]
fn extended_sequence_numbers_are_refused() {
    for (esn, taken) in [(None, true), (Some(0), true), (Some(1), false)] {
        let mut pair = Pair::new(PairConfig::default());
        let mut peer = Script::new(PEER, 1);
        peer.main_mode(&mut pair, &[]);
        let mut payloads = peer.qi1(12, 0xabcd_0001, peer.l2tp_ids());
        let mut a = Vec::new();
        for (kind, value) in
            [(4, 2), (1, 1), (2, 3600), (5, 2), (6, 128)].into_iter().chain(esn.map(|n| (11, n)))
        {
            attr::emit(kind, value, &mut a);
        }
        let mut w = SaWriter::new();
        w.proposal(0, PROTO_ESP, &0xabcd_0001u32.to_be_bytes(), &[(0, 12, a)], true);
        payloads[0].1 = w.finish();
        let qi1 = peer.phase2(Exchange::Quick, 5, &payloads);
        peer.send(&mut pair, qi1);
        assert_eq!(pair.server().engine.counts()[1], usize::from(taken), "{esn:?}");
        assert_eq!(pair.server().logged("extended sequence numbers are not supported"), !taken);
    }
}

#[test]
fn who_is_behind_a_nat_keeps_it_awake() {
    let beats =
        |pair: &Pair| pair.sent.iter().filter(|d| d.data == [0xff]).map(|d| d.src).collect::<Vec<_>>();
    for nat in [false, true] {
        let mut pair = Pair::new(PairConfig { nat, ..PairConfig::default() });
        assert!(pair.connect());
        pair.run_for(Duration::from_secs(205));
        let seen = beats(&pair);
        assert_eq!(seen.len(), if nat { 10 } else { 0 });
        assert!(seen.iter().all(|s| s.ip() != SERVER && s.port() == 4500));
        pair.down(1);
        pair.run_for(Duration::from_secs(100));
        assert_eq!(beats(&pair).len(), seen.len(), "nothing is kept awake for nobody");
    }
}

/// `nat-keepalive=no` of a conn, and `force_keepalive=yes` of `config setup`.
#[test]
fn a_nat_is_kept_awake_as_the_configuration_says() {
    for (nat, conn, force, beats) in
        [(true, true, false, 10), (true, false, false, 0), (false, true, true, 10), (false, false, true, 0)]
    {
        let mut config = PairConfig { nat, ..PairConfig::default() };
        config.client.nat_keepalive = conn;
        let mut pair = Pair::new(config);
        let setup = ipsec_types::whack::SetupSpec { force_keepalive: force, ..sim::setup() };
        let now = pair.now;
        pair.hosts[1].whack(now, Request::Setup(setup));
        assert!(pair.connect());
        pair.run_for(Duration::from_secs(205));
        let sent = pair.sent.iter().filter(|d| d.data == [0xff] && d.src.ip() != SERVER).count();
        assert_eq!(sent, beats, "NAT {nat}, nat-keepalive {conn}, force_keepalive {force}");
    }
}

/// `send-vendorid=no`: nobody is told which program this is; what the protocol needs stays.
#[test]
fn who_we_are_is_said_unless_forbidden() {
    for (says, ids) in [(true, [1, 1]), (false, [0, 0])] {
        let mut config = PairConfig::default();
        config.client.send_vendorid = says;
        config.server[0].send_vendorid = says;
        let mut pair = Pair::new(config);
        assert!(pair.connect());
        let vendors = |d: &sim::Datagram| {
            let (h, body) = ike::wire::Header::parse(&d.data).unwrap();
            let chain = ike::wire::Chain::parse(h.next, body).unwrap();
            chain.all(Kind::Vendor).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let first = [vendors(&pair.sent[0]), vendors(&pair.sent[1])];
        let dpd = 0xafca_d713_68a1_f1c9_6b86_96fc_7757_0100_u128.to_be_bytes().to_vec();
        assert!(first.iter().all(|v| v.contains(&dpd)));
        let ours = first.map(|v| v.iter().filter(|id| id.len() < 16).count());
        assert_eq!(ours, ids);
    }
}

/// Our kernel and memory are gone (a crash, a power cut): the peer forgets what it had with us at once.
#[test]
fn a_first_contact_is_announced_and_a_second_is_not() {
    for (initial_contact, forgotten) in [(true, true), (false, false)] {
        let conn = ConnSpec { initial_contact, ..site("L2TP-PSK", "10.2.0.0/16") };
        let mut pair = sites(&conn);
        assert!(pair.connect());
        assert!(!pair.hosts[0].logged("peer says INITIAL_CONTACT"), "there was nothing to forget");
        let now = pair.now;
        let fresh = sites(&conn).hosts.remove(1);
        pair.hosts[1] = fresh;
        pair.hosts[1].kernel.start_spis_at(0x7777_0000);
        pair.up(1);
        pair.run_for(Duration::from_secs(5));
        assert!(pair.now > now);
        assert_eq!(pair.hosts[0].logged("peer says INITIAL_CONTACT: deleting IPSEC State #2"), forgotten);
        assert_eq!(pair.hosts[0].engine.established().len(), if forgotten { 1 } else { 2 });
        // A renewal of the IKE SA is no first contact.
        pair.hosts[0].log.clear();
        pair.run_for(Duration::from_secs(4000));
        assert!(!pair.hosts[0].logged("INITIAL_CONTACT"));
    }
}

/// Both call at the same moment: neither takes the other's SA away.
#[test]
fn calls_that_cross_are_no_first_contacts() {
    for ms in [0, 3, 8, 12, 15, 25, 40] {
        let mut pair = sites(&site("L2TP-PSK", "10.2.0.0/16"));
        pair.up(1);
        pair.run_for(Duration::from_millis(ms));
        pair.up(0);
        pair.run_for(Duration::from_secs(100));
        assert_eq!(outcome(&pair), Outcome::Established, "{ms} ms");
        assert!(pair.hosts.iter().all(|h| !h.logged("INITIAL_CONTACT: deleting")), "{ms} ms");
    }
}

/// Windows says it twice; a second Delete takes nothing more away, and nothing of anybody else's.
#[test]
fn a_delete_that_comes_twice() {
    let mut pair = Pair::new(PairConfig::default());
    let mut peer = Script::new(PEER, 1);
    peer.main_mode(&mut pair, &[]);
    peer.quick_mode(&mut pair, 1, 0xabcd_0001);
    peer.quick_mode(&mut pair, 2, 0xabcd_0002);
    for msgid in [10, 11] {
        let body = emit_delete(PROTO_ESP, &0xabcd_0001u32.to_be_bytes());
        let message = peer.phase2(Exchange::Informational, msgid, &[(Kind::Delete, body)]);
        peer.send(&mut pair, message);
    }
    assert_eq!(pair.server().times_logged("deleting IPSEC State"), 1);
    assert_eq!(pair.server().engine.established().len(), 1);
    for msgid in [12, 13] {
        let body = emit_delete(PROTO_ISAKMP, &[peer.icookie, peer.rcookie].concat());
        let message = peer.phase2(Exchange::Informational, msgid, &[(Kind::Delete, body)]);
        peer.send(&mut pair, message);
    }
    assert_eq!(pair.server().engine.counts()[..2], [0, 1], "in IKEv1 the Child SA stays");
}

/// The commit bit asks for a notification that nobody waits for: it is logged and not obeyed.
#[test]
fn the_commit_bit_is_ignored() {
    let mut pair = Pair::new(PairConfig::default());
    let mut peer = Script::new(PEER, 1);
    peer.main_mode(&mut pair, &[]);
    let mut qi1 = peer.phase2(Exchange::Quick, 5, &peer.qi1(12, 0xabcd_0001, peer.l2tp_ids()));
    qi1[19] |= 2;
    assert_eq!(peer.send(&mut pair, qi1).len(), 1);
    assert!(pair.server().logged("has the Commit Flag set but Pluto doesn't implement this feature"));
}

/// Nobody listens at the peer's: an ICMP message says so, which anybody may send. It is told and ends nothing.
#[test]
fn what_icmp_says_is_told_to_who_waits() {
    let mut pair = Pair::new(PairConfig::default());
    pair.filter = Some(Box::new(|_| false));
    pair.up(1);
    let (local, remote) = (SocketAddr::new(CLIENT, 500), SocketAddr::new(SERVER, 500));
    let hear = |pair: &mut Pair, local, remote| {
        let why = "complainant 192.0.2.1: Connection refused [errno 111, origin ICMP type 3 code 3 (not authenticated)]";
        let now = pair.now;
        pair.client().handle(now, Input::Undelivered { local, remote, why: why.into() });
        pair.run_for(Duration::ZERO);
        pair.client().times_logged("ERROR: asynchronous network error report")
    };
    pair.run_for(Duration::from_millis(10));
    assert_eq!(hear(&mut pair, local, SocketAddr::new(SERVER, 501)), 0, "of no message of ours");
    assert_eq!(hear(&mut pair, SocketAddr::new(CLIENT, 4500), remote), 0);
    for n in 1..4 {
        for _ in 0..1000 {
            assert_eq!(hear(&mut pair, local, remote), n, "once for each message");
        }
        pair.run_for(Duration::from_secs(1 << n));
    }
    let line = format!(
        "\"L2TP-PSK\" #1: ERROR: asynchronous network error report on eth0 (sport=500) for message to {SERVER} port 500, \
         complainant 192.0.2.1: Connection refused"
    );
    assert!(pair.client().logged(&line), "{:#?}", pair.client().log);
    pair.filter = None;
    assert!(pair.run_until(Duration::from_secs(60), |p| !p.hosts[1].engine.established().is_empty()));
    assert_eq!(hear(&mut pair, local, remote), 3, "nobody waits any more");
    assert_eq!(pair.client().engine.established().len(), 1);
}
