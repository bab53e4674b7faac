//! Phase 1 with certificates: both roles, chains, requests, revocation, the words of ipsec.conf about them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use ike::wire::payload::Kind;
use ike::wire::{Chain, Header};
use ike::{Claim, CryptoJob, Input, Interface, Keyring, OwnKey, SentCert, run_crypto};
use ipsec_crypto::crl::Crl;
use ipsec_crypto::trust::Trust;
use ipsec_crypto::{Certificate, PrivateKey};
use ipsec_types::algo::DhGroup;
use ipsec_types::auth::{AuthBy, CaSpec, PublicKeySpec, SendCert, StrictCrl};
use ipsec_types::conn::Fragmentation;
use ipsec_types::whack::{List, Request, SetupSpec};
use ipsec_types::{ConnSpec, Id};
use sim::{
    CLIENT, Keys, Link, Outcome, Pair, PairConfig, SERVER, clean, client_conn, outcome, server_conn, setup,
};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/pki/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn cert(name: &str) -> Certificate {
    Certificate::from_file(&file(&format!("{name}.pem"))).unwrap().remove(0)
}

fn id(s: &str) -> Id {
    s.parse().unwrap()
}

/// Key `name` with its certificate, and the CAs `trusted`.
fn keys(name: &str, trusted: &[&str], sends: &[&str]) -> Keys {
    let key = Arc::new(PrivateKey::from_file(&file(&format!("{name}.key")), None).unwrap());
    let own = OwnKey { ids: Vec::new(), public: key.public(), key, cert: None };
    let authorities = trusted.iter().map(|n| cert(n)).collect();
    let mut keys = Keys::of_ring(Keyring {
        own: vec![own],
        intermediates: sends.iter().map(|n| cert(n)).collect(),
        trust: Arc::new(Trust { authorities, ..Trust::default() }),
        ..Keyring::default()
    });
    keys.certs = vec![(format!("{name}.pem"), cert(name))];
    keys
}

/// `ours` at the server, `theirs` at the client, both below `ca`.
fn config(ours: &str, theirs: &str, ca: &str) -> PairConfig {
    let with = |mut c: ConnSpec, name: &str| {
        c.authby = AuthBy { rsasig: true, ecdsa: true, ..AuthBy::NONE };
        c.left.cert = Some(format!("{name}.pem"));
        c.left.id_from_cert = true;
        c.left.public_keys = vec![PublicKeySpec::Cert];
        c.right.public_keys = vec![PublicKeySpec::Cert];
        c
    };
    let mut client = with(client_conn(DhGroup::Ecp256, CLIENT), theirs);
    client.right.id_from_cert = true;
    PairConfig {
        server: vec![with(server_conn(DhGroup::Ecp256), ours)],
        client,
        server_keys: keys(ours, &[ca], &[]),
        client_keys: keys(theirs, &[ca], &["inter"]),
        ..PairConfig::default()
    }
}

#[test]
fn certificates_prove_both_ends() {
    for (ours, theirs, ca, auth) in [
        ("server", "client", "ca", "RSA_SIG"),
        ("server", "deep", "ca", "RSA_SIG"),
        ("ecserver", "ecclient", "ecca", "ECDSA_P256"),
    ] {
        let mut pair = Pair::new(config(ours, theirs, ca));
        assert!(pair.connect(), "{theirs}: {:#?} {:#?}", pair.hosts[0].log, pair.hosts[1].log);
        let text = format!(
            "Main mode peer ID is ID_DER_ASN1_DN: 'C=CA, O=Sim, OU=hosts, CN={theirs}, E={theirs}@sim.example'"
        );
        assert!(pair.hosts[0].logged(&text), "{:#?}", pair.hosts[0].log);
        for host in &pair.hosts {
            assert!(host.logged(&format!("{{auth=OAKLEY_{auth} ")), "{:#?}", host.log);
            assert!(host.logged("I am sending my cert") && host.logged("I am sending a certificate request"));
            assert!(host.logged("no crl from issuer \"") && host.logged("found (strict=no)"));
        }
    }
}

