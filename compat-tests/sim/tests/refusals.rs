//! Clients that are refused, each with its log line; and one that does it right gets in after it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use std::time::Duration;

use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite};
use ipsec_types::auth::CryptoPolicy;
use ipsec_types::whack::{Request, SetupSpec};
use ipsec_types::{ConnSpec, Port, ProtoPort};
use sim::{CLIENT, Keys, Outcome, PSK, Pair, PairConfig, clean, client_conn, outcome, server_conn};

const MINUTES: Duration = Duration::from_secs(900);

/// A second client, which does it right, gets in.
fn a_right_client_gets_in(pair: &mut Pair) {
    let other = pair.add_client("198.51.100.9".parse().unwrap(), Keys::new(&[PSK]), None);
    let before = pair.hosts[0].engine.established().len();
    // It has the configuration the servers wants, whatever the first client had.
    let conn = client_conn(DhGroup::Ecp256, "198.51.100.9".parse().unwrap());
    let now = pair.now;
    pair.hosts[other].whack(now, Request::Add(Box::new(conn)));
    pair.up(other);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.hosts[other].engine.established().len(), 1, "{:#?}", pair.hosts[other].log);
    assert_eq!(pair.hosts[0].engine.established().len(), before + 1);
}

#[test]
fn a_wrong_psk_is_named_in_the_log_and_leaves_nothing() {
    let client_keys = Keys::new(&[b"wrong"]);
    let mut pair = Pair::new(PairConfig { client_keys, ..PairConfig::default() });
    pair.up(1);
    pair.run_for(Duration::from_secs(2));
    let line =
        "probable authentication failure (mismatch of preshared secrets?): malformed payload in packet";
    assert!(pair.server().logged(line));
    assert_eq!(pair.server().engine.counts(), [1, 0, 2, 0], "half-open, waiting for a better MI3");
    a_right_client_gets_in(&mut pair);
    pair.run_for(MINUTES);
    assert_eq!(pair.client().engine.counts(), [0, 0, 1, 0]);
    assert_eq!(pair.server().engine.counts(), [1, 1, 2, 0], "only the right client is left");
    assert!(pair.client().logged("Possible authentication failure"));
}

/// `config setup` decides for conns that do not, and the refusal says which word would have let the client in.
#[test]
fn the_policy_of_the_daemon_is_that_of_its_conns() {
    for (policy, own, admitted) in [
        (CryptoPolicy::Modern, None, false),
        (CryptoPolicy::Compat, None, true),
        (CryptoPolicy::Modern, Some(CryptoPolicy::Compat), true),
        (CryptoPolicy::Legacy, Some(CryptoPolicy::Modern), false),
    ] {
        let mut client = client_conn(DhGroup::Modp1024, CLIENT);
        client.esp = vec![EspSuite { cipher: EspCipher::Aes(128), integ: EspInteg::Sha1 }];
        let mut pair = Pair::new(PairConfig { server: Vec::new(), client, ..PairConfig::default() });
        let setup = SetupSpec { crypto_policy: policy, nat_traversal: true, ..SetupSpec::default() };
        let conn = ConnSpec {
            ike: Vec::new(),
            esp: Vec::new(),
            crypto_policy: own,
            ..server_conn(DhGroup::Modp1024)
        };
        let now = pair.now;
        for request in [Request::Setup(setup), Request::Add(Box::new(conn)), Request::Listen] {
            pair.server().whack(now, request);
        }
        pair.run_for(Duration::from_millis(10));
        pair.up(1);
        pair.run_for(Duration::from_secs(5));
        assert_eq!(!pair.client().engine.established().is_empty(), admitted, "{policy:?} {own:?}");
        let line = "crypto-policy=compat or ike=aes128-sha1-modp1024 would allow it";
        assert_eq!(pair.server().logged(line), !admitted, "{:#?}", pair.server().log);
    }
}

