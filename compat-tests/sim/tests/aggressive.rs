//! Aggressive Mode: only where a conn asks for it, with the key of the name, and under loss as Main Mode.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::time::Duration;

use common::{Script, ike_attrs_of};
use ike::wire::payload::Kind;
use ike::wire::sa::{PROTO_ISAKMP, SaWriter};
use ike::wire::{Exchange, Header, ident};
use ike::{Limits, PskLookup};
use ipsec_types::algo::{DhGroup, HashAlg, IkeCipher, IkeSuite};
use ipsec_types::{ConnSpec, Id, SecretBytes};
use sim::{CLIENT, Keys, Link, Outcome, Pair, PairConfig, clean, client_conn, outcome, server_conn, settled};

const GROUP: DhGroup = DhGroup::Ecp256;

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

/// `aggrmode=yes`, and the client is known as `@road`.
fn server() -> ConnSpec {
    let mut c = ConnSpec { aggressive: true, ..server_conn(GROUP) };
    c.right.id = id("@road");
    c
}

fn client(name: &str) -> ConnSpec {
    let mut c = ConnSpec { aggressive: true, ..client_conn(GROUP, CLIENT) };
    c.left.id = id(name);
    c
}

fn config() -> PairConfig {
    PairConfig { server: vec![server()], client: client("@road"), ..PairConfig::default() }
}

#[test]
fn three_messages_make_an_isakmp_sa_direct_and_behind_a_nat() {
    for nat in [false, true] {
        let mut pair = Pair::new(PairConfig { nat, ..config() });
        assert!(pair.connect(), "{:?}", pair.server().log);
        pair.run_for(Duration::from_secs(30));
        assert_eq!(outcome(&pair), Outcome::Established);
        let first: Vec<u8> =
            pair.sent.iter().take(3).map(|d| d.data[if d.data[..4] == [0; 4] { 22 } else { 18 }]).collect();
        assert_eq!(first, [4, 4, 4]);
        let result = if nat { "peer is NATed" } else { "no NAT detected" };
        assert!(pair.server().logged(&format!("Result using RFC 3947 (NAT-Traversal): {result}")));
        assert_eq!(pair.sent[2].dst.port(), if nat { 4500 } else { 500 });
        for text in [
            "responding to Aggressive Mode from unknown peer",
            "Aggressive mode peer ID is ID_FQDN: '@road'",
            "transition from state STATE_AGGR_R0 to state STATE_AGGR_R1",
            "STATE_AGGR_R1: sent AR1, expecting AI2",
            "STATE_AGGR_R2: ISAKMP SA established {auth=OAKLEY_PRESHARED_KEY cipher=aes_128",
        ] {
            assert!(pair.server().logged(text), "{text}");
        }
        for text in [
            "initiating Aggressive Mode #1, connection \"L2TP-PSK\"",
            "STATE_AGGR_I1: initiate",
            "STATE_AGGR_I2: sent AI2, ISAKMP SA established",
        ] {
            assert!(pair.client().logged(text), "{text}");
        }
    }
}

/// `leftnat-hide=yes` cannot be obeyed here, and both ends see the same all the same.
#[test]
fn nothing_is_hidden() {
    for nat in [false, true] {
        let mut server = server();
        server.nat_hide = true;
        let mut pair = Pair::new(PairConfig { nat, server: vec![server], ..config() });
        assert!(pair.connect(), "{:?}", pair.server().log);
        pair.run_for(Duration::from_secs(1));
        let encap =
            |host: &sim::Host| host.kernel.sas().iter().map(|s| s.encap.is_some()).collect::<Vec<_>>();
        assert_eq!((encap(&pair.hosts[0]), encap(&pair.hosts[1])), (vec![nat; 2], vec![nat; 2]));
    }
}

/// AI2 has no answer: what follows on it makes the client say it again.
#[test]
fn a_lost_ai2_is_sent_again() {
    let mut pair = Pair::new(config());
    let mut lost = 0;
    pair.filter = Some(Box::new(move |d| {
        let ai2 = d.data[18] == 4 && d.data[19] & 1 == 1;
        lost += u32::from(ai2);
        !ai2 || lost > 2
    }));
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(100));
    assert_eq!(outcome(&pair), Outcome::Established);
    let ai2 = pair.sent.iter().filter(|d| d.data[18] == 4 && d.data[19] & 1 == 1).count();
    assert_eq!(ai2, 3, "it is not sent for ever");
}