/// Both ask in their first message and show theirs in the next; of another CA, neither is believed.
#[test]
fn certificates_prove_both_ends_of_aggressive_mode() {
    for (ours, theirs, ca, other, auth) in
        [("server", "deep", "ca", "ecca", "RSA_SIG"), ("ecserver", "ecclient", "ecca", "ca", "ECDSA_P256")]
    {
        let mut good = config(ours, theirs, ca);
        (good.client.aggressive, good.server[0].aggressive) = (true, true);
        let mut pair = Pair::new(good.clone());
        assert!(pair.connect(), "{theirs}: {:#?} {:#?}", pair.hosts[0].log, pair.hosts[1].log);
        for host in &pair.hosts {
            assert!(host.logged(&format!("{{auth=OAKLEY_{auth} ")), "{:#?}", host.log);
            assert!(host.logged("I am sending my cert") && host.logged("I am sending a certificate request"));
        }
        let bad_server = PairConfig { server_keys: keys(ours, &[other], &[]), ..good.clone() };
        let bad_client = PairConfig { client_keys: keys(theirs, &[other], &["inter"]), ..good };
        for (bad, deceived) in [(bad_server, 0), (bad_client, 1)] {
            let mut pair = Pair::new(bad);
            assert!(!pair.connect());
            assert!(pair.hosts[deceived].engine.established().is_empty());
            assert!(!pair.hosts[deceived].logged("ISAKMP SA established"), "{:#?}", pair.hosts[deceived].log);
        }
    }
}

/// `leftsendcert=never`: the peer must have it; `ifasked`: nobody asks with `nocrsend=yes`.
#[test]
fn certificates_are_sent_as_leftsendcert_says() {
    for (policy, asks, sends) in [
        (SendCert::IfAsked, true, true),
        (SendCert::IfAsked, false, false),
        (SendCert::Always, false, true),
        (SendCert::Never, true, false),
    ] {
        let mut config = config("server", "client", "ca");
        config.client.left.send_cert = policy;
        let mut pair = Pair::new(config);
        let now = pair.now;
        pair.hosts[0]
            .whack(now, Request::Setup(ipsec_types::whack::SetupSpec { no_cr_send: !asks, ..setup() }));
        assert_eq!(pair.connect(), sends, "{policy:?}");
        assert_eq!(pair.hosts[1].logged("I am sending my cert"), sends);
        assert_eq!(pair.hosts[0].logged("I am sending a certificate request"), asks);
        assert_eq!(pair.hosts[0].logged("no RSA public key known for 'C=CA"), !sends);
    }
    // With rightcert= it need not be sent, and no CA need be known.
    let mut config = config("server", "client", "ca");
    config.client.left.send_cert = SendCert::Never;
    config.server[0].right.cert = Some("client.pem".into());
    config.server_keys = keys("server", &[], &[]);
    config.server_keys.certs.push(("client.pem".into(), cert("client")));
    let mut pair = Pair::new(config);
    assert!(pair.connect(), "{:#?}", pair.hosts[0].log);
}

/// A CERTREQ for each CA we trust, sixteen at most; one for any CA if there are more.
#[test]
fn sixteen_authorities_are_asked_for_at_most() {
    for n in [15, 16, 17] {
        let mut config = config("server", "client", "ca");
        config.server[0].fragmentation = Fragmentation::No;
        let ring = Arc::make_mut(&mut config.server_keys.ring);
        Arc::make_mut(&mut ring.trust).authorities = vec![cert("ca"); n];
        let mut pair = Pair::new(config);
        assert!(pair.connect(), "{:#?}", pair.hosts[0].log);
        let mr2 = pair.sent.iter().filter(|d| d.src.ip() == sim::SERVER).find_map(|d| {
            let (h, body) = Header::parse(&d.data).unwrap();
            let chain = Chain::parse(h.next, body).ok()?;
            chain.first(Kind::KeyExchange)?;
            Some(chain.all(Kind::CertRequest).map(<[u8]>::to_vec).collect::<Vec<_>>())
        });
        let named = [&[4], cert("ca").subject()].concat();
        let want = if n <= 16 { vec![named; n] } else { vec![vec![4]] };
        assert_eq!(mr2, Some(want), "{n} authorities");
    }
}