#[test]
fn no_acceptable_main_mode_proposal() {
    let client = client_conn(DhGroup::Modp1024, CLIENT);
    let mut pair = Pair::new(PairConfig { client, ..PairConfig::default() });
    pair.up(1);
    pair.run_for(Duration::from_secs(2));
    assert!(pair.server().logged("no acceptable Oakley Transform"));
    assert!(pair.server().logged("sending notification NO_PROPOSAL_CHOSEN to 198.51.100.2:500"));
    clean(pair.server()).unwrap();
    a_right_client_gets_in(&mut pair);
}

#[test]
fn no_acceptable_quick_mode_proposal() {
    let mut client = client_conn(DhGroup::Ecp256, CLIENT);
    client.esp = vec![EspSuite { cipher: EspCipher::Aes(192), integ: EspInteg::Sha512 }];
    let mut server = server_conn(DhGroup::Ecp256);
    server.esp = vec![EspSuite { cipher: EspCipher::Aes(128), integ: EspInteg::Sha1 }];
    let mut pair = Pair::new(PairConfig { client, server: vec![server], ..PairConfig::default() });
    pair.up(1);
    pair.run_for(Duration::from_secs(2));
    assert!(pair.server().logged("no acceptable Proposal in IPsec SA"));
    assert!(pair.server().logged("sending encrypted notification NO_PROPOSAL_CHOSEN"));
    assert_eq!(outcome(&pair), Outcome::Failed);
}

#[test]
fn ports_that_the_conn_does_not_allow() {
    let mut client = client_conn(DhGroup::Ecp256, CLIENT);
    client.right.protoport = ProtoPort { proto: 17, port: Port::Number(1702) };
    let mut pair = Pair::new(PairConfig { client, ..PairConfig::default() });
    pair.up(1);
    pair.run_for(Duration::from_secs(2));
    let line = "cannot respond to IPsec SA request because no connection is known for 192.0.2.1:17/1702";
    assert!(pair.server().logged(line), "{:#?}", pair.server().log);
    assert!(pair.server().logged("sending encrypted notification INVALID_ID_INFORMATION"));
    assert_eq!(outcome(&pair), Outcome::Failed);
    a_right_client_gets_in(&mut pair);
}

#[test]
fn the_second_of_two_keys_fits() {
    let server_keys = Keys::new(&[b"the first", PSK]);
    let mut pair = Pair::new(PairConfig { server_keys, ..PairConfig::default() });
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    assert_eq!(outcome(&pair), Outcome::Established);
    assert!(!pair.server().logged("probable authentication failure"));
}

#[test]
fn no_key_at_all() {
    let mut pair = Pair::new(PairConfig { server_keys: Keys::default(), ..PairConfig::default() });
    pair.up(1);
    pair.run_for(Duration::from_secs(2));
    assert!(
        pair.server().logged("Can't authenticate: no preshared key found for `192.0.2.1' and `198.51.100.2'")
    );
    clean(pair.server()).unwrap();
}

#[test]
fn a_conn_that_needs_what_is_not_there_is_refused_with_its_reason() {
    use ipsec_types::auth::AuthBy;
    use ipsec_types::conn::ConnSpec;
    let mut pair = Pair::new(PairConfig::default());
    let good = ConnSpec { name: "odd".into(), ..server_conn(DhGroup::Ecp256) };
    let cases = [
        (ConnSpec { authby: AuthBy::NONE, ..good.clone() }, "authby= allows no way"),
        (
            ConnSpec { phase2: ipsec_types::conn::Phase2::AhEsp, ..good.clone() },
            "AH around ESP is not supported",
        ),
    ];
    for (conn, words) in cases {
        let now = pair.now;
        pair.hosts[0].whack(now, Request::Add(Box::new(conn)));
        pair.run_for(Duration::from_millis(1));
        assert!(pair.server().logged(words), "{words}: {:#?}", pair.server().log);
        assert!(!pair.server().logged("added connection description \"odd\""));
    }
}