#[test]
fn bad_lines_end_in_a_connection_or_in_nothing() {
    let mut established = 0;
    for seed in 0..200 {
        let link = Link::bad(if seed % 2 == 0 { 20 } else { 5 });
        let busy = Duration::from_millis(20);
        let mut pair = Pair::new(PairConfig { seed, link, busy, nat: seed % 4 < 2, ..config() });
        let end = settled(&mut pair).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        established += u32::from(end == Outcome::Established);
    }
    assert!(established >= 196, "only {established} of 200");
}

/// AI1 of a stranger who says he is `name`, with the transforms `groups` and a public value of `GROUP`.
fn ai1(name: &str, groups: &[u32], number: u8) -> (Script, Vec<u8>) {
    let mut peer = Script::new("198.51.100.77:500", number);
    let transforms: Vec<_> = groups.iter().zip(0u8..).map(|(g, n)| (n, 1, ike_attrs_of(*g, 1))).collect();
    let mut w = SaWriter::new();
    w.proposal(0, PROTO_ISAKMP, &[], &transforms, true);
    peer.sa_i = w.finish();
    let payloads = [
        (Kind::Sa, peer.sa_i.clone()),
        (Kind::KeyExchange, peer.g_xi()),
        (Kind::Nonce, vec![7; 16]),
        (Kind::Id, ident::emit(&id(name), 0, 0)),
    ];
    let message = peer.clear(Exchange::Aggressive, &payloads);
    (peer, message)
}

/// CVE-2002-1623: who is named by no conn gets nothing to guess a key from, not even a refusal.
#[test]
fn cve_2002_1623_no_hash_for_whom_no_conn_names() {
    let mut main_only = server();
    main_only.aggressive = false;
    for (conn, name, says) in [
        (server(), "@stranger", "no suitable connection for peer '@stranger'"),
        (server(), "198.51.100.77", "no suitable connection for peer"),
        (main_only, "@road", "policy=AGGRESSIVE"),
    ] {
        let mut pair = Pair::new(PairConfig { server: vec![conn], ..config() });
        let (peer, message) = ai1(name, &[19], 1);
        assert!(peer.send(&mut pair, message).is_empty(), "{name}");
        assert!(pair.server().logged(says), "{:?}", pair.server().log);
        clean(pair.server()).unwrap();
    }
}

#[test]
fn a_conn_that_asks_for_aggressive_mode_takes_main_mode_too() {
    let main = ConnSpec { aggressive: false, ..client("@road") };
    let mut pair = Pair::new(PairConfig { client: main, ..config() });
    assert!(pair.connect());
    assert!(pair.server().logged("STATE_MAIN_R3: sent MR3, ISAKMP SA established"));
}

#[test]
fn a_client_does_not_try_main_mode_where_aggressive_mode_is_wanted() {
    let mut main_only = server();
    main_only.aggressive = false;
    let mut pair = Pair::new(PairConfig { server: vec![main_only], ..config() });
    pair.up(1);
    pair.run_for(Duration::from_secs(1000));
    assert_eq!(outcome(&pair), Outcome::Failed);
    assert!(pair.client().logged("max number of retransmissions (6) reached STATE_AGGR_I1.  No response"));
    assert!(pair.sent.iter().all(|d| d.data[18] == 4));
}

#[test]
fn the_group_is_that_of_the_public_value() {
    let mut server = server();
    server.ike.insert(0, IkeSuite { group: DhGroup::Modp2048, ..server.ike[0] });
    let mut pair = Pair::new(PairConfig { server: vec![server], ..config() });
    let (peer, message) = ai1("@road", &[14, 19], 1);
    let ar1 = peer.send(&mut pair, message).remove(0);
    let (h, body) = Header::parse(&ar1).unwrap();
    let chain = ike::wire::Chain::parse(h.next, body).unwrap();
    let sa = ike::wire::SaPayload::parse(chain.first(Kind::Sa).unwrap()).unwrap();
    assert_eq!(sa.proposals[0].transforms[0].number, 1);
    let (peer, message) = ai1("@road", &[14], 2);
    let refusal = peer.send(&mut pair, message);
    assert_eq!(refusal.len(), 1, "a notification");
    assert!(pair.server().logged("the KE payload is not of modp2048"));
}

