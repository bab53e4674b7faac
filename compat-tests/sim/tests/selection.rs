//! Which of several conns serves a peer: one test a rule.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use std::net::IpAddr;
use std::time::Duration;

use ike::PskLookup;
use ipsec_types::algo::{DhGroup, HashAlg, IkeCipher, IkeSuite};
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{ClientSpec, VirtualWord};
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, EndSpec, HostSpec, Id, Port, ProtoPort, SecretBytes};
use sim::{CLIENT, Keys, PSK, Pair, PairConfig, SERVER};

const OTHER: &str = "198.51.100.9";

fn suite(group: DhGroup) -> Vec<IkeSuite> {
    vec![IkeSuite { cipher: IkeCipher::Aes(128), hash: HashAlg::Sha1, group }]
}

/// A tunnel from a network of the server's to `right`.
fn conn(name: &str, right: HostSpec) -> ConnSpec {
    let net = |n: &str| ClientSpec::Net(n.parse().unwrap());
    ConnSpec {
        name: name.into(),
        left: EndSpec { host: HostSpec::Addr(SERVER), client: net("10.1.0.0/16"), ..EndSpec::default() },
        right: EndSpec { host: right, client: net("10.2.0.0/16"), ..EndSpec::default() },
        authby: AuthBy::PSK,
        ike: suite(DhGroup::Ecp256),
        pfs: false,
        ..ConnSpec::default()
    }
}

/// The same from the side of the peer at `at`.
fn client(at: IpAddr) -> ConnSpec {
    let server = conn("L2TP-PSK", HostSpec::Addr(at));
    ConnSpec { left: server.right, right: server.left, ..conn("L2TP-PSK", HostSpec::Any) }
}

fn pair(server: Vec<ConnSpec>, client: ConnSpec) -> Pair {
    Pair::new(PairConfig { server, client, ..PairConfig::default() })
}

/// The conns of the server's SAs.
fn chosen(pair: &Pair) -> Vec<String> {
    pair.hosts[0].engine.established().into_iter().map(|e| e.0).collect()
}

fn dial(pair: &mut Pair) -> Vec<String> {
    pair.up(1);
    pair.run_for(Duration::from_secs(5));
    chosen(pair)
}

fn named(mut c: ConnSpec, id: &str) -> ConnSpec {
    c.right.id = id.parse().unwrap();
    c
}

fn as_id(id: &str) -> ConnSpec {
    let mut c = client(CLIENT);
    c.left.id = id.parse().unwrap();
    c
}

#[test]
fn a_conn_with_the_peers_address_comes_before_one_for_anybody() {
    let exact = conn("exact", HostSpec::Addr(CLIENT));
    for server in
        [vec![conn("any", HostSpec::Any), exact.clone()], vec![exact.clone(), conn("any", HostSpec::Any)]]
    {
        assert_eq!(dial(&mut pair(server, client(CLIENT))), ["exact"]);
    }
}

#[test]
fn of_two_for_anybody_the_latest_counts() {
    let server = vec![conn("first", HostSpec::Any), conn("second", HostSpec::Any)];
    assert_eq!(dial(&mut pair(server, client(CLIENT))), ["second"]);
}

#[test]
fn a_conn_whose_ike_does_not_take_the_offer_is_passed_over() {
    let strict = ConnSpec { ike: suite(DhGroup::Ecp384), ..conn("strict", HostSpec::Any) };
    let mut pair = pair(vec![conn("good", HostSpec::Any), strict], client(CLIENT));
    assert_eq!(dial(&mut pair), ["good"]);
}

#[test]
fn who_is_named_gets_his_own_conn() {
    for order in [["anybody", "named"], ["named", "anybody"]] {
        let make = |n: &str| match n {
            "named" => named(conn(n, HostSpec::Any), "@road"),
            _ => conn(n, HostSpec::Any),
        };
        let mut pair = pair(order.map(make).to_vec(), as_id("@road"));
        assert_eq!(dial(&mut pair), ["named"], "{order:?}");
        assert_eq!(pair.server().logged("switched from"), order[1] == "anybody");
    }
}

/// A key that serves one peer alone.
struct Only(Id);

const ONLY: &[u8] = b"for one peer alone";

impl PskLookup for Only {
    fn lookup(&self, me: &Id, him: &Id) -> Vec<SecretBytes> {
        let it_is = [me, him].contains(&&self.0);
        vec![SecretBytes::from(if it_is { ONLY } else { PSK })]
    }
}