/// Of the certificates of a message the first 32 are looked at.
#[test]
fn thirty_two_certificates_of_a_message_at_most() {
    let key = PrivateKey::from_file(&file("client.key"), None).unwrap();
    let trust = Trust { authorities: vec![cert("ca")], ..Trust::default() };
    let hash = vec![7; 20];
    for n in [31, 32, 33] {
        let sent = |c: Certificate| SentCert { encoding: 4, data: c.der().to_vec() };
        let mut certs = vec![sent(cert("other")); n - 1];
        certs.push(sent(cert("client")));
        let claim = Claim {
            id: Id::Dn(cert("client").subject().to_vec()),
            signature: key.sign(&hash).unwrap(),
            hash: hash.clone(),
            curve: None,
            keys: Vec::new(),
            certs,
            trust: Arc::new(trust.clone()),
            strict: StrictCrl::No,
            now: 1_800_000_000,
        };
        let verdict = run_crypto(&CryptoJob::Verify(Box::new(claim))).unwrap().verdict;
        assert_eq!(verdict.proved.is_some(), n <= 32, "{n} certificates: {:?}", verdict.remarks);
    }
}

/// Windows wraps its certificate and the CAs above it in PKCS#7 (RFC 2408 §3.9, encoding 1).
#[test]
fn certificates_wrapped_in_pkcs7_are_unwrapped() {
    let key = PrivateKey::from_file(&file("deep.key"), None).unwrap();
    let trust = Arc::new(Trust { authorities: vec![cert("ca")], ..Trust::default() });
    let hash = vec![7; 20];
    let judge = |encoding: u8, data: Vec<u8>, trust: &Arc<Trust>| {
        let claim = Claim {
            id: Id::Dn(cert("deep").subject().to_vec()),
            signature: key.sign(&hash).unwrap(),
            hash: hash.clone(),
            curve: None,
            keys: Vec::new(),
            certs: vec![SentCert { encoding, data }],
            trust: trust.clone(),
            strict: StrictCrl::No,
            now: 1_800_000_000,
        };
        run_crypto(&CryptoJob::Verify(Box::new(claim))).unwrap().verdict
    };
    let proved = judge(1, file("deep.p7b"), &trust).proved.expect("the intermediate is in it, too");
    assert_eq!(proved.cert, Some(cert("deep")));
    assert_eq!(proved.issuers, [cert("inter").subject(), cert("ca").subject()]);
    // Whom we do not trust is not believed for that; and the reason is told of what cannot be read.
    assert!(judge(1, file("deep.p7b"), &Arc::default()).proved.is_none());
    for (encoding, data) in [(1, cert("deep").der().to_vec()), (4, file("deep.p7b")), (7, file("deep.p7b"))] {
        let verdict = judge(encoding, data, &trust);
        assert!(verdict.proved.is_none() && verdict.remarks[0].starts_with("ignoring certificate payload"));
    }
}

