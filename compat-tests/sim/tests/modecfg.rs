//! Mode Config: what a client is given, for how long, and what it takes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::replies;
use common::xauth::{Secrets, answer, client, config, env, pair_of, server, stranger};
use ike::wire::Exchange;
use ike::wire::cfg::{self, CfgPayload, CfgType, CfgWriter};
use ike::wire::payload::Kind;
use ipsec_types::ConnSpec;
use ipsec_types::conn::ClientSpec;
use ipsec_types::kernel::Dir;
use ipsec_types::modecfg::AddressPool;
use ipsec_types::whack::Request;
use sim::{Keys, Outcome, PSK, Pair, PairConfig, clean, outcome};

#[test]
fn a_client_proves_himself_gets_an_address_and_uses_it() {
    for n in 0..8u8 {
        let (aggressive, pull, nat) = (n & 1 > 0, n & 2 > 0, n & 4 > 0);
        let make = |mut c: ConnSpec| {
            c.modecfg.pull = pull;
            c.cisco_unity = true;
            ConnSpec { aggressive, ..c }
        };
        let (mut server, mut client) = (make(server()), make(client()));
        if !pull {
            (server.cisco_unity, client.cisco_unity) = (false, false);
        }
        server.left.updown = Some("/etc/up".into());
        client.left.updown = Some("/etc/up".into());
        let mut pair = pair_of(PairConfig { server: vec![server], client, nat, ..config() });
        assert!(pair.connect(), "{n}: {:?} {:?}", pair.hosts[0].log, pair.hosts[1].log);
        pair.run_for(Duration::from_secs(100));
        assert_eq!(outcome(&pair), Outcome::Established, "{n}");
        let out = pair.hosts[1].kernel.policies().iter().find(|p| p.id.dir == Dir::Out).unwrap();
        assert_eq!(out.id.selector.src, "10.9.0.1/32".parse().unwrap());
        assert_eq!(out.id.selector.dst, "0.0.0.0/0".parse().unwrap());
        for text in [
            "XAUTH: Sending Username/Password request (XAUTH_R0)",
            "XAUTH: User joe: Attempting to login",
            "XAUTH: User joe: Authentication Successful",
            if pull { "modecfg: Sending IP reply (MODECFG_R0): 10.9.0.1" } else { "Sending MODE CONFIG set" },
        ] {
            assert!(pair.server().logged(text), "{n}: {text}: {:?}", pair.hosts[0].log);
        }
        for text in [
            "XAUTH: Answering XAUTH challenge with user='joe'",
            "XAUTH: Successfully Authenticated",
            "setting client address to 10.9.0.1/32",
            "Received DNS 10.1.0.53",
        ] {
            assert!(pair.client().logged(text), "{n}: {text}");
        }
        assert_eq!(pair.client().logged("Received Banner: Be nice"), pull);
        assert_eq!(pair.client().logged("Received subnet 10.1.0.0/16"), pull);
        assert_eq!(env(&pair, 0, "up-client", "PLUTO_XAUTH_USERNAME"), Some("joe"));
        assert_eq!(env(&pair, 1, "up-client", "PLUTO_MY_SOURCEIP"), Some("10.9.0.1"));
        assert_eq!(env(&pair, 1, "up-client", "PLUTO_CISCO_DNS_INFO"), Some("10.1.0.53"));
        let traffic = replies(&mut pair, 0, Request::TrafficStatus).join("\n");
        assert!(traffic.contains(" username=joe,") && traffic.ends_with(", lease=10.9.0.1/32"), "{traffic}");
        let status = replies(&mut pair, 0, Request::Status).join("\n");
        assert!(status.contains("    xauth info: hisxauthuser=joe; "), "{status}");
        assert!(status.contains("[+MS+XS]") && status.contains("+XAUTH"), "{status}");
        pair.down(1);
        pair.run_for(Duration::from_secs(120));
        pair.hosts.iter().for_each(|h| clean(h).unwrap());
        // The name servers of a Cisco peer, and of no other; and of the server's nobody is told.
        let told = |host, verb| env(&pair, host, verb, "PLUTO_CISCO_DNS_INFO");
        for verb in ["updateresolvconf-client", "restoreresolvconf-client"] {
            assert_eq!((told(0, verb), told(1, verb)), (None, pull.then_some("10.1.0.53")), "{n}: {verb}");
        }
    }
}