/// Apple's clients offer MODP2048 first, and when that is refused begin anew with MODP1024.
#[test]
fn apples_second_attempt_with_the_smaller_group_is_taken() {
    let old = |group| vec![IkeSuite { cipher: IkeCipher::Aes(128), hash: HashAlg::Sha1, group }];
    let server = ConnSpec { ike: old(DhGroup::Modp1024), ..server() };
    let mut pair = Pair::new(PairConfig {
        server: vec![server],
        client: ConnSpec { ike: old(DhGroup::Modp2048), keyingtries: 1, ..client("@road") },
        ..config()
    });
    pair.up(1);
    pair.run_for(Duration::from_secs(100));
    assert!(pair.server().logged("no acceptable Oakley Transform"));
    let second = ConnSpec { ike: old(DhGroup::Modp1024), ..client("@road") };
    let now = pair.now;
    pair.client().whack(now, ipsec_types::whack::Request::Add(Box::new(second)));
    assert!(pair.connect());
}

/// A key for each name.
struct ByName;

impl PskLookup for ByName {
    fn lookup(&self, _: &Id, him: &Id) -> Vec<SecretBytes> {
        match him {
            Id::Fqdn(name) => vec![SecretBytes::from(name.as_bytes())],
            _ => vec![SecretBytes::from(&b"somebody else's"[..])],
        }
    }
}

#[test]
fn the_key_is_that_of_the_name() {
    let mut open = server();
    open.right.id = Id::None;
    for (key, good) in [(&b"road"[..], true), (b"other", false)] {
        let client_keys = Keys::new(&[key]);
        let mut pair = Pair::new(PairConfig { server: vec![open.clone()], client_keys, ..config() });
        pair.server().engine.set_secrets(Box::new(ByName));
        assert_eq!(pair.connect(), good);
        if !good {
            assert!(pair.client().logged("probable authentication failure (mismatch of preshared secrets?)"));
            pair.run_for(Duration::from_secs(1000));
            pair.hosts.iter().for_each(|h| clean(h).unwrap());
        }
    }
}

#[test]
fn without_ike_nothing_is_begun() {
    let mut pair = Pair::new(PairConfig { client: ConnSpec { ike: vec![], ..client("@road") }, ..config() });
    pair.up(1);
    pair.run_for(Duration::from_secs(1));
    let said = pair.client().replies.iter().any(|r| {
        r.starts_with("036 ")
            && r.contains("no IKE proposal policy specified in config!  Can not initiate aggressive mode.")
    });
    assert!(
        said || pair.client().logged("no IKE proposal policy specified in config!"),
        "{:?}",
        pair.client().replies
    );
    assert!(pair.sent.is_empty());
    clean(pair.client()).unwrap();
}

#[test]
fn a_flood_stops_at_the_limit_of_half_open_peers() {
    let limit = Limits::default().half_open_per_peer;
    let mut pair = Pair::new(config());
    for n in 1..=limit + 5 {
        let (peer, message) = ai1("@road", &[19], n as u8);
        assert_eq!(peer.send(&mut pair, message.clone()).len(), usize::from(n <= limit), "message {n}");
        assert_eq!(peer.send(&mut pair, message).len(), usize::from(n <= limit), "again: the same answer");
        assert_eq!(pair.server().engine.counts()[0], n.min(limit));
    }
    assert!(pair.server().logged("too many half-open ISAKMP SAs; initial Aggressive Mode message dropped"));
    pair.run_for(Duration::from_secs(40));
    clean(pair.server()).unwrap();
}

/// CVE-2022-23094, CVE-2005-3671: whatever is wrong with AI1, it is refused before or after there is a state.
#[test]
fn cve_2022_23094_cve_2005_3671_malformed_first_messages() {
    let mut pair = Pair::new(config());
    let (peer, good) = ai1("@road", &[19], 1);
    for at in 16..good.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            (bad[6], bad[7]) = (flip, at as u8);
            peer.send(&mut pair, bad);
        }
        pair.run_for(Duration::from_secs(31));
    }
    for n in 28..good.len() {
        peer.send(&mut pair, good[..n].to_vec());
    }
    pair.run_for(Duration::from_secs(60));
    clean(pair.server()).unwrap();
    pair.net.link = Link::GOOD;
    assert!(pair.connect());
}