/// CVE-2015-4171: a peer with a certificate of a CA we trust, but not the one we want, gets no SA.
#[test]
fn cve_2015_4171_the_peer_must_be_the_one_that_is_wanted() {
    type Change = fn(&mut ConnSpec);
    let cases: [(Change, bool); 10] = [
        (|c| c.right.id = id("CN=client, O=sim, E=*, OU=*, C=CA"), true),
        (|c| c.right.id = id("CN=server, O=sim, E=*, OU=*, C=CA"), false),
        (|c| c.right.id = id("C=CA, CN=*"), false),
        (|c| c.right.id = id("@client.sim.example"), false),
        (|c| c.right.ca = CaSpec::Same, true),
        (|c| c.right.ca = CaSpec::Dn(cert("ca").subject().to_vec()), true),
        (|c| c.right.ca = CaSpec::Dn(cert("other").subject().to_vec()), false),
        (|c| c.right.public_keys = vec![sim::keys::written(&sim::keys::rsa_keys()[0])], false),
        (|c| c.right.public_keys.push(sim::keys::written(&sim::keys::rsa_keys()[0])), true),
        (|c| c.authby = AuthBy::PSK, false),
    ];
    for (n, (change, accepted)) in cases.into_iter().enumerate() {
        let mut config = config("server", "client", "ca");
        change(&mut config.server[0]);
        let mut pair = Pair::new(config);
        assert_eq!(pair.connect(), accepted, "case {n}: {:#?}", pair.hosts[0].log);
    }
    // The same at the other end, which proves itself second.
    let cases: [(Change, bool); 4] = [
        (|c| c.right.id = id("C=CA, O=Sim, OU=hosts, CN=server, E=server@sim.example"), true),
        (|c| c.right.id = id("C=CA, O=Sim, OU=hosts, CN=client, E=client@sim.example"), false),
        (|c| c.right.ca = CaSpec::Dn(cert("other").subject().to_vec()), false),
        (|c| c.right.id_from_cert = false, false),
    ];
    for (n, (change, accepted)) in cases.into_iter().enumerate() {
        let mut config = config("server", "client", "ca");
        change(&mut config.client);
        let mut pair = Pair::new(config);
        assert_eq!(pair.connect(), accepted, "case {n}: {:#?}", pair.hosts[1].log);
        assert!(accepted || pair.hosts[1].engine.established().is_empty());
    }
}

/// CVE-2023-26463, CVE-2022-40617: whom no CA of ours knows is refused, and nothing is fetched for it.
#[test]
fn cve_2023_26463_cve_2022_40617_strangers_certificates_are_refused() {
    let mut pair = Pair::new(config("server", "client2", "ca"));
    assert!(!pair.connect());
    let log = &pair.hosts[0];
    assert!(log.logged("issuer cacert not found: \"C=CA, O=Sim, OU=hosts, CN=other"), "{:#?}", log.log);
    assert!(log.logged("X.509 certificate rejected"));
    // Its intermediate is missing.
    let mut config = config("server", "deep", "ca");
    config.client_keys = keys("deep", &["ca"], &[]);
    let mut pair = Pair::new(config.clone());
    assert!(!pair.connect());
    // We have it ourselves.
    config.server_keys = keys("server", &["ca", "inter"], &[]);
    assert!(Pair::new(config).connect());
}

#[test]
fn alternative_names_are_identities() {
    let mut config = config("server", "client", "ca");
    config.client.left.id_from_cert = false;
    config.client.left.id = id("@client.sim.example");
    config.server[0].right.id = id("@Client.sim.example");
    assert!(Pair::new(config.clone()).connect());
    // One that the certificate does not have is replaced by the subject.
    config.client.left.id = id("@elsewhere.example");
    config.server[0].right.id = Id::None;
    let mut pair = Pair::new(config);
    assert!(pair.connect());
    let want = "no subjectAltName matches ID '@elsewhere.example', replaced by subject DN";
    assert!(pair.hosts[1].logged(want), "{:#?}", pair.hosts[1].log);
}

