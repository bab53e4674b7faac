//! What whack gives and lists: public keys by identity, and whom the records of `ipsec.secrets` serve.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::time::Duration;

use common::replies;
use ike::{PskLookup, SecretLine};
use ipsec_crypto::PrivateKey;
use ipsec_types::auth::PublicKeySpec;
use ipsec_types::whack::{List, Request};
use ipsec_types::{Id, SecretBytes};
use sim::keys::{by_raw_keys, rsa_keys, written};
use sim::{Pair, PairConfig};

fn id(s: &str) -> Id {
    s.parse().unwrap()
}

fn list(pair: &mut Pair, host: usize, what: List) -> Vec<String> {
    replies(pair, host, Request::List { what, utc: true })
}

fn give(pair: &mut Pair, host: usize, whose: &str, add: bool, key: Option<&PrivateKey>) -> Vec<String> {
    let rsa = key.map(|k| match written(k) {
        PublicKeySpec::Rsa(blob) => blob,
        other => panic!("{other:?}"),
    });
    replies(pair, host, Request::PublicKey { id: id(whose), add, rsa })
}

/// `whack --keyid ID --pubkeyrsa KEY`, for conns that say no key.
#[test]
fn a_key_that_whack_gave_serves_its_identity() {
    let mut config = by_raw_keys(PairConfig::default());
    config.server[0].right.public_keys.clear();
    config.server[0].left.public_keys.clear();
    config.client.keyingtries = 1;
    let [server_key, client_key, other] = rsa_keys();
    let mut pair = Pair::new(config);
    assert!(give(&mut pair, 0, "@server", false, Some(server_key)).is_empty());
    assert!(give(&mut pair, 0, "@stranger", false, Some(client_key)).is_empty());
    assert!(!pair.connect(), "it is the key of somebody else");
    assert!(pair.server().logged("no RSA public key known for '@client'"));
    pair.run_for(Duration::from_secs(1000));
    assert!(give(&mut pair, 0, "@client", false, Some(other)).is_empty());
    assert!(give(&mut pair, 0, "@client", true, Some(client_key)).is_empty(), "two keys");
    let keys = list(&mut pair, 0, List::PublicKeys).join("\n");
    assert_eq!(keys.matches("ID_FQDN '@client'").count(), 2, "{keys}");
    assert!(
        keys.contains("1024 RSA Key AwEAA") && keys.contains("(has private key), until --- -- "),
        "{keys}"
    );
    assert!(pair.connect(), "{:#?}", pair.hosts[0].log);
    pair.down(1);
    pair.run_for(Duration::from_secs(5));
    // One in place of both, the wrong one.
    assert!(give(&mut pair, 0, "@client", false, Some(other)).is_empty());
    assert!(!pair.connect());
    assert!(pair.server().logged("Signature check (on @client) failed (wrong key?)"));
    let gone = give(&mut pair, 0, "@client", false, None);
    assert_eq!(gone, ["002 1 public keys of '@client' deleted; no name server is asked for others"]);
    assert_eq!(give(&mut pair, 0, "%any", false, Some(other))[0][..3], *"027");
    let bad = replies(&mut pair, 0, Request::PublicKey { id: id("@x"), add: true, rsa: Some(vec![1, 2, 3]) });
    assert!(bad[0].starts_with("003 key of '@x' malformed ["), "{bad:?}");
    let keys = list(&mut pair, 0, List::PublicKeys).join("\n");
    assert!(!keys.contains("@client") && !keys.contains("@x"), "{keys}");
}

struct File;

impl PskLookup for File {
    fn lookup(&self, _: &Id, _: &Id) -> Vec<SecretBytes> {
        Vec::new()
    }

    fn list(&self) -> Vec<SecretLine> {
        let line = |file: &str, line, kind: &str, ids: &[&str]| SecretLine {
            file: file.into(),
            line,
            kind: kind.into(),
            ids: ids.iter().map(|i| id(i)).collect(),
        };
        vec![
            line("/etc/ipsec.secrets", 3, "PSK", &["192.0.2.1", "%any"]),
            line("/etc/ipsec.d/a.secrets", 1, "RSA", &[]),
            line("/etc/ipsec.secrets", 9, "PSK", &["@a", "@b", "@c"]),
        ]
    }
}

#[test]
fn secrets_are_listed_by_whom_they_serve() {
    let mut pair = Pair::new(PairConfig::default());
    let none = list(&mut pair, 0, List::Psks);
    assert_eq!(none, ["000  ", "000 List of Pre-shared secrets (from /etc/ipsec.secrets)", "000  "]);
    pair.server().engine.set_secrets(Box::new(File));
    assert_eq!(
        list(&mut pair, 0, List::Psks),
        [
            "000  ",
            "000 List of Pre-shared secrets (from /etc/ipsec.secrets)",
            "000  ",
            "000     3: PSK 192.0.2.1 %any",
            "000     9: PSK @a @bmore",
            "000  ",
            "000 List of Pre-shared secrets (from /etc/ipsec.d/a.secrets)",
            "000  ",
            "000     1: RSA %any %any",
        ]
    );
}
