//! Main Mode with RSA signatures: raw keys, both roles, on bad lines, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use std::time::Duration;

use ike::Keyring;
use ipsec_types::Id;
use ipsec_types::algo::DhGroup;
use ipsec_types::auth::AuthBy;
use sim::keys::{by_raw_keys, own, rsa_keys, written};
use sim::{CLIENT, Keys, Link, Outcome, Pair, PairConfig, client_conn, server_conn, settled};

fn id(s: &str) -> Id {
    s.parse().unwrap()
}

fn raw_keys() -> PairConfig {
    by_raw_keys(PairConfig::default())
}

#[test]
fn raw_keys_prove_both_ends() {
    let mut pair = Pair::new(raw_keys());
    assert!(pair.connect(), "{:#?}", pair.hosts[1].log);
    for host in &pair.hosts {
        assert!(host.logged("ISAKMP SA established {auth=OAKLEY_RSA_SIG"), "{:#?}", host.log);
    }
    assert!(pair.hosts[0].logged("Main mode peer ID is ID_FQDN: '@client'"));
}

/// CVE-2004-0155: a peer that knows everything but the private key does not get in.
#[test]
fn cve_2004_0155_a_signature_with_another_key_is_refused() {
    for wrong in 0..2 {
        let mut config = raw_keys();
        let ring = Keyring { own: vec![own(&rsa_keys()[2])], ..Keyring::default() };
        *[&mut config.server_keys, &mut config.client_keys][wrong] = Keys::of_ring(ring);
        let mut pair = Pair::new(config);
        assert!(!pair.connect());
        let deceived = &pair.hosts[1 - wrong];
        let who = ["@server", "@client"][wrong];
        assert!(
            deceived.logged(&format!("Signature check (on {who}) failed (wrong key?); tried *AwEAA")),
            "{:#?}",
            deceived.log
        );
        assert!(pair.hosts.iter().all(|h| h.engine.established().is_empty()));
    }
}

#[test]
fn what_is_missing_is_told() {
    let mut config = raw_keys();
    config.server[0].right.public_keys.clear();
    let mut pair = Pair::new(config);
    assert!(!pair.connect());
    assert!(pair.hosts[0].logged("no RSA public key known for '@client'"), "{:#?}", pair.hosts[0].log);
    assert!(pair.hosts[1].logged("INVALID_KEY_INFORMATION"), "{:#?}", pair.hosts[1].log);

    let mut config = raw_keys();
    config.server_keys = Keys::default();
    let mut pair = Pair::new(config);
    assert!(!pair.connect());
    let want = "unable to locate my private key for RSA Signature of '@server'";
    assert!(pair.hosts[0].logged(want), "{:#?}", pair.hosts[0].log);

    let mut config = raw_keys();
    config.server[0].authby = AuthBy::PSK;
    let mut pair = Pair::new(config);
    assert!(!pair.connect());
    let want = "no connection has been authorized with policy=RSASIG";
    assert!(pair.hosts[0].logged(want), "{:#?}", pair.hosts[0].log);
}

/// A conn for each method on one address: the peer's offer says which one it is.
#[test]
fn psk_and_rsa_road_warriors_live_side_by_side() {
    for rsa_last in [false, true] {
        let rsa = raw_keys();
        let mut psk = server_conn(DhGroup::Ecp256);
        psk.name = "with-psk".into();
        let mut server = vec![psk, rsa.server[0].clone()];
        if !rsa_last {
            server.reverse();
        }
        let mut server_keys = rsa.server_keys.clone();
        server_keys.psks = Keys::new(&[sim::PSK]).psks;
        for client_by_rsa in [true, false] {
            let mut config =
                PairConfig { server: server.clone(), server_keys: server_keys.clone(), ..rsa.clone() };
            if !client_by_rsa {
                config.client = client_conn(DhGroup::Ecp256, CLIENT);
                config.client_keys = Keys::new(&[sim::PSK]);
            }
            let mut pair = Pair::new(config);
            assert!(pair.connect(), "{:#?}", pair.hosts[0].log);
            let name = pair.hosts[0].engine.established()[0].0.clone();
            assert_eq!(name, if client_by_rsa { "L2TP-PSK" } else { "with-psk" });
        }
    }
}

/// The conn is chosen by the identity, and each identity has its own key.
#[test]
fn an_identity_is_proved_with_its_own_key() {
    let [a, b, c] = rsa_keys();
    let mut config = raw_keys();
    let mut other = config.server[0].clone();
    other.name = "other".into();
    other.right.id = id("@other");
    other.right.public_keys = vec![written(c)];
    config.server.push(other);
    let mut pair = Pair::new(config.clone());
    assert!(pair.connect(), "{:#?}", pair.hosts[0].log);
    assert_eq!(pair.hosts[0].engine.established()[0].0, "L2TP-PSK");
    assert!(pair.hosts[0].logged("switched from \"other\""));
    // Who has the client's key is not the other one.
    config.client.left.id = id("@other");
    let mut pair = Pair::new(config.clone());
    assert!(!pair.connect());
    assert!(pair.hosts[0].logged("Signature check (on @other) failed"), "{:#?}", pair.hosts[0].log);
    // Two keys for one end: either will do (`leftrsasigkey2=`).
    config.client.left.id = id("@client");
    config.server[0].right.public_keys = vec![written(c), written(b)];
    config.client.right.public_keys = vec![written(c), written(a)];
    assert!(Pair::new(config).connect());
}

#[test]
fn malformed_keys_cost_themselves_only() {
    let mut config = raw_keys();
    config.server[0].right.public_keys.push(ipsec_types::auth::PublicKeySpec::Rsa(vec![1, 2, 3]));
    let mut pair = Pair::new(config);
    assert!(pair.connect());
    let said = &pair.hosts[0].replies;
    assert!(said.iter().any(|l| l.starts_with("003 conn L2TP-PSK/right: rsakey2 malformed [")), "{said:?}");
}

/// The handshake on bad lines, a hundred seeds each: it ends established or cleanly, and nothing is left at last.
#[test]
fn rsa_handshakes_survive_bad_lines() {
    for (loss, nat) in [(5, false), (20, false), (5, true)] {
        let mut established = 0;
        for seed in 0..100 {
            let config = PairConfig {
                seed,
                link: Link::bad(loss),
                nat,
                busy: Duration::from_millis(20),
                ..raw_keys()
            };
            let mut pair = Pair::new(config);
            let end =
                settled(&mut pair).unwrap_or_else(|e| panic!("seed {seed}, loss {loss}, nat {nat}: {e}"));
            established += u32::from(end == Outcome::Established);
        }
        assert!(established >= if loss < 20 { 100 } else { 98 }, "loss {loss}: {established} of 100");
    }
}