/// An address, FQDN, USER_FQDN, KEY_ID and a DN: each names its conn and, in Aggressive Mode where it is known in time, its key.
#[test]
fn every_kind_of_identity_names_its_conn_and_its_key() {
    for id in [
        "198.51.100.200",
        "@road",
        "joe@example.org",
        "@#6b65792d31",
        "C=DE, O=Example, CN=road",
        "2001:db8::7",
    ] {
        for aggressive in [false, true] {
            let mode = |c: ConnSpec| ConnSpec { aggressive, ..c };
            let server =
                vec![mode(conn("anybody", HostSpec::Any)), mode(named(conn("named", HostSpec::Any), id))];
            let mut pair = pair(server, mode(as_id(id)));
            if aggressive {
                let only = || Box::new(Only(id.parse().unwrap()));
                pair.hosts.iter_mut().for_each(|h| h.engine.set_secrets(only()));
            }
            assert_eq!(dial(&mut pair), ["named"], "{id}, aggressive: {aggressive}");
            let shown: Id = id.parse().unwrap();
            let text = format!("{}: '{shown}'", shown.type_name());
            assert!(pair.server().logged(&text), "{text}: {:#?}", pair.hosts[0].log);
        }
    }
}

#[test]
fn who_is_named_nowhere_is_refused() {
    let server = vec![named(conn("a", HostSpec::Any), "@a"), named(conn("b", HostSpec::Any), "@b")];
    let mut pair = pair(server, as_id("@c"));
    assert!(dial(&mut pair).is_empty());
    assert!(pair.server().logged("no suitable connection for peer '@c'"));
    assert_eq!(pair.server().engine.counts()[2], 2, "no instance is left");
}

/// Keys by the peer's name; whoever has none gets the common one.
struct ByName;

impl PskLookup for ByName {
    fn lookup(&self, _: &Id, him: &Id) -> Vec<SecretBytes> {
        let special = *him == "@boss".parse::<Id>().unwrap();
        vec![SecretBytes::from(if special { &b"of the boss alone"[..] } else { PSK })]
    }
}

/// Whoever has the common key may not say that he is somebody with a key of his own.
#[test]
fn a_conn_with_another_key_is_not_switched_to() {
    let server = vec![named(conn("boss", HostSpec::Any), "@boss"), conn("anybody", HostSpec::Any)];
    let mut pair = pair(server, as_id("@boss"));
    pair.hosts[0].engine.set_secrets(Box::new(ByName));
    assert_eq!(dial(&mut pair), ["anybody"]);
    assert!(!pair.server().logged("switched from"));
}

#[test]
fn quick_mode_finds_the_conn_with_the_networks_that_are_proposed() {
    let mut other = conn("other", HostSpec::Addr(CLIENT));
    other.right.client = ClientSpec::Net("10.3.0.0/16".parse().unwrap());
    let server = vec![conn("right", HostSpec::Addr(CLIENT)), other];
    assert_eq!(dial(&mut pair(server, client(CLIENT))), ["right"]);
}

#[test]
fn a_network_comes_before_a_list_of_what_may_be_one() {
    let words = vec![VirtualWord::All];
    let mut list = conn("list", HostSpec::Any);
    list.right.client = ClientSpec::Virtual { single_host: false, words };
    // By address both go to the last, which has another network.
    let mut elsewhere = conn("elsewhere", HostSpec::Any);
    elsewhere.right.client = ClientSpec::Net("10.9.0.0/16".parse().unwrap());
    let server = vec![conn("network", HostSpec::Any), list, elsewhere];
    assert_eq!(dial(&mut pair(server, client(CLIENT))), ["network"]);
}

#[test]
fn one_port_comes_before_any() {
    let udp = |port| ProtoPort { proto: 17, port };
    let with = |name: &str, ours, theirs| {
        let mut c = conn(name, HostSpec::Addr(CLIENT));
        (c.left.protoport, c.right.protoport) = (udp(ours), udp(theirs));
        c
    };
    let server = vec![
        with("one", Port::Number(1701), Port::Number(1701)),
        with("any", Port::Number(1701), Port::Any),
        with("tftp", Port::Number(69), Port::Any),
    ];
    let mut dialler = client(CLIENT);
    (dialler.left.protoport, dialler.right.protoport) = (udp(Port::Number(1701)), udp(Port::Number(1701)));
    assert_eq!(dial(&mut pair(server, dialler)), ["one"]);
}