/// The fourth field of libreswan's passwd file.
#[test]
fn a_user_has_an_address_of_his_own_also_when_he_comes_back_from_elsewhere() {
    let mut pair = pair_of(config());
    let address: IpAddr = "10.8.0.77".parse().unwrap();
    pair.server().pool_of_user = Some(AddressPool { first: address, last: address });
    assert!(pair.connect(), "{:?}", pair.server().log);
    assert!(pair.client().logged("setting client address to 10.8.0.77/32"));
    let other = pair.add_client(IpAddr::from([198, 51, 100, 9]), Keys::new(&[PSK]), None);
    pair.hosts[other].engine.set_secrets(Box::new(Secrets(b"right")));
    pair.up(other);
    pair.run_for(Duration::from_secs(20));
    assert!(pair.server().logged("user joe is here again: releasing"), "{:?}", pair.server().log);
    assert!(
        pair.hosts[other].logged("setting client address to 10.8.0.77/32"),
        "{:?}",
        pair.hosts[other].log
    );
    assert_eq!(
        (pair.server().engine.established().len(), pair.hosts[other].engine.established().len()),
        (1, 1)
    );
    pair.down(other);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.server().engine.established().len(), 0);
}

#[test]
fn clients_behind_one_nat_have_addresses_of_their_own_up_to_the_last() {
    let mut group = client();
    group.left.id = "@[group]".parse().unwrap();
    let mut pair = pair_of(PairConfig { nat: true, client: group, ..config() });
    let more = |pair: &mut Pair, n: u8| {
        let host = pair.add_client(IpAddr::from([10, 1, 0, n]), Keys::new(&[PSK]), Some(0));
        pair.hosts[host].engine.set_secrets(Box::new(Secrets(b"right")));
        host
    };
    let (second, third) = (more(&mut pair, 12), more(&mut pair, 13));
    for host in [1, second, third] {
        pair.up(host);
        pair.run_for(Duration::from_secs(20));
    }
    assert_eq!(pair.server().engine.established().len(), 2);
    assert!(pair.client().logged("setting client address to 10.9.0.1/32"));
    assert!(pair.hosts[second].logged("setting client address to 10.9.0.2/32"));
    assert!(pair.server().logged("no address is free in the pool 10.9.0.1-10.9.0.2; the client gets none"));
    pair.down(third);
    pair.down(second);
    pair.run_for(Duration::from_secs(5));
    pair.up(third);
    pair.run_for(Duration::from_secs(20));
    assert!(pair.hosts[third].logged("setting client address to 10.9.0.2/32"), "{:?}", pair.hosts[third].log);
}

/// A new ISAKMP SA of the same client belongs to the instance it had, and the address stays.
#[test]
fn a_renewed_isakmp_sa_keeps_the_address() {
    for nat in [false, true] {
        let brief =
            ConnSpec { ike_lifetime: 1000, rekey_margin: 100, rekey: true, keyingtries: 0, ..client() };
        let mut pair = pair_of(PairConfig { nat, client: brief, ..config() });
        assert!(pair.connect());
        let first = pair.server().engine.established();
        pair.run_for(Duration::from_secs(3000));
        assert!(pair.client().times_logged("XAUTH: Successfully Authenticated") > 2);
        assert_eq!(pair.client().times_logged("our address has changed"), 0);
        assert_eq!(
            pair.client().times_logged("setting client address to 10.9.0.1/32"),
            pair.client().times_logged("XAUTH: Successfully Authenticated")
        );
        assert_eq!(pair.server().engine.established(), first, "the tunnel was not touched");
        assert_eq!(outcome(&pair), Outcome::Established);
    }
}

/// A network of IPv6 inside a tunnel between IPv4 hosts, with addresses of its own.
fn version_6(mut c: ConnSpec, pull: bool) -> ConnSpec {
    let net = ClientSpec::Net("2001:db8:1::/48".parse().unwrap());
    if c.left.modecfg_server {
        c.left.client = net;
        let range = |a: &str| a.parse().unwrap();
        c.right.address_pool = Some(AddressPool { first: range("fd00:9::1"), last: range("fd00:9::2") });
        c.modecfg.dns = vec!["10.1.0.53".parse().unwrap(), "2001:db8:1::53".parse().unwrap()];
        c.modecfg.split = Vec::new();
    } else {
        c.right.client = net;
    }
    c.modecfg.pull = pull;
    c.left.updown = Some("/up".into());
    c
}