#[test]
fn revoked_peers_are_refused() {
    for (strict, with_list, who, accepted) in [
        (StrictCrl::No, false, "client", true),
        (StrictCrl::Yes, false, "client", false),
        (StrictCrl::IfUri, false, "client", true),
        (StrictCrl::No, true, "client", false),
        (StrictCrl::Yes, true, "client", false),
    ] {
        let mut config = config("server", who, "ca");
        if with_list {
            let crl = Crl::from_file(&file("crl.pem")).unwrap();
            let ring = Arc::make_mut(&mut config.server_keys.ring);
            Arc::make_mut(&mut ring.trust).crls = vec![(crl, "file:crl.pem".into())];
        }
        let mut pair = Pair::new(config);
        let now = pair.now;
        let setup = ipsec_types::whack::SetupSpec { strict_crl: strict, ..setup() };
        pair.hosts[0].whack(now, Request::Setup(setup));
        assert_eq!(pair.connect(), accepted, "{strict:?} {with_list}: {:#?}", pair.hosts[0].log);
        if with_list {
            let log = &pair.hosts[0];
            assert!(
                log.logged("certificate was revoked on ") && log.logged("reason: superseded"),
                "{:#?}",
                log.log
            );
        }
    }
}

#[test]
fn a_certificate_that_cannot_be_read_costs_the_conn_only_that() {
    let mut config = config("server", "client", "ca");
    config.server[0].right.cert = Some("missing.pem".into());
    let mut pair = Pair::new(config);
    assert!(pair.connect(), "{:#?}", pair.hosts[0].log);
    assert!(pair.hosts[0].replies.iter().any(|l| l.starts_with("037 ")), "{:#?}", pair.hosts[0].replies);
}