#[test]
fn a_routed_conn_comes_before_one_that_is_not() {
    let mut elsewhere = conn("elsewhere", HostSpec::Addr(CLIENT));
    elsewhere.right.client = ClientSpec::Net("10.9.0.0/16".parse().unwrap());
    let server =
        vec![conn("routed", HostSpec::Addr(CLIENT)), conn("loaded", HostSpec::Addr(CLIENT)), elsewhere];
    for route in [false, true] {
        let mut pair = pair(server.clone(), client(CLIENT));
        if route {
            let now = pair.now;
            pair.server().whack(now, Request::Route { name: "routed".into() });
        }
        assert_eq!(dial(&mut pair), [if route { "routed" } else { "loaded" }]);
    }
}

/// A second client that has the same network behind it.
fn second(pair: &mut Pair, id: &str) -> usize {
    let at: IpAddr = OTHER.parse().unwrap();
    let host = pair.add_client(at, Keys::new(&[PSK]), None);
    let mut c = client(at);
    c.left.id = id.parse().unwrap();
    let now = pair.now;
    pair.hosts[host].whack(now, Request::Add(Box::new(c)));
    pair.up(host);
    pair.run_for(Duration::from_secs(5));
    host
}

/// Peers choose their networks.
fn road() -> ConnSpec {
    let mut c = conn("road", HostSpec::Any);
    c.right.client = ClientSpec::Virtual { single_host: false, words: vec![VirtualWord::All] };
    c
}

#[test]
fn two_peers_do_not_get_one_network() {
    let mut pair = pair(vec![road()], as_id("@one"));
    assert_eq!(dial(&mut pair), ["road"]);
    let host = second(&mut pair, "@two");
    assert!(pair.hosts[host].engine.established().is_empty());
    assert!(
        pair.server()
            .logged("Virtual IP 10.2.0.0/16 overlaps with connection \"road\"[1] 198.51.100.2 '@one'")
    );
    assert!(pair.server().logged("overlap is forbidden (neither conn agrees to it with overlapip=yes)"));
    assert_eq!(chosen(&pair), ["road"], "the first is left alone");
}

#[test]
fn two_peers_get_one_network_if_both_conns_agree() {
    let road = ConnSpec { overlap_ip: true, ..road() };
    let mut pair = pair(vec![road], as_id("@one"));
    assert_eq!(dial(&mut pair), ["road"]);
    second(&mut pair, "@two");
    assert_eq!(chosen(&pair), ["road", "road"]);
    assert!(pair.server().logged("overlap is okay by mutual consent"));
}

#[test]
fn a_peer_that_comes_back_from_elsewhere_takes_its_network_along() {
    let mut pair = pair(vec![road()], as_id("@one"));
    assert_eq!(dial(&mut pair), ["road"]);
    let host = second(&mut pair, "@one");
    assert_eq!(pair.hosts[host].engine.established().len(), 1);
    assert_eq!(chosen(&pair), ["road"], "the old tunnel is gone");
    assert!(pair.hosts[0].kernel.policies().iter().all(|p| p.id.mark.is_none()));
}

/// Here the network is the conn's, and the identity is the address.
#[test]
fn the_network_of_a_conn_is_of_whom_came_last() {
    let mut pair = pair(vec![conn("road", HostSpec::Any)], client(CLIENT));
    assert_eq!(dial(&mut pair), ["road"]);
    let host = second(&mut pair, OTHER);
    assert_eq!(pair.hosts[host].engine.established().len(), 1);
    assert_eq!(chosen(&pair), ["road"]);
    assert!(pair.server().logged("releasing old connection to free the route"));
}

#[test]
fn a_network_in_use_by_another_conn_is_not_given_away() {
    let server =
        vec![conn("mine", HostSpec::Addr(CLIENT)), conn("yours", HostSpec::Addr(OTHER.parse().unwrap()))];
    let mut pair = pair(server, client(CLIENT));
    assert_eq!(dial(&mut pair), ["mine"]);
    let host = second(&mut pair, OTHER);
    assert!(pair.hosts[host].engine.established().is_empty());
    assert_eq!(chosen(&pair), ["mine"]);
    assert!(pair.server().logged("cannot install eroute -- it is in use for \"mine\""));
}
