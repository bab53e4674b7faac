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

use common::xauth::{Secrets, client, config, env, pair_of, replies, server};
use ipsec_types::ConnSpec;
use ipsec_types::kernel::Dir;
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