#[test]
fn lists_are_openswans() {
    let mut pair = Pair::new(config("server", "client", "ca"));
    assert!(pair.connect());
    pair.hosts[0].replies.clear();
    let now = pair.now;
    pair.hosts[0].whack(now, Request::List { what: List::All, utc: true });
    pair.run_for(Duration::from_millis(1));
    pair.hosts[0].whack(now, Request::Status);
    pair.run_for(Duration::from_millis(1));
    let said = pair.hosts[0].replies.join("\n");
    for line in [
        "mycert=server.pem;\n",
        ":   CAs: 'C=CA, O=Sim, OU=hosts, CN=ca, E=ca@sim.example'...'%any'\n",
        "policy: RSASIG+ECDSA+",
        "000 List of Public Keys:\n",
        "000        ID_DER_ASN1_DN 'C=CA, O=Sim, OU=hosts, CN=client, E=client@sim.example'\n",
        "000        Issuer 'C=CA, O=Sim, OU=hosts, CN=ca, E=ca@sim.example'\n",
        " (no private key), until Dec 31 23:59:59 UTC 2099 ok\n",
        "000 List of X.509 End Certificates:\n",
        ", count: 2\n",
        "000        subject: 'C=CA, O=Sim, OU=hosts, CN=server, E=server@sim.example'\n",
        ", has private key\n",
        "000        validity: not before Jan 01 00:00:00 UTC 2020 ok\n",
        "000                  not after  Dec 31 23:59:59 UTC 2099 ok\n",
        "000 List of X.509 CA Certificates:\n",
        "000 List of X.509 CRLs:\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}

/// Handshakes with certificates on bad lines: they end established or cleanly, and nothing is left at last.
#[test]
fn handshakes_with_certificates_survive_bad_lines() {
    for (loss, nat) in [(5, false), (20, false), (5, true)] {
        let mut established = 0;
        for seed in 0..50 {
            let config = PairConfig {
                seed,
                link: Link::bad(loss),
                nat,
                busy: Duration::from_millis(20),
                ..config("server", "deep", "ca")
            };
            let mut pair = Pair::new(config);
            pair.up(1);
            pair.run_for(Duration::from_secs(1000));
            match outcome(&pair) {
                Outcome::Established => established += 1,
                Outcome::Stuck(why) => panic!("seed {seed}, loss {loss}, nat {nat}: {why}"),
                _ => {}
            }
            pair.run_for(Duration::from_secs(86_400));
            pair.hosts.iter().try_for_each(clean).unwrap();
        }
        assert!(established >= if loss < 20 { 50 } else { 48 }, "loss {loss}: {established} of 50");
    }
}

/// However many conns with certificates come and go, are replaced or refused.
#[test]
fn a_certificate_is_kept_as_long_as_a_conn_names_it() {
    let mut pair = Pair::new(config("server", "client", "ca"));
    let kept = |pair: &mut Pair| pair.server().engine.cert_names();
    assert_eq!(kept(&mut pair), ["server.pem"]);
    let add = |pair: &mut Pair, conn: &str, left: &str, right: Option<&str>, lifetime: u32| {
        let mut spec = config("server", "client", "ca").server.remove(0);
        spec.name = conn.into();
        (spec.left.cert, spec.right.cert) = (Some(left.into()), right.map(str::to_string));
        spec.ike_lifetime = lifetime;
        for name in [Some(left), right].into_iter().flatten() {
            pair.server().engine.set_cert(name.into(), Ok(cert("other")));
        }
        let now = pair.now;
        pair.server().whack(now, Request::Add(Box::new(spec)));
    };
    for n in 0..100 {
        let name = format!("{n}.pem");
        add(&mut pair, "refused", &name, None, 1_000_000);
        assert_eq!(kept(&mut pair), ["server.pem"], "a conn that was not taken names nothing");
        add(&mut pair, "replaced", &name, None, 3600);
        assert_eq!(kept(&mut pair), [&name, "server.pem"]);
        add(&mut pair, "other", &name, Some(&name), 3600);
        add(&mut pair, "replaced", &format!("{n}.again.pem"), None, 3600);
        assert_eq!(kept(&mut pair).len(), 3, "the other conn has it still");
        let now = pair.now;
        for name in ["other", "replaced"] {
            pair.server().whack(now, Request::Delete { name: name.into() });
        }
        assert_eq!(kept(&mut pair), ["server.pem"]);
    }
    // Read again while it is not there any more.
    pair.server().engine.renew_cert("99.pem", Ok(cert("other")));
    assert_eq!(kept(&mut pair), ["server.pem"]);
    // What is in use works.
    assert!(pair.connect(), "{:#?}", pair.hosts[0].log);
    // Instances come and go without it.
    pair.down(1);
    pair.run_for(Duration::from_secs(10));
    assert_eq!(kept(&mut pair), ["server.pem"]);
    assert!(pair.connect());
}

/// `crlcheckinterval=`: lists are looked at every interval, whatever else happens; never with 0, which is the default.
#[test]
fn lists_are_looked_at_in_each_interval() {
    let mut pair = Pair::new(PairConfig::default());
    let seconds = |pair: &Pair| -> Vec<u64> {
        pair.hosts[0].refreshes.iter().map(|(at, _)| at.0 / 1_000_000_000).collect()
    };
    let every = |pair: &mut Pair, crl_check_interval: u32| {
        let setup = SetupSpec { crl_check_interval, ..setup() };
        let now = pair.now;
        pair.server().whack(now, Request::Setup(setup));
    };
    pair.run_for(Duration::from_secs(100_000));
    assert!(seconds(&pair).is_empty() && pair.server().engine.poll_timeout().is_none());
    every(&mut pair, 600);
    pair.run_for(Duration::from_secs(3000));
    // The same again changes nothing, nor do the sockets.
    every(&mut pair, 600);
    let interfaces = vec![Interface { name: "eth0".into(), addr: SERVER, port: 500 }];
    let now = pair.now;
    pair.server().handle(now, Input::Listening { interfaces, client: None });
    pair.run_for(Duration::from_secs(599));
    assert_eq!(seconds(&pair), [100_600, 101_200, 101_800, 102_400, 103_000]);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(seconds(&pair).last(), Some(&103_600));
    // Those that are old before the look after the next one, as the next one may be in vain.
    let wall = 1_700_000_000 + 103_600;
    assert_eq!(pair.hosts[0].refreshes.last().map(|r| r.1), Some(wall + 2 * 600));
    every(&mut pair, 60);
    pair.run_for(Duration::from_secs(60));
    assert_eq!(seconds(&pair).last(), Some(&103_660));
    every(&mut pair, 0);
    pair.run_for(Duration::from_secs(100_000));
    assert_eq!(seconds(&pair).len(), 7);
}