#[test]
fn a_client_gets_an_address_of_version_6() {
    for pull in [true, false] {
        let config = PairConfig {
            server: vec![version_6(server(), pull)],
            client: version_6(client(), pull),
            ..config()
        };
        let mut pair = pair_of(config);
        assert!(pair.connect(), "{:?} {:?}", pair.hosts[0].log, pair.hosts[1].log);
        pair.run_for(Duration::from_secs(5));
        assert_eq!(outcome(&pair), Outcome::Established);
        let out = pair.hosts[1].kernel.policies().iter().find(|p| p.id.dir == Dir::Out).unwrap();
        assert_eq!(out.id.selector.src, "fd00:9::1/128".parse().unwrap());
        assert_eq!(out.id.selector.dst, "2001:db8:1::/48".parse().unwrap());
        assert!(pair.client().logged("setting client address to fd00:9::1/128"));
        assert!(pair.client().logged("Received DNS 2001:db8:1::53"));
        assert_eq!(pair.client().logged("Received DNS 10.1.0.53"), !pull, "it is not asked for");
        assert_eq!(pair.client().logged("Received subnet 2001:db8:1::/48"), pull);
        assert_eq!(env(&pair, 1, "up-client", "PLUTO_MY_SOURCEIP"), Some("fd00:9::1"));
        let traffic = replies(&mut pair, 0, Request::TrafficStatus).join("\n");
        assert!(traffic.ends_with(", lease=fd00:9::1/128"), "{traffic}");
        pair.down(1);
        pair.run_for(Duration::from_secs(120));
        pair.hosts.iter().for_each(|h| clean(h).unwrap());
    }
}

/// What is asked for and what there is must be of one family, or the address stays for somebody who can use it.
#[test]
fn an_address_of_the_other_version_is_not_given() {
    for six in [false, true] {
        let conn = if six { version_6(server(), true) } else { server() };
        let mut pair = pair_of(PairConfig { server: vec![conn], ..config() });
        let mut peer = stranger("198.51.100.77:500", 1);
        peer.main_mode(&mut pair, &[]);
        answer(&mut pair, &peer, b"joe", b"right");
        let mut ask = |msgid, kinds: &[u16]| {
            let mut w = CfgWriter::new(CfgType::Request, 5);
            kinds.iter().for_each(|k| {
                w.value(*k, &[]);
            });
            let request = peer.phase2(Exchange::Transaction, msgid, &[(Kind::Attributes, w.finish())]);
            let iv = request[request.len() - 16..].to_vec();
            let reply = peer.send(&mut pair, request).remove(0);
            peer.read_with_iv(&reply, &iv).into_iter().find(|(k, _)| *k == Kind::Attributes).unwrap().1
        };
        let [own, other] = match six {
            true => [[cfg::IP6_ADDRESS, cfg::IP6_NETMASK], [cfg::IP4_ADDRESS, cfg::IP4_NETMASK]],
            false => [[cfg::IP4_ADDRESS, cfg::IP4_NETMASK], [cfg::IP6_ADDRESS, cfg::IP6_NETMASK]],
        };
        let got = ask(1, &other);
        assert!(CfgPayload::parse(&got).unwrap().attrs.is_empty());
        let got = ask(2, &[own[0], own[1], other[0], other[1]]);
        let got = CfgPayload::parse(&got).unwrap();
        assert_eq!(got.attrs.len(), 2, "{got:?}");
        assert!(got.addresses(own[1])[0].to_string().contains(if six { "ffff:ffff" } else { "255.255" }));
        assert_eq!(got.value(own[0]).unwrap().len(), if six { 16 } else { 4 });
    }
}

/// CVE-2010-3302, CVE-2010-3308 (and 3752, 3753): what a server gives is cut, and is text for scripts.
#[test]
fn cve_2010_3302_cve_2010_3308_a_server_that_gives_too_much() {
    let mut server = server();
    server.cisco_unity = true;
    server.modecfg.banner = Some(format!("$(id)';`x`{}", "A".repeat(3000)));
    server.modecfg.domains = vec!["x';reboot".into()];
    server.modecfg.dns = (0..25).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    server.left.xauth_server = true;
    let mut client = client();
    client.cisco_unity = true;
    client.left.updown = Some("/up".into());
    let mut pair = pair_of(PairConfig { server: vec![server], client, ..config() });
    assert!(pair.connect(), "{:?}", pair.hosts[1].log);
    let banner = env(&pair, 1, "up-client", "PLUTO_PEER_BANNER").unwrap();
    assert!(banner.len() < 600 && banner.starts_with("\\044(id)\\047;\\140x\\140A"), "{banner}");
    assert_eq!(env(&pair, 1, "up-client", "PLUTO_CISCO_DOMAIN_INFO"), Some("x\\047;reboot"));
    assert_eq!(env(&pair, 1, "up-client", "PLUTO_CISCO_DNS_INFO").unwrap().split(' ').count(), 16);
}
